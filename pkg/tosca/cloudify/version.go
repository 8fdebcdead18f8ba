package cloudify

import (
	"strconv"
	"strings"
)

// Fits reports whether a plugin's version meets a condition: PEP 440 specifiers, all of which must hold (">=2.0, !=2.1, <3"). An element
// without operator means that very version.
func Fits(version, condition string) bool {
	for spec := range strings.SplitSeq(condition, ",") {
		spec = strings.TrimSpace(spec)
		if spec == "" {
			continue
		}
		op := ""
		for _, o := range []string{"===", "~=", "==", "!=", "<=", ">=", "<", ">"} {
			if strings.HasPrefix(spec, o) {
				op, spec = o, strings.TrimSpace(spec[len(o):])
				break
			}
		}
		if !holds(version, op, spec) {
			return false
		}
	}
	return true
}

func holds(version, op, want string) bool {
	prefix, wild := strings.CutSuffix(want, ".*")
	if wild && (op == "==" || op == "!=") {
		same := version == prefix || strings.HasPrefix(version, prefix+".")
		return same == (op == "==")
	}
	c := Compare(version, want)
	switch op {
	case "", "===", "==":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	}
	// ~=2.1.3 is >=2.1.3 and ==2.1.*
	i := strings.LastIndexByte(want, '.')
	return c >= 0 && i > 0 && (version == want[:i] || strings.HasPrefix(version, want[:i]+"."))
}

// Compare orders dotted versions by their numbers; missing parts count as 0, and what is no number comes before any number (dev, rc).
func Compare(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		p, q := part(x, i), part(y, i)
		if p != q {
			if p < q {
				return -1
			}
			return 1
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return -1
	}
	return n
}
