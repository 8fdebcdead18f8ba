package diag

import (
	"iter"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Suggest returns `did you mean "x"?` for the candidate nearest to a mistyped name, or "" when none is near.
func Suggest(name string, candidates []string) string {
	return SuggestSeq(name, slices.Values(candidates))
}

// SuggestSeq is Suggest over a sequence.
func SuggestSeq(name string, candidates iter.Seq[string]) string {
	best, dist := "", 1000
	for c := range candidates {
		if c == name {
			continue
		}
		d := distance(name, c)
		if d < dist || d == dist && c < best {
			best, dist = c, d
		}
	}
	// A third of the letters may be wrong; short names need to be closer.
	if best == "" || dist >= len(name) || dist > max(1, (len(name)+2)/3) {
		return ""
	}
	return `did you mean "` + best + `"?`
}

// distance counts edits; difference in case only and a missing qualifying prefix (Compute for tosca.nodes.Compute) count as near.
func distance(name, c string) int {
	if strings.EqualFold(name, c) {
		return 0
	}
	if strings.HasSuffix(c, "."+name) {
		return 1
	}
	if i := strings.LastIndexByte(c, '.'); i >= 0 && !strings.Contains(name, ".") {
		// A short name is compared with the last part of qualified ones: Compte is near tosca.nodes.Compute.
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(c[i+1:]), nil); d+1 < len(name) {
			return d + 1
		}
	}
	if abs(len(name)-len(c)) > max(len(name), len(c))/2 {
		return 1000
	}
	return levenshtein.Distance(strings.ToLower(name), strings.ToLower(c), nil)
}

func abs(i int) int {
	if i < 0 {
		return -i
	}
	return i
}
