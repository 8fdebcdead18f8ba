package terraform_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
)

// everything has one of each kind that can be adopted.
func everything() []node {
	return append(keyAndGroup(),
		node{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "router", typ: "orch.nodes.openstack.Router", requires: []string{"network=net"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"key=key", "security_group=sg", "server_group=together"},
			props: map[string]any{"user_data": "#!/bin/sh\necho s3cret-user-data\n"}},
		node{name: "together", typ: "orch.nodes.openstack.ServerGroup", props: map[string]any{"policies": []any{"anti-affinity"}}},
		node{name: "port", typ: "tosca.nodes.network.Port", requires: []string{"link=net", "binding=web"}},
		node{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"port=port"}},
		node{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "1 GB"}, requires: []string{"attachment=web"}},
	)
}

func where(rows []driver.Surveyed, where string) (out []driver.Surveyed) {
	for _, r := range rows {
		if r.Where == where {
			out = append(out, r)
		}
	}
	return out
}

func TestWhatTheStateHasLostIsAdopted(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(everything()...)
	e := env{"web": 2, "port": 2, "ip": 2, "data": 2}
	reqs := requests(top, e, driver.Create, "create-")
	run(t.Context(), r.driver, reqs).must(t, reqs)
	wanted := requests(top, e, driver.Update, "")
	rows, err := r.driver.Survey(t.Context(), "app", wanted)
	if err != nil {
		t.Fatal(err)
	}
	all := len(where(rows, driver.InBoth))
	if all != len(rows) || all < 15 {
		t.Fatalf("before: %d of %d are in both: %+v", all, len(rows), rows)
	}
	before := string(r.states.data["app"])
	r.states.data = nil

	rows, err = r.driver.Survey(t.Context(), "app", wanted)
	if err != nil {
		t.Fatal(err)
	}
	if got := where(rows, driver.InCloud); len(got) != all || len(rows) != all {
		t.Errorf("%d of %d are orphans: %+v", len(got), all, rows)
	}
	for _, o := range rows {
		if o.Reason != "" || o.Address == "" || len(o.Owners) == 0 {
			t.Errorf("cannot be adopted: %+v", o)
		}
	}
	rows, err = r.driver.Adopt(t.Context(), "app", wanted, nil, nil)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	for _, o := range rows {
		if !o.Adopted || len(o.Changes) > 0 {
			t.Errorf("not adopted as it is: %+v", o)
		}
	}
	t.Log(before)
	t.Log(string(r.states.data["app"]))
	if strings.Contains(string(r.states.data["app"]), `"differs"`) {
		t.Error("something is to be changed")
	}
	// What is adopted is what would have been made: nothing to do, and nothing drifted.
	again := requests(top, e, driver.Create, "again-")
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
	del := requests(top, e, driver.Delete, "delete-")
	slices.Reverse(del)
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}
