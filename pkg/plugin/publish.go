package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Published is what an instance gives back when it is made.
type Published struct {
	// Attributes by name; those of capabilities are named "capability.attribute".
	Attributes map[string]any
	// Unset are the names of attributes that have no value.
	Unset []string
	// Host is nil for what is not a server.
	Host *Host
}

// Host is how a server is reached; see driver.Host. Secrets are references.
type Host struct {
	Addresses     []string
	Port          int
	User          string
	Key, Password string
	HostKeys      []string
	HostKeySource string
	ServerID      string
	CloudInit     bool
	Sudo          bool
}

// attributeNames are those that the mapping publishes.
func (m *Mapping) attributeNames() []string {
	if m.Attributes == nil {
		return nil
	}
	return m.Attributes.Keys
}

// Publish evaluates the attributes and the host of an instance against the state.
func (r *Renderer) Publish(ctx context.Context, id topology.Instance) (*Published, error) {
	r.init()
	in, err := r.inst(id)
	if err != nil {
		return nil, err
	}
	f := r.frame(ctx, in)
	f.publish = true
	attrs, err := f.named(in.mapping.Attributes)
	if err != nil {
		return nil, fmt.Errorf("cannot publish the attributes of %s: %w", id, err)
	}
	for k, v := range attrs {
		attrs[k] = published(v)
	}
	p := &Published{Attributes: attrs}
	for _, k := range in.mapping.attributeNames() {
		if _, ok := attrs[k]; !ok {
			p.Unset = append(p.Unset, k)
		}
	}
	if in.mapping.Host == nil {
		return p, nil
	}
	h, err := f.named(in.mapping.Host)
	if err != nil {
		return nil, fmt.Errorf("cannot say how to reach %s: %w", id, err)
	}
	if w, ok := h["when"]; ok && !truth(w) || in.mapping.Host.Get("when") != nil && !ok {
		return p, nil
	}
	p.Host = &Host{Addresses: texts(h["addresses"]), User: str(h["user"]), Key: str(h["key"]), Password: str(h["password"]),
		HostKeys: texts(h["host_keys"]), HostKeySource: str(h["host_key_source"]), ServerID: str(h["server_id"]),
		CloudInit: truth(h["cloud_init"]), Sudo: truth(h["sudo"])}
	if n, ok := topology.Number(h["port"]); ok {
		p.Host.Port = int(n)
	}
	return p, nil
}

// published hides what must not be seen and drops what only rendering knows.
func published(v any) any {
	switch t := v.(type) {
	case Generated:
		return secret.Mask
	case secret.Value:
		return secret.Mask
	case []any:
		for i, e := range t {
			t[i] = published(e)
		}
	case map[string]any:
		for k, e := range t {
			t[k] = published(e)
		}
	case Ref, template, *Block, *linkItem:
		return nil
	}
	return v
}

func str(v any) string { s, _ := text(v); return s }

func texts(v any) []string {
	l, _ := applyList([]any{v})
	var out []string
	for _, e := range l.([]any) {
		if s, ok := text(e); ok && s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Check evaluates the requirements of an instance and renders it, and reports everything that is wrong at the places in the topology.
func (r *Renderer) Check(ctx context.Context, id topology.Instance) diag.List {
	r.init()
	var list diag.List
	in, err := r.inst(id)
	if err != nil {
		list.Errorf(CodePreflight, diag.Pos{}, "%v", err)
		return list
	}
	f := r.frame(ctx, in)
	for _, k := range in.mapping.Values.Keys {
		if _, err := f.value(in, []string{k}); err != nil {
			list.Add(r.diagnostic(in, err))
		}
	}
	if list.HasErrors() {
		return list
	}
	for _, q := range in.mapping.Requires {
		if d, err := f.require(q); err != nil {
			list.Add(r.diagnostic(in, err))
		} else if d != nil {
			list.Add(*d)
		}
	}
	if list.HasErrors() {
		return list
	}
	if _, err := r.Render(ctx, []topology.Instance{id}); err != nil {
		list.Add(r.diagnostic(in, err))
	}
	return list
}

// CodePreflight marks what the cloud does not have or allow.
const CodePreflight = "preflight"

func (f *frame) require(q *Require) (*diag.Diagnostic, error) {
	if q.When != nil {
		if w, err := f.eval(q.When); err != nil || !truth(w) {
			return nil, err
		}
	}
	v, err := f.eval(q.That)
	if _, unknown := v.(topology.Unknown); err != nil || unknown || truth(v) {
		return nil, err
	}
	msg, err := f.eval(q.Message)
	if err != nil {
		return nil, err
	}
	text := str(msg)
	if text == "" {
		text = "a requirement of the location is not met"
	}
	d := &diag.Diagnostic{Severity: diag.Error, Code: CodePreflight, Pos: f.in.node.Pos, Path: "node " + f.in.node.Name,
		Message: f.in.node.Name + ": " + text, Hint: q.Hint}
	if q.Warn {
		d.Severity = diag.Warning
	}
	if pos := f.r.place(f.in.node, q.At); !pos.IsZero() {
		d.Pos = pos
	}
	return d, nil
}

// place of a property ("property.flavor") or capability property ("capability.host.num_cpus") in the topology.
func (r *Renderer) place(n *topology.Node, path string) diag.Pos {
	steps := splitDots(path)
	var v *topology.Value
	switch {
	case len(steps) == 2 && steps[0] == "property":
		v = n.Properties.Get(steps[1])
	case len(steps) == 3 && steps[0] == "capability":
		if c := n.Capability(steps[1]); c != nil {
			v = c.Properties.Get(steps[2])
		}
	}
	if v == nil {
		return diag.Pos{}
	}
	return v.Pos
}
