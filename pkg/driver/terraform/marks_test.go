package terraform_test

import (
	"slices"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
)

// By its marks a resource is found again when the record is lost. The provider does not read metadata and tags back, so that somebody has removed
// them is drift that Terraform does not see by itself.
func TestLostMarksAreDriftAndAreSetAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(node{name: "net", typ: "orch.nodes.openstack.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"network=net"}})
	reqs := requests(top, env{}, driver.Create, "create-")
	made := run(t.Context(), r.driver, reqs)
	made.must(t, reqs)
	server, _ := made.results["web[0]"].Attributes["server_id"].(string)
	network, _ := made.results["net[0]"].Attributes["network_id"].(string)
	update := requests(top, env{}, driver.Update, "update-")
	if changes, err := r.driver.Drift(t.Context(), update); err != nil || len(changes) > 0 {
		t.Fatalf("nothing has happened yet: %v %+v", err, changes)
	}

	hand := r.byHand()
	hand.do("DELETE", "compute", "/servers/"+server+"/metadata/orch.node", "", nil)
	hand.do("PUT", "network", "/v2.0/networks/"+network, "network", map[string]any{"network": map[string]any{"description": ""}})
	hand.do("DELETE", "network", "/v2.0/networks/"+network+"/tags", "", nil)
	changes, err := r.driver.Drift(t.Context(), update)
	if err != nil {
		t.Fatal(err)
	}
	for address, field := range map[string]string{"openstack_compute_instance_v2.web_0_server": "metadata", "openstack_networking_network_v2.net_0_network": "tags"} {
		if !slices.ContainsFunc(changes, func(c driver.Change) bool {
			return c.Address == address && c.Action == "update" && slices.ContainsFunc(c.Fields, func(f driver.FieldChange) bool { return f.Path == field })
		}) {
			t.Errorf("drift does not name %s of %s: %+v", field, address, changes)
		}
	}
	run(t.Context(), r.driver, update).must(t, update)
	left, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range left {
		if l.ID == server && l.Node != "web" || l.ID == network && l.Node != "net" {
			t.Errorf("its mark is not whole: %+v", l)
		}
	}
	if kinds := kindsOf(left); !slices.Contains(kinds, "server") || !slices.Contains(kinds, "network") {
		t.Errorf("found by their marks: %v", kinds)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}
