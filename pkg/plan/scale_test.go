package plan_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/orch-project/orch/pkg/plan"
)

func TestByNumber(t *testing.T) {
	want := []string{"0", "0--1", "0-1", "0-1--1", "0-1--10", "0-2", "0-10", "1", "1-1", "2", "10"}
	for range 20 {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, plan.ByNumber)
		if !slices.Equal(got, want) {
			t.Fatalf("sorted %v, want %v", got, want)
		}
	}
}
