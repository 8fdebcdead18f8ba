package terraform_test

import (
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
)

// unnoted makes a server with all that can be attached, while the replies to the creation of parts are lost: they exist, and no state knows them.
func unnoted(t *testing.T) *rig {
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	for _, f := range []fault.Rule{
		{Service: "neutron", Method: "PUT", Path: "add_router_interface"},
		{Service: "neutron", Method: "POST", Path: "security-group-rules"},
		{Service: "nova", Method: "POST", Path: "os-volume_attachments"},
	} {
		f.Do = fault.Lose
		if _, err := r.sandbox.Faults.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	if first := run(t.Context(), r.driver, r.attached("one", driver.Create)); len(first.errs) == 0 {
		t.Fatalf("nothing was lost: %v", first.order)
	}
	return r
}

// The cloud refuses a second interface of a router on a subnet, a second attachment of a volume, a second equal rule: what an attempt has made without
// anybody noting it must go before the next one.
func TestPartsThatNoStateKnowsAreMadeAnew(t *testing.T) {
	t.Parallel()
	r := unnoted(t)
	for try := 2; ; try++ { // the attachment is tried when the server is there
		reqs := r.attached("one", driver.Create)
		for _, q := range reqs {
			q.Attempt, q.OpID = try, q.OpID+string(rune('0'+try))
		}
		o := run(t.Context(), r.driver, reqs)
		if len(o.errs) == 0 {
			break
		}
		if try == 3 {
			t.Fatalf("%v", o.errs)
		}
	}
	if changes, err := r.driver.Plan(t.Context(), r.attached("one", driver.Update)); err != nil || len(changes) > 0 {
		t.Errorf("left to do: %+v, %v", changes, err)
	}
	rows, err := r.driver.Survey(t.Context(), "app", r.attached("one", driver.Update))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Where != driver.InBoth {
			t.Errorf("%+v", row)
		}
	}
}

// An undeployment does not wait for a subnet whose router has an interface that nobody knows.
func TestPartsThatNoStateKnowsDoNotHoldAnUndeployment(t *testing.T) {
	t.Parallel()
	r := unnoted(t)
	del := r.attached("one", driver.Delete)
	for _, q := range del {
		q.Undeploy = true
	}
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}
