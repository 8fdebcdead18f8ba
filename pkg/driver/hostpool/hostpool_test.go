package hostpool_test

import (
	"context"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/hostpool"
	"github.com/orch-project/orch/pkg/event"
	pool "github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// Replacing a server gives it another host of the pool, under the same operation the same one, and the old one is free.
func TestReplaceGivesAnotherHost(t *testing.T) {
	store := mem.New(mem.Options{})
	defer store.Close()
	hosts := pool.New(pool.Options{Store: store, Reach: func(context.Context, *pool.Host) error { return nil }})
	for _, name := range []string{"a", "b"} {
		address := name + ".example"
		if _, err := hosts.Add(t.Context(), "lab", name, pool.Wanted{Host: &address}); err != nil {
			t.Fatal(err)
		}
	}
	d := hostpool.New(hostpool.Options{Pool: hosts, Location: func(context.Context, string) (plugin.Location, error) {
		return plugin.Location{Name: "lab", Plugin: hostpool.Plugin}, nil
	}})
	server := &topology.Node{Name: "server", Type: topology.Type{"tosca.nodes.Compute"}, Properties: topology.NewValues(), Native: true}
	top := &topology.Topology{Nodes: []*topology.Node{server}}
	top.Reindex()
	run := func(action driver.Action, op string) (address string, told []string) {
		t.Helper()
		req := &driver.Request{Deployment: "d", Action: action, OpID: op, Topology: top, Node: server, Instance: "0"}
		res, err := d.Run(t.Context(), req, func(e event.Event) { told = append(told, e.Status) })
		if err != nil {
			t.Fatal(err)
		}
		if action == driver.Delete {
			return "", told
		}
		if res.Host == nil || res.Attributes["ip_address"] != res.Host.Addresses[0] {
			t.Fatalf("%s: %+v", action, res)
		}
		return res.Host.Addresses[0], told
	}
	first, _ := run(driver.Create, "op-1")
	if again, _ := run(driver.Create, "op-1"); again != first {
		t.Errorf("the same again: %s, not %s", again, first)
	}
	second, _ := run(driver.Replace, "op-2")
	if second == first {
		t.Errorf("replaced by itself: %s", second)
	}
	if again, _ := run(driver.Replace, "op-2"); again != second { // its process died before it could note the end
		t.Errorf("the same replacement again: %s, not %s", again, second)
	}
	if now, _ := run(driver.Update, "op-3"); now != second {
		t.Errorf("an update has moved it to %s", now)
	}
	held, err := hosts.Held(t.Context(), "lab", "d")
	if err != nil || len(held) != 1 {
		t.Errorf("held: %v, %v", held, err)
	}
	if _, told := run(driver.Delete, "op-4"); len(told) != 1 || told[0] != "released" {
		t.Errorf("told: %v", told)
	}
	if held, err := hosts.Held(t.Context(), "lab", "d"); err != nil || len(held) != 0 {
		t.Errorf("held afterwards: %v, %v", held, err)
	}
}
