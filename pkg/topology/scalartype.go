package topology

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Parse reads "12 Mbit/s" of a TOSCA 2.0 scalar type: the number in canonical units, and the text with single blanks.
func (t *ScalarType) Parse(text string) (base float64, canonical string, err error) {
	s := strings.TrimSpace(text)
	end := 0
	for end < len(s) && strings.IndexByte("+-.0123456789eE", s[end]) >= 0 {
		if (s[end] == 'e' || s[end] == 'E') && (end+1 >= len(s) || strings.IndexByte("+-0123456789", s[end+1]) < 0) {
			break
		}
		end++
	}
	num, unit := s[:end], strings.TrimSpace(s[end:])
	f, perr := strconv.ParseFloat(num, 64)
	switch {
	case num == "" || perr != nil:
		return 0, "", fmt.Errorf("%q does not begin with a number", text)
	case unit == "":
		return 0, "", fmt.Errorf("%q has no unit; known are %s", text, t.unitNames())
	case t.Integer && f != math.Trunc(f):
		return 0, "", fmt.Errorf("%q must begin with an integer", text)
	case t.Integer && strings.ContainsAny(num, ".eE"):
		return 0, "", fmt.Errorf("%q must begin with an integer", text)
	}
	if m, ok := t.multiplier(unit); ok {
		return f * m, num + " " + unit, nil
	}
	return 0, "", fmt.Errorf("%q has the unknown unit %q; known are %s", text, unit, t.unitNames())
}

func (t *ScalarType) multiplier(unit string) (float64, bool) {
	if m, ok := t.Units[unit]; ok {
		return m, true
	}
	for p, pm := range t.Prefixes {
		if rest, ok := strings.CutPrefix(unit, p); ok {
			if m, ok := t.Units[rest]; ok {
				return pm * m, true
			}
		}
	}
	return 0, false
}

func (t *ScalarType) unitNames() string {
	names := strings.Join(slices.Sorted(maps.Keys(t.Units)), ", ")
	if len(t.Prefixes) > 0 {
		names += " with the prefixes " + strings.Join(slices.Sorted(maps.Keys(t.Prefixes)), ", ")
	}
	return names
}
