package hostpool

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Filter is a condition on the labels of a host:
//
//	label                    the host has the label
//	!label                   it has not
//	label = "text"           also ==, !=; texts, or quantities of the same kind: 2 GB, 1.5 GHz, 10 min, 4
//	label < 4 GB             also <=, >, >=: quantities only
//	label ~= "^deb"          a regular expression is found in it; !~ is not
//	label in (a, "b c")      also not in, notin
type Filter struct {
	text  string
	label string
	match func(value string, present bool) bool
}

func (f *Filter) String() string { return f.text }

// Matches reports whether labels fulfil the condition.
func (f *Filter) Matches(labels map[string]string) bool {
	v, ok := labels[f.label]
	return f.match(v, ok)
}

// ParseFilters parses several, of which the first mistake is reported.
func ParseFilters(texts []string) ([]*Filter, error) {
	var out []*Filter
	for _, t := range texts {
		f, err := ParseFilter(t)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// ParseFilter parses one condition; its mistakes are ErrInvalid.
func ParseFilter(text string) (*Filter, error) {
	s := &scanner{rest: text}
	f, err := s.filter()
	if err == nil && s.skip() != "" {
		err = fmt.Errorf("unexpected %q", s.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the filter %q: %w", ErrInvalid, text, err)
	}
	f.text = text
	return f, nil
}

type scanner struct{ rest string }

func (s *scanner) skip() string {
	s.rest = strings.TrimLeftFunc(s.rest, unicode.IsSpace)
	return s.rest
}

// take consumes a prefix.
func (s *scanner) take(prefix string) bool {
	rest, ok := strings.CutPrefix(s.skip(), prefix)
	if ok {
		s.rest = rest
	}
	return ok
}

// keyword consumes a word that ends there.
func (s *scanner) keyword(word string) bool {
	rest, ok := strings.CutPrefix(s.skip(), word)
	if !ok || rest != "" && !unicode.IsSpace(rune(rest[0])) && rest[0] != '(' {
		return false
	}
	s.rest = rest
	return true
}

var (
	labelWord  = regexp.MustCompile(`^[A-Za-z_][\w./-]*`)
	quantity   = regexp.MustCompile(`^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?(\s*[A-Za-zµ]+)?`)
	plainValue = regexp.MustCompile(`^[^\s,()"'!=<>~]+`)
)

func (s *scanner) labelName() (string, error) {
	if t := s.skip(); t != "" && (t[0] == '"' || t[0] == '\'') {
		return s.quoted()
	}
	w := labelWord.FindString(s.skip())
	if w == "" {
		return "", fmt.Errorf("a label is missing before %q", s.rest)
	}
	s.rest = s.rest[len(w):]
	return w, nil
}

func (s *scanner) quoted() (string, error) {
	q := s.rest[0]
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		case c == q:
			s.rest = s.rest[i+1:]
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("%s is not closed", s.rest)
}

func (s *scanner) value() (string, error) {
	t := s.skip()
	if t == "" {
		return "", fmt.Errorf("a value is missing")
	}
	if t[0] == '"' || t[0] == '\'' {
		return s.quoted()
	}
	word := plainValue.FindString(t)
	if q := quantity.FindString(t); len(q) > len(word) {
		word = q
	}
	if word == "" {
		return "", fmt.Errorf("a value is missing before %q", t)
	}
	s.rest = s.rest[len(word):]
	return word, nil
}

func (s *scanner) filter() (*Filter, error) {
	negated := s.take("!")
	label, err := s.labelName()
	if err != nil {
		return nil, err
	}
	f := &Filter{label: label}
	if negated {
		f.match = func(_ string, ok bool) bool { return !ok }
		return f, nil
	}
	if s.skip() == "" {
		f.match = func(_ string, ok bool) bool { return ok }
		return f, nil
	}
	if s.keyword("in") {
		return f, s.set(f, true)
	}
	if s.keyword("notin") || s.keyword("not") && s.keyword("in") {
		return f, s.set(f, false)
	}
	return f, s.compare(f)
}

// set reads the list of in and not in. A host without the label is in no list.
func (s *scanner) set(f *Filter, in bool) error {
	if !s.take("(") {
		return fmt.Errorf("( is missing before %q", s.rest)
	}
	var list []string
	for {
		v, err := s.value()
		if err != nil {
			return err
		}
		list = append(list, v)
		if s.take(")") {
			break
		}
		if !s.take(",") {
			return fmt.Errorf(", or ) is missing before %q", s.rest)
		}
	}
	f.match = func(v string, ok bool) bool {
		return in == (ok && slices.ContainsFunc(list, func(w string) bool { return equal(v, w) }))
	}
	return nil
}

func (s *scanner) compare(f *Filter) error {
	op := ""
	for _, o := range []string{"<=", ">=", "!=", "==", "~=", "!~", "=", "<", ">"} { // the longer first
		if s.take(o) {
			op = o
			break
		}
	}
	if op == "" {
		return fmt.Errorf("unexpected %q", s.rest)
	}
	want, err := s.value()
	if err != nil {
		return err
	}
	switch op {
	case "=", "==":
		f.match = func(v string, ok bool) bool { return ok && equal(v, want) }
	case "!=":
		f.match = func(v string, ok bool) bool { return !ok || !equal(v, want) }
	case "~=", "!~":
		re, err := regexp.Compile(want)
		if err != nil {
			return err
		}
		f.match = func(v string, ok bool) bool { return (op == "~=") == (ok && re.MatchString(v)) }
	default:
		if _, ok := Measure(want); !ok {
			return fmt.Errorf("%s compares quantities such as 4, 2 GB or 10 min, not %q", op, want)
		}
		f.match = func(v string, ok bool) bool { return ok && ordered(v, op, want) }
	}
	return nil
}

func equal(a, b string) bool {
	x, okX := Measure(a)
	y, okY := Measure(b)
	return a == b || okX && okY && x == y
}

func ordered(a, op, b string) bool {
	x, okX := Measure(a)
	y, okY := Measure(b)
	if !okX || !okY || x.Kind != y.Kind {
		return false
	}
	switch op {
	case "<":
		return x.N < y.N
	case "<=":
		return x.N <= y.N
	case ">":
		return x.N > y.N
	}
	return x.N >= y.N
}

// Quantity is a number of some kind: "" plain, "B" bytes, "s" seconds, "Hz" hertz.
type Quantity struct {
	N    float64
	Kind string
}

// Measure reads a number with a unit: 4, 2 GB, 512 MiB, 10 min, 2.4GHz.
func Measure(s string) (Quantity, bool) {
	s = strings.TrimSpace(s)
	q := quantity.FindStringSubmatch(s)
	if q == nil || len(q[0]) != len(s) {
		return Quantity{}, false
	}
	unit := strings.TrimSpace(q[3])
	n, err := strconv.ParseFloat(strings.TrimSpace(s[:len(s)-len(q[3])]), 64)
	if err != nil {
		return Quantity{}, false
	}
	if unit == "" {
		return Quantity{n, ""}, true
	}
	u, ok := units[strings.ToLower(unit)]
	return Quantity{n * u.N, u.Kind}, ok
}

// units by their name in small letters, as TOSCA's scalar-unit types have them.
var units = map[string]Quantity{
	"b": {1, "B"}, "kb": {1e3, "B"}, "mb": {1e6, "B"}, "gb": {1e9, "B"}, "tb": {1e12, "B"}, "pb": {1e15, "B"},
	"kib": {1 << 10, "B"}, "mib": {1 << 20, "B"}, "gib": {1 << 30, "B"}, "tib": {1 << 40, "B"}, "pib": {1 << 50, "B"},
	"ns": {1e-9, "s"}, "us": {1e-6, "s"}, "µs": {1e-6, "s"}, "ms": {1e-3, "s"}, "s": {1, "s"}, "sec": {1, "s"}, "m": {60, "s"}, "min": {60, "s"},
	"h": {3600, "s"}, "d": {86400, "s"},
	"hz": {1, "Hz"}, "khz": {1e3, "Hz"}, "mhz": {1e6, "Hz"}, "ghz": {1e9, "Hz"},
}
