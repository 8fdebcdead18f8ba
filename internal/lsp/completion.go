package lsp

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

// completer gathers what may be typed at a place.
type completer struct {
	d     *openDocument
	o     *grammar.Outline
	c     cursor
	line  int
	items []completionItem
	seen  map[string]bool
}

// maxItems bounds an answer; the editor asks again when more is typed.
const maxItems = 1000

func (s *server) completion(ctx context.Context, d *openDocument, p position) (completionList, error) {
	s.analysis(ctx, d)
	if err := ctx.Err(); err != nil {
		return completionList{}, err
	}
	c := &completer{d: d, o: d.outline(), c: d.text.cursorAt(p), line: p.Line, seen: map[string]bool{}}
	if c.o == nil {
		c.o = grammar.OutlineOf(versionIn(d.text))
	}
	if c.o == nil {
		c.versions()
	} else {
		c.complete()
	}
	at := c.c.replaced(d.text, p)
	typed := strings.ToLower(textBetween(d.text, at))
	list := completionList{Items: []completionItem{}}
	for _, it := range c.items {
		if typed != "" && !strings.Contains(strings.ToLower(it.Label), typed) {
			continue
		}
		if len(list.Items) == maxItems {
			list.IsIncomplete = true
			break
		}
		insert := it.Label
		if it.TextEdit != nil {
			insert = it.TextEdit.NewText
		}
		it.TextEdit = &textEdit{at, insert}
		list.Items = append(list.Items, it)
	}
	return list, nil
}

func textBetween(t text, s span) string { return t.s[t.offset(s.Start):t.offset(s.End)] }

// versionIn finds the version in a text that is no YAML at the moment.
func versionIn(t text) string {
	for i := range t.lines {
		if v, ok := strings.CutPrefix(t.line(i), "tosca_definitions_version:"); ok {
			v, _, _ = strings.Cut(v, " #")
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

func (c *completer) add(label string, kind int, detail, doc, insert string) {
	if label == "" || c.seen[label] {
		return
	}
	c.seen[label] = true
	it := completionItem{Label: label, Kind: kind, Detail: detail}
	if doc != "" {
		it.Documentation = &markup{"markdown", doc}
	}
	if insert != "" {
		it.TextEdit = &textEdit{NewText: insert}
	}
	c.items = append(c.items, it)
}

func (c *completer) versions() {
	insert := func(v string) string { return v }
	if c.c.inKey && len(c.c.path) == 0 {
		insert = func(v string) string { return "tosca_definitions_version: " + v }
	}
	for _, v := range grammar.Versions() {
		c.add(v, itemEnum, "", "", insert(v))
	}
}

// typeAt reads a template's type from the text around the cursor, else from the tree.
func (c *completer) typeAt(path []string) string {
	if t := c.d.text.sibling(c.line, path, "type"); t != "" {
		return t
	}
	return c.d.typeIn(path)
}

func (c *completer) complete() {
	path := c.c.path
	if fn, inList := function(c.o, path); fn != "" && !c.c.inKey {
		c.arguments(fn, inList)
		return
	}
	if c.c.inKey {
		c.keys(path)
		return
	}
	c.values(path)
}

// keys offers keynames and names that the type around declares.
func (c *completer) keys(path []string) {
	shape := walk(c.o, path)
	for _, sec := range sectionsOf(c.o, shape) {
		for _, k := range sortedKeys(sec.Keynames) {
			if strings.Contains(k, "-") && !slices.Contains(sec.Required, k) && sec.Keynames[strings.ReplaceAll(k, "-", "_")] != nil {
				continue // another spelling
			}
			insert := k + ": "
			if s := sec.Keynames[k]; opensBlock(s) {
				insert = k + ":"
			}
			c.add(k, itemProperty, sec.Keynames[k].String(), grammar.KeynameText(sec.Name, k), insert)
		}
	}
	c.declared(path)
	if shape == nil || shape.Kind == grammar.AnyShape {
		for _, f := range c.o.Functions {
			c.add(f, itemFunction, "function", functionText(f), f+": ")
		}
	}
	if len(path) == 2 && path[0] == "imports" && path[1] == item {
		c.files(true)
	}
	each(shape, func(s *grammar.Shape) {
		switch s.Kind {
		case grammar.ListShape, grammar.OneKeyShape:
			if len(path) > 0 && path[len(path)-1] != item {
				c.keysOfItems(path)
			}
		case grammar.TextShape:
			if s.Ref != "" && len(path) > 0 && path[len(path)-1] == item {
				c.names(s.Ref, "") // an item of a list of names
			}
		case grammar.ConstraintShape:
			for _, op := range []string{"equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal", "in_range", "valid_values", "length", "min_length", "max_length", "pattern"} {
				c.add(op, itemProperty, "constraint", "", op+": ")
			}
		case grammar.ActivityShape:
			for _, a := range []string{topology.ActivityCall, topology.ActivityDelegate, topology.ActivitySetState, topology.ActivityInline} {
				c.add(a, itemProperty, "activity", "", a+": ")
			}
		}
	})
}

func opensBlock(s *grammar.Shape) bool {
	return s.Kind == grammar.SectionShape || s.Kind == grammar.MapShape || s.Kind == grammar.ListShape || s.Kind == grammar.OneKeyShape
}

// keysOfItems offers, where a list's item begins without its dash, the item with it.
func (c *completer) keysOfItems(path []string) {
	sub := &completer{d: c.d, o: c.o, c: cursor{path: append(slices.Clone(path), item), inKey: true}, line: c.line, seen: map[string]bool{}}
	sub.keys(sub.c.path)
	for _, it := range sub.items {
		insert := it.Label
		if it.TextEdit != nil {
			insert = it.TextEdit.NewText
		}
		doc := ""
		if it.Documentation != nil {
			doc = it.Documentation.Value
		}
		c.add(it.Label, it.Kind, it.Detail, doc, "- "+insert)
	}
}

// declared offers the names that the type around the path declares.
func (c *completer) declared(path []string) {
	o := c.d.ownerOf(append(slices.Clone(path), ""), c.typeAt)
	if o == nil || len(o.rest) == 0 {
		return
	}
	o.rest = o.rest[:len(o.rest)-1]
	for _, p := range c.d.fields(o) {
		c.add(p.Name.Text, itemProperty, schemaText(p.Schema), paramText(p), p.Name.Text+": ")
	}
	if _, inType := typeSections[path[0]]; inType || len(o.rest) == 0 {
		return // a type's own declarations are not chosen from what it has
	}
	switch n := len(o.rest); o.rest[0] {
	case "capabilities":
		if n == 1 {
			for _, t := range o.chain {
				for _, x := range t.Capabilities {
					c.add(x.Name.Text, itemProperty, x.Type.Text, x.Description, x.Name.Text+":")
				}
			}
		}
	case "requirements":
		if n == 2 && o.rest[1] == item || n == 1 && c.o.Short {
			for _, t := range o.chain {
				for _, x := range t.Requirements {
					c.add(x.Name.Text, itemProperty, x.Capability.Text, requirementText(x), x.Name.Text+": ")
				}
			}
		}
	case "interfaces":
		c.operations(o)
	}
}

func (c *completer) operations(o *owner) {
	inside := len(o.rest) == 2 || len(o.rest) == 3 && o.rest[2] == "operations"
	for _, t := range o.chain {
		for _, i := range t.Interfaces {
			if len(o.rest) == 1 {
				c.add(i.Name.Text, itemProperty, i.Type.Text, i.Description, i.Name.Text+":")
				continue
			}
			if !inside || i.Name.Text != o.rest[1] {
				continue
			}
			list := i.Operations
			for _, it := range t.File.Lookup(document.InterfaceType, i.Type.Text) {
				if it.Interface != nil {
					list = append(slices.Clone(list), it.Interface.Operations...)
				}
			}
			for _, op := range list {
				c.add(op.Name.Text, itemFunction, "operation", op.Description, op.Name.Text+": ")
			}
		}
	}
}

// values offers what the value at the path may be.
func (c *completer) values(path []string) {
	shape := walk(c.o, path)
	each(shape, func(s *grammar.Shape) {
		switch {
		case s.Kind == grammar.VersionShape:
			for _, v := range grammar.Versions() {
				c.add(v, itemEnum, "", "", "")
			}
		case s.Kind == grammar.FlagShape:
			c.add("true", itemValue, "", "", "")
			c.add("false", itemValue, "", "", "")
		case s.Ref != "":
			c.names(s.Ref, c.wanted(path))
		}
	})
	if last(path) == item && len(path) > 1 && path[0] == "imports" || last(path) == "file" || last(path) == "implementation" || last(path) == "primary" {
		c.files(last(path) == item || len(path) > 0 && path[0] == "imports")
	}
	o := c.d.ownerOf(path, c.typeAt)
	if o == nil {
		return
	}
	if p := c.d.param(o); p != nil {
		c.valuesOf(p)
	}
}

// valuesOf offers the values of a property: those that its constraints list, booleans, functions.
func (c *completer) valuesOf(p *document.Param) {
	if p.Schema != nil {
		for _, k := range p.Schema.Constraints {
			if k.Op == "valid_values" && k.Arg.Is(source.Sequence) {
				for _, v := range k.Arg.Items {
					c.add(v.Str(), itemEnum, p.Name.Text, "", "")
				}
			}
		}
		if p.Schema.Type.Text == "boolean" {
			c.add("true", itemValue, "", "", "")
			c.add("false", itemValue, "", "", "")
		}
	}
	for _, f := range c.o.Functions {
		c.add(f, itemFunction, "function", functionText(f), "{ "+f+": ")
	}
}

// wanted is the requirement that a node is looked for: nodes of fitting types come first. "" for none.
func (c *completer) wanted(path []string) string {
	for i := len(path) - 1; i > 1; i-- {
		if path[i-1] == item && path[i-2] == "requirements" {
			return path[i]
		}
	}
	return ""
}

// names offers what a reference may name.
func (c *completer) names(ref, requirement string) {
	d := c.d
	if kind, ok := typeSections[ref+"s"]; ok {
		c.types(kind)
	}
	top := d.topology()
	switch ref {
	case "valid_target":
		c.types(document.CapabilityType)
		c.types(document.NodeType)
	case "data_type":
		for _, p := range []string{"string", "integer", "float", "boolean", "timestamp", "version", "range", "list", "map", "scalar-unit.size", "scalar-unit.time", "scalar-unit.frequency", "scalar-unit.bitrate"} {
			if topology.IsPrimitive(p) {
				c.add(p, itemClass, "type of the language", "", "")
			}
		}
	case "relationship_type":
		for _, r := range top.Relationships {
			c.add(r.Name.Text, itemVariable, r.Type.Text, "", "")
		}
	case "node", "member":
		own := ""
		if o := d.ownerOf(c.c.path, c.typeAt); o != nil {
			own = o.template
		}
		for _, n := range top.Nodes {
			if n.Name.Text != own || requirement == "" {
				c.add(n.Name.Text, itemVariable, n.Type.Text, n.Description, "")
			}
		}
		if ref == "member" {
			c.groups(top)
		}
	case "group":
		c.groups(top)
	case "input":
		for _, p := range top.Inputs {
			c.add(p.Name.Text, itemVariable, schemaText(p.Schema), paramText(p), "")
		}
	case "repository":
		if r := d.root(); r != nil {
			for _, x := range r.Doc.Repositories {
				c.add(x.Name.Text, itemVariable, x.URL, "", "")
			}
		}
	case "step":
		for _, w := range top.Workflows {
			if slices.Contains(c.c.path, w.Name.Text) {
				for _, s := range w.Steps {
					c.add(s.Name.Text, itemVariable, "step", "", "")
				}
			}
		}
	}
}

func (c *completer) groups(top *document.Topology) {
	for _, g := range top.Groups {
		c.add(g.Name.Text, itemVariable, "group", g.Description, "")
	}
}

func (c *completer) types(kind document.Kind) {
	r := c.d.root()
	for _, name := range r.TypeNames(kind) {
		doc := ""
		if ch := r.Lookup(kind, name); len(ch) > 0 {
			doc = ch[0].Description
		}
		c.add(name, itemClass, kind.String(), doc, "")
	}
}

// arguments offers what a function's next argument may be.
func (c *completer) arguments(fn string, inList bool) {
	switch fn {
	case "get_input":
		c.names("input", "")
	case "get_property", "get_attribute", "get_operation_output", "get_artifact":
		if !inList || c.c.arg == 0 {
			for _, k := range []string{"SELF", "HOST", "SOURCE", "TARGET"} {
				c.add(k, itemVariable, "the node or relationship itself, its host, the ends of a relationship", "", "")
			}
			c.names("node", "")
			return
		}
		if c.c.arg == 1 && len(c.c.before) == 1 && (fn == "get_property" || fn == "get_attribute") {
			section := map[string]string{"get_property": "properties", "get_attribute": "attributes"}[fn]
			ch := c.d.entity(c.c.before[0], c.c.path, c.typeAt)
			for _, s := range []string{section, "properties"} {
				for _, p := range ch.params(s) {
					c.add(p.Name.Text, itemProperty, schemaText(p.Schema), paramText(p), "")
				}
			}
		}
	}
}

// files offers the files beside the document and below: documents for imports, anything for implementations.
func (c *completer) files(documents bool) {
	dir := filepath.Dir(c.d.file)
	n := 0
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if n++; err != nil || n > 2000 {
			return filepath.SkipDir
		}
		if p == dir {
			return nil
		}
		if e.IsDir() {
			if strings.HasPrefix(e.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if p != c.d.file && source.IsYAML(p) == documents && !strings.HasPrefix(e.Name(), ".") {
			if rel, err := filepath.Rel(dir, p); err == nil {
				c.add(filepath.ToSlash(rel), itemFile, "", "", "")
			}
		}
		return nil
	})
}
