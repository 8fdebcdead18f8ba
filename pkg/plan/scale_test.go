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

// What a scaling does to nodes that are not scaled is for the new instances: what else has changed there waits for an update.
func TestScalingLeavesChangesOfOthersAlone(t *testing.T) {
	top := newTopo()
	web := top.node("web", "Web", "create", "start")
	db := top.node("db", "Db", "create", "start")
	scalable(db, 2)
	rel(web, "db", "tosca.relationships.ConnectsTo", "db", "add_target", "pre_configure_target")
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	for k, e := range rec[in("web", "0")].Journal {
		e.Digest = "another"
		rec[in("web", "0")].Journal[k] = e
	}
	p := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Only: []string{"db"}, Scale: map[string]int{"db": 3}})
	for _, s := range p.Steps {
		if s.Of() != in("db", "2") && s.TargetInstance != "2" {
			t.Errorf("%s, because %s", s.ID, s.Cause)
		}
	}
	if len(p.Steps) < 4 {
		t.Errorf("%d steps", len(p.Steps))
	}
}
