package plugin

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Values of expressions are nil, bool, int64, float64, string, []any, map[string]any, secret.Value, topology.Unknown, and:

// Ref is a Terraform expression, known only when Terraform runs: openstack_networking_port_v2.web_0_port.id.
type Ref struct {
	Expr string
	// Owner is the entry that the resource belongs to.
	Owner string
}

// template is a text with parts that only Terraform knows; the parts are string, Ref, secret.Value or topology.Unknown.
type template []any

// Generated is a secret that orch makes, with the reference it is kept under.
type Generated struct {
	Ref   string
	Value secret.Value
}

// escape makes Terraform take a text literally.
func escape(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(s)
}

func isNull(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case string:
		return t == ""
	case []any:
		return len(t) == 0
	case map[string]any:
		return len(t) == 0
	case secret.Value:
		return t.IsZero()
	case *linkItem:
		return t == nil
	case *Block:
		return t == nil
	}
	return false
}

func truth(v any) bool {
	switch t := v.(type) {
	case bool:
		return t
	case string:
		b, err := strconv.ParseBool(t)
		return err == nil && b || err != nil && t != ""
	}
	return !isNull(v)
}

// text is the string form of a scalar; ok is false for anything else.
func text(v any) (string, bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case bool:
		return strconv.FormatBool(t), true
	case int64:
		return strconv.FormatInt(t, 10), true
	case int:
		return strconv.Itoa(t), true
	case float64:
		if t == math.Trunc(t) && math.Abs(t) < 1<<53 {
			return strconv.FormatInt(int64(t), 10), true
		}
		return strconv.FormatFloat(t, 'g', -1, 64), true
	}
	return "", false
}

var size = regexp.MustCompile(`(?i)^\s*([0-9]*\.?[0-9]+)\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)?\s*$`)

var units = map[string]float64{"b": 1, "kb": 1e3, "kib": 1 << 10, "mb": 1e6, "mib": 1 << 20, "gb": 1e9, "gib": 1 << 30, "tb": 1e12, "tib": 1 << 40}

// bytesOf reads a TOSCA scalar-unit.size; a bare number counts in `unit`.
func bytesOf(v any, unit float64) (float64, error) {
	s, ok := text(v)
	m := size.FindStringSubmatch(s)
	if !ok || m == nil {
		return 0, fmt.Errorf("%v is not a size such as 4 GB", v)
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, fmt.Errorf("%v is not a size such as 4 GB", v)
	}
	if m[2] != "" {
		unit = units[strings.ToLower(m[2])]
	}
	return f * unit, nil
}

// units of clouds are binary and whole: 10 GB are asked for as 10 (GiB), 4 GB of memory as 4096 (MiB), as people mean it. A decimal size
// that is a whole number of its unit is therefore read as the binary unit of the same name.
func inUnit(v any, unit string) (any, error) {
	s, _ := text(v)
	if m := size.FindStringSubmatch(s); m != nil && m[2] != "" {
		v = m[1] + strings.NewReplacer("kb", "KiB", "mb", "MiB", "gb", "GiB", "tb", "TiB").Replace(strings.ToLower(m[2]))
		if strings.HasSuffix(strings.ToLower(m[2]), "ib") || strings.EqualFold(m[2], "b") {
			v = s
		}
	}
	b, err := bytesOf(v, units[unit])
	if err != nil {
		return nil, err
	}
	return int64(math.Ceil(b / units[unit])), nil
}

// concat joins values into a text, keeping secrets secret and references references.
func concat(parts []any) (any, error) {
	var out template
	deferred, hidden := false, false
	for _, p := range parts {
		switch t := p.(type) {
		case nil:
		case template:
			out, deferred = append(out, t...), true
		case Ref, topology.Unknown:
			out, deferred = append(out, t), true
		case Generated:
			out, hidden = append(out, t.Value), true
		case secret.Value:
			out, hidden = append(out, t), true
		default:
			s, ok := text(p)
			if !ok {
				return nil, fmt.Errorf("a %s cannot be part of a text", kindOf(p))
			}
			out = append(out, s)
		}
	}
	if deferred {
		return out, nil
	}
	var b strings.Builder
	for _, p := range out {
		if s, ok := p.(secret.Value); ok {
			b.WriteString(s.Reveal())
		} else {
			b.WriteString(p.(string))
		}
	}
	if hidden {
		return secret.New(b.String()), nil
	}
	return b.String(), nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case []any:
		return "list"
	case map[string]any:
		return "map"
	case *linkItem:
		return "node"
	case *Block:
		return "resource"
	case secret.Value, Generated:
		return "secret"
	case bool:
		return "boolean"
	case int64, float64:
		return "number"
	}
	return "text"
}

// equal compares scalars by their text, so that 4 equals "4".
func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, okx := text(a)
	y, oky := text(b)
	return okx && oky && x == y
}

// walk follows the steps of a path into plain values.
func walk(v any, path []string) any {
	for _, step := range path {
		switch t := v.(type) {
		case map[string]any:
			v = t[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			v = t[i]
		case topology.Unknown:
			return t
		default:
			return nil
		}
	}
	return v
}
