package plan

import (
	"context"
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

var _ topology.Env = (*staticEnv)(nil)

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
