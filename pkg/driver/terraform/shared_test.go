package terraform_test

import (
	"slices"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

func serverWithAddress(r *rig) *topology.Topology {
	return r.topology(
		node{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute"},
		node{name: "port", typ: "orch.nodes.openstack.Port", requires: []string{"link=net", "binding=web"}},
		node{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"server=web"}})
}

// The key pair that all servers share is nobody's own: its loss is told of an instance that uses it, and updating that brings it back.
func TestWhatServersShareIsBroughtBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top, e := serverWithAddress(r), env{}
	reqs := requests(top, e, driver.Create, "create-")
	run(t.Context(), r.driver, reqs).must(t, reqs)
	have, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(have, func(c driver.CloudResource) bool { return c.Kind == "key pair" })
	if i < 0 {
		t.Fatalf("no key pair among %+v", have)
	}
	if err := r.cloud.Delete(t.Context(), have[i:i+1]); err != nil {
		t.Fatal(err)
	}

	wanted := requests(top, e, driver.Update, "drift-")
	changes, err := r.driver.Drift(t.Context(), wanted)
	if err != nil || len(changes) != 1 || changes[0].Action != "create" || !changes[0].Shared || changes[0].Instance.String() != "web[0]" {
		t.Fatalf("%v %+v", err, changes)
	}
	repair := requests(top, e, driver.Update, "repair-", "web")
	run(t.Context(), r.driver, repair).must(t, repair)
	if changes, err := r.driver.Drift(t.Context(), wanted); err != nil || len(changes) > 0 {
		t.Errorf("after the repair: %v %+v", err, changes)
	}
}

// While everything is removed, scripts reach the server by its floating address until the server goes, also those of an orch that is started
// anew meanwhile: what is on record of the server stays with what is in the cloud.
func TestAServerThatIsStillThereKeepsItsAddressOnRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top, e := serverWithAddress(r), env{}
	reqs := requests(top, e, driver.Create, "create-")
	run(t.Context(), r.driver, reqs).must(t, reqs)

	first := requests(top, e, driver.Delete, "delete-", "ip")
	o := run(t.Context(), r.driver, first)
	o.must(t, first)
	if also := o.results["ip[0]"].Also; len(also) > 0 {
		t.Errorf("news of the server, which has its address still: %+v", also)
	}
	left, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil || !slices.ContainsFunc(left, func(l driver.CloudResource) bool { return l.Kind == "floating IP" }) {
		t.Errorf("the address is gone before the server: %v %+v", err, left)
	}
	rest := requests(top, e, driver.Delete, "delete-", "web", "port", "net")
	run(t.Context(), r.driver, rest).must(t, rest)
	r.nothingLeft()
}
