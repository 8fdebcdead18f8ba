package convert

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// shown is the schema that values show: of scalars, lists and maps whose entries are alike, or of a data type made for maps with different
// entries, which is called name. What shows different things is JSON as a text; what shows nothing is a text, too.
func (c *converter) shown(values []*source.Node, name string) *document.Schema {
	var given []*source.Node
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		if _, _, _, _, call := c.Root.Doc.Traits.Expressions.Call(v); !call {
			given = append(given, v)
		}
	}
	all := func(is func(*source.Node) bool) bool {
		return !slices.ContainsFunc(given, func(v *source.Node) bool { return !is(v) })
	}
	typed := func(name string) *document.Schema { return &document.Schema{Type: document.Name{Text: name}} }
	switch {
	case len(given) == 0:
		return typed("string")
	case all(func(v *source.Node) bool { return v.Is(source.Mapping) }):
		return c.shownMap(given, name)
	case all(func(v *source.Node) bool { return v.Is(source.Sequence) }):
		var inner []*source.Node
		for _, v := range given {
			inner = append(inner, v.Items...)
		}
		s := typed("list")
		s.Entry = c.shown(inner, name+".entry")
		return s
	case !all(func(v *source.Node) bool { return v.Is(source.Scalar) }):
		return typed(jsonType)
	case all(func(v *source.Node) bool { _, ok := yaml11[strings.ToLower(v.Text)]; return ok && !v.Quoted }):
		return typed("boolean")
	case all(func(v *source.Node) bool { _, ok := v.Int(); return ok && !v.Quoted }):
		return typed("integer")
	case all(func(v *source.Node) bool { _, ok := v.Float(); return ok && !v.Quoted }):
		return typed("float")
	}
	return typed("string")
}

// shownMap is a map of alike entries, or a data type with a property for each key.
func (c *converter) shownMap(given []*source.Node, name string) *document.Schema {
	var keys []string
	inner := map[string][]*source.Node{}
	var entries []*source.Node
	for _, v := range given {
		for k, x := range v.All() {
			if _, ok := inner[k.Text]; !ok {
				keys = append(keys, k.Text)
			}
			inner[k.Text] = append(inner[k.Text], x)
			entries = append(entries, x)
		}
	}
	kind := ""
	for i, x := range entries {
		k := c.shown([]*source.Node{x}, name+"."+keys[0]).Type.Text
		if i == 0 {
			kind = k
		}
		if k != kind || !topology.IsPrimitive(k) || k == "list" || k == "map" {
			kind = ""
			break
		}
	}
	if kind != "" || len(entries) == 0 {
		s := &document.Schema{Type: document.Name{Text: "map"}, Entry: c.shown(entries, name)}
		return s
	}
	t := c.bp.structures[name]
	if t == nil {
		no := false
		t = &document.Type{Kind: document.DataType, Name: document.Name{Text: name, Pos: given[0].Pos}}
		c.bp.structures[name] = t
		for _, k := range keys {
			t.Properties = append(t.Properties, &document.Param{Name: document.Name{Text: k}, Schema: c.shown(inner[k], name+"."+k), Required: &no})
		}
	}
	return &document.Schema{Type: document.Name{Text: name}}
}

// typeOf is the schema to write for a parameter: Cloudify's may have none, or be a list or map of whatever.
func (c *converter) typeOf(p *document.Param, owner string) *document.Schema {
	if s, ok := c.bp.schemas[p]; ok {
		return s
	}
	s, name := p.Schema, ""
	if s != nil {
		name = s.Type.Text
	}
	// Cloudify takes any value for a text.
	structured := name == "string" && slices.ContainsFunc(append(slices.Clone(c.bp.values[p]), p.Default), func(v *source.Node) bool {
		_, _, _, _, call := c.Root.Doc.Traits.Expressions.Call(v)
		return !call && (v.Is(source.Mapping) || v.Is(source.Sequence))
	})
	if !structured && !c.bp.redefined[p] && name != "" && name != "any" && (name != "list" && name != "map" || s.Entry != nil) {
		c.bp.schemas[p] = s
		return s
	}
	values := c.bp.values[p]
	if p.Default != nil {
		values = append(slices.Clone(values), p.Default)
	}
	out := c.shown(values, owner+"."+p.Name.Text)
	entry := &document.Schema{Type: document.Name{Text: "string"}}
	switch {
	case name == "list" && out.Type.Text != "list", name == "map" && out.Type.Text == "string":
		out = &document.Schema{Type: s.Type, Entry: entry}
	}
	if s != nil {
		with := *out
		with.Constraints, with.Path, with.Pos = s.Constraints, s.Path, s.Pos
		out = &with
	}
	c.bp.schemas[p] = out
	return out
}

// jsonValue writes what is now a text, now a structure, as a text.
func (c *converter) jsonValue(f *resolve.File, n *source.Node, s *document.Schema) *source.Node {
	text, ok := c.asJSON(f, n)
	if !ok {
		c.lost(n.Pos, s.Path, "a value that is now a text, now a structure, with functions inside of it,")
		return nil
	}
	return &source.Node{Kind: source.Scalar, Tag: "!!str", Text: text, Quoted: true}
}

// asJSON is a value as a text; ok is false if it has functions in it.
func (c *converter) asJSON(f *resolve.File, n *source.Node) (string, bool) {
	plain := true
	var walk func(n *source.Node) any
	walk = func(n *source.Node) any {
		if _, _, _, _, call := f.Doc.Traits.Expressions.Call(n); call {
			plain = false
			return nil
		}
		switch {
		case n.IsNull():
			return nil
		case n.Is(source.Sequence):
			out := []any{}
			for _, it := range n.Items {
				out = append(out, walk(it))
			}
			return out
		case n.Is(source.Mapping):
			out := map[string]any{}
			for k, v := range n.All() {
				out[k.Text] = walk(v)
			}
			return out
		}
		if i, ok := n.Int(); ok && !n.Quoted {
			return i
		}
		if b, ok := yaml11[strings.ToLower(n.Text)]; ok && !n.Quoted {
			return b
		}
		return n.Text
	}
	data, err := json.Marshal(walk(n))
	return string(data), plain && err == nil
}

// blueprintParam writes the definition of a property, input or parameter. first is the definition that it refines, or p itself.
func (c *converter) blueprintParam(f *resolve.File, p, first *document.Param, owner string) *source.Node {
	q := *p
	q.Schema = c.typeOf(first, owner)
	if p != first && p.Schema != nil && p.Schema.Type.Text != "any" && !c.bp.redefined[first] {
		if chain := f.Lookup(document.DataType, p.Schema.Type.Text); slices.ContainsFunc(chain, func(t resolve.Declared) bool { return t.Name.Text == q.Schema.Type.Text }) || p.Schema.Type.Text == q.Schema.Type.Text && p.Schema.Entry != nil {
			q.Schema = p.Schema // a refinement
		} else if p.Schema.Type.Text != q.Schema.Type.Text {
			c.lost(p.Name.Pos, p.Path, "that %s is of another type than what it redefines (%s, not %s)", p.Name.Text, p.Schema.Type.Text, q.Schema.Type.Text)
			q.Default = nil
		}
	}
	c.structures(q.Schema)
	if d := c.value(f, q.Default, q.Schema); d != nil {
		q.Default = nil
		if c.fitted.relaxed[p] {
			c.fitted.relaxed[&q] = true
		}
		x := c.param(f, &q, "input", nil)
		if d.Kind != source.Null {
			m{x}.put("default", d)
		}
		return x
	}
	if q.Default != nil || c.fitted.relaxed[p] {
		q.Default = nil
		c.fitted.relaxed[&q] = true
	}
	return c.param(f, &q, "input", nil)
}

// structures has the data types written that were made for a schema.
func (c *converter) structures(s *document.Schema) {
	if s == nil {
		return
	}
	if t := c.bp.structures[s.Type.Text]; t != nil && c.names[t] == "" {
		c.use(resolve.Declared{Type: t, File: c.Root})
		for _, p := range t.Properties {
			c.structures(p.Schema)
		}
	}
	c.structures(s.Entry)
}

// blueprintAssigns gives values to properties.
func (c *converter) blueprintAssigns(list []document.Assign, chain []resolve.Declared) *source.Node {
	out := newMap()
	for _, a := range list {
		at, first := firstParam(chain, a.Name.Text)
		var s *document.Schema
		if first != nil {
			s = c.typeOf(first, at.Name.Text)
		}
		v := c.value(c.Root, a.Value, s)
		if v == nil || v.Kind == source.Null {
			for _, t := range chain {
				for _, p := range t.Properties {
					if p.Name.Text == a.Name.Text {
						c.fitted.relaxed[p] = true
					}
				}
			}
			continue
		}
		out.put(a.Name.Text, v)
	}
	return out.or()
}
