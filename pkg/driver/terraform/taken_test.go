package terraform_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// An update that leaves a floating IP out takes it from the server, in the cloud and on record; the server stays as it is.
func TestAFloatingIPIsTakenFromItsServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	nodes := []node{
		{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		{name: "web", typ: "orch.nodes.openstack.Compute"},
		{name: "port", typ: "orch.nodes.openstack.Port", requires: []string{"link=net", "binding=web"}},
	}
	before, after := r.topology(append(slices.Clone(nodes), node{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"server=web"}})...), r.topology(nodes...)
	e := env{}
	reqs := requests(before, e, driver.Create, "create-")
	made := run(t.Context(), r.driver, reqs)
	made.must(t, reqs)
	server := made.results["web[0]"].Host.ServerID

	take := requests(before, e, driver.Delete, "take-", "ip")
	take[0].Wanted = after
	changes, err := r.driver.Plan(t.Context(), take)
	if err != nil || len(changes) != 2 {
		t.Errorf("the plan is to remove the address and its association: %v %+v", err, changes)
	}
	o := run(t.Context(), r.driver, take)
	o.must(t, take)
	left, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range left {
		if l.Node == "ip" {
			t.Errorf("left in the cloud: %+v", l)
		}
	}
	for id, web := range o.results["ip[0]"].Also {
		if h := web.Host; id.Node != "web" || h == nil || h.ServerID != server || len(h.Addresses) != 1 || h.Addresses[0] != web.Attributes["private_address"] {
			t.Errorf("%s is reached by %+v", id, web.Host)
		}
		if !slices.Contains(web.Unset, "public_address") || web.Attributes["public_address"] != nil {
			t.Errorf("public_address: %v, without a value: %v", web.Attributes["public_address"], web.Unset)
		}
	}
	if len(o.results["ip[0]"].Also) != 1 {
		t.Errorf("want news of the server, got %v", o.results["ip[0]"].Also)
	}

	gone := requests(after, e, driver.Delete, "delete-")
	run(t.Context(), r.driver, gone).must(t, gone)
	r.nothingLeft()
}

// An update that moves a floating IP from one server to another takes it from the record of the first.
func TestAFloatingIPIsMoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	nodes := []node{
		{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		{name: "a", typ: "orch.nodes.openstack.Compute"},
		{name: "b", typ: "orch.nodes.openstack.Compute"},
		{name: "pa", typ: "orch.nodes.openstack.Port", requires: []string{"link=net", "binding=a"}},
		{name: "pb", typ: "orch.nodes.openstack.Port", requires: []string{"link=net", "binding=b"}},
	}
	e := env{}
	at := func(port string) *topology.Topology {
		return r.topology(append(slices.Clone(nodes), node{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"port=" + port}})...)
	}
	reqs := requests(at("pa"), e, driver.Create, "create-")
	run(t.Context(), r.driver, reqs).must(t, reqs)
	for i, to := range []string{"pb", "pa", "pb"} {
		move := requests(at(to), e, driver.Update, fmt.Sprintf("move-%d-", i), "ip")
		o := run(t.Context(), r.driver, move)
		o.must(t, move)
		has, lacks := "a[0]", "b[0]"
		if to == "pb" {
			has, lacks = lacks, has
		}
		for id, res := range o.results["ip[0]"].Also {
			reached := slices.Contains(res.Host.Addresses, fmt.Sprint(o.results["ip[0]"].Attributes["address"]))
			switch id.String() {
			case has:
				if !reached || res.Attributes["public_address"] == nil {
					t.Errorf("moved to %s, %s is reached by %v, public_address %v", to, id, res.Host.Addresses, res.Attributes["public_address"])
				}
			case lacks:
				if reached || !slices.Contains(res.Unset, "public_address") {
					t.Errorf("moved to %s, %s is reached by %v, public_address %v", to, id, res.Host.Addresses, res.Attributes["public_address"])
				}
			}
		}
		if n := len(o.results["ip[0]"].Also); n != 2 {
			t.Errorf("moved to %s, %d servers are told", to, n)
		}
	}
	gone := requests(at("pb"), e, driver.Delete, "delete-")
	run(t.Context(), r.driver, gone).must(t, gone)
	r.nothingLeft()
}
