package topology

import (
	"context"
	"slices"
	"strings"
)

// Selection says which nodes of other deployments can take a node's place (TOSCA 1.3 §2.18, TOSCA 2.0 §7.2.1): those of its type that pass its
// node filter.
type Selection struct {
	// Condition is TOSCA 2.0's filter, a boolean function with the candidate as SELF; Filters are TOSCA 1.x's. Both may be empty.
	Condition *Value
	Filters   []PropertyFilter
	// Else: other directives follow, so that the node can be made where none is found.
	Else bool
}

// PropertyFilter restricts a property of a node or, if Capability names one (or a type of them), of its capability.
type PropertyFilter struct {
	Capability, Name string
	Constraints      []Constraint
}

// Selects reports whether a candidate of that type passes the filter. sc is the candidate's instance in its own topology.
func (s *Selection) Selects(ctx context.Context, sc Scope, t Type, env Env) bool {
	n := sc.Node
	if !n.Type.Is(t.Name()) || n.Select != nil {
		return false
	}
	if s.Condition != nil {
		if got, err := Eval(ctx, sc, s.Condition, env); err != nil || got != true {
			return false
		}
	}
	return !slices.ContainsFunc(s.Filters, func(f PropertyFilter) bool { return !f.passes(ctx, sc, env) })
}

func (f PropertyFilter) passes(ctx context.Context, sc Scope, env Env) bool {
	if f.Capability == "" {
		return f.holds(ctx, sc, sc.Node.Properties, sc.Node.Declared, env)
	}
	return slices.ContainsFunc(sc.Node.Capabilities, func(c *Capability) bool {
		return (c.Name == f.Capability || c.Type.Is(f.Capability)) && f.holds(ctx, sc, c.Properties, c.Declared, env)
	})
}

func (f PropertyFilter) holds(ctx context.Context, sc Scope, values *Values, declared map[string]*Schema, env Env) bool {
	v := values.Get(f.Name)
	if v == nil {
		return len(f.Constraints) == 0
	}
	got, err := Eval(ctx, sc, v, env)
	if err != nil || got == nil {
		return false
	}
	lit := Lit(got)
	s := declared[f.Name]
	return !slices.ContainsFunc(f.Constraints, func(k Constraint) bool { return k.Check(lit, s) != "" })
}

// Selected is what a node has that was selected, as its topology and its deployment say.
type Selected struct {
	Properties, Attributes map[string]any
	Capabilities           map[string]Selected
}

// Take lets the node stand for the selected one: it has that one's values, and nothing is done to it. Its operations and relationships are gone.
func (n *Node) Take(s Selected) {
	n.Select = nil
	n.Properties, n.Attributes = taken(n.Properties, s.Properties), taken(n.Attributes, s.Attributes)
	caps := make([]*Capability, len(n.Capabilities))
	for i, c := range n.Capabilities {
		own := *c
		own.Properties, own.Attributes = taken(c.Properties, s.Capabilities[c.Name].Properties), taken(c.Attributes, s.Capabilities[c.Name].Attributes)
		caps[i] = &own
	}
	n.Capabilities = caps
	n.Interfaces, n.Artifacts, n.Relationships, n.Count, n.ScalesWith, n.Native = nil, nil, nil, nil, "", false
}

func taken(have *Values, values map[string]any) *Values {
	out := NewValues()
	for k, v := range have.All() {
		if _, ok := values[k]; !ok {
			out.Set(k, &Value{Schema: v.Schema, Pos: v.Pos})
		}
	}
	for k, v := range values {
		lit := Lit(v)
		if old := have.Get(k); old != nil {
			lit.Schema, lit.Pos = old.Schema, old.Pos
		}
		out.Set(k, lit)
	}
	return out
}

// Make lets the node be made as if nothing had been said of selecting.
func (n *Node) Make() {
	n.Select = nil
	n.Directives = slices.DeleteFunc(slices.Clone(n.Directives), func(d string) bool { return strings.HasPrefix(d, "select") })
}

// Known reports a value, as Eval gives it, that nothing is unknown in.
func Known(v any) bool { return len(unknowns(v, nil)) == 0 }
