package orch_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// wreck is a world whose cloud has servers that may not be on its record.
type wreck struct {
	*world
	exists  map[topology.Instance]string // servers in the cloud, by id
	record  map[topology.Instance]bool
	asked   int // instances that the last survey was asked about
	replace bool
}

func (w *wreck) Survey(_ context.Context, _ string, reqs []*driver.Request) (out []driver.Surveyed, err error) {
	w.asked = len(reqs)
	for in, id := range w.exists {
		s := driver.Surveyed{CloudResource: driver.CloudResource{Service: "nova", Kind: "server", ID: id, Node: in.Node, Instance: in.Index, Marked: true}, Where: driver.InCloud,
			Owners: []topology.Instance{in}, Address: "server." + in.String()}
		if w.record[in] {
			s.Where = driver.InBoth
		}
		if len(reqs) == 0 {
			s.Reason, s.Address = "nothing is on record", ""
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b driver.Surveyed) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (w *wreck) Adopt(ctx context.Context, d string, reqs []*driver.Request, ids []string, emit event.Emit) ([]driver.Surveyed, error) {
	rows, err := w.Survey(ctx, d, reqs)
	for i := range rows {
		r := &rows[i]
		if r.Where == driver.InCloud && (len(ids) == 0 || slices.Contains(ids, r.ID)) {
			w.record[r.Owners[0]] = true
			r.Where, r.Adopted = driver.InBoth, true
			if w.replace {
				r.Changes = []driver.Change{{Action: "replace"}}
			}
			emit(event.Event{Type: event.Resource, Key: r.Address, Status: "adopted"})
		}
	}
	return rows, err
}

func (w *wreck) Remove(_ context.Context, _, _ string, ids ...string) error {
	for in, id := range w.exists {
		if len(ids) == 0 || slices.Contains(ids, id) {
			delete(w.exists, in)
		}
	}
	return nil
}

func newWreck(t *testing.T) (*fixture, *wreck) {
	t.Helper()
	f := newFixture(t)
	w := &wreck{world: f.world, exists: map[topology.Instance]string{{Node: "vm", Index: "0"}: "1f"}, record: map[topology.Instance]bool{}}
	f.opts.Infra, f.opts.Inventory = w, w
	f.restart(t)
	return f, w
}

// With the record lost, deploying with adoption takes over what exists, and undeploying removes it although this orch has not made it.
func TestDeployAdoptsWhatALostRecordHadMade(t *testing.T) {
	t.Parallel()
	f, w := newWreck(t)
	rows, err := f.Sweep(t.Context(), orch.SweepRequest{Deployment: "demo"})
	if err != nil || len(rows) != 1 || rows[0].Record != "cloud" || rows[0].Reason == "" || w.asked != 0 {
		t.Fatalf("survey without a record: %+v, %v", rows, err)
	}
	if _, err := f.Sweep(t.Context(), orch.SweepRequest{Deployment: "demo", Adopt: true}); kindOf(err) != orch.KindNotFound {
		t.Errorf("adoption without a record: %v", err)
	}
	task := f.apply(t, orch.Request{Source: bundle("hello"), Adopt: true})
	if task.Status != "done" || !w.record[topology.Instance{Node: "vm", Index: "0"}] {
		t.Fatalf("%+v, on record %v", task.Failure, w.record)
	}
	adopted := false
	for e, err := range f.Events(t.Context(), orch.Filter{Deployment: "demo", Task: task.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		adopted = adopted || e.Type == event.Resource && e.Status == "adopted"
	}
	if !adopted {
		t.Error("no event of the task tells of the adoption")
	}
}

// What was adopted belongs to the deployment, installed or not.
func TestWhatIsAdoptedIsGoneOnWithAndRemoved(t *testing.T) {
	t.Parallel()
	f, w := newWreck(t)
	if _, err := f.Create(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello")}); err != nil {
		t.Fatal(err)
	}
	rows, err := f.Sweep(t.Context(), orch.SweepRequest{Deployment: "demo", Adopt: true})
	if err != nil || len(rows) != 1 || !rows[0].Adopted || w.asked == 0 {
		t.Fatalf("%+v, %v", rows, err)
	}
	if got := instances(t, f, "vm"); !slices.Equal(got, []string{"0 creating"}) {
		t.Errorf("states %v", got)
	}
	p, _, err := f.Plan(t.Context(), orch.Request{Deployment: "demo"})
	if err != nil || !slices.ContainsFunc(p.Steps, func(s *plan.Step) bool { return s.ID == "vm[0].create" && strings.Contains(s.Cause, "goes on") }) {
		t.Errorf("plan: %v\n%+v", err, p)
	}
	task := f.apply(t, orch.Request{Verb: orch.Undeploy})
	if got := f.world.done(); task.Status != "done" || !slices.Contains(got, "vm[0].delete") {
		t.Errorf("undeployed by %v: %+v", got, task.Failure)
	}
	if _, err := f.Sweep(t.Context(), orch.SweepRequest{Deployment: "demo", Adopt: true}); kindOf(err) != orch.KindConflict {
		t.Errorf("adoption after the undeployment: %v", err)
	}
}

// A server whose keys are lost is not thrown away by the request that adopts it.
func TestAdoptionDoesNotReplaceServersUnasked(t *testing.T) {
	t.Parallel()
	f, w := newWreck(t)
	w.replace = true
	_, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello"), Adopt: true})
	if kindOf(err) != orch.KindConflict || !strings.Contains(err.Error(), "made anew") || len(f.world.done()) > 0 {
		t.Errorf("%v, done %v", err, f.world.done())
	}
	if task := f.apply(t, orch.Request{}); task.Status != "done" {
		t.Errorf("without adoption: %+v", task.Failure)
	}
}

func TestSweepDeletes(t *testing.T) {
	t.Parallel()
	f, w := newWreck(t)
	if task := f.apply(t, orch.Request{Source: bundle("hello"), Adopt: true}); task.Status != "done" {
		t.Fatalf("%+v", task.Failure)
	}
	w.exists[topology.Instance{Node: "vm", Index: "7"}] = "7f"
	for name, c := range map[string]struct {
		req  orch.SweepRequest
		kind orch.Kind
	}{
		"everything while it is up": {orch.SweepRequest{Delete: true}, orch.KindConflict},
		"what is on record":         {orch.SweepRequest{Delete: true, IDs: []string{"1f"}}, orch.KindConflict},
		"what is not there":         {orch.SweepRequest{Delete: true, IDs: []string{"9f"}}, orch.KindNotFound},
		"both":                      {orch.SweepRequest{Delete: true, Adopt: true}, orch.KindUser},
	} {
		c.req.Deployment = "demo"
		if _, err := f.Sweep(t.Context(), c.req); kindOf(err) != c.kind || len(w.exists) != 2 {
			t.Errorf("%s: %v, left %v", name, err, w.exists)
		}
	}
	rows, err := f.Sweep(t.Context(), orch.SweepRequest{Deployment: "demo", Delete: true, IDs: []string{"7f"}})
	if err != nil || len(rows) != 1 || !rows[0].Deleted || len(w.exists) != 1 {
		t.Errorf("an orphan: %+v, %v, left %v", rows, err, w.exists)
	}
	rows, err = f.Sweep(t.Context(), orch.SweepRequest{Deployment: "demo", Delete: true, Force: true})
	if err != nil || len(rows) != 1 || !rows[0].Deleted || len(w.exists) != 0 {
		t.Errorf("by force: %+v, %v, left %v", rows, err, w.exists)
	}
}
