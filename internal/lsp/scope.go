package lsp

import (
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

type chain []resolve.Declared

// root is the analysed document's file, nil before there is one.
func (d *openDocument) root() *resolve.File {
	if d.analysis != nil && d.analysis.Root != nil {
		return d.analysis.Root
	}
	if d.sound != nil {
		return d.sound.Root
	}
	return nil
}

func (d *openDocument) topology() *document.Topology {
	if r := d.root(); r != nil && r.Doc.Topology != nil {
		return r.Doc.Topology
	}
	return &document.Topology{}
}

// outline of the document's dialect, by what its text says now.
func (d *openDocument) outline() *grammar.Outline {
	if o := grammar.OutlineOf(d.parsed.Get("tosca_definitions_version").Str()); o != nil {
		return o
	}
	if r := d.root(); r != nil {
		return grammar.OutlineOf(r.Doc.Version)
	}
	return nil
}

// typeSections are the sections of types with their kinds; Cloudify calls its relationship types relationships.
var typeSections = map[string]document.Kind{
	"node_types": document.NodeType, "relationship_types": document.RelationshipType, "capability_types": document.CapabilityType,
	"interface_types": document.InterfaceType, "data_types": document.DataType, "artifact_types": document.ArtifactType,
	"group_types": document.GroupType, "policy_types": document.PolicyType,
}

// templateSections are the sections of templates with the kinds of their types.
var templateSections = map[string]document.Kind{
	"node_templates": document.NodeType, "relationship_templates": document.RelationshipType, "groups": document.GroupType, "policies": document.PolicyType,
}

// owner is the template or type that a path lies in, with the rest of the path below it.
type owner struct {
	chain    chain
	template string // its name, if it is a node template
	rest     []string
}

// ownerOf finds the template or type around a path. typeOf reads the type that the text gives for a path, which may be newer than the analysis.
func (d *openDocument) ownerOf(path []string, typeOf func(path []string) string) *owner {
	for i := 0; i+1 < len(path) && i < 3; i++ {
		name, rest := i+1, i+2
		if path[name] == item {
			name, rest = name+1, rest+1
		}
		if name >= len(path) || path[name] == item {
			continue
		}
		if kind, ok := templateSections[path[i]]; ok {
			typ := typeOf(path[:name+1])
			o := &owner{chain: d.root().Lookup(kind, typ), rest: path[rest:]}
			if kind == document.NodeType {
				o.template = path[name]
			}
			return o
		}
		if kind, ok := typeSections[path[i]]; ok && i == 0 {
			return &owner{chain: d.root().Lookup(kind, path[name]), rest: path[rest:]}
		}
	}
	return nil
}

// params are a type's properties or attributes, own ones first, each once.
func (c chain) params(section string) []*document.Param {
	var out []*document.Param
	seen := map[string]bool{}
	for _, t := range c {
		list := t.Properties
		if section == "attributes" {
			list = t.Attributes
		}
		for _, p := range list {
			if !seen[p.Name.Text] {
				seen[p.Name.Text] = true
				out = append(out, p)
			}
		}
	}
	return out
}

func find(list []*document.Param, name string) *document.Param {
	for _, p := range list {
		if p.Name.Text == name {
			return p
		}
	}
	return nil
}

func (c chain) capability(name string) (*document.CapabilityDef, *resolve.File) {
	for _, t := range c {
		for _, d := range t.Capabilities {
			if d.Name.Text == name && !d.Type.IsZero() {
				return d, t.File
			}
		}
	}
	return nil, nil
}

func (c chain) requirement(name string) *document.RequirementDef {
	for _, t := range c {
		for _, d := range t.Requirements {
			if d.Name.Text == name {
				return d
			}
		}
	}
	return nil
}

// operation finds an operation, in the type's own interfaces or in an interface's type.
func (c chain) operation(iface, op string) *document.Operation {
	for _, t := range c {
		for _, i := range append(t.Interfaces, interfaceOf(t)...) {
			if i.Name.Text != iface && iface != "" {
				continue
			}
			for _, o := range i.Operations {
				if o.Name.Text == op {
					return o
				}
			}
			if !i.Type.IsZero() {
				if o := chain(t.File.Lookup(document.InterfaceType, i.Type.Text)).operation("", op); o != nil {
					return o
				}
			}
		}
	}
	return nil
}

func interfaceOf(t resolve.Declared) []*document.Interface {
	if t.Interface != nil {
		return []*document.Interface{t.Interface}
	}
	return nil
}

// param finds the declaration of the value at a path below its owner: properties, attributes, those of capabilities, and fields of data
// types in them.
func (d *openDocument) param(o *owner) *document.Param {
	section, list, rest, file := d.declared(o)
	if section == "" || len(rest) == 0 {
		return nil
	}
	p := find(list, rest[0])
	for _, step := range rest[1:] {
		if p == nil || p.Schema == nil {
			return nil
		}
		s := p.Schema
		if s.Entry != nil {
			p = &document.Param{Name: p.Name, Description: p.Description, Schema: s.Entry}
			continue
		}
		if step == item {
			return nil
		}
		p = find(chain(file.Lookup(document.DataType, s.Type.Text)).params("properties"), step)
	}
	return p
}

// declared are the declarations that a path's next step is one of.
func (d *openDocument) declared(o *owner) (section string, list []*document.Param, rest []string, file *resolve.File) {
	if o == nil || len(o.rest) == 0 {
		return "", nil, nil, nil
	}
	file = d.root()
	switch s := o.rest[0]; s {
	case "properties", "attributes":
		return s, o.chain.params(s), o.rest[1:], file
	case "capabilities":
		if len(o.rest) >= 3 && (o.rest[2] == "properties" || o.rest[2] == "attributes") {
			c, in := o.chain.capability(o.rest[1])
			if c == nil {
				return "", nil, nil, nil
			}
			list := chain(in.Lookup(document.CapabilityType, c.Type.Text)).params(o.rest[2])
			if o.rest[2] == "properties" {
				list = append(append([]*document.Param{}, c.Properties...), list...)
			}
			return o.rest[2], list, o.rest[3:], in
		}
	}
	return "", nil, nil, nil
}

// fields are the names that may come next at a path inside of a value: the fields of its data type.
func (d *openDocument) fields(o *owner) []*document.Param {
	section, list, rest, file := d.declared(o)
	if section == "" {
		return nil
	}
	if len(rest) == 0 {
		return list
	}
	p := d.param(o)
	if p == nil || p.Schema == nil {
		return nil
	}
	return chain(file.Lookup(document.DataType, p.Schema.Type.Text)).params("properties")
}
