package topology

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
)

// function computes a function of evaluated arguments. An Unknown argument makes the result Unknown, a secret one makes a text secret.
func (e *evaluator) function(sc Scope, fn string, args []any) (any, error) {
	if fn == "value" {
		if !e.hasValue {
			return nil, &EvalError{Message: "$value means nothing outside a validation clause"}
		}
		return descend(e.value, args, "the value")
	}
	if refs := unknowns(args, nil); refs != nil {
		return Unknown{Refs: refs}, nil
	}
	switch fn {
	case "concat":
		return concat(args)
	case "join":
		return join(args)
	case "token":
		return token(args)
	case "node_index":
		i, _ := strconv.ParseInt(sc.Instance, 10, 64)
		return i, nil
	case "relationship_index":
		i, _ := strconv.ParseInt(sc.TargetInstance, 10, 64)
		return i, nil
	}
	if f := pure[fn]; f != nil {
		if e.scalar != nil {
			args = e.scalarNumbers(args)
		}
		return f(args)
	}
	return nil, &EvalError{Message: fmt.Sprintf("the function %s cannot be evaluated", fn)}
}

// scalarNumbers converts texts of the validated scalar type ("15 cm") to numbers in its canonical unit, so that they compare.
func (e *evaluator) scalarNumbers(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
		switch t := a.(type) {
		case string:
			if f, _, err := e.scalar.Parse(t); err == nil {
				out[i] = f
			}
		case []any:
			out[i] = e.scalarNumbers(t)
		}
	}
	return out
}

func unknowns(v any, refs []string) []string {
	switch t := v.(type) {
	case Unknown:
		return append(refs, t.Refs...)
	case []any:
		for _, x := range t {
			refs = unknowns(x, refs)
		}
	case map[string]any:
		for _, x := range t {
			refs = unknowns(x, refs)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

func textOrSecret(text string, isSecret bool) any {
	if isSecret {
		return secret.New(text)
	}
	return text
}

func concat(args []any) (any, error) {
	if len(args) > 0 {
		if _, ok := args[0].([]any); ok { // TOSCA 2.0 and Alien4Cloud: lists
			out := []any{}
			for _, a := range args {
				l, ok := a.([]any)
				if !ok {
					return nil, &EvalError{Message: "concat takes either texts or lists, not both"}
				}
				out = append(out, l...)
			}
			return out, nil
		}
	}
	if d := deferred(args); d != nil {
		return d.Join(args)
	}
	var b strings.Builder
	hidden := false
	for _, a := range args {
		t, s := Text(a)
		hidden = hidden || s
		b.WriteString(t)
	}
	return textOrSecret(b.String(), hidden), nil
}

// deferred is the first argument that stands for a text, or nil.
func deferred(args []any) Deferred {
	for _, a := range args {
		if d, ok := a.(Deferred); ok {
			return d
		}
	}
	return nil
}

func join(args []any) (any, error) {
	list, ok := first(args).([]any)
	if !ok {
		return nil, &EvalError{Message: "join needs a list of texts and, optionally, a delimiter"}
	}
	delimiter := ""
	if len(args) > 1 {
		delimiter = word(args[1])
	}
	if d := deferred(list); d != nil {
		var parts []any
		for i, x := range list {
			if i > 0 {
				parts = append(parts, delimiter)
			}
			parts = append(parts, x)
		}
		return d.Join(parts)
	}
	parts, hidden := make([]string, len(list)), false
	for i, a := range list {
		t, s := Text(a)
		parts[i], hidden = t, hidden || s
	}
	return textOrSecret(strings.Join(parts, delimiter), hidden), nil
}

func first(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

func token(args []any) (any, error) {
	if len(args) != 3 {
		return nil, &EvalError{Message: "token needs a text, a separator and an index"}
	}
	text, hidden := Text(args[0])
	seps := word(args[1])
	i, ok := Number(args[2])
	if !ok {
		return nil, &EvalError{Message: fmt.Sprintf("token: %q is no index", word(args[2]))}
	}
	parts := []string{text}
	if seps != "" {
		parts = strings.Split(text, seps)
	}
	if int(i) < 0 || int(i) >= len(parts) {
		return nil, &EvalError{Message: fmt.Sprintf("token: the text has %d parts; there is no part %d", len(parts), int(i))}
	}
	return textOrSecret(parts[int(i)], hidden), nil
}

// pure holds TOSCA 2.0's functions (§10.2) by their bare names.
var pure = map[string]func([]any) (any, error){
	"and": func(a []any) (any, error) { return all(a, true) },
	"or":  func(a []any) (any, error) { return all(a, false) },
	"not": func(a []any) (any, error) {
		b, ok := first(a).(bool)
		if !ok || len(a) != 1 {
			return nil, &EvalError{Message: "not needs one boolean"}
		}
		return !b, nil
	},
	"xor": func(a []any) (any, error) {
		if len(a) != 2 {
			return nil, &EvalError{Message: "xor needs two booleans"}
		}
		x, ok1 := a[0].(bool)
		y, ok2 := a[1].(bool)
		if !ok1 || !ok2 {
			return nil, &EvalError{Message: "xor needs two booleans"}
		}
		return x != y, nil
	},
	"equal":            comparison(func(c int) bool { return c == 0 }),
	"greater_than":     comparison(func(c int) bool { return c > 0 }),
	"greater_or_equal": comparison(func(c int) bool { return c >= 0 }),
	"less_than":        comparison(func(c int) bool { return c < 0 }),
	"less_or_equal":    comparison(func(c int) bool { return c <= 0 }),
	"in_range": func(a []any) (any, error) {
		bounds, ok := at(a, 1).([]any)
		if !ok || len(bounds) != 2 {
			return nil, &EvalError{Message: "in_range needs a value and a list of two bounds"}
		}
		lo, _ := compareAny(a[0], bounds[0])
		hi, _ := compareAny(a[0], bounds[1])
		return lo >= 0 && (hi <= 0 || bounds[1] == Unbounded), nil
	},
	"valid_values": func(a []any) (any, error) {
		list, ok := at(a, 1).([]any)
		if !ok {
			return nil, &EvalError{Message: "valid_values needs a value and a list"}
		}
		return slices.ContainsFunc(list, func(x any) bool { return equalAny(a[0], x) }), nil
	},
	"matches": func(a []any) (any, error) {
		re, err := CompilePattern(word(at(a, 1)))
		if err != nil {
			return nil, &EvalError{Message: "matches: " + err.Error()}
		}
		t, _ := Text(first(a))
		return re.MatchString(t), nil
	},
	"has_prefix":      affix(strings.HasPrefix, func(l, p []any) bool { return len(l) >= len(p) && equalAny(l[:len(p)], p) }),
	"has_suffix":      affix(strings.HasSuffix, func(l, p []any) bool { return len(l) >= len(p) && equalAny(l[len(l)-len(p):], p) }),
	"contains":        affix(strings.Contains, containsList),
	"has_entry":       func(a []any) (any, error) { return hasEntries(first(a), []any{at(a, 1)}, true) },
	"has_all_entries": func(a []any) (any, error) { return hasEntries(first(a), listOf(at(a, 1)), true) },
	"has_any_entry":   func(a []any) (any, error) { return hasEntries(first(a), listOf(at(a, 1)), false) },
	"has_key":         func(a []any) (any, error) { return hasKeys(first(a), []any{at(a, 1)}, true) },
	"has_all_keys":    func(a []any) (any, error) { return hasKeys(first(a), listOf(at(a, 1)), true) },
	"has_any_key":     func(a []any) (any, error) { return hasKeys(first(a), listOf(at(a, 1)), false) },
	"length":          length,
	"union":           func(a []any) (any, error) { return setOp(a, true) },
	"intersection":    func(a []any) (any, error) { return setOp(a, false) },
	"sum":             fold(func(x, y float64) float64 { return x + y }),
	"difference":      fold(func(x, y float64) float64 { return x - y }),
	"product":         fold(func(x, y float64) float64 { return x * y }),
	"quotient":        quotient,
	"remainder":       remainder,
	"round":           rounding(math.Round),
	"floor":           rounding(math.Floor),
	"ceil":            rounding(math.Ceil),
}

func at(a []any, i int) any {
	if i < len(a) {
		return a[i]
	}
	return nil
}

func listOf(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

func all(a []any, want bool) (any, error) {
	for _, x := range a {
		b, ok := x.(bool)
		if !ok {
			return nil, &EvalError{Message: fmt.Sprintf("%v is not a boolean", x)}
		}
		if b != want {
			return !want, nil
		}
	}
	return want, nil
}

func comparison(holds func(int) bool) func([]any) (any, error) {
	return func(a []any) (any, error) {
		if len(a) != 2 {
			return nil, &EvalError{Message: "a comparison needs two arguments"}
		}
		c, ok := compareAny(a[0], a[1])
		return ok && holds(c), nil
	}
}

func equalAny(a, b any) bool {
	c, ok := compareAny(a, b)
	return ok && c == 0
}

// compareAny orders numbers, texts (as quantities with units or versions where both are) and tells equality of the rest.
func compareAny(a, b any) (int, bool) {
	_, aText := a.(string)
	_, bText := b.(string)
	if !aText && !bText {
		x, ok1 := Number(a)
		y, ok2 := Number(b)
		if ok1 && ok2 {
			return cmp.Compare(x, y), true
		}
	}
	if aText && bText {
		s, t := a.(string), b.(string)
		for typ := range units {
			if x, _, err := ParseUnit(typ, s); err == nil {
				if y, _, err := ParseUnit(typ, t); err == nil {
					return cmp.Compare(x, y), true
				}
			}
		}
		return strings.Compare(s, t), true
	}
	if reflect.DeepEqual(a, b) {
		return 0, true
	}
	return 1, true
}

func affix(text func(string, string) bool, list func(l, p []any) bool) func([]any) (any, error) {
	return func(a []any) (any, error) {
		if l, ok := first(a).([]any); ok {
			return list(l, listOf(at(a, 1))), nil
		}
		s, _ := Text(first(a))
		t, _ := Text(at(a, 1))
		return text(s, t), nil
	}
}

func containsList(l, p []any) bool {
	for i := 0; i+len(p) <= len(l); i++ {
		if equalAny(l[i:i+len(p)], p) {
			return true
		}
	}
	return false
}

func hasEntries(in any, want []any, every bool) (any, error) {
	var have []any
	switch t := in.(type) {
	case []any:
		have = t
	case map[string]any:
		for _, v := range t {
			have = append(have, v)
		}
	default:
		return nil, &EvalError{Message: fmt.Sprintf("%v is neither list nor map", in)}
	}
	return quantify(want, every, func(x any) bool {
		return slices.ContainsFunc(have, func(h any) bool { return equalAny(h, x) })
	}), nil
}

func hasKeys(in any, want []any, every bool) (any, error) {
	m, ok := in.(map[string]any)
	if !ok {
		return nil, &EvalError{Message: fmt.Sprintf("%v is not a map", in)}
	}
	return quantify(want, every, func(x any) bool { _, ok := m[word(x)]; return ok }), nil
}

func quantify(want []any, every bool, has func(any) bool) bool {
	for _, x := range want {
		if has(x) != every {
			return !every
		}
	}
	return every
}

func length(a []any) (any, error) {
	switch t := first(a).(type) {
	case []any:
		return int64(len(t)), nil
	case map[string]any:
		return int64(len(t)), nil
	default:
		s, _ := Text(t)
		return int64(len([]rune(s))), nil
	}
}

func setOp(a []any, union bool) (any, error) {
	out := []any{}
	has := func(l []any, x any) bool { return slices.ContainsFunc(l, func(y any) bool { return equalAny(x, y) }) }
	for _, arg := range a {
		for _, x := range listOf(arg) {
			keep := union || !slices.ContainsFunc(a, func(other any) bool { return !has(listOf(other), x) })
			if keep && !has(out, x) {
				out = append(out, x)
			}
		}
	}
	return out, nil
}

func numeric(f float64, ints bool) any {
	if ints && f == math.Trunc(f) {
		return int64(f)
	}
	return f
}

func numbers(a []any) ([]float64, bool, error) {
	if l, ok := first(a).([]any); ok && len(a) == 1 {
		a = l
	}
	out, ints := make([]float64, len(a)), true
	for i, x := range a {
		f, ok := Number(x)
		if !ok {
			return nil, false, &EvalError{Message: fmt.Sprintf("%v is not a number", x)}
		}
		_, isInt := x.(int64)
		out[i], ints = f, ints && isInt
	}
	return out, ints, nil
}

func fold(f func(x, y float64) float64) func([]any) (any, error) {
	return func(a []any) (any, error) {
		n, ints, err := numbers(a)
		if err != nil || len(n) == 0 {
			return int64(0), err
		}
		r := n[0]
		for _, x := range n[1:] {
			r = f(r, x)
		}
		return numeric(r, ints), nil
	}
}

func quotient(a []any) (any, error) {
	n, _, err := numbers(a)
	if err != nil {
		return nil, err
	}
	if len(n) != 2 || n[1] == 0 {
		return nil, &EvalError{Message: "quotient needs two numbers, the second not zero"}
	}
	return n[0] / n[1], nil
}

func remainder(a []any) (any, error) {
	n, ints, err := numbers(a)
	if err != nil {
		return nil, err
	}
	if len(n) != 2 || n[1] == 0 {
		return nil, &EvalError{Message: "remainder needs two numbers, the second not zero"}
	}
	return numeric(math.Mod(n[0], n[1]), ints), nil
}

func rounding(f func(float64) float64) func([]any) (any, error) {
	return func(a []any) (any, error) {
		x, ok := Number(first(a))
		if !ok {
			return nil, &EvalError{Message: fmt.Sprintf("%v is not a number", first(a))}
		}
		return int64(f(x)), nil
	}
}

func floatText(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// jsonText writes lists and maps with their secrets revealed; hidden tells the caller that there were some.
func jsonText(v any) (text string, hidden bool) {
	plain := MapLeaves(v, func(leaf any) any {
		if s, ok := leaf.(secret.Value); ok {
			hidden = true
			return s.Reveal()
		}
		return leaf
	})
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain); err != nil {
		return fmt.Sprint(v), hidden
	}
	return strings.TrimSuffix(b.String(), "\n"), hidden
}
