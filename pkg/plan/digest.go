package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// digests of acts. An act is the same while its digest is: the content of its files, its inputs as far as they are known before the
// deployment (what is not known counts as the expression that asks for it), and its host.
type digests struct {
	files map[string]string
}

func newDigests() digests { return digests{files: map[string]string{}} }

// operation returns the digests of the parts of an operation, by what users call them.
func (d *digests) operation(b *builder, a act) map[string]string {
	parts := map[string]string{"host": short(a.hostName())}
	for _, art := range append([]*topology.Artifact{a.op.Implementation}, a.op.Dependencies...) {
		if art != nil {
			name, sum := d.artifact(a.t, art)
			parts[name] = sum
		}
	}
	if a.op.Call != "" {
		parts["implementation"] = short(a.op.Call)
	}
	sc := topology.Scope{Topology: a.t, Node: a.node, Instance: a.index, Relationship: a.rel, TargetInstance: a.target}
	if a.rel != nil && !a.perPair {
		sc.TargetInstance = ""
	}
	for name, v := range a.op.Inputs.All() {
		parts["input "+name] = b.valueDigest(a.t, v, sc)
	}
	for name, v := range CallInputs(a.t, a.activity).All() {
		parts["input "+name] = b.valueDigest(a.t, v, sc)
	}
	return parts
}

// native returns the digests of what infrastructure is made from.
func (d *digests) native(b *builder, t *topology.Topology, n *topology.Node, index string) map[string]string {
	parts := map[string]string{"type": short(n.Type.Name())}
	sc := topology.Scope{Topology: t, Node: n, Instance: index}
	for name, v := range n.Properties.All() {
		parts["property "+name] = b.valueDigest(t, v, sc)
	}
	for _, c := range n.Capabilities {
		for name, v := range c.Properties.All() {
			if c.Type.Is("tosca.capabilities.Scalable") {
				continue // how many there are changes none of them
			}
			parts["property "+c.Name+"."+name] = b.valueDigest(t, v, sc)
		}
	}
	for _, r := range n.Relationships {
		h := sha256.New()
		fmt.Fprintln(h, r.Type.Name(), r.Target, r.Capability)
		rsc := sc
		rsc.Relationship = r
		for name, v := range r.Properties.All() {
			fmt.Fprintln(h, name, b.valueDigest(t, v, rsc))
		}
		parts["requirement "+r.Name] = hex.EncodeToString(h.Sum(nil)[:8])
	}
	for m, c := range opened(t, n.Name) {
		on := topology.Scope{Topology: t, Node: m, Instance: index}
		for _, name := range []string{"port", "protocol"} {
			if v := c.Properties.Get(name); v != nil {
				parts[name+" of "+m.Name+"."+c.Name] = b.valueDigest(t, v, on)
			}
		}
	}
	for _, r := range n.Relationships {
		if server := t.NodeNamed(r.Target); server != nil && server.Native && server.Type.Is("tosca.nodes.Compute") {
			if groups := d.groups(b, t, server, index); groups != "" {
				parts["security groups of "+server.Name] = short(groups)
			}
		}
	}
	return parts
}

// opened are the endpoints whose ports are opened in the security group of the server that they are hosted on.
func opened(t *topology.Topology, server string) iter.Seq2[*topology.Node, *topology.Capability] {
	return func(yield func(*topology.Node, *topology.Capability) bool) {
		for _, m := range t.Nodes {
			if !t.HostedOn(m, server) {
				continue
			}
			for _, c := range m.Capabilities {
				if c.Type.Is("tosca.capabilities.Endpoint") && c.Properties.Get("port") != nil && !yield(m, c) {
					return
				}
			}
		}
	}
}

// groups says which security groups a server has: what is bound to it, a port, is in them too. Which ports the server's own group opens makes
// no difference to that, only whether there is one.
func (d *digests) groups(b *builder, t *topology.Topology, server *topology.Node, index string) string {
	var out []string
	if v := server.Properties.Get("security_groups"); v != nil {
		out = append(out, "named "+b.valueDigest(t, v, topology.Scope{Topology: t, Node: server, Instance: index}))
	}
	for _, r := range server.Relationships {
		if r.Requirement == "security_group" {
			out = append(out, "linked "+r.Target)
		}
	}
	for range opened(t, server.Name) {
		out = append(out, "opened")
		break
	}
	return strings.Join(out, "\n")
}

// valueDigest of an expression: its value with marks for what is not known, or else its form.
func (b *builder) valueDigest(t *topology.Topology, v *topology.Value, sc topology.Scope) string {
	r, err := topology.Eval(context.Background(), sc, v, b.env(t, true))
	if err != nil {
		return short("?" + form(v)) // the engine will report it, with its place
	}
	return short(canonical(r))
}

// env of a topology: with the inputs that belong to it.
func (b *builder) env(t *topology.Topology, marks bool) *staticEnv {
	inputs := b.in.Inputs
	if t != b.in.Topology {
		inputs = b.in.PreviousInputs
	}
	for _, v := range b.in.Older {
		if v.Topology == t {
			inputs = v.Inputs
		}
	}
	return &staticEnv{t: t, inputs: inputs, instances: b.wanted.wanted, marks: marks}
}

// artifact returns what users call the file, and the digest of its content.
func (d *digests) artifact(t *topology.Topology, a *topology.Artifact) (name, sum string) {
	switch {
	case a.Source != "":
		return "script", short(a.Source)
	case a.Repository != nil:
		return "file " + a.File, short(a.Repository.URL + " " + a.File + " " + a.Checksum)
	case t.Files == nil:
		return "file " + a.File, short(a.File)
	}
	key := fmt.Sprintf("%p %s", t, a.File)
	if sum, ok := d.files[key]; ok {
		return "file " + a.File, sum
	}
	h := sha256.New()
	if err := addFile(h, t.Files, a.File); err != nil {
		fmt.Fprintln(h, "unreadable", a.File) // preflight and the driver report it
	}
	sum = hex.EncodeToString(h.Sum(nil)[:8])
	d.files[key] = sum
	return "file " + a.File, sum
}

func addFile(h hash.Hash, files fs.FS, name string) error {
	return fs.WalkDir(files, name, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := files.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintln(h, strings.TrimPrefix(p, name))
		_, err = io.Copy(h, f)
		return err
	})
}

// sum digests the parts of an act.
func sum(parts map[string]string) string {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(h, "%q %s\n", k, parts[k])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func short(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:8])
}

// canonical is a value as text, with maps in order. Secrets are marks already (see staticEnv) and are told apart by them.
func canonical(v any) string {
	b, err := json.Marshal(reveal(v))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func reveal(v any) any {
	return topology.MapLeaves(v, func(leaf any) any {
		switch t := leaf.(type) {
		case secret.Value:
			return map[string]string{"secret": t.Reveal()}
		case topology.Unknown:
			return map[string]any{"unknown": t.Refs}
		}
		return leaf
	})
}

// form is an expression as text.
func form(v *topology.Value) string {
	if v == nil {
		return "null"
	}
	var parts []string
	switch v.Kind {
	case topology.ListValue:
		for _, x := range v.List {
			parts = append(parts, form(x))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case topology.MapValue:
		for k, x := range v.Map.All() {
			parts = append(parts, fmt.Sprintf("%q:%s", k, form(x)))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case topology.CallValue:
		for _, x := range v.Call.Args {
			parts = append(parts, form(x))
		}
		return v.Call.Fn + "(" + strings.Join(parts, ",") + ")"
	}
	return canonical(v.Lit)
}
