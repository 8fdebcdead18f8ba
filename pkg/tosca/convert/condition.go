package convert

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// conditions writes constraints (1.x) or a validation (2.0).
func (c *converter) conditions(f *resolve.File, x m, s *document.Schema) {
	if !c.v2 {
		list := seq()
		for _, k := range s.Constraints {
			if arg := c.argument(f, k, s); arg != nil {
				list.Items = append(list.Items, one(k.Op, arg))
			}
		}
		if s.Validation != nil {
			if more, ok := c.asConstraints(f, s.Validation, s); ok {
				list.Items = append(list.Items, more...)
			} else {
				c.lost(s.Validation.Pos, s.Path+".validation", "the validation")
			}
		}
		if len(list.Items) > 0 {
			x.put("constraints", list)
		}
		return
	}
	var all []*source.Node
	for _, k := range s.Constraints {
		all = append(all, c.asFunctions(f, k, s)...)
	}
	if s.Validation != nil {
		if v := c.value(f, s.Validation, nil); v != nil {
			all = append(all, v)
		}
	}
	switch len(all) {
	case 0:
	case 1:
		x.put("validation", all[0])
	default:
		x.put("validation", one("$and", seq(all...)))
	}
}

// argument of a constraint: of the constrained type, but for lengths and patterns.
func (c *converter) argument(f *resolve.File, k *document.Constraint, s *document.Schema) *source.Node {
	switch k.Op {
	case "length", "min_length", "max_length":
		return c.value(f, k.Arg, nil)
	case "pattern":
		return c.scalar(f, k.Arg, "string")
	case "schema":
		return c.value(f, k.Arg, nil)
	}
	of := s
	if s != nil {
		of = &document.Schema{Type: s.Type}
	}
	if k.Arg.Is(source.Sequence) && k.Op != "equal" {
		out := seq()
		for _, it := range k.Arg.Items {
			v := c.value(f, it, of)
			if v == nil {
				return nil
			}
			out.Items = append(out.Items, v)
		}
		return out
	}
	return c.value(f, k.Arg, of)
}

func (c *converter) asFunctions(f *resolve.File, k *document.Constraint, s *document.Schema) []*source.Node {
	value := plain("$value")
	with := func(fn string, args ...*source.Node) *source.Node { return one("$"+fn, seq(args...)) }
	arg := c.argument(f, k, s)
	if arg == nil || k.Op == "in_range" && len(arg.Items) < 2 {
		return nil
	}
	size := one("$length", seq(value))
	switch k.Op {
	case "in_range":
		out := []*source.Node{with("greater_or_equal", value, arg.Items[0])}
		if !strings.EqualFold(arg.Items[1].Text, topology.Unbounded) {
			out = append(out, with("less_or_equal", value, arg.Items[1]))
		}
		return out
	case "length":
		return []*source.Node{with("equal", size, arg)}
	case "min_length":
		return []*source.Node{with("greater_or_equal", size, arg)}
	case "max_length":
		return []*source.Node{with("less_or_equal", size, arg)}
	case "pattern":
		return []*source.Node{with("matches", value, arg)}
	case "schema":
		c.lost(k.Pos, "", "the constraint schema")
		return nil
	}
	return []*source.Node{with(k.Op, value, arg)}
}

// asConstraints reads the validations that constraints can say.
func (c *converter) asConstraints(f *resolve.File, n *source.Node, s *document.Schema) ([]*source.Node, bool) {
	if !n.Is(source.Mapping) || len(n.Pairs) != 1 || !n.Pairs[0].Value.Is(source.Sequence) {
		return nil, false
	}
	op, args := strings.TrimPrefix(n.Pairs[0].Key.Text, "$"), n.Pairs[0].Value.Items
	if op == "and" {
		var out []*source.Node
		for _, a := range args {
			more, ok := c.asConstraints(f, a, s)
			if !ok {
				return nil, false
			}
			out = append(out, more...)
		}
		return out, true
	}
	if op == "matches" {
		op = "pattern"
	}
	ops := []string{"equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal", "valid_values", "pattern"}
	if len(args) != 2 || args[0].Str() != "$value" || !slices.Contains(ops, op) {
		return nil, false
	}
	arg := c.argument(f, &document.Constraint{Op: op, Arg: args[1]}, s)
	if arg == nil {
		return nil, false
	}
	return []*source.Node{one(op, arg)}, true
}
