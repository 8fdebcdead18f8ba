package grammar

import (
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// params reads definitions of properties, attributes, inputs or outputs (section).
func (d *decoder) params(n *source.Node, section, path string) []*document.Param {
	if n == nil {
		return nil
	}
	es := d.entries(n, path)
	out := make([]*document.Param, 0, len(es))
	for _, e := range es {
		out = append(out, d.param(e, section))
	}
	return out
}

// paramsOrValues reads a section whose entries are definitions or plain values (a map with `type` is a definition).
func (d *decoder) paramsOrValues(n *source.Node, section, path string) ([]*document.Param, []document.Assign) {
	var defs []*document.Param
	var vals []document.Assign
	for _, e := range d.entries(n, path) {
		if e.value.Is(source.Mapping) && (e.value.Get("type") != nil || !d.a4c) {
			defs = append(defs, d.param(e, section))
		} else if d.a4c {
			vals = append(vals, document.Assign{Name: key(e.key), Value: e.value})
		} else if d.v2 && e.value.Is(source.Scalar) {
			defs = append(defs, d.param(e, section))
		} else {
			d.wrong(e.value, e.path, "a property definition")
		}
	}
	return defs, vals
}

func (d *decoder) param(e entry, section string) *document.Param {
	p := &document.Param{Name: key(e.key), Path: e.path}
	n := e.value
	switch {
	case n.IsNull():
		if d.v2 && n.Kind == source.Null && section != "output" {
			d.wrong(n, e.path, "a definition")
		} else if section == "output" && !d.v2 && !d.a4c {
			d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the output %s has no value", e.key.Text).Path = e.path
		}
		return p
	case section == "output" && d.isCall(n) && n.Get("value") == nil:
		dg := d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the output %s has no value", e.key.Text)
		dg.Path, dg.Hint = e.path, "write value: before the function"
		return p
	case section == "attribute" && d.a4c && !n.Is(source.Mapping):
		p.Value = n
		return p
	case section == "output" && !n.Is(source.Mapping) && d.a4c:
		p.Value = n
		return p
	case section == "attribute" && n.Is(source.Mapping):
		if _, _, _, _, call := d.traits.Expressions.Call(n); call && n.Get("type") == nil {
			p.Value = n // Alien4Cloud: the formula in place of a definition
			return p
		}
	case n.Is(source.Scalar) && d.v2:
		p.Short = n
		return p
	}
	if !d.known(n, section, e.path) {
		return p
	}
	d.paramBody(p, n)
	p.Misspelt = (p.Schema == nil || p.Schema.Type.IsZero()) && d.slipped(n, section, "type")
	if section == "output" && n.Get("value") == nil && !d.v2 && n.Get("mapping") == nil && n.Get("type") == nil && !d.slipped(n, section, "value") {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the output %s has no value", e.key.Text).Path = e.path
	}
	return p
}

// isCall tells a function call, which has one key.
func (d *decoder) isCall(n *source.Node) bool {
	if !n.Is(source.Mapping) || len(n.Pairs) != 1 {
		return false
	}
	_, _, _, _, call := d.traits.Expressions.Call(n)
	return call
}

func (d *decoder) paramBody(p *document.Param, n *source.Node) {
	path := p.Path
	p.Description = d.text(n.Get("description"), path+".description")
	p.Required = d.flag(n.Get("required"), path+".required")
	p.Default = n.Get("default")
	p.Value = n.Get("value")
	p.Status = d.text(n.Get("status"), path+".status")
	if s := n.Get("status"); s.Is(source.Scalar) && !d.a4c {
		d.oneOf(s, path+".status", "supported", "unsupported", "experimental", "deprecated")
	}
	p.Metadata = d.metadata(n.Get("metadata"), path+".metadata")
	if m := n.Get("mapping"); m.Is(source.Sequence) {
		p.Mapping = d.texts(m, path+".mapping")
	} else if m != nil {
		d.wrong(m, path+".mapping", "a list that leads to an attribute, such as [ SELF, name ]")
	}
	if n.Get("type") == nil && n.Get("constraints") == nil && n.Get("entry_schema") == nil && n.Get("validation") == nil && n.Get("key_schema") == nil {
		return
	}
	p.Schema = d.schemaBody(n, path)
	p.Schema.Type = d.name(n.Get("type"), path+".type")
}

func (d *decoder) oneOf(n *source.Node, path string, values ...string) {
	for _, v := range values {
		if strings.EqualFold(n.Text, v) {
			return
		}
	}
	dg := d.diags.Errorf(CodeForm, n.Pos, "%s must be one of %s, not %s", last(path), strings.Join(values, ", "), what(n))
	dg.Path, dg.Hint = path, diag.Suggest(n.Text, values)
}

// schemaBody reads what definitions, data types and schemas share, without the type.
func (d *decoder) schemaBody(n *source.Node, path string) *document.Schema {
	return &document.Schema{
		Pos:         n.Pos,
		Path:        path,
		Constraints: d.constraints(n.Get("constraints"), path+".constraints"),
		Key:         d.schema(n.Get("key_schema"), path+".key_schema"),
		Entry:       d.schema(n.Get("entry_schema"), path+".entry_schema"),
		Validation:  d.validation(n.Get("validation")),
	}
}

func (d *decoder) validation(n *source.Node) *source.Node {
	if n.IsNull() {
		return nil
	}
	return n
}

// schema reads an entry_schema or key_schema; the short form is a type's name.
func (d *decoder) schema(n *source.Node, path string) *document.Schema {
	switch {
	case n.IsNull():
		return nil
	case n.Is(source.Scalar):
		return &document.Schema{Type: d.name(n, path), Pos: n.Pos, Path: path}
	case !d.known(n, "schema", path):
		return nil
	}
	s := d.schemaBody(n, path)
	s.Type = d.name(n.Get("type"), path+".type")
	s.Description = d.text(n.Get("description"), path+".description")
	d.metadata(d.get(n, "schema", "metadata"), path+".metadata")
	return s
}

// constraint operators with the number of their arguments: 1, 2 (in_range), -1 a list.
var constraintOps = map[string]int{
	"equal": 1, "greater_than": 1, "greater_or_equal": 1, "less_than": 1, "less_or_equal": 1, "in_range": 2, "valid_values": -1,
	"length": 1, "min_length": 1, "max_length": 1, "pattern": 1, "schema": 1,
}

// camelOps are the operators as Alien4Cloud's documents also write them.
var camelOps = map[string]string{
	"greaterThan": "greater_than", "greaterOrEqual": "greater_or_equal", "lessThan": "less_than", "lessOrEqual": "less_or_equal", "inRange": "in_range",
	"validValues": "valid_values", "minLength": "min_length", "maxLength": "max_length",
}

func (d *decoder) constraints(n *source.Node, path string) []*document.Constraint {
	switch {
	case n.IsNull():
		return nil
	case n.Is(source.Mapping) && !d.v2: // one constraint without the list's dash
		var out []*document.Constraint
		for k, v := range n.All() {
			if c := d.constraintOf(k, v, path); c != nil {
				out = append(out, c)
			}
		}
		return out
	case !n.Is(source.Sequence):
		d.wrong(n, path, "a list of constraints")
		return nil
	}
	var out []*document.Constraint
	for i, it := range n.Items {
		if c := d.constraint(it, path+"["+strconv.Itoa(i)+"]"); c != nil {
			out = append(out, c)
		}
	}
	return out
}

func (d *decoder) constraint(n *source.Node, path string) *document.Constraint {
	if n.Is(source.Mapping) && len(n.Pairs) == 1 {
		return d.constraintOf(n.Pairs[0].Key, n.Pairs[0].Value, path)
	}
	if n.Is(source.Scalar) || n.Is(source.Sequence) {
		// A filter's plain value means equality.
		if strings.Contains(path, "node_filter") || strings.Contains(path, "filter") {
			return &document.Constraint{Op: "equal", Arg: n, Pos: n.Pos}
		}
	}
	d.wrong(n, path, "a constraint: a map with one key")
	return nil
}

func (d *decoder) constraintOf(k, v *source.Node, path string) *document.Constraint {
	op := k.Text
	if c := camelOps[op]; c != "" && d.a4c {
		op = c
	}
	args, ok := constraintOps[op]
	if !ok || op == "schema" && d.level != 13 && !d.a4c {
		ops := make([]string, 0, len(constraintOps))
		for o := range constraintOps {
			ops = append(ops, o)
		}
		dg := d.diags.Errorf(CodeForm, k.Pos, "unknown constraint %q", k.Text)
		dg.Path = path
		if dg.Hint = diag.Suggest(k.Text, ops); dg.Hint == "" {
			dg.Hint = "known are equal, greater_than, greater_or_equal, less_than, less_or_equal, in_range, valid_values, length, min_length, max_length, pattern"
		}
		return nil
	}
	switch {
	case args == 2 && v.Is(source.Sequence) && len(v.Items) != 2:
		d.diags.Errorf(CodeForm, v.Pos, "%s must be a list of two values, [lower, upper], not of %d", op, len(v.Items)).Path = path + "." + op
		return nil
	case args == 2 && !v.Is(source.Sequence):
		d.wrong(v, path+"."+op, "a list [lower, upper]")
		return nil
	case args == -1 && !v.Is(source.Sequence):
		if _, _, _, _, call := d.traits.Expressions.Call(v); !call {
			d.wrong(v, path+"."+op, "a list of values")
		}
		return nil
	}
	return &document.Constraint{Op: op, Arg: v, Pos: k.Pos}
}
