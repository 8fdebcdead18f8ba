package terraform

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

const keptState = `{"version": 4, "serial": 7, "lineage": "l", "outputs": {}, "extra": [1],
	"resources": [
		{"mode": "managed", "type": "t", "name": "data", "instances": [{"attributes": {"id": "v1"}}]},
		{"mode": "managed", "type": "t", "name": "half", "instances": [{"status": "tainted", "attributes": {"id": "v2"}}]},
		{"mode": "managed", "type": "t", "name": "other", "instances": [{"attributes": {"id": "v3"}}]}]}`

// What is to be kept leaves the state when its entry goes, and nothing else changes; what was never complete is destroyed.
func TestKeptResourcesAreForgotten(t *testing.T) {
	entries := func() map[string]*entry {
		return map[string]*entry{
			"data/0":  {Instance: topology.Instance{Node: "data", Index: "0"}, Blocks: []*block{{Type: "t", Name: "data", Keep: true}}},
			"half/0":  {Blocks: []*block{{Type: "t", Name: "half", Keep: true}}},
			"other/0": {Blocks: []*block{{Type: "t", Name: "other"}}},
		}
	}
	for name, c := range map[string]struct {
		next map[string]*entry
		want []string
	}{
		"all go":   {map[string]*entry{}, []string{"t.half", "t.other"}},
		"all stay": {entries(), []string{"t.data", "t.half", "t.other"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseState([]byte(keptState))
			if err != nil {
				t.Fatal(err)
			}
			var kept []string
			b := &batch{deployment: "app", reqs: []*driver.Request{{}}, bundle: &bundle{State: json.RawMessage(keptState), state: s},
				emit: func(e event.Event) { kept = append(kept, e.Key+" "+e.Status) }}
			if err := b.keep(&manifest{Entries: entries()}, &manifest{Entries: c.next}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, b.bundle.state.managed()); diff != "" {
				t.Error(diff)
			}
			if forgotten := len(c.want) == 2; forgotten != (len(kept) == 1) || forgotten != (b.bundle.state.Serial == 8) {
				t.Errorf("events %v, serial %d", kept, b.bundle.state.Serial)
			}
			var file map[string]any
			if err := json.Unmarshal(b.bundle.State, &file); err != nil || file["lineage"] != "l" || file["extra"] == nil {
				t.Errorf("the rest of the file: %v, %v", file, err)
			}
		})
	}
}
