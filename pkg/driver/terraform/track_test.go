package terraform

import (
	"encoding/json"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// Terraform says that it has updated a resource before it writes its state: what the state still says is not what came of it.
func TestAnUpdateIsThroughWhenTheStateHasIt(t *testing.T) {
	sized := func(size string) *tfState {
		s, err := parseState([]byte(`{"version":4,"lineage":"l","resources":[{"mode":"managed","type":"volume","name":"data","instances":[{"attributes":{"id":"1","size":` + size + `}}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	b := &batch{bundle: newBundle(), reqs: []*driver.Request{{Action: driver.Update, Node: &topology.Node{Name: "data"}, Instance: "0"}}, reported: make([]bool, 1), emit: func(event.Event) {}}
	b.bundle.state = sized("2")
	tr := b.track([][]string{{"volume.data"}})
	said := func(line string) {
		t.Helper()
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		tr.handle(m)
	}
	said(`{"type":"planned_change","change":{"resource":{"addr":"volume.data"},"action":"update"}}`)
	said(`{"type":"change_summary"}`)
	if tr.through(0, sized("2")) {
		t.Error("through before it has begun")
	}
	said(`{"type":"apply_start","hook":{"resource":{"addr":"volume.data"},"action":"update"}}`)
	said(`{"type":"apply_complete","hook":{"resource":{"addr":"volume.data"},"action":"update"}}`)
	if tr.through(0, sized("2")) {
		t.Error("through with the state of before")
	}
	if !tr.through(0, sized("3")) {
		t.Error("not through although the state has it")
	}
}
