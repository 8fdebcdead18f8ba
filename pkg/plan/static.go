package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// staticEnv answers what is known without a running deployment: inputs and numbers of instances. What is not known is Unknown, or, where
// marks are asked for, a mark that names it: two expressions with equal results then ask for the same.
type staticEnv struct {
	t         *topology.Topology
	inputs    map[string]any
	instances map[string][]string
	marks     bool
}

var (
	_ topology.Env       = (*staticEnv)(nil)
	_ topology.Functions = (*staticEnv)(nil)
)

func (e *staticEnv) Input(name string) (any, bool) {
	v, ok := e.inputs[name]
	return v, ok
}

func (e *staticEnv) Instances(node string) []string { return e.instances[node] }

func (e *staticEnv) mark(parts ...string) (any, bool) {
	if !e.marks {
		return nil, false
	}
	return "\u27e8" + strings.Join(parts, " ") + "\u27e9", true
}

// Attribute is unknown where a property or a formula of that name says more.
func (e *staticEnv) Attribute(in topology.Instance, capability, name string) (any, bool) {
	n := e.t.NodeNamed(in.Node)
	if n == nil {
		return nil, false
	}
	props, attrs := n.Properties, n.Attributes
	if c := n.Capability(capability); c != nil {
		props, attrs = c.Properties, c.Attributes
	}
	if props.Get(name) != nil || attrs.Get(name) != nil {
		return nil, false
	}
	return e.mark("attribute", in.String(), capability, name)
}

func (e *staticEnv) RelationshipAttribute(source topology.Instance, rel, target, name string) (any, bool) {
	return e.mark("attribute", source.String(), rel, target, name)
}

func (e *staticEnv) OperationOutput(in topology.Instance, rel, iface, op, name string) (any, bool) {
	return e.mark("output", in.String(), rel, iface, op, name)
}

// Secret never reads one: plans hold no secrets.
func (e *staticEnv) Secret(_ context.Context, args []string) (secret.Value, error) {
	m, _ := (&staticEnv{marks: true}).mark(append([]string{"secret"}, args...)...)
	return secret.New(m.(string)), nil
}

// CallFunction never runs one: a call is the same while the implementation's content and the arguments are.
func (e *staticEnv) CallFunction(_ context.Context, t *topology.Topology, f *topology.Function, s *topology.Signature, args []any) (any, error) {
	if m, ok := e.mark("function", f.Name, FunctionKey(t, f, s, []byte(canonical(args)))); ok {
		return secret.New(m.(string)), nil // its type is not checked then
	}
	return topology.Unknown{Refs: []string{"$" + f.Name}}, nil
}

// FunctionKey tells calls of functions that documents define apart: by name, the implementation's content and the arguments, as JSON.
func FunctionKey(t *topology.Topology, f *topology.Function, s *topology.Signature, arguments []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", f.Name, arguments)
	if s.Runnable() && t.Files != nil {
		content, _ := fs.ReadFile(t.Files, s.Implementation.File) // what cannot be read fails when it is run
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
