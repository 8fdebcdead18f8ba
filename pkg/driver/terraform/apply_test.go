package terraform_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// small is a topology whose pieces take the provider no built-in waits: no network of its own.
func keyAndGroup() []node {
	return []node{
		{name: "key", typ: "orch.nodes.openstack.KeyPair"},
		{name: "sg", typ: "orch.nodes.openstack.SecurityGroup", props: map[string]any{"rules": []any{map[string]any{"protocol": "tcp", "port": 80}}}},
	}
}

func TestATopologyIsMadeChangedAndRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(append(keyAndGroup(),
		node{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "router", typ: "orch.nodes.openstack.Router", requires: []string{"network=net"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"key=key", "security_group=sg", "server_group=together"},
			props: map[string]any{"user_data": "#!/bin/sh\necho s3cret-user-data\n"}},
		node{name: "together", typ: "orch.nodes.openstack.ServerGroup", props: map[string]any{"policies": []any{"anti-affinity"}}},
		node{name: "port", typ: "tosca.nodes.network.Port", requires: []string{"link=net", "binding=web"}},
		node{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"port=port"}},
		node{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "1 GB"}, requires: []string{"attachment=web"}},
	)...)
	e := env{"web": 2, "port": 2, "ip": 2, "data": 2}
	reqs := requests(top, e, driver.Create, "create-")
	for _, n := range []string{"port", "ip", "data"} {
		if top.NodeNamed(n).ScalesWith == "" {
			t.Fatalf("%s does not scale with its server", n)
		}
	}
	o := run(t.Context(), r.driver, reqs)
	o.must(t, reqs)

	t.Run("hosts and attributes come back", func(t *testing.T) {
		web := o.results["web[1]"]
		h := web.Host
		if h == nil || len(h.Addresses) != 1 || h.User != "debian" || h.KeyRef != "deployments/app/key/ssh-key" || len(h.HostKeys) != 1 || h.HostKeySource != "injected" || h.ServerID == "" {
			t.Fatalf("host: %+v", h)
		}
		if fip := o.results["ip[1]"].Attributes["address"]; h.Addresses[0] != fip || web.Attributes["public_address"] != fip {
			t.Errorf("the floating address %v is not the one of %v", fip, h.Addresses)
		}
		if a, _ := web.Attributes["private_address"].(string); !strings.HasPrefix(a, "10.9.0.") {
			t.Errorf("private_address = %v", web.Attributes["private_address"])
		}
		if d, _ := o.results["data[0]"].Attributes["device"].(string); !strings.HasPrefix(d, "/dev/") {
			t.Errorf("device = %v", d)
		}
		for id, v := range map[string]string{"net[0]": "network_id", "router[0]": "router_id", "sg[0]": "security_group_id", "together[0]": "server_group_id", "port[0]": "port_id"} {
			if s, _ := o.results[id].Attributes[v].(string); s == "" {
				t.Errorf("%s has no %s: %v", id, v, o.results[id].Attributes)
			}
		}
	})
	t.Run("what is ready is reported before the rest", func(t *testing.T) {
		if slices.Index(o.order, "key[0]") > slices.Index(o.order, "web[0]") || slices.Index(o.order, "web[0]") > slices.Index(o.order, "data[0]") {
			t.Errorf("order: %v", o.order)
		}
	})
	t.Run("no secret is in a file, event or result", func(t *testing.T) {
		private := r.secrets.m["deployments/app/key/ssh-key"].Reveal()
		needle := strings.Split(private, "\n")[2]
		for _, ev := range o.events {
			if strings.Contains(ev.Message+ev.Value, needle) || strings.Contains(ev.Message, "s3cret-user-data") {
				t.Errorf("event: %+v", ev)
			}
		}
	})
	t.Run("the same again changes nothing", func(t *testing.T) {
		again := run(t.Context(), r.newDriver(), requests(top, e, driver.Create, "again-"))
		again.must(t, reqs)
		for id, res := range again.results {
			if res.Changed {
				t.Errorf("%s changed", id)
			}
		}
		if len(again.events) > 0 {
			t.Errorf("events: %v", again.events)
		}
		changes, err := r.driver.Plan(t.Context(), requests(top, e, driver.Update, ""))
		if err != nil || len(changes) > 0 {
			t.Errorf("plan: %v %+v", err, changes)
		}
	})
	t.Run("what the state has lost is adopted", func(t *testing.T) { r.lostStateIsAdopted(t, top, e) })
	t.Run("scale in removes one instance with what belongs to it", func(t *testing.T) {
		var in []*driver.Request
		for _, q := range requests(top, e, driver.Delete, "in-", "web", "port", "ip", "data") {
			if q.Instance == "1" {
				in = append(in, q)
			}
		}
		run(t.Context(), r.driver, in).must(t, in)
		left, err := r.cloud.Inventory(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range left {
			if l.Instance == "1" {
				t.Errorf("left: %+v", l)
			}
		}
		if n := count(left, "server"); n != 1 {
			t.Errorf("%d servers are left", n)
		}
	})
	t.Run("steps in the order of the uninstall leave nothing", func(t *testing.T) {
		for _, names := range [][]string{{"data", "ip"}, {"port"}, {"web"}, {"router", "together"}, {"net", "key", "sg"}} {
			del := requests(top, env{}, driver.Delete, "del-", names...)
			run(t.Context(), r.driver, del).must(t, del)
		}
		r.nothingLeft()
	})
}

func count(list []driver.CloudResource, kind string) int {
	n := 0
	for _, l := range list {
		if l.Kind == kind {
			n++
		}
	}
	return n
}

func TestTheCloudsOwnWordsReachTheNodeThatFailed(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(append(keyAndGroup(),
		node{name: "net", typ: "tosca.nodes.network.Network"},
		node{name: "lost", typ: "orch.nodes.openstack.Compute", props: map[string]any{"flavor": "x1.nowhere"}, requires: []string{"network=net"}},
		node{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "1 GB"}, requires: []string{"attachment=lost"}},
		node{name: "big", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "99999 GB"}},
	)...)
	reqs := requests(top, env{}, driver.Create, "create-")
	o := run(t.Context(), r.driver, reqs)
	for id, want := range map[string]struct {
		text  string
		class terraform.Class
	}{
		"lost[0]": {"No valid host was found", terraform.ClassCapacity},
		"big[0]":  {"quota", terraform.ClassQuota},
		"data[0]": {"because lost[0] failed", terraform.ClassCapacity},
	} {
		var de *driver.Error
		var ce *terraform.CloudError
		if err := o.errs[id]; !errors.As(err, &de) || !errors.As(err, &ce) || !strings.Contains(err.Error(), want.text) || ce.Class != want.class || de.Hint == "" {
			t.Errorf("%s: %#v %v", id, err, err)
		}
	}
	for _, id := range []string{"net[0]", "key[0]", "sg[0]"} {
		if err := o.errs[id]; err != nil {
			t.Errorf("%s failed, too: %v", id, err)
		}
	}
	// Another step meanwhile leaves the failed server alone.
	top.NodeNamed("lost").Properties.Set("flavor", value("m1.tiny"))
	key := requests(top, env{}, driver.Delete, "key-", "key")
	run(t.Context(), r.driver, key).must(t, key)
	if left, _ := r.cloud.Inventory(t.Context(), "app"); count(left, "key pair") != 1 { // the deployment's own is left
		t.Errorf("key pairs: %+v", left)
	}
	// With the reason gone, a retry replaces the server in ERROR.
	retry := requests(top, env{}, driver.Create, "retry-", "lost", "data")
	for _, q := range retry {
		q.Attempt = 2
	}
	run(t.Context(), r.driver, retry).must(t, retry)
	left, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil || count(left, "server") != 1 || count(left, "volume") != 1 {
		t.Errorf("after the retry: %v %+v", err, left)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

// waitFor polls until a condition holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s did not happen", what)
}

func TestARunSurvivesItsOrch(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(keyAndGroup()...)
	top.NodeNamed("sg").Properties.Set("description", &topology.Value{Kind: topology.CallValue,
		Call: &topology.Call{Fn: "get_secret", Args: []*topology.Value{topology.Lit("words")}}})
	// The key pair's request hangs for a while, so that there is time to leave.
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "os-keypairs", Do: fault.Delay, Delay: fault.Duration(4 * time.Second)})
	reqs := requests(top, env{}, driver.Create, "create-")
	ctx, leave := context.WithCancelCause(t.Context())
	ended := make(chan *outcome)
	go func() { ended <- run(ctx, r.driver, reqs) }()
	work := filepath.Join(r.home, "deployments", "app", "work")
	waitFor(t, "the start of the apply", func() bool {
		b, _ := os.ReadFile(filepath.Join(work, "events.jsonl"))
		return bytes.Contains(b, []byte(`"apply_start"`))
	})
	// Terraform's own state holds what it was told; it lies in a directory of mode 0700 for as long as the run lasts.
	files, _ := filepath.Glob(filepath.Join(work, "*"))
	for _, f := range files {
		if b, _ := os.ReadFile(f); filepath.Base(f) != "terraform.tfstate" && bytes.Contains(b, []byte("s3cret-value")) {
			t.Errorf("the secret is in %s", f)
		}
	}
	if pid, ok := terraform.SupervisorOf(work); ok {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(b, []byte("s3cret-value")) {
			t.Error("the secret is in the arguments")
		}
	}
	leave(driver.ErrDetach)
	first := <-ended
	if !errors.Is(first.err, driver.ErrDetach) || len(first.errs) > 0 {
		t.Fatalf("detached: %v %v", first.err, first.errs)
	}
	if info, err := os.Stat(filepath.Join(r.home, "deployments", "app")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("work directory: %v %v", info.Mode(), err)
	}
	second := run(t.Context(), r.newDriver(), reqs)
	second.must(t, reqs)
	if !slices.ContainsFunc(second.events, func(e event.Event) bool { return strings.Contains(e.Message, "re-attached") }) {
		t.Error("the second run did not attach to the first")
	}
	for _, id := range []string{"key[0]", "sg[0]"} {
		if !second.results[id].Changed {
			t.Errorf("%s was not made by the run that was re-attached", id)
		}
	}
	if _, err := os.Stat(work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run's files are left: %v", err)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

func TestWhatAKilledTerraformMadeIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(keyAndGroup()...)
	// The reply of the security group's creation is lost, and Terraform with everything around it is killed while it waits.
	hang, err := r.sandbox.Faults.Add(fault.Rule{Service: "neutron", Method: "POST", Path: "security-groups", Do: fault.Hang})
	if err != nil {
		t.Fatal(err)
	}
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "os-keypairs", Do: fault.Lose})
	reqs := requests(top, env{}, driver.Create, "create-")
	ended := make(chan *outcome)
	go func() { ended <- run(t.Context(), r.driver, reqs) }()
	work := filepath.Join(r.home, "deployments", "app", "work")
	waitFor(t, "the key pair", func() bool {
		left, _ := r.cloud.Inventory(t.Context(), "app")
		return count(left, "key pair") == 1
	})
	r.driver.Force("app")
	first := <-ended
	if len(first.errs) != 2 {
		t.Fatalf("killed: %v %v", first.err, first.errs)
	}
	if _, err := os.Stat(work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run's files are left: %v", err)
	}
	r.sandbox.Faults.Remove(hang)
	for _, q := range reqs {
		q.Attempt, q.OpID = 2, q.OpID+"2"
	}
	run(t.Context(), r.driver, reqs).must(t, reqs)
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

func TestCancelStopsAfterWhatHasBegun(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(keyAndGroup()...)
	r.sandbox.Faults.Add(fault.Rule{Service: "neutron", Method: "POST", Path: "security-groups", Do: fault.Delay, Delay: fault.Duration(3 * time.Second)})
	reqs := requests(top, env{}, driver.Create, "create-")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan *outcome)
	go func() { ended <- run(ctx, r.driver, reqs) }()
	waitFor(t, "the start of the apply", func() bool {
		b, _ := os.ReadFile(filepath.Join(r.home, "deployments", "app", "work", "events.jsonl"))
		return bytes.Contains(b, []byte(`"apply_start"`))
	})
	cancel()
	o := <-ended
	if o.errs["sg[0]"] == nil {
		t.Errorf("the security group's rule was made after the cancel: %v", o.results)
	}
	// What had begun is known: the undeploy removes it without searching.
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

func TestASupervisorThatWasKilledIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(keyAndGroup()...)
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "os-keypairs", Do: fault.Delay, Delay: fault.Duration(3 * time.Second)})
	reqs := requests(top, env{}, driver.Create, "create-")
	ended := make(chan *outcome)
	go func() { ended <- run(t.Context(), r.driver, reqs) }()
	work := filepath.Join(r.home, "deployments", "app", "work")
	waitFor(t, "the start of the apply", func() bool {
		b, _ := os.ReadFile(filepath.Join(work, "events.jsonl"))
		return bytes.Contains(b, []byte(`"apply_start"`))
	})
	pid, ok := terraform.SupervisorOf(work)
	if !ok {
		t.Fatal("no supervisor")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Terraform itself is followed to its end, and the state says that all is well.
	(<-ended).must(t, reqs)
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}
