package lsp

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

// target is what a word of a document means: a text about it and where it is declared.
type target struct {
	at   span
	text string
	pos  diag.Pos
}

// word is a key or text of the tree with the way to it.
type word struct {
	path  []string
	node  *source.Node
	key   bool
	index int // in its list
	list  *source.Node
}

// wordAt finds the key or text at a position.
func (d *openDocument) wordAt(p position) *word {
	line, col := p.Line+1, d.text.col(p)
	var found *word
	var visit func(n *source.Node, path []string, list *source.Node, index int)
	hit := func(n *source.Node) bool {
		if n == nil || n.Pos.Line != line || n.Pos.File != d.file || n.Kind != source.Scalar || col < n.Pos.Col {
			return false
		}
		at := d.text.token(n.Pos.Line, n.Pos.Col)
		return p.Character >= at.Start.Character && p.Character <= at.End.Character
	}
	visit = func(n *source.Node, path []string, list *source.Node, index int) {
		if found != nil || n == nil || len(path) > 60 {
			return
		}
		if hit(n) {
			found = &word{path: slices.Clone(path), node: n, list: list, index: index}
			return
		}
		for i, it := range n.Items {
			visit(it, append(path, item), n, i)
		}
		for _, pair := range n.Pairs {
			if hit(pair.Key) {
				found = &word{path: append(slices.Clone(path), pair.Key.Text), node: pair.Key, key: true}
				return
			}
			visit(pair.Value, append(path, pair.Key.Text), nil, 0)
		}
	}
	visit(d.parsed, nil, nil, 0)
	return found
}

// typeIn reads the type of the template at a path from the tree.
func (d *openDocument) typeIn(path []string) string {
	n := d.parsed
	for i, step := range path {
		if n == nil { // the tree lags behind the text, or the text does not parse
			return ""
		}
		if step == item { // policies: a list of one-key maps
			for _, it := range n.Items {
				if i+1 < len(path) && it.Get(path[i+1]) != nil {
					n = it
				}
			}
			continue
		}
		n = n.Get(step)
	}
	return n.Get("type").Str()
}

func (s *server) target(ctx context.Context, d *openDocument, p position) *target {
	s.analysis(ctx, d)
	o := d.outline()
	w := d.wordAt(p)
	if w == nil || o == nil || d.root() == nil {
		return nil
	}
	var t *target
	if w.key {
		t = d.keyTarget(o, w)
	} else {
		t = d.valueTarget(o, w)
	}
	if t != nil {
		t.at = d.text.token(w.node.Pos.Line, w.node.Pos.Col)
	}
	return t
}

// keyTarget explains a keyname, a function, or a name that a type declares.
func (d *openDocument) keyTarget(o *grammar.Outline, w *word) *target {
	above, key := w.path[:len(w.path)-1], w.node.Text
	if slices.Contains(o.Functions, key) && walk(o, w.path) == nil || slices.Contains(o.Functions, key) && refOf(walk(o, above)) == "" && len(sectionsOf(o, walk(o, above))) == 0 {
		return &target{text: "**" + key + "**: " + functionText(key)}
	}
	if t := d.memberTarget(w.path); t != nil {
		return t
	}
	for _, sec := range sectionsOf(o, walk(o, above)) {
		if shape := sec.Keynames[key]; shape != nil {
			text := "**" + key + "**: " + shape.String()
			if about := grammar.KeynameText(sec.Name, key); about != "" {
				text += "\n\n" + about + "."
			}
			return &target{text: text}
		}
	}
	if kind, ok := typeSections[last(above)]; ok && len(above) == 1 {
		return d.typeTarget(kind, key)
	}
	if last(above) == "node_templates" {
		return d.refTarget("node", key)
	}
	if last(above) == "inputs" && len(above) <= 2 {
		return d.refTarget("input", key)
	}
	return nil
}

func last(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[len(path)-1]
}

// memberTarget explains a property, attribute, capability, requirement or operation that the type around the path declares.
func (d *openDocument) memberTarget(path []string) *target {
	ow := d.ownerOf(path, d.typeIn)
	if ow == nil || len(ow.rest) < 2 {
		return nil
	}
	if p := d.param(ow); p != nil {
		return &target{text: paramText(p), pos: p.Name.Pos}
	}
	switch name := ow.rest[1]; ow.rest[0] {
	case "capabilities":
		if c, _ := ow.chain.capability(name); c != nil && len(ow.rest) == 2 {
			return &target{text: "**" + name + "**: capability of type `" + c.Type.Text + "`" + paragraph(c.Description), pos: c.Name.Pos}
		}
	case "requirements":
		if name == item && len(ow.rest) == 3 {
			name = ow.rest[2]
		} else if len(ow.rest) != 2 {
			return nil
		}
		if r := ow.chain.requirement(name); r != nil {
			return &target{text: requirementText(r), pos: r.Name.Pos}
		}
	case "interfaces":
		op := ow.rest[len(ow.rest)-1]
		if n := len(ow.rest); n == 3 && op != "operations" || n == 4 && ow.rest[2] == "operations" {
			if o := ow.chain.operation(name, op); o != nil {
				return &target{text: "**" + op + "**: operation of `" + name + "`" + paragraph(o.Description), pos: o.Name.Pos}
			}
		}
	}
	return nil
}

// valueTarget explains what a text names.
func (d *openDocument) valueTarget(o *grammar.Outline, w *word) *target {
	if fn, inList := function(o, w.path); fn != "" {
		if t := d.argumentTarget(fn, w, inList); t != nil {
			return t
		}
	}
	if ref := refOf(walk(o, w.path)); ref != "" {
		if t := d.refTarget(ref, w.node.Text); t != nil {
			return t
		}
	}
	if t := d.fileTarget(w); t != nil {
		return t
	}
	if w.path[len(w.path)-1] != item {
		return d.memberTarget(w.path)
	}
	return nil
}

func (d *openDocument) argumentTarget(fn string, w *word, inList bool) *target {
	switch fn {
	case "get_input":
		return d.refTarget("input", w.node.Text)
	case "get_property", "get_attribute":
		if !inList {
			return nil
		}
		if w.index == 0 {
			return d.refTarget("node", w.node.Text)
		}
		c := d.entity(w.list.Items[0].Str(), w.path, d.typeIn)
		section := map[string]string{"get_property": "properties", "get_attribute": "attributes"}[fn]
		for _, s := range []string{section, "properties", "attributes"} {
			if p := find(c.params(s), w.node.Text); p != nil {
				return &target{text: paramText(p), pos: p.Name.Pos}
			}
		}
	}
	return nil
}

// entity is the type of what a function's first argument names, seen from a path.
func (d *openDocument) entity(name string, path []string, typeOf func([]string) string) chain {
	if name == "SELF" {
		if o := d.ownerOf(path, typeOf); o != nil {
			return o.chain
		}
		return nil
	}
	for _, n := range d.topology().Nodes {
		if n.Name.Text == name {
			return d.root().Lookup(document.NodeType, n.Type.Text)
		}
	}
	return nil
}

// fileTarget leads to a file that an import or implementation names.
func (d *openDocument) fileTarget(w *word) *target {
	text := strings.TrimPrefix(w.node.Text, "/")
	if text == "" || strings.Contains(text, "://") || strings.ContainsAny(text, "\n<>") || len(text) > 1000 {
		return nil
	}
	for _, dir := range []string{filepath.Dir(d.file), d.bundleDir()} {
		p := filepath.Join(dir, filepath.FromSlash(text))
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return &target{text: "`" + p + "`", pos: diag.Pos{File: p, Line: 1, Col: 1}}
		}
	}
	return nil
}

// bundleDir is the directory that the document's archive will be made of.
func (d *openDocument) bundleDir() string {
	dir := filepath.Dir(d.file)
	if r := d.root(); r != nil {
		for range strings.Count(r.Path, "/") {
			dir = filepath.Dir(dir)
		}
	}
	return dir
}

func (d *openDocument) refTarget(ref, name string) *target {
	if kind, ok := typeSections[ref+"s"]; ok {
		if t := d.typeTarget(kind, name); t != nil {
			return t
		}
	}
	top := d.topology()
	switch ref {
	case "valid_target":
		for _, kind := range []document.Kind{document.CapabilityType, document.NodeType} {
			if t := d.typeTarget(kind, name); t != nil {
				return t
			}
		}
	case "node", "member", "group":
		for _, n := range top.Nodes {
			if n.Name.Text == name {
				return &target{text: "**" + name + "**: node template of type `" + n.Type.Text + "`" + paragraph(n.Description), pos: n.Name.Pos}
			}
		}
		for _, g := range top.Groups {
			if g.Name.Text == name {
				return &target{text: "**" + name + "**: group" + paragraph(g.Description), pos: g.Name.Pos}
			}
		}
		return d.typeTarget(document.NodeType, name)
	case "relationship_type":
		for _, r := range top.Relationships {
			if r.Name.Text == name {
				return &target{text: "**" + name + "**: relationship template of type `" + r.Type.Text + "`", pos: r.Name.Pos}
			}
		}
	case "input":
		if p := find(top.Inputs, name); p != nil {
			return &target{text: paramText(p), pos: p.Name.Pos}
		}
	case "repository":
		for _, r := range d.root().Doc.Repositories {
			if r.Name.Text == name {
				return &target{text: "**" + name + "**: repository " + r.URL, pos: r.Name.Pos}
			}
		}
	case "step":
		for _, w := range top.Workflows {
			for _, s := range w.Steps {
				if s.Name.Text == name {
					return &target{text: "**" + name + "**: step of the workflow " + w.Name.Text, pos: s.Name.Pos}
				}
			}
		}
	case "data_type":
		if topology.IsPrimitive(name) {
			return &target{text: "**" + name + "**: a type of the language itself"}
		}
	}
	return nil
}

func (d *openDocument) typeTarget(kind document.Kind, name string) *target {
	c := chain(d.root().Lookup(kind, name))
	if len(c) == 0 {
		return nil
	}
	return &target{text: typeText(kind, c), pos: c[0].Name.Pos}
}
