package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"gopkg.in/yaml.v3"
)

// Bool reads a YAML 1.2 boolean; ok is false if the scalar is none.
func (n *Node) Bool() (value, ok bool) {
	switch n.Str() {
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	}
	return false, false
}

// Any returns plain Go values: nil, bool, int64, float64, string, []any, map[string]any. Untyped scalars follow YAML 1.2's core schema.
func (n *Node) Any() any {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == Sequence:
		out := make([]any, len(n.Items))
		for i, it := range n.Items {
			out[i] = it.Any()
		}
		return out
	case n.Kind == Mapping:
		out := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			out[p.Key.Text] = p.Value.Any()
		}
		return out
	}
	return n.scalar()
}

func (n *Node) scalar() any {
	if n.Quoted {
		return n.Text
	}
	switch n.Tag {
	case "!!bool":
		if b, ok := n.Bool(); ok {
			return b
		}
	case "!!int":
		if i, ok := n.Int(); ok {
			return i
		}
		if f, ok := n.Float(); ok {
			return f
		}
	case "!!float":
		if f, ok := n.Float(); ok {
			return f
		}
	}
	return n.Text
}

// Int reads a whole number as YAML writes it: decimal, 0x, 0o; a decimal with leading zeros is decimal (YAML 1.2).
func (n *Node) Int() (int64, bool) {
	s := n.Str()
	sign := ""
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		sign, s = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"):
		base, s = 16, s[2:]
	case strings.HasPrefix(s, "0o"):
		base, s = 8, s[2:]
	}
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	i, err := strconv.ParseInt(sign+s, base, 64)
	return i, err == nil
}

// Float reads a number as YAML writes it, with .inf and .nan.
func (n *Node) Float() (float64, bool) {
	s := n.Str()
	switch strings.ToLower(s) {
	case ".inf", "+.inf":
		return math.Inf(1), true
	case "-.inf":
		return math.Inf(-1), true
	case ".nan":
		return math.NaN(), true
	}
	if s == "" || strings.ContainsAny(s, "_xXpPiInN") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange) // too large is infinite, too small zero
}

// Numbers turns a value that was decoded from JSON with UseNumber into a plain one, in place: numbers become int64 or float64, and those too
// large for either a text.
func Numbers(v any) any {
	switch t := v.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		if f, err := t.Float64(); err == nil {
			return f
		}
		return t.String()
	case []any:
		for i := range t {
			t[i] = Numbers(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = Numbers(t[k])
		}
	}
	return v
}

// FromAny makes a node of plain Go values (as Any returns them, and any other numbers, strings, slices, and maps with string keys).
// Texts become unquoted scalars unless quote is set, so that the text "3" can be read as a number where one is declared.
func FromAny(v any, pos diag.Pos, quote bool) *Node {
	n := &Node{Pos: pos}
	switch t := v.(type) {
	case nil:
		n.Tag = "!!null"
		return n
	case *Node:
		return t
	case string:
		n.Kind, n.Tag, n.Text, n.Quoted = Scalar, "!!str", t, quote
		return n
	case bool:
		n.Kind, n.Tag, n.Text = Scalar, "!!bool", strconv.FormatBool(t)
		return n
	case json.Number:
		n.Kind, n.Tag, n.Text = Scalar, "!!int", t.String()
		if strings.ContainsAny(t.String(), ".eE") {
			n.Tag = "!!float"
		}
		return n
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt() || r.CanUint():
		n.Kind, n.Tag, n.Text = Scalar, "!!int", fmt.Sprint(v)
	case r.CanFloat():
		n.Kind, n.Tag, n.Text = Scalar, "!!float", strconv.FormatFloat(r.Float(), 'g', -1, 64)
		if f := r.Float(); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			n.Tag, n.Text = "!!int", strconv.FormatInt(int64(f), 10) // JSON has no integers
		}
	case r.Kind() == reflect.Slice || r.Kind() == reflect.Array:
		n.Kind, n.Tag = Sequence, "!!seq"
		for i := range r.Len() {
			n.Items = append(n.Items, FromAny(r.Index(i).Interface(), pos, quote))
		}
	case r.Kind() == reflect.Map:
		n.Kind, n.Tag = Mapping, "!!map"
		for _, k := range sortedKeys(r) {
			key := &Node{Kind: Scalar, Tag: "!!str", Text: fmt.Sprint(k.Interface()), Pos: pos}
			n.Pairs = append(n.Pairs, Pair{key, FromAny(r.MapIndex(k).Interface(), pos, quote)})
		}
	default:
		n.Kind, n.Tag, n.Text, n.Quoted = Scalar, "!!str", fmt.Sprint(v), quote
	}
	return n
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		return strings.Compare(fmt.Sprint(a.Interface()), fmt.Sprint(b.Interface()))
	})
	return keys
}

// Marshal writes YAML with an indentation of two. Struct fields follow `yaml` tags; *Node values are written as they were read.
func Marshal(v any) ([]byte, error) {
	if n, ok := v.(*Node); ok {
		v = n.yaml()
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("cannot write YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("cannot write YAML: %w", err)
	}
	return b.Bytes(), nil
}

// MarshalYAML lets nodes be part of marshalled structures.
func (n *Node) MarshalYAML() (any, error) { return n.yaml(), nil }

func (n *Node) yaml() *yaml.Node {
	switch {
	case n.IsNull():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case n.Kind == Sequence:
		y := &yaml.Node{Kind: yaml.SequenceNode}
		for _, it := range n.Items {
			y.Content = append(y.Content, it.yaml())
		}
		return y
	case n.Kind == Mapping:
		y := &yaml.Node{Kind: yaml.MappingNode}
		for _, p := range n.Pairs {
			y.Content = append(y.Content, p.Key.yaml(), p.Value.yaml())
		}
		return y
	}
	y := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Text}
	if n.Quoted {
		y.Style = yaml.DoubleQuotedStyle
		if strings.Contains(n.Text, "\n") {
			y.Style = yaml.LiteralStyle
		}
	} else if n.Tag == "!!str" {
		y.Tag = "!!str"
	}
	return y
}
