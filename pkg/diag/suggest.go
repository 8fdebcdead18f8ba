package diag

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Suggest returns `did you mean "x"?` for the candidate nearest to a mistyped name, or "" when none is near.
func Suggest(name string, candidates []string) string {
	return SuggestSeq(name, slices.Values(candidates))
}

// SuggestSeq is Suggest over a sequence.
func SuggestSeq(name string, candidates iter.Seq[string]) string {
	if best := Nearest(name, candidates); best != "" {
		return `did you mean "` + best + `"?`
	}
	return ""
}

// Nearest returns the candidate nearest to a mistyped name, of equally near ones that whose length is nearest, or "" when none is near.
func Nearest(name string, candidates iter.Seq[string]) string {
	best, dist := "", 1000
	for c := range candidates {
		if c == name {
			continue
		}
		d := distance(name, c)
		if cmp.Or(cmp.Compare(d, dist), cmp.Compare(abs(len(c)-len(name)), abs(len(best)-len(name))), strings.Compare(c, best)) < 0 {
			best, dist = c, d
		}
	}
	// A third of the letters may be wrong; short names need to be closer.
	if best == "" || dist >= len(name) || dist > max(1, (len(name)+2)/3) {
		return ""
	}
	return best
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
		if d := edits(strings.ToLower(name), strings.ToLower(c[i+1:])); d+1 < len(name) {
			return d + 1
		}
	}
	if abs(len(name)-len(c)) > max(len(name), len(c))/2 {
		return 1000
	}
	return edits(strings.ToLower(name), strings.ToLower(c))
}

// edits is the number of letters that are inserted, removed, changed, or swapped with their neighbour on the way from a to b (the optimal
// string alignment distance).
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i, r := range x {
		row[0] = i + 1
		for j, s := range y {
			cost := 1
			if r == s {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && r == y[j-1] && x[i-1] == s {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

func abs(i int) int {
	if i < 0 {
		return -i
	}
	return i
}
