package topology

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// Check tells what is wrong with a value: "" when the constraint holds or cannot be judged because the value is computed later.
func (k Constraint) Check(v *Value, s *Schema) string {
	if v.Kind == CallValue {
		return ""
	}
	arg := func(i int) *Value {
		if i < len(k.Args) {
			return k.Args[i]
		}
		return &Value{}
	}
	switch k.Op {
	case "equal":
		if c, ok := compare(v, arg(0), s); ok && c != 0 {
			return "must be " + show(arg(0)) + ", not " + show(v)
		}
	case "greater_than":
		return k.order(v, arg(0), s, "greater than", func(c int) bool { return c > 0 })
	case "greater_or_equal":
		return k.order(v, arg(0), s, "at least", func(c int) bool { return c >= 0 })
	case "less_than":
		return k.order(v, arg(0), s, "less than", func(c int) bool { return c < 0 })
	case "less_or_equal":
		return k.order(v, arg(0), s, "at most", func(c int) bool { return c <= 0 })
	case "in_range":
		return k.inRange(v, arg(0), arg(1), s)
	case "valid_values":
		return k.validValues(v, s)
	case "length", "min_length", "max_length":
		return k.length(v, arg(0))
	case "pattern":
		return k.pattern(v, arg(0))
	case "schema":
		return k.schema(v, arg(0))
	}
	return ""
}

func (k Constraint) order(v, limit *Value, s *Schema, words string, holds func(int) bool) string {
	if v.Kind == ListValue { // a range: both of its ends
		for _, e := range v.List {
			if msg := k.order(e, limit, &Schema{Type: Type{"integer"}}, words, holds); msg != "" && e.Lit != Unbounded {
				return msg
			}
		}
		return ""
	}
	if c, ok := compare(v, limit, s); ok && !holds(c) {
		return "must be " + words + " " + show(limit) + ", not " + show(v)
	}
	return ""
}

func (k Constraint) inRange(v, lo, hi *Value, s *Schema) string {
	if v.Kind == ListValue {
		for _, e := range v.List {
			if e.Lit == Unbounded {
				if hi.Lit != Unbounded {
					return "must be within " + show(lo) + " and " + show(hi) + ", not UNBOUNDED"
				}
				continue
			}
			if msg := k.inRange(e, lo, hi, &Schema{Type: Type{"integer"}}); msg != "" {
				return msg
			}
		}
		return ""
	}
	below, above := false, false
	if lo.Lit != Unbounded {
		c, ok := compare(v, lo, s)
		below = ok && c < 0
	}
	if hi.Lit != Unbounded {
		c, ok := compare(v, hi, s)
		above = ok && c > 0
	}
	if below || above {
		return "must be within " + show(lo) + " and " + show(hi) + ", not " + show(v)
	}
	return ""
}

func (k Constraint) validValues(v *Value, s *Schema) string {
	names := make([]string, len(k.Args))
	for i, a := range k.Args {
		if a.Kind == CallValue {
			return ""
		}
		if c, ok := compare(v, a, s); ok && c == 0 {
			return ""
		}
		names[i] = show(a)
	}
	if hasCall(v) {
		return ""
	}
	return "must be one of " + strings.Join(names, ", ") + ", not " + show(v)
}

func (k Constraint) length(v, limit *Value) string {
	want, ok := Number(limit.Lit)
	if !ok {
		return ""
	}
	n, what := 0, "characters"
	switch {
	case v.Kind == ListValue:
		n, what = len(v.List), "entries"
	case v.Kind == MapValue:
		n, what = v.Map.Len(), "entries"
	default:
		s, ok := v.Lit.(string)
		if !ok {
			return ""
		}
		n = utf8.RuneCountInString(s)
	}
	switch {
	case k.Op == "length" && n != int(want):
		return fmt.Sprintf("must have exactly %d %s, not %d", int(want), what, n)
	case k.Op == "min_length" && n < int(want):
		return fmt.Sprintf("must have at least %d %s, not %d", int(want), what, n)
	case k.Op == "max_length" && n > int(want):
		return fmt.Sprintf("must have at most %d %s, not %d", int(want), what, n)
	}
	return ""
}

var patterns sync.Map // pattern text → *regexp.Regexp or error

// CompilePattern compiles a pattern constraint, which must match the whole value. Go's syntax (RE2) lacks look-around and back-references.
func CompilePattern(p string) (*regexp.Regexp, error) {
	if got, ok := patterns.Load(p); ok {
		if re, ok := got.(*regexp.Regexp); ok {
			return re, nil
		}
		return nil, got.(error)
	}
	re, err := regexp.Compile(`\A(?:` + p + `)\z`)
	if err != nil {
		patterns.Store(p, err)
		return nil, err
	}
	patterns.Store(p, re)
	return re, nil
}

func (k Constraint) pattern(v, p *Value) string {
	text, ok := p.Lit.(string)
	if !ok || v.Kind != LitValue {
		return ""
	}
	re, err := CompilePattern(text)
	if err != nil || re.MatchString(text2(v.Lit)) {
		return "" // a pattern that cannot be compiled was reported where it is declared
	}
	return "must match " + text + ", which " + show(v) + " does not"
}

func text2(lit any) string {
	if s, ok := lit.(string); ok {
		return s
	}
	return fmt.Sprint(lit)
}

// compare orders two values of a declared type; ok is false when they cannot be compared (computed later, or reported before as malformed).
func compare(a, b *Value, s *Schema) (int, bool) {
	if a.Kind == CallValue || b.Kind == CallValue {
		return 0, false
	}
	if a.Kind != LitValue || b.Kind != LitValue {
		if hasCall(a) || hasCall(b) {
			return 0, false
		}
		if show(a) == show(b) {
			return 0, true
		}
		return 1, true
	}
	as, aText := a.Lit.(string)
	bs, bText := b.Lit.(string)
	switch p := s.Primitive(); {
	case isUnit(p):
		x, _, err1 := ParseUnit(p, text2(a.Lit))
		y, _, err2 := ParseUnit(p, text2(b.Lit))
		return cmp.Compare(x, y), err1 == nil && err2 == nil
	case s != nil && s.Scalar != nil:
		x, _, err1 := s.Scalar.Parse(text2(a.Lit))
		y, _, err2 := s.Scalar.Parse(text2(b.Lit))
		return cmp.Compare(x, y), err1 == nil && err2 == nil
	case p == "version":
		x, err1 := ParseVersion(text2(a.Lit))
		y, err2 := ParseVersion(text2(b.Lit))
		return x.Compare(y), err1 == nil && err2 == nil
	case p == "timestamp":
		x, err1 := ParseTimestamp(text2(a.Lit))
		y, err2 := ParseTimestamp(text2(b.Lit))
		return x.Compare(y), err1 == nil && err2 == nil
	case p == "string":
		return strings.Compare(text2(a.Lit), text2(b.Lit)), true
	}
	if x, ok := Number(a.Lit); ok {
		if y, ok := Number(b.Lit); ok && !(aText && bText) {
			return cmp.Compare(x, y), true
		}
	}
	if aText && bText {
		return strings.Compare(as, bs), true
	}
	if a.Lit == b.Lit {
		return 0, true
	}
	return 1, text2(a.Lit) != text2(b.Lit) || a.Lit == nil || b.Lit == nil
}

func hasCall(v *Value) bool {
	switch v.Kind {
	case CallValue:
		return true
	case ListValue:
		for _, e := range v.List {
			if hasCall(e) {
				return true
			}
		}
	case MapValue:
		for _, e := range v.Map.All() {
			if hasCall(e) {
				return true
			}
		}
	}
	return false
}

// show writes a literal as a user would.
func show(v *Value) string {
	switch v.Kind {
	case ListValue:
		parts := make([]string, len(v.List))
		for i, e := range v.List {
			parts[i] = show(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case MapValue:
		var parts []string
		for k, e := range v.Map.All() {
			parts = append(parts, k+": "+show(e))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case CallValue:
		return v.Call.Fn + "(…)"
	}
	if s, ok := v.Lit.(string); ok {
		return fmt.Sprintf("%q", clip(s))
	}
	if v.Lit == nil {
		return "null"
	}
	return fmt.Sprint(v.Lit)
}
