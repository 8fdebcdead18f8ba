package terraform_test

import (
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
)

func TestATopologyIsMadeAndRemoved(t *testing.T) {
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(
		node{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"network=net"}},
	)
	reqs := requests(top, env{}, driver.Create, "create-")
	o := run(t.Context(), r.driver, reqs)
	o.must(t, reqs)
	for _, e := range o.events {
		t.Log(e.Time.Format("05.000"), e.Type, e.Key, e.Status, e.Message)
	}
	if o.results["net[0]"].Attributes["network_id"] == nil {
		t.Errorf("no network id: %v", o.results["net[0]"].Attributes)
	}
	again := run(t.Context(), r.newDriver(), requests(top, env{}, driver.Create, "again-"))
	again.must(t, reqs)
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}
