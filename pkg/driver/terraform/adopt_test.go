package terraform_test

import (
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// where are the surveyed resources that are known there.
func where(rows []driver.Surveyed, where string) (out []driver.Surveyed) {
	for _, r := range rows {
		if r.Where == where {
			out = append(out, r)
		}
	}
	return out
}

// lostStateIsAdopted takes everything that was made away from the state and gives it back: nothing is to be done then.
func (r *rig) lostStateIsAdopted(t *testing.T, top *topology.Topology, e env) {
	t.Helper()
	wanted := requests(top, e, driver.Update, "")
	survey := func() []driver.Surveyed {
		t.Helper()
		rows, err := r.driver.Survey(t.Context(), "app", wanted)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := survey()
	all := len(rows)
	if len(where(rows, driver.InBoth)) != all || all < 15 {
		t.Fatalf("before: %+v", rows)
	}
	r.states.mu.Lock()
	r.states.data = nil
	r.states.mu.Unlock()
	if rows, err := r.driver.Survey(t.Context(), "app", nil); err != nil || len(where(rows, driver.InCloud)) != len(rows) || len(rows) >= all || rows[0].Reason == "" {
		t.Errorf("without anything on record: %v %+v", err, rows)
	}
	rows = survey()
	for _, o := range rows {
		if o.Where != driver.InCloud || o.Reason != "" || o.Address == "" || len(o.Owners) == 0 {
			t.Errorf("cannot be adopted: %+v", o)
		}
	}
	if len(rows) != all {
		t.Errorf("%d orphans of %d", len(rows), all)
	}
	rows, err := r.driver.Adopt(t.Context(), "app", wanted, nil, nil)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	for _, o := range rows {
		if !o.Adopted || o.Where != driver.InBoth || len(o.Changes) > 0 {
			t.Errorf("not adopted as it is: %+v", o)
		}
	}
	again := requests(top, e, driver.Create, "adopted-")
	o := run(t.Context(), r.newDriver(), again)
	o.must(t, again)
	for id, res := range o.results {
		if res.Changed {
			t.Errorf("%s changed", id)
		}
	}
	if changes, err := r.driver.Drift(t.Context(), wanted); err != nil || len(changes) > 0 {
		t.Errorf("drift: %v %+v", err, changes)
	}
}

// What was made while the reply was lost is taken over, finished and not made twice.
func TestAnOrphanIsAdoptedAndFinished(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(append(keyAndGroup(), node{name: "other", typ: "orch.nodes.openstack.SecurityGroup"})...)
	r.sandbox.Faults.Add(fault.Rule{Service: "neutron", Method: "POST", Path: "security-groups", Body: "app-sg-0", Do: fault.Lose})
	reqs := requests(top, env{}, driver.Create, "create-")
	if o := run(t.Context(), r.driver, reqs); len(o.errs) != 1 || o.errs["sg[0]"] == nil {
		t.Fatalf("%v %v", o.err, o.errs)
	}
	// Somebody without the state has deployed the same name: one is like what there is already, one like nothing.
	lost := *r
	lost.states, lost.home = &states{}, t.TempDir()
	elsewhere := r.topology(node{name: "nowhere", typ: "orch.nodes.openstack.SecurityGroup"}, node{name: "other", typ: "orch.nodes.openstack.SecurityGroup"})
	beside := requests(elsewhere, env{}, driver.Create, "beside-")
	o := run(t.Context(), lost.newDriver(), beside)
	o.must(t, beside)
	nowhere, _ := o.results["nowhere[0]"].Attributes["id"].(string)
	second, _ := o.results["other[0]"].Attributes["id"].(string)
	wanted := requests(top, env{}, driver.Update, "")
	rows, err := r.driver.Survey(t.Context(), "app", wanted)
	if err != nil {
		t.Fatal(err)
	}
	orphan := ""
	for _, o := range rows {
		switch {
		case o.ID == nowhere && !strings.Contains(o.Reason, "no node nowhere"), o.ID == second && !strings.Contains(o.Reason, "already"):
			t.Errorf("reason: %+v", o)
		case o.Where == driver.InCloud && o.Name == "app-sg-0":
			orphan = o.ID
		}
	}
	if got := where(rows, driver.InCloud); len(got) != 3 || orphan == "" {
		t.Fatalf("orphans: %+v", got)
	}
	var told []event.Event
	rows, err = r.driver.Adopt(t.Context(), "app", wanted, []string{orphan}, func(e event.Event) { told = append(told, e) })
	if err != nil {
		t.Fatalf("%+v", err)
	}
	for _, o := range rows {
		// Its tags come in a request after the one whose reply was lost.
		if o.ID == orphan && (!o.Adopted || len(o.Changes) != 1 || o.Changes[0].Action != "update") {
			t.Errorf("adopted: %+v", o)
		}
	}
	if len(told) != 1 || told[0].Status != "adopted" || told[0].Value != orphan {
		t.Errorf("told: %+v", told)
	}
	again := requests(top, env{}, driver.Create, "again-")
	run(t.Context(), r.newDriver(), again).must(t, again)
	rows, err = r.driver.Survey(t.Context(), "app", wanted)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range rows {
		if o.Address != "" && (o.Where != driver.InBoth || len(o.Changes) > 0) || o.Kind == "security group" && o.Node == "sg" && o.ID != orphan {
			t.Errorf("afterwards: %+v", o)
		}
	}
	if changes, err := r.driver.Drift(t.Context(), wanted); err != nil || len(changes) > 0 {
		t.Errorf("drift: %v %+v", err, changes)
	}
	for _, id := range []string{nowhere, second} {
		if err := r.cloud.Delete(t.Context(), []driver.CloudResource{{Kind: "security group", ID: id}}); err != nil {
			t.Fatal(err)
		}
	}
	// What is gone although it is on record is said so.
	if err := r.cloud.Delete(t.Context(), []driver.CloudResource{{Kind: "security group", ID: orphan}}); err != nil {
		t.Fatal(err)
	}
	if rows, err = r.driver.Survey(t.Context(), "app", wanted); err != nil || len(where(rows, driver.InState)) != 2 { // with its rule
		t.Errorf("gone: %v %+v", err, rows)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}
