package topology

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// Related are the target's instances that an instance of the source is related to. position is the source instance's place among its
// node's, from 0. What cannot be told counts as all of them.
func (t *Topology) Related(r *Relationship, source string, position int, all []string, env Env) []string {
	if r.TargetIndex == nil && r.Count == nil || len(all) == 0 {
		return all
	}
	sc := Scope{Topology: t, Node: t.NodeNamed(r.Source), Instance: source}
	whole := func(v *Value) (int, bool) {
		got, err := Eval(context.Background(), sc, v, env)
		f, ok := Number(got)
		return int(f), err == nil && ok && f >= 0
	}
	if r.TargetIndex != nil {
		i, ok := whole(r.TargetIndex)
		if !ok {
			return all
		}
		for _, x := range all {
			if x == strconv.Itoa(i) {
				return []string{x}
			}
		}
		return nil
	}
	n, ok := whole(r.Count)
	if !ok || n >= len(all) {
		return all
	}
	out := make([]string, 0, n)
	for k := range n { // evenly spread: the next ones in turn
		out = append(out, all[(position*n+k)%len(all)])
	}
	return out
}

// Quantity is the number that a literal value stands for: a number, or one with a unit in the base unit.
func Quantity(v *Value) (float64, error) {
	if v == nil || v.Kind != LitValue {
		return 0, fmt.Errorf("the value is not known")
	}
	if f, ok := Number(v.Lit); ok {
		if _, text := v.Lit.(string); !text {
			return f, nil
		}
	}
	text, ok := v.Lit.(string)
	if !ok {
		return 0, fmt.Errorf("%v is not a quantity", v.Lit)
	}
	return quantity(text, v.Schema)
}

func quantity(text string, s *Schema) (float64, error) {
	if s != nil && s.Scalar != nil {
		f, _, err := s.Scalar.Parse(text)
		return f, err
	}
	for typ := range units {
		if f, _, err := ParseUnit(typ, text); err == nil {
			return f, nil
		}
	}
	return strconv.ParseFloat(text, 64)
}

// related are the instances of a relationship's target that are meant for the subject's instance.
func (e *evaluator) related(sc Scope, sub *subject, r *Relationship, target *Node) []string {
	all := e.instances(sc, target)
	if r.TargetIndex == nil && r.Count == nil || len(all) < 2 || len(sub.instances) != 1 || e.env == nil {
		return all
	}
	return sub.topology.Related(r, sub.instances[0], slices.Index(e.env.Instances(sub.node.Name), sub.instances[0]), all, e.env)
}

// availableAllocation is what a capability's property has left after the allocations of the relationships that lead to it, in the property's
// base unit (TOSCA 2.0).
func (e *evaluator) availableAllocation(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	l, err := e.locate(sc, args, hasProperty)
	if err != nil {
		return nil, err
	}
	v := l.properties().Get(l.name)
	if v == nil {
		return nil, e.notFound(l, "property")
	}
	got, err := e.property(l, v)
	if err != nil || len(unknowns(got, nil)) > 0 {
		return got, err
	}
	left, err := Quantity(&Value{Lit: got, Schema: v.Schema})
	if err != nil {
		return nil, &EvalError{Message: fmt.Sprintf("%s: %v", l.what(), err)}
	}
	for _, n := range l.topology.Nodes {
		for _, r := range n.Relationships {
			if r.Target == l.node.Name && r.Capability == l.capability {
				if f, err := Quantity(r.Allocation.Get(l.name)); err == nil {
					left -= f
				}
			}
		}
	}
	if text, ok := got.(string); ok {
		return floatText(left) + baseUnit(text, v.Schema), nil
	}
	return left, nil
}

// baseUnit is the unit that Quantity counts in, with a blank before it.
func baseUnit(text string, s *Schema) string {
	if s != nil && s.Scalar != nil {
		return " " + s.Scalar.Canonical
	}
	for typ, base := range map[string]string{"scalar-unit.size": "B", "scalar-unit.time": "s", "scalar-unit.frequency": "Hz", "scalar-unit.bitrate": "bps"} {
		if _, _, err := ParseUnit(typ, text); err == nil {
			return " " + base
		}
	}
	return ""
}

// comparisons are the functions whose arguments may be quantities of a TOSCA 2.0 scalar type.
var comparisons = map[string]bool{
	"equal": true, "greater_than": true, "greater_or_equal": true, "less_than": true, "less_or_equal": true, "valid_values": true,
}

// scalarOf is the scalar type of a property that is an argument of a comparison; nil for none.
func (e *evaluator) scalarOf(sc Scope, args []*Value) *ScalarType {
	for _, a := range args {
		if a.Kind != CallValue || a.Call.Fn != "get_property" && a.Call.Fn != "get_attribute" && a.Call.Fn != "available_allocation" {
			continue
		}
		words, unknown, err := e.words(sc, a.Call)
		if err != nil || unknown != nil {
			continue
		}
		l, err := e.locate(sc, words, hasProperty)
		if err != nil || len(l.rest) > 0 {
			continue
		}
		declared := l.node.Declared
		if l.rel != nil {
			declared = l.rel.Declared
		} else if c := l.node.Capability(l.capability); c != nil {
			declared = c.Declared
		}
		if s := declared[l.name]; s != nil && s.Scalar != nil {
			return s.Scalar
		}
	}
	return nil
}
