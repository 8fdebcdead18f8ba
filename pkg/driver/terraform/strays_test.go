package terraform_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/terraform"
)

// cutOff begins the requests, and kills Terraform with everything around it, orch first, when there is one more of a kind whose reply was lost.
// The security groups' creation hangs meanwhile.
func (r *rig) cutOff(kind string, lost fault.Rule, reqs []*driver.Request) {
	t := r.t
	t.Helper()
	lost.Method, lost.Do = "POST", fault.Lose
	for _, rule := range []fault.Rule{lost, {Service: "neutron", Method: "POST", Path: "security-groups", Do: fault.Hang}} {
		id, err := r.sandbox.Faults.Add(rule)
		if err != nil {
			t.Fatal(err)
		}
		defer r.sandbox.Faults.Remove(id)
	}
	before := r.counted(kind)
	ctx, detach := context.WithCancelCause(t.Context())
	ended := make(chan *outcome)
	go func() { ended <- run(ctx, r.driver, reqs) }()
	waitFor(t, "the "+kind, func() bool { return r.counted(kind) > before })
	detach(driver.ErrDetach)
	<-ended
	supervisor, ok := terraform.SupervisorOf(filepath.Join(r.home, "deployments", "app", "work"))
	if !ok {
		t.Fatal("no supervisor")
	}
	pids := []int{supervisor}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", supervisor))
	for _, f := range tasks {
		children, _ := os.ReadFile(f)
		for _, p := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(p); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) == 1 {
		t.Skip("this kernel does not list a process's children")
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// counted are the deployment's resources of a kind.
func (r *rig) counted(kind string) int {
	r.t.Helper()
	all, err := r.cloud.Inventory(r.t.Context(), "app")
	if err != nil {
		r.t.Fatal(err)
	}
	return count(all, kind)
}

// Who finds out that an apply was cut off need not be who goes on: what it made is not made twice.
func TestWhatACutOffApplyMadeIsFoundAfterALook(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(keyAndGroup()...)
	reqs := requests(top, env{}, driver.Create, "create-")
	r.cutOff("key pair", fault.Rule{Service: "nova", Path: "os-keypairs"}, reqs)
	if _, err := r.newDriver().Adopt(t.Context(), "app", requests(top, env{}, driver.Update, ""), []string{"none"}, nil); err != nil {
		t.Fatal(err)
	}
	run(t.Context(), r.newDriver(), reqs).must(t, reqs)
	if n := r.counted("key pair"); n != 1 {
		t.Errorf("%d key pairs", n)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

// A scaling out that was cut off is taken back: what it made goes, and an instance that stays keeps what it has.
func TestWhatACutOffScalingMadeGoesWithIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(append(keyAndGroup(), node{name: "net", typ: "tosca.nodes.network.Network"},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"network=net"}})...)
	first := requests(top, env{}, driver.Create, "create-", "net", "web")
	run(t.Context(), r.driver, first).must(t, first)
	var more []*driver.Request
	for _, q := range requests(top, env{"web": 2}, driver.Create, "more-", "web", "sg") {
		if q.Node.Name == "sg" || q.Instance == "1" {
			more = append(more, q)
		}
	}
	r.cutOff("port", fault.Rule{Service: "neutron", Path: "ports"}, more)
	// Another step first finds it out.
	key := requests(top, env{"web": 2}, driver.Create, "key-", "key")
	run(t.Context(), r.newDriver(), key).must(t, key)
	back := slices.Clone(more)
	for i, q := range back {
		c := *q
		c.Action, c.OpID = driver.Delete, "back-"+q.OpID
		back[i] = &c
	}
	run(t.Context(), r.newDriver(), back).must(t, back)
	if ports, servers := r.counted("port"), r.counted("server"); ports != 1 || servers != 1 {
		t.Errorf("%d ports, %d servers", ports, servers)
	}
	del := requests(top, env{}, driver.Delete, "delete-", "key", "net", "web")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

// Of steps that were cut off together, one is tried again before the other, and makes what it needs of it: a volume its server.
func TestWhatACutOffApplyMadeIsNotMadeTwiceForAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(keyAndGroup()[1], node{name: "net", typ: "tosca.nodes.network.Network"},
		node{name: "web", typ: "orch.nodes.openstack.Compute", props: map[string]any{"security_groups": []any{"default"}}, requires: []string{"network=net"}},
		node{name: "vol", typ: "orch.nodes.openstack.BlockStorage", props: map[string]any{"size": "1 GB"}, requires: []string{"attachment=web"}})
	net := requests(top, env{}, driver.Create, "create-", "net")
	run(t.Context(), r.driver, net).must(t, net)
	r.cutOff("server", fault.Rule{Service: "nova", Path: "servers"}, requests(top, env{}, driver.Create, "create-", "web", "vol", "sg"))
	for _, name := range []string{"vol", "web"} {
		again := requests(top, env{}, driver.Create, "again-", name)
		again[0].Attempt = 2
		run(t.Context(), r.newDriver(), again).must(t, again)
	}
	if n := r.counted("server"); n != 1 {
		t.Errorf("%d servers", n)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

// A server and a port that nobody has on record keep the subnet from going: the undeployment removes them first.
func TestUndeployRemovesFirstWhatBlocks(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(node{name: "net", typ: "tosca.nodes.network.Network"},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"network=net"}})
	net := requests(top, env{}, driver.Create, "create-", "net")
	run(t.Context(), r.driver, net).must(t, net)
	before, err := r.states.Load(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	web := requests(top, env{}, driver.Create, "create-", "web")
	run(t.Context(), r.driver, web).must(t, web)
	if err := r.states.Save(t.Context(), "app", before); err != nil {
		t.Fatal(err)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	for _, q := range del {
		q.Undeploy = true
	}
	run(t.Context(), r.newDriver(), del).must(t, del)
	for _, kind := range []string{"server", "port", "subnet", "network"} {
		if n := r.counted(kind); n > 0 {
			t.Errorf("%d of %s left", n, kind)
		}
	}
}
