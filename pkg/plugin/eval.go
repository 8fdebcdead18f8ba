package plugin

import (
	"context"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// frame evaluates the expressions of one instance.
type frame struct {
	ctx context.Context
	r   *Renderer
	in  *inst
	// items that enclosing repetitions define.
	items map[string]any
	// owner is the entry that references belong to.
	owner string
	// publish: resources yield the values of Terraform's state instead of references.
	publish bool
	// touched is the place of the last property that was read and had a value: whom to blame.
	touched *diag.Pos
}

func (f *frame) with(name string, v any) *frame {
	g := *f
	g.items = make(map[string]any, len(f.items)+1)
	for k, o := range f.items {
		g.items[k] = o
	}
	g.items[name] = v
	return &g
}

// ExprError is a mapping's expression that could not be evaluated.
type ExprError struct {
	Pos  diag.Pos // in the plugin
	At   diag.Pos // in the topology, zero if nothing there is to blame
	Hint string
	Node string // whose mapping was evaluated
	Err  error
}

func (e *ExprError) Error() string { return e.Err.Error() }
func (e *ExprError) Unwrap() error { return e.Err }

func (f *frame) fail(e *Expr, err error) error {
	if err == nil {
		return nil
	}
	if x, ok := err.(*ExprError); ok {
		if x.Node == "" {
			x.Node = f.in.node.Name
		}
		return x
	}
	return &ExprError{Pos: e.Pos, At: *f.touched, Node: f.in.node.Name, Err: err}
}

// eval returns the value of an expression; a nil expression is null.
func (f *frame) eval(e *Expr) (any, error) {
	if e == nil {
		return nil, nil
	}
	switch e.Kind {
	case PathExpr:
		v, err := f.path(e)
		return v, f.fail(e, err)
	case ListExpr:
		out := make([]any, 0, len(e.Args))
		for _, a := range e.Args {
			v, err := f.eval(a)
			if err != nil {
				return nil, err
			}
			if v != nil {
				out = append(out, v)
			}
		}
		return out, nil
	case MapExpr:
		return f.named(e.Named)
	case CallExpr:
		if e.Fn.lazy != nil {
			v, err := e.Fn.lazy(f, e)
			return v, f.fail(e, err)
		}
		args := make([]any, len(e.Args))
		for i, a := range e.Args {
			v, err := f.eval(a)
			if err != nil {
				return nil, err
			}
			args[i] = v
		}
		for _, a := range args {
			if u, ok := a.(topology.Unknown); ok && !deferrable(e.Fn) {
				return u, nil
			}
		}
		v, err := e.Fn.apply(args)
		return v, f.fail(e, err)
	}
	return e.Lit, nil
}

// deferrable functions handle unknown values themselves.
func deferrable(fn *function) bool {
	for _, name := range []string{"concat", "join", "given", "not", "list", "flatten", "merge", "lookup"} {
		if functions[name] == fn {
			return true
		}
	}
	return false
}

// named evaluates a map; entries that are null are left out.
func (f *frame) named(n *Named) (map[string]any, error) {
	out := map[string]any{}
	if n == nil {
		return out, nil
	}
	for _, k := range n.Keys {
		v, err := f.eval(n.Exprs[k])
		if err != nil {
			return nil, err
		}
		if v != nil {
			out[k] = v
		}
	}
	return out, nil
}

// path resolves $root.step.step.
func (f *frame) path(e *Expr) (any, error) {
	root, rest := e.Path[0], e.Path[1:]
	if v, ok := f.items[root]; ok {
		return f.follow(v, rest)
	}
	switch root {
	case "instance":
		return f.in.index, nil
	case "stopped":
		return f.r.Stopped[topology.Instance{Node: f.in.node.Name, Index: f.in.index}], nil
	case "deployment":
		return f.r.Deployment, nil
	case "endpoints":
		return f.endpoints()
	case "unique_name":
		return f.identity().UniqueName(strings.Join(rest, "-")), nil
	case "user_name":
		return f.identity().ReadableName(strings.Join(rest, "-")), nil
	case "location":
		return walk(f.r.Location.Setting(rest[0]), rest[1:]), nil
	case "input":
		v, _ := f.r.Env.Input(rest[0])
		return walk(v, rest[1:]), nil
	case "link":
		items, err := f.r.links(f.ctx, f.in, rest[0])
		if err != nil || len(items) == 0 {
			return nil, err
		}
		return f.follow(items[0], rest[1:])
	case "links":
		items, err := f.r.links(f.ctx, f.in, rest[0])
		if err != nil {
			return nil, err
		}
		return f.collect(items, rest[1:])
	case "all":
		items, err := f.r.allOf(f.ctx, f.in, rest[0])
		if err != nil {
			return nil, err
		}
		return f.collect(items, rest[1:])
	}
	return f.follow(&linkItem{inst: f.in}, e.Path)
}

// collect follows a path from each item; lists are joined.
func (f *frame) collect(items []*linkItem, rest []string) (any, error) {
	out := []any{}
	for _, it := range items {
		v, err := f.follow(it, rest)
		if err != nil {
			return nil, err
		}
		switch t := v.(type) {
		case nil:
		case []any:
			out = append(out, t...)
		default:
			out = append(out, t)
		}
	}
	return out, nil
}

// follow walks from a value; nodes and resources have steps of their own.
func (f *frame) follow(v any, path []string) (any, error) {
	if len(path) == 0 {
		return v, nil
	}
	switch t := v.(type) {
	case *linkItem:
		return f.followNode(t, path)
	case *Block:
		return f.attribute(t, path)
	}
	return walk(v, path), nil
}

func (f *frame) followNode(it *linkItem, path []string) (any, error) {
	step, rest := path[0], path[1:]
	in := it.inst
	if step == "instance" {
		return in.index, nil
	}
	if len(rest) == 0 {
		return nil, fmt.Errorf("%s needs a name after it", step)
	}
	switch step {
	case "node":
		switch rest[0] {
		case "name":
			return in.node.Name, nil
		case "type":
			return in.node.Type.Name(), nil
		}
		return nil, fmt.Errorf("a node has a name and a type, not %q", rest[0])
	case "property":
		v, rest, name := within(in.node.Properties.Get(rest[0]), rest[1:], rest[0])
		got, err := f.property(in, v, name)
		return walk(got, rest), err
	case "capability":
		c := in.node.Capability(rest[0])
		if c == nil || len(rest) < 2 {
			return nil, nil
		}
		v, err := f.property(in, c.Properties.Get(rest[1]), rest[0]+"."+rest[1])
		return walk(v, rest[2:]), err
	case "operation":
		if len(rest) < 2 {
			return nil, nil
		}
		op := in.node.Operation("Standard", rest[0])
		if op == nil {
			return nil, nil
		}
		v, rest, name := within(op.Inputs.Get(rest[1]), rest[2:], rest[0]+"."+rest[1])
		got, err := f.property(in, v, name)
		return walk(got, rest), err
	case "relationship":
		if it.rel == nil {
			return nil, nil
		}
		v, err := f.property(it.source, it.rel.Properties.Get(rest[0]), rest[0])
		return walk(v, rest[1:]), err
	case "value":
		return f.value(in, rest)
	case "resource", "resources":
		return f.resources(in, step, rest)
	case "link", "links":
		g := *f
		g.in = in
		return g.path(&Expr{Path: path})
	}
	return nil, fmt.Errorf("a node has no %q", step)
}

// value evaluates a named value of a mapping on behalf of the instance.
func (f *frame) value(in *inst, rest []string) (any, error) {
	if m, ok := in.values[rest[0]]; ok && !f.publish {
		if !m.touched.IsZero() {
			*f.touched = m.touched
		}
		return f.follow(m.value, rest[1:])
	}
	e := in.mapping.Values.Get(rest[0])
	if e == nil {
		return nil, nil
	}
	if in.evaluating[rest[0]] {
		return nil, fmt.Errorf("the value %q needs itself", rest[0])
	}
	in.evaluating[rest[0]] = true
	defer delete(in.evaluating, rest[0])
	g := *f
	g.in, g.items, g.touched = in, nil, &diag.Pos{}
	v, err := g.eval(e)
	if !g.touched.IsZero() {
		*f.touched = *g.touched
	}
	if err != nil {
		return nil, err
	}
	if !f.publish {
		in.values[rest[0]] = memo{v, *g.touched}
	}
	return f.follow(v, rest[1:])
}

func (f *frame) resources(in *inst, step string, rest []string) (any, error) {
	if err := f.r.outlineID(f.ctx, in, rest[0]); err != nil {
		return nil, err
	}
	blocks := in.blocks[rest[0]]
	if step == "resource" {
		if len(blocks) == 0 {
			return nil, nil
		}
		return f.follow(blocks[0], rest[1:])
	}
	out := []any{}
	for _, b := range blocks {
		v, err := f.follow(b, rest[1:])
		if err != nil {
			return nil, err
		}
		switch t := v.(type) {
		case nil:
		case []any:
			out = append(out, t...)
		default:
			out = append(out, t)
		}
	}
	return out, nil
}

// attribute of a resource: a reference while rendering, the state's value when publishing.
func (f *frame) attribute(b *Block, path []string) (any, error) {
	if path[0] == "item" {
		return walk(b.item, path[1:]), nil // what the block was repeated for
	}
	if f.publish {
		attrs, ok := f.r.state(b.Address())
		if !ok {
			return nil, nil
		}
		return walk(attrs, path), nil
	}
	expr := b.Address()
	for _, s := range path {
		if s != "" && s[0] >= '0' && s[0] <= '9' {
			expr += "[" + s + "]"
		} else {
			expr += "." + s
		}
	}
	return Ref{Expr: expr, Owner: b.Owner}, nil
}

// within goes into a value as far as it is a literal map, so that only what is asked for is evaluated: what lies beside it may be unknown yet.
func within(v *topology.Value, path []string, name string) (*topology.Value, []string, string) {
	for len(path) > 0 && v != nil && v.Kind == topology.MapValue {
		name += "." + path[0]
		v, path = v.Map.Get(path[0]), path[1:]
	}
	return v, path, name
}

// property evaluates a topology value on behalf of an instance.
func (f *frame) property(in *inst, v *topology.Value, name string) (any, error) {
	if v == nil {
		return nil, nil
	}
	out, err := f.r.evaluate(f.ctx, v, topology.Scope{Topology: f.r.Topology, Node: in.node, Instance: in.index}, &attributes{f.r.Env, f})
	if err != nil {
		*f.touched = v.Pos
		return nil, fmt.Errorf("property %s of %s: %w", name, in.node.Name, err)
	}
	if !isNull(out) {
		*f.touched = v.Pos
	}
	if u, ok := out.(topology.Unknown); ok && !f.r.AllowUnknown {
		return nil, fmt.Errorf("property %s of %s needs %s, which is not known yet", name, in.node.Name, strings.Join(u.Refs, ", "))
	}
	return plain(out), nil
}

// plain turns other numeric and container types into those that expressions know.
func plain(v any) any {
	switch t := v.(type) {
	case int:
		return int64(t)
	case map[string]any:
		for k, e := range t {
			t[k] = plain(e)
		}
	case []any:
		for i, e := range t {
			t[i] = plain(e)
		}
	case *secret.Value:
		return *t
	}
	return v
}

// endpoints lists what the components hosted on the node offer: maps of port, protocol, node and capability.
func (f *frame) endpoints() (any, error) {
	out := []any{}
	for _, n := range f.r.Topology.Nodes {
		if n != f.in.node && !f.r.Topology.HostedOn(n, f.in.node.Name) {
			continue
		}
		for _, c := range n.Capabilities {
			if !c.Type.Is("tosca.capabilities.Endpoint") || c.Properties.Get("port") == nil {
				continue
			}
			port, err := f.r.evaluate(f.ctx, c.Properties.Get("port"), topology.Scope{Topology: f.r.Topology, Node: n, Instance: f.in.index}, f.r.Env)
			if err != nil {
				return nil, err
			}
			p, ok := topology.Number(port)
			if !ok || p < 1 {
				continue
			}
			proto := any("tcp")
			if v := c.Properties.Get("protocol"); v != nil {
				if proto, err = f.r.evaluate(f.ctx, v, topology.Scope{Topology: f.r.Topology, Node: n, Instance: f.in.index}, f.r.Env); err != nil {
					return nil, err
				}
			}
			transport := "tcp"
			if s, _ := text(proto); strings.EqualFold(s, "udp") {
				transport = "udp"
			}
			out = append(out, map[string]any{"port": int64(p), "protocol": transport, "node": n.Name, "capability": c.Name})
		}
	}
	return out, nil
}

func (f *frame) identity() Identity {
	return Identity{Deployment: f.r.Deployment, Node: f.in.node.Name, Instance: f.in.index}
}

func evalTopology(ctx context.Context, v *topology.Value, s topology.Scope, env topology.Env) (any, error) {
	return topology.Eval(ctx, s, v, env)
}
