package terraform

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/event"
)

// keep forgets the resources whose blocks go but which are to stay in the cloud (volumes that are not deletable): Terraform destroys only what is
// in its state. One that is not complete is destroyed like any other.
func (b *batch) keep(old, next *manifest) error {
	var stay []string
	for k, e := range old.Entries {
		for _, bl := range e.Blocks {
			if bl.Keep && !bl.Data && !slices.Contains(next.addresses(k), bl.address()) && b.bundle.state.good(bl.address()) {
				stay = append(stay, bl.address())
				b.emit(event.Event{Type: event.Resource, Deployment: b.deployment, Task: b.reqs[0].Task, Node: e.Instance.Node, Instance: e.Instance.Index,
					Key: bl.address(), Status: "kept", Message: "stays in the cloud: " + idOf(b.bundle.state.find(bl.address()))})
			}
		}
	}
	if len(stay) == 0 {
		return nil
	}
	data, err := without(b.bundle.State, stay)
	if err != nil {
		return err
	}
	s, err := parseState(data)
	if err != nil {
		return err
	}
	b.bundle.State, b.bundle.state = data, s
	return nil
}

// without removes resources from a state file of version 4; everything else stays as it is.
func without(state json.RawMessage, addresses []string) (json.RawMessage, error) {
	var file map[string]json.RawMessage
	var resources []json.RawMessage
	var serial uint64
	if err := json.Unmarshal(state, &file); err != nil {
		return nil, fmt.Errorf("cannot read Terraform's state: %w", err)
	}
	for key, into := range map[string]any{"resources": &resources, "serial": &serial} {
		if err := json.Unmarshal(file[key], into); err != nil {
			return nil, fmt.Errorf("cannot read %s of Terraform's state: %w", key, err)
		}
	}
	left := []json.RawMessage{}
	for _, raw := range resources {
		var r stateResource
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("cannot read a resource of Terraform's state: %w", err)
		}
		if !slices.Contains(addresses, r.address()) {
			left = append(left, raw)
		}
	}
	for key, v := range map[string]any{"resources": left, "serial": serial + 1} {
		data, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("cannot write Terraform's state: %w", err)
		}
		file[key] = data
	}
	data, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("cannot write Terraform's state: %w", err)
	}
	return data, nil
}
