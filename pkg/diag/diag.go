// Package diag holds positions and diagnostics: what is wrong in a document, where, why, and what to do about it.
//
// It imports nothing of orch. Producers append to a List and go on, so that one run names every mistake; renderers
// (text with an excerpt, JSON, SARIF) are in this package too. A Code is stable, registered once, and documented by `orch explain`.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Pos is a place in a document. Line and Col count from 1; a zero Line means the file as a whole.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// IsZero reports whether the position names no place at all.
func (p Pos) IsZero() bool { return p == Pos{} }

// String is the form that editors understand: file:line:col.
func (p Pos) String() string {
	s := p.File
	if s == "" {
		s = "-"
	}
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
		if p.Col > 0 {
			s += ":" + strconv.Itoa(p.Col)
		}
	}
	return s
}

// Compare orders positions by file, line and column.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Col, q.Col))
}

// Severity of a diagnostic. Only Error makes a document invalid.
type Severity int

const (
	Error Severity = iota
	Warning
	Info
)

func (s Severity) String() string { return [...]string{"error", "warning", "info"}[s] }

// MarshalText writes the lower-case name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the lower-case name.
func (s *Severity) UnmarshalText(b []byte) error {
	i := slices.Index([]string{"error", "warning", "info"}, string(b))
	if i < 0 {
		return fmt.Errorf("unknown severity %q", b)
	}
	*s = Severity(i)
	return nil
}

// Related is a second place that explains the first ("declared here").
type Related struct {
	Pos     Pos    `json:"pos"`
	Message string `json:"message"`
}

// Diagnostic is one finding.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"` // e.g. "unknown-type"; see Explain
	Pos      Pos      `json:"pos"`
	// Path in the document, dotted: topology_template.node_templates.db.properties.port
	Path    string    `json:"path,omitempty"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"` // what to do
	Related []Related `json:"related,omitempty"`
}

func (d Diagnostic) String() string {
	s := fmt.Sprintf("%s: %s: %s [%s]", d.Pos, d.Severity, d.Message, d.Code)
	if d.Hint != "" {
		s += " (" + d.Hint + ")"
	}
	return s
}

// List collects diagnostics; the zero value is ready. It is not safe for concurrent use.
type List []Diagnostic

// Add appends diagnostics.
func (l *List) Add(d ...Diagnostic) { *l = append(*l, d...) }

// Errorf appends an error at a place and returns it for refinement (hint, path, related).
func (l *List) Errorf(code string, pos Pos, format string, args ...any) *Diagnostic {
	return l.addf(Error, code, pos, format, args...)
}

// Warnf appends a warning at a place and returns it for refinement.
func (l *List) Warnf(code string, pos Pos, format string, args ...any) *Diagnostic {
	return l.addf(Warning, code, pos, format, args...)
}

func (l *List) addf(s Severity, code string, pos Pos, format string, args ...any) *Diagnostic {
	*l = append(*l, Diagnostic{Severity: s, Code: code, Pos: pos, Message: fmt.Sprintf(format, args...)})
	return &(*l)[len(*l)-1]
}

// HasErrors reports whether any diagnostic is an error.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Count returns the number of diagnostics of a severity.
func (l List) Count(s Severity) int {
	n := 0
	for _, d := range l {
		if d.Severity == s {
			n++
		}
	}
	return n
}

// Sorted returns a copy ordered by place, without exact repetitions.
func (l List) Sorted() List {
	s := slices.Clone(l)
	slices.SortStableFunc(s, func(a, b Diagnostic) int {
		return cmp.Or(a.Pos.Compare(b.Pos), cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(s, func(a, b Diagnostic) bool {
		return a.Pos == b.Pos && a.Code == b.Code && a.Message == b.Message
	})
}

// Err returns the list as an error if it has errors, else nil.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return &ListError{List: l.Sorted()}
}

// ListError carries diagnostics through an error return.
type ListError struct{ List List }

func (e *ListError) Error() string {
	n := e.List.Count(Error)
	for _, d := range e.List {
		if d.Severity == Error {
			if n == 1 {
				return d.String()
			}
			return fmt.Sprintf("%s (and %d more errors)", d, n-1)
		}
	}
	return "no error"
}
