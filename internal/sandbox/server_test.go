package sandbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servergroups"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/orch-project/orch/internal/sandbox"
)

func TestAFlavorThatNoHostCanTakeEndsInErrorWithNovasFault(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	p, err := ports.Create(t.Context(), w.clients.network, ports.CreateOpts{NetworkID: w.network}).Extract()
	check(t, err)
	v := w.boot(servers.CreateOpts{
		Name: "lost", FlavorRef: flavorID(t, w.compute, sandbox.NowhereFlavor), Networks: []servers.Network{{Port: p.ID}},
	}, "ERROR")
	if v.Fault.Message != "No valid host was found. " || v.Fault.Code != 500 {
		t.Errorf("fault: %+v", v.Fault)
	}
	// Its port is free again, and the server can be deleted.
	p, err = ports.Get(t.Context(), w.clients.network, p.ID).Extract()
	check(t, err)
	if p.DeviceID != "" {
		t.Errorf("the port is still bound to %s", p.DeviceID)
	}
	check(t, servers.Delete(t.Context(), w.compute, v.ID).ExtractErr())
	eventually(t, "server is gone", func() bool { _, err := servers.Get(t.Context(), w.compute, v.ID).Extract(); return err != nil })
}

func TestServersAreBuiltAndDeletedAsynchronously(t *testing.T) {
	t.Parallel()
	slow := sandbox.Delays{Build: time.Hour, Delete: time.Second}
	w := build(t, start(t, sandbox.Options{Delays: slow}))
	v, err := servers.Create(t.Context(), w.compute, servers.CreateOpts{
		Name: "slow", FlavorRef: w.flavor, ImageRef: w.image, Networks: []servers.Network{{UUID: w.network}},
	}, nil).Extract()
	check(t, err)
	eventually(t, "it spawns", func() bool {
		v, err := servers.Get(t.Context(), w.compute, v.ID).Extract()
		check(t, err)
		return v.Status == "BUILD" && v.TaskState == "spawning"
	})
	// An action must wait, a deletion need not: it interrupts the build.
	err = servers.Stop(t.Context(), w.compute, v.ID).ExtractErr()
	if err == nil || !strings.Contains(err.Error(), "while it is in task_state spawning") && !strings.Contains(err.Error(), "vm_state building") {
		t.Errorf("stop during BUILD: %v", err)
	}
	check(t, servers.Delete(t.Context(), w.compute, v.ID).ExtractErr())
	// A busy machine may see it gone already.
	if v, err := servers.Get(t.Context(), w.compute, v.ID).Extract(); err == nil && v.TaskState != "deleting" {
		t.Errorf("task state %q", v.TaskState)
	}
	eventually(t, "it is gone", func() bool { _, err := servers.Get(t.Context(), w.compute, v.ID).Extract(); return err != nil })
	eventually(t, "its port is gone", func() bool { i, _ := w.s.Inventory(sandbox.Demo); return i.Counts()["port"] == 3 }) // DHCP, interface, gateway
}

func TestActionsChangeTheServerAndConflictWhenTheyCannot(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	ctx := t.Context()
	v := w.boot(servers.CreateOpts{Name: "a"}, "ACTIVE")
	c := rawClient(t, w.s, sandbox.Demo)
	act := func(status int, body string) string {
		t.Helper()
		got, _, text := c.do("POST", "/compute/v2.1/servers/"+v.ID+"/action", body)
		if got != status {
			t.Fatalf("%s: %d %s", body, got, text)
		}
		return text
	}
	act(409, `{"os-start":null}`)
	act(202, `{"os-stop":null}`)
	w.await(v.ID, "SHUTOFF")
	if text := act(409, `{"reboot":{"type":"SOFT"}}`); !strings.Contains(text, "Cannot 'reboot' instance "+v.ID+" while it is in vm_state stopped") {
		t.Error(text)
	}
	act(202, `{"os-start":null}`)
	w.await(v.ID, "ACTIVE")
	act(202, `{"reboot":{"type":"HARD"}}`)
	w.await(v.ID, "ACTIVE")
	for action, state := range map[string]string{"pause": "PAUSED", "suspend": "SUSPENDED"} {
		act(202, `{"`+action+`":null}`)
		w.await(v.ID, state)
		act(202, map[string]string{"pause": `{"unpause":null}`, "suspend": `{"resume":null}`}[action])
		w.await(v.ID, "ACTIVE")
	}
	check(t, servers.Resize(ctx, w.compute, v.ID, servers.ResizeOpts{FlavorRef: flavorID(t, w.compute, "m1.small")}).ExtractErr())
	w.await(v.ID, "VERIFY_RESIZE")
	check(t, servers.ConfirmResize(ctx, w.compute, v.ID).ExtractErr())
	if v := w.await(v.ID, "ACTIVE"); v.Flavor["id"] != flavorID(t, w.compute, "m1.small") {
		t.Errorf("flavor after the resize: %v", v.Flavor)
	}
	check(t, servers.Resize(ctx, w.compute, v.ID, servers.ResizeOpts{FlavorRef: flavorID(t, w.compute, "m1.medium")}).ExtractErr())
	w.await(v.ID, "VERIFY_RESIZE")
	check(t, servers.RevertResize(ctx, w.compute, v.ID).ExtractErr())
	if v := w.await(v.ID, "ACTIVE"); v.Flavor["id"] != flavorID(t, w.compute, "m1.small") {
		t.Errorf("flavor after the revert: %v", v.Flavor)
	}
	_, err := servers.Rebuild(ctx, w.compute, v.ID, servers.RebuildOpts{ImageRef: w.image, Name: "b"}).Extract()
	check(t, err)
	if v := w.await(v.ID, "ACTIVE"); v.Name != "b" || len(v.Addresses) != 1 {
		t.Errorf("after the rebuild: %+v", v)
	}
	act(202, `{"lock":null}`)
	if text := act(409, `{"os-stop":null}`); !strings.Contains(text, "is locked") {
		t.Error(text)
	}
	act(202, `{"unlock":null}`)
	act(400, `{"dance":null}`)
	act(403, `{"os-resetState":{"state":"error"}}`)
	act(202, `{"addSecurityGroup":{"name":"sg"}}`)
	if v := w.await(v.ID, "ACTIVE"); len(v.SecurityGroups) != 2 {
		t.Errorf("groups: %v", v.SecurityGroups)
	}
	act(202, `{"removeSecurityGroup":{"name":"sg"}}`)
	out, err := servers.ShowConsoleOutput(ctx, w.compute, v.ID, servers.ShowConsoleOutputOpts{}).Extract()
	check(t, err)
	if !strings.Contains(out, "login:") {
		t.Errorf("console: %q", out)
	}
	history := at(t, c.must(200, "GET", "/compute/v2.1/servers/"+v.ID+"/os-instance-actions", ""), "instanceActions").([]any)
	if last := history[len(history)-1].(map[string]any); last["action"] != "create" {
		t.Errorf("history: %v", last)
	}
}

func TestServerGroupsRuleWhereServersRun(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{Hypervisors: 2}))
	boot := func(group, name, want string) *servers.Server {
		t.Helper()
		v, err := servers.Create(t.Context(), w.compute, servers.CreateOpts{
			Name: name, FlavorRef: w.flavor, ImageRef: w.image, Networks: []servers.Network{{UUID: w.network}},
		}, servers.SchedulerHintOpts{Group: group}).Extract()
		check(t, err)
		return w.await(v.ID, want)
	}
	make := func(policy string) string {
		g, err := servergroups.Create(t.Context(), w.compute, servergroups.CreateOpts{Name: policy, Policies: []string{policy}}).Extract()
		check(t, err)
		return g.ID
	}
	anti := make("anti-affinity")
	a, b := boot(anti, "a", "ACTIVE"), boot(anti, "b", "ACTIVE")
	if a.HostID == b.HostID {
		t.Error("an anti-affinity group's servers share a host")
	}
	if v := boot(anti, "c", "ERROR"); v.Fault.Message != "No valid host was found. " {
		t.Errorf("fault: %+v", v.Fault)
	}
	together := make("affinity")
	if a, b := boot(together, "d", "ACTIVE"), boot(together, "e", "ACTIVE"); a.HostID != b.HostID {
		t.Error("an affinity group's servers are apart")
	}
	g, err := servergroups.Get(t.Context(), w.compute, together).Extract()
	check(t, err)
	if len(g.Members) != 2 {
		t.Errorf("members: %v", g.Members)
	}
}

func TestManyServersAtOnceGetDifferentAddresses(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	c := rawClient(t, w.s, sandbox.Demo)
	const n = 30
	errs := make(chan error, n)
	for i := range n {
		go func() {
			path, body := "/networking/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, w.network)
			switch i % 3 {
			case 1:
				path, body = "/networking/v2.0/floatingips", fmt.Sprintf(`{"floatingip":{"floating_network_id":%q}}`, w.external)
			case 2:
				path, body = "/compute/v2.1/servers", fmt.Sprintf(`{"server":{"name":"s","flavorRef":"1","imageRef":%q,"networks":[{"uuid":%q}]}}`, w.image, w.network)
			}
			status, _, text, err := c.try(t.Context(), "POST", path, body)
			if err == nil && status != 201 && status != 202 {
				err = fmt.Errorf("%s: %d %s", path, status, text)
			}
			errs <- err
		}()
	}
	for range n {
		check(t, <-errs)
	}
	eventually(t, "all servers are ACTIVE", func() bool {
		return len(at(t, c.must(200, "GET", "/compute/v2.1/servers?status=ACTIVE", ""), "servers").([]any)) == n/3
	})
	admin := rawClient(t, w.s, sandbox.Admin)
	seen := map[string]bool{}
	for _, p := range at(t, admin.must(200, "GET", "/networking/v2.0/ports", ""), "ports").([]any) {
		for _, ip := range at(t, p, "fixed_ips").([]any) {
			a := at(t, ip, "ip_address").(string)
			if seen[a] {
				t.Errorf("%s is given twice", a)
			}
			seen[a] = true
		}
	}
}

func TestASubnetRunsOutOfAddresses(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	net := id(t, c.must(201, "POST", "/networking/v2.0/networks", `{"network":{}}`), "network")
	c.must(201, "POST", "/networking/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.1.0.0/29","ip_version":4,"enable_dhcp":false}}`, net))
	body := fmt.Sprintf(`{"port":{"network_id":%q}}`, net)
	var last string
	for range 5 { // .2 to .6
		last = id(t, c.must(201, "POST", "/networking/v2.0/ports", body), "port")
	}
	if status, _, text := c.do("POST", "/networking/v2.0/ports", body); status != 409 || !strings.Contains(text, "IpAddressGenerationFailure") {
		t.Errorf("%d %s", status, text)
	}
	c.must(204, "DELETE", "/networking/v2.0/ports/"+last, "")
	c.must(201, "POST", "/networking/v2.0/ports", body)
}

func TestAServerOnTheExternalNetworkFailsWhereNovaFindsOut(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	v := w.boot(servers.CreateOpts{Name: "out", Networks: []servers.Network{{UUID: w.external}}}, "ERROR")
	if want := "Build of instance " + v.ID + " aborted: Failed to allocate the network(s), not rescheduling."; v.Fault.Message != want {
		t.Errorf("fault: %+v", v.Fault)
	}
}

func TestARouterKeepsItsGatewayWhenANewOneIsRefused(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	c := rawClient(t, w.s, sandbox.Demo)
	before := at(t, c.must(200, "GET", "/networking/v2.0/routers/"+w.router, ""), "router", "external_gateway_info", "external_fixed_ips", 0, "ip_address")
	body := fmt.Sprintf(`{"router":{"external_gateway_info":{"network_id":%q,"external_fixed_ips":[{"ip_address":"192.0.2.77"}]}}}`, w.external)
	c.must(400, "PUT", "/networking/v2.0/routers/"+w.router, body)
	after := at(t, c.must(200, "GET", "/networking/v2.0/routers/"+w.router, ""), "router", "external_gateway_info", "external_fixed_ips", 0, "ip_address")
	if before != after {
		t.Errorf("gateway %v became %v", before, after)
	}
}
