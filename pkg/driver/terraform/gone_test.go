package terraform_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
)

// attached is a server with all that can be attached to one; its script says how it is wanted.
func (r *rig) attached(script string, action driver.Action) []*driver.Request {
	return requests(r.topology(
		node{name: "web", typ: "orch.nodes.openstack.Compute", props: map[string]any{"user_data": "#!/bin/sh\n# " + script + "\n"}},
		node{name: "net", typ: "orch.nodes.openstack.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "port", typ: "orch.nodes.openstack.Port", requires: []string{"link=net", "binding=web"}},
		node{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"server=web"}},
		node{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "1 GB"}, requires: []string{"attachment=web"}},
	), env{}, action, script+"-"+string(action)+"-")
}

// server is the id of the only one, "" if there is none.
func (r *rig) server() (id string) {
	r.t.Helper()
	found, err := r.cloud.Inventory(r.t.Context(), "app")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range found {
		if f.Kind == "server" {
			id += f.ID
		}
	}
	return id
}

// madeAnew wants the creation of the server, as a new plan has it, to make one with all that was attached to the old one.
func (r *rig) madeAnew(old string) {
	r.t.Helper()
	web := r.attached("two", driver.Create)[:1]
	o := run(r.t.Context(), r.newDriver(), web)
	o.must(r.t, web)
	if now := r.server(); now == "" || now == old || o.results["web[0]"].Host == nil || o.results["web[0]"].Host.ServerID != now {
		r.t.Fatalf("the server was %s, is %q, and known as %+v", old, now, o.results["web[0]"].Host)
	}
	if changes, err := r.driver.Plan(r.t.Context(), r.attached("two", driver.Update)); err != nil || len(changes) > 0 {
		r.t.Errorf("left to do: %+v, %v", changes, err)
	}
}

// Terraform is killed when the cloud has removed a server that is to be made anew, and it has not noted that yet: its state still has the server. Who
// goes on looks, makes the server, and attaches again what was attached to it.
func TestWhatAKilledTerraformRemovedIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	first := r.attached("one", driver.Create)
	run(t.Context(), r.driver, first).must(t, first)
	old := r.server()
	hang, err := r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: http.MethodDelete, Path: "/servers/" + old + "$", Count: -1, Do: fault.Hang})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan *outcome)
	go func() { ended <- run(t.Context(), r.driver, r.attached("two", driver.Update)) }()
	waitFor(t, "the deletion of the server", func() bool {
		b, _ := os.ReadFile(filepath.Join(r.home, "deployments", "app", "work", "events.jsonl"))
		return bytes.Contains(b, []byte("openstack_compute_instance_v2.web_0_server: Destroying"))
	})
	r.driver.Force("app")
	<-ended
	r.sandbox.Faults.Remove(hang)
	if err := r.cloud.Delete(t.Context(), []driver.CloudResource{{Service: "nova", Kind: "server", ID: old}}); err != nil { // what was asked for came to pass
		t.Fatal(err)
	}
	r.madeAnew(old)
}

// A server that is to be made anew has been removed, and the cloud refuses the new one. The next plan makes it, and what was attached is attached again.
func TestAReplacementThatWasRefusedHalfWayIsCompleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	first := r.attached("one", driver.Create)
	run(t.Context(), r.driver, first).must(t, first)
	old := r.server()
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: http.MethodPost, Path: "/servers$", Do: fault.Quota})
	if refused := run(t.Context(), r.driver, r.attached("two", driver.Update)); refused.errs["web[0]"] == nil || r.server() != "" {
		t.Fatalf("%v, server %q", refused.errs, r.server())
	}
	r.madeAnew(old)
}
