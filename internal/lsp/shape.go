package lsp

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/tosca/grammar"
)

// item is the step of a path into a list; the others are keys.
const item = "[]"

// walk follows a path through a dialect's outline; nil where the outline ends (inside of values).
func walk(o *grammar.Outline, path []string) *grammar.Shape {
	at := &grammar.Shape{Kind: grammar.SectionShape, Section: "document"}
	for _, step := range path {
		if at = child(o, at, step); at == nil {
			return nil
		}
	}
	return at
}

func child(o *grammar.Outline, s *grammar.Shape, step string) *grammar.Shape {
	switch s.Kind {
	case grammar.SectionShape:
		if sec := o.Sections[s.Section]; sec != nil && step != item {
			if k := sec.Keynames[step]; k != nil {
				return k
			}
			return sec.Extra
		}
	case grammar.MapShape:
		if step != item {
			return s.Of
		}
	case grammar.ListShape:
		if step == item {
			return s.Of
		}
	case grammar.OneKeyShape:
		if step == item {
			return &grammar.Shape{Kind: grammar.MapShape, Of: s.Of}
		}
		if o.Short {
			return s.Of
		}
	case grammar.EitherShape:
		var open *grammar.Shape
		for _, a := range s.Alts {
			c := child(o, a, step)
			switch {
			case c == nil:
			case c.Kind == grammar.AnyShape:
				open = c
			default:
				return c
			}
		}
		return open
	}
	return nil
}

// sectionsOf are the sections that a shape may be.
func sectionsOf(o *grammar.Outline, s *grammar.Shape) []*grammar.Section {
	var out []*grammar.Section
	each(s, func(a *grammar.Shape) {
		if a.Kind == grammar.SectionShape && o.Sections[a.Section] != nil {
			out = append(out, o.Sections[a.Section])
		}
	})
	return out
}

// each visits a shape's alternatives.
func each(s *grammar.Shape, visit func(*grammar.Shape)) {
	if s == nil {
		return
	}
	visit(s)
	for _, a := range s.Alts {
		each(a, visit)
	}
}

// refOf is what a text of the shape names, "" for nothing.
func refOf(s *grammar.Shape) string {
	ref := ""
	each(s, func(a *grammar.Shape) {
		if ref == "" {
			ref = a.Ref
		}
	})
	return ref
}

// function finds the call that a path's end is an argument of: its name without a prefix and the argument's index (the last path step that
// is a list's). index counts what stands before in the list.
func function(o *grammar.Outline, path []string) (name string, inList bool) {
	n := len(path)
	if n > 0 && path[n-1] == item {
		n--
		inList = true
	}
	if n > 0 && slices.Contains(o.Functions, path[n-1]) {
		return strings.TrimPrefix(path[n-1], "$"), inList
	}
	return "", false
}
