package grammar

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// ShapeKind is a form of value.
type ShapeKind int

const (
	AnyShape ShapeKind = iota
	TextShape
	FlagShape
	RangeShape
	SectionShape // a map with the keynames of Section
	MapShape     // a map of names to Of
	ListShape    // a list of Of
	OneKeyShape  // a list of maps with one key each, whose values are Of
	EitherShape  // one of Alts
	VersionShape // a tosca_definitions_version
	ConstraintShape
	ActivityShape
)

// Shape is the form of a keyname's value, for what reads documents by their form alone: editors and JSON Schema. The decoder's own code is
// what counts; tests hold the two together.
type Shape struct {
	Kind    ShapeKind
	Of      *Shape
	Section string
	// Ref says what a text names: a kind of type ("node_type"), a template ("node"), a member ("member": node or group), "input", "step" …
	Ref  string
	Alts []*Shape
}

// Section is a map with keynames.
type Section struct {
	Name string
	// Keynames with the shape of their values; Extra is that of all other keys (operations of an interface), nil if there are none.
	Keynames map[string]*Shape
	Extra    *Shape
	Required []string
	// Open: unknown keynames are no errors.
	Open bool
}

// Outline is the form of a dialect's documents.
type Outline struct {
	Versions []string
	Title    string
	Sections map[string]*Section
	// Functions as written, with their prefix.
	Functions []string
	// Nulls: any section may be null. Short: lists of one-key maps may be maps, and their entries may have further keys (Alien4Cloud).
	Nulls, Short bool
}

// Outlines of all dialects, in the order of their names.
var Outlines = sync.OnceValue(func() []*Outline {
	var out []*Outline
	done := map[*family]bool{}
	for _, v := range slices.Sorted(maps.Keys(dialects)) {
		var f *family
		switch d := dialects[v].(type) {
		case *family:
			f = d
		case cloudify:
			f = d.family
		}
		if f != nil && !done[f] {
			done[f] = true
			out = append(out, f.outline())
		}
	}
	slices.SortFunc(out, func(a, b *Outline) int { return strings.Compare(a.Versions[0], b.Versions[0]) })
	return out
})

// OutlineOf finds the outline of a tosca_definitions_version, nil if it is unknown.
func OutlineOf(version string) *Outline {
	for _, o := range Outlines() {
		if slices.Contains(o.Versions, version) {
			return o
		}
	}
	return nil
}

func (f *family) cloudify() bool { return strings.HasPrefix(f.versions[0], "cloudify") }

func (f *family) outline() *Outline {
	table, required := toscaShapes, toscaRequired
	if f.cloudify() {
		table, required = cloudifyShapes, cloudifyRequired
	}
	o := &Outline{Versions: f.versions, Title: f.title, Sections: map[string]*Section{}, Nulls: !f.v2, Short: f.a4c}
	if e, ok := f.traits.Expressions.(interface{ Names() []string }); ok {
		o.Functions = e.Names()
	}
	for name, keys := range f.keys {
		s := &Section{Name: name, Keynames: map[string]*Shape{}, Open: f.a4c}
		for _, k := range keys.names {
			s.Keynames[k] = f.shapeOf(table, name, k)
		}
		if extra := table[name+" *"]; extra != "" && !(f.v2 && strings.HasPrefix(name, "interface")) {
			s.Extra = f.parse(extra)
		}
		for _, r := range strings.Fields(required[name]) {
			if name, only, _ := strings.Cut(r, "@"); keys.known[name] && f.requires(only) {
				s.Required = append(s.Required, name)
			}
		}
		o.Sections[name] = s
	}
	return o
}

// requires: "1" is TOSCA 1.x, "s" all but Alien4Cloud's dialects.
func (f *family) requires(only string) bool {
	switch only {
	case "1":
		return !f.a4c && !f.v2
	case "s":
		return !f.a4c
	}
	return true
}

// shapeOf looks up "section keyname", then "keyname"; Alien4Cloud's own forms stand under "a4c section keyname".
func (f *family) shapeOf(table map[string]string, section, keyname string) *Shape {
	own := ""
	if f.a4c {
		own = "a4c " + section + " " + keyname
	}
	for _, k := range []string{own, section + " " + keyname, keyname} {
		if text, ok := table[k]; ok {
			return f.parse(text)
		}
	}
	return &Shape{}
}

// parse reads the tables' short form of a shape:
//
//	any text flag range version constraint activity   =node_type (a name)   node_template (a section)   map(…) list(…) onekey(…)   a|b
func (f *family) parse(text string) *Shape {
	p := &shapeParser{f: f, rest: text}
	s := p.either()
	if p.rest != "" {
		panic(fmt.Sprintf("grammar: the shape %q is wrong at %q", text, p.rest))
	}
	return s
}

type shapeParser struct {
	f    *family
	rest string
}

func (p *shapeParser) either() *Shape {
	first := p.one()
	if !strings.HasPrefix(p.rest, "|") {
		return first
	}
	s := &Shape{Kind: EitherShape, Alts: []*Shape{first}}
	for strings.HasPrefix(p.rest, "|") {
		p.rest = p.rest[1:]
		s.Alts = append(s.Alts, p.one())
	}
	return s
}

var shapeWords = map[string]ShapeKind{
	"any": AnyShape, "text": TextShape, "flag": FlagShape, "range": RangeShape, "version": VersionShape, "constraint": ConstraintShape, "activity": ActivityShape,
}

var shapeForms = map[string]ShapeKind{"map": MapShape, "list": ListShape, "onekey": OneKeyShape}

func (p *shapeParser) one() *Shape {
	n := strings.IndexAny(p.rest, "(|)")
	if n < 0 {
		n = len(p.rest)
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	if kind, ok := shapeForms[word]; ok && strings.HasPrefix(p.rest, "(") {
		p.rest = p.rest[1:]
		s := &Shape{Kind: kind, Of: p.either()}
		if !strings.HasPrefix(p.rest, ")") {
			panic("grammar: a shape lacks a bracket before " + p.rest)
		}
		p.rest = p.rest[1:]
		return s
	}
	if ref, ok := strings.CutPrefix(word, "="); ok {
		return &Shape{Kind: TextShape, Ref: ref}
	}
	if kind, ok := shapeWords[word]; ok {
		return &Shape{Kind: kind}
	}
	if p.f.keys[word] == nil {
		panic("grammar: there is no section " + word)
	}
	return &Shape{Kind: SectionShape, Section: word}
}
