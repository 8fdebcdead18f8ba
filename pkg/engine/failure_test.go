package engine

import (
	"slices"
	"testing"

	"github.com/orch-project/orch/pkg/topology"
)

// Steps that are done in one go fail together: the first cause is whose own failure it is, and the others were not run because of it, in whatever
// order they are told of.
func TestFailuresThatTellOfAnotherAreFolded(t *testing.T) {
	r := &run{failures: []*Failure{
		{Step: "vol[0].create", Node: "vol", Instance: "0", Infra: true, Message: "not done because web[0] failed: no", Because: topology.Instance{Node: "web", Index: "0"}},
		{Step: "web[0].create", Node: "web", Instance: "0", Infra: true, Message: "no"},
		{Step: "db[0].create", Node: "db", Instance: "0", Infra: true, Message: "no image"},
		{Step: "db[1].create", Node: "db", Instance: "1", Infra: true, Message: "no image"},
		{Step: "app[0].start", Node: "app", Instance: "0", Message: "exit code 1"},
		{Step: "app[1].start", Node: "app", Instance: "1", Message: "exit code 1"},
		{Step: "ip[0].create", Node: "ip", Instance: "0", Infra: true, Message: "not done because gone failed", Because: topology.Instance{Node: "gone"}},
	}}
	f := r.firstCause()
	if f.Step != "web[0].create" || !slices.Equal(f.Skipped, []string{"vol[0].create"}) {
		t.Errorf("the first cause is %s, because of which %v was not run", f.Step, f.Skipped)
	}
	var others []string
	for _, o := range f.Others {
		others = append(others, o.Step)
	}
	if want := []string{"db[0].create", "app[0].start", "app[1].start", "ip[0].create"}; !slices.Equal(others, want) {
		t.Errorf("others: %v, want %v", others, want)
	}
	if !slices.Equal(f.Others[0].Skipped, []string{"db[1].create"}) {
		t.Errorf("the same failure of another instance: %v", f.Others[0].Skipped)
	}
	if again := r.firstCause(); len(again.Skipped) != 1 {
		t.Errorf("asking twice: %v", again.Skipped)
	}
}
