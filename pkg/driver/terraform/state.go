package terraform

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/orch-project/orch/pkg/topology"
)

// tfState is the part of Terraform's state file (version 4) that is read. The format is the same for OpenTofu.
type tfState struct {
	Version   int             `json:"version"`
	Serial    uint64          `json:"serial"`
	Lineage   string          `json:"lineage"`
	Resources []stateResource `json:"resources"`
}

type stateResource struct {
	Mode      string          `json:"mode"` // managed or data
	Type      string          `json:"type"`
	Name      string          `json:"name"`
	Instances []stateInstance `json:"instances"`
}

type stateInstance struct {
	Status     string         `json:"status"` // "tainted" or ""
	Deposed    string         `json:"deposed"`
	Attributes map[string]any `json:"attributes"`
	// Dependencies are addresses, also of what those depend on.
	Dependencies []string `json:"dependencies"`
}

// parseState reads a state. Terraform writes the file in place, so a file that is read meanwhile may be incomplete: that is an error, and
// the caller reads again.
func parseState(data []byte) (*tfState, error) {
	s := &tfState{}
	if len(data) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("cannot read Terraform's state: %w", err)
	}
	if s.Version != 4 {
		return nil, fmt.Errorf("cannot read Terraform's state: version %d is not known", s.Version)
	}
	return s, nil
}

func (r *stateResource) address() string {
	if r.Mode == "data" {
		return "data." + r.Type + "." + r.Name
	}
	return r.Type + "." + r.Name
}

// find returns a resource's current instance, or nil.
func (s *tfState) find(address string) *stateInstance {
	if s == nil {
		return nil
	}
	for i := range s.Resources {
		r := &s.Resources[i]
		if r.address() != address {
			continue
		}
		for j := range r.Instances {
			if r.Instances[j].Deposed == "" {
				return &r.Instances[j]
			}
		}
	}
	return nil
}

// attributes of a resource; numbers without fraction are int64.
func (s *tfState) attributes(address string) (map[string]any, bool) {
	in := s.find(address)
	if in == nil {
		return nil, false
	}
	return normal(in.Attributes).(map[string]any), true
}

// good reports whether the resource exists and is not to be replaced.
func (s *tfState) good(address string) bool {
	in := s.find(address)
	return in != nil && in.Status != "tainted"
}

// managed returns the addresses of the resources (not data sources) that the state holds, deposed ones included.
func (s *tfState) managed() []string {
	var out []string
	for i := range s.Resources {
		if r := &s.Resources[i]; r.Mode == "managed" && len(r.Instances) > 0 {
			out = append(out, r.address())
		}
	}
	return out
}

// newer reports whether s continues o: same lineage and a higher serial, or o is empty.
func (s *tfState) newer(o *tfState) bool {
	if o == nil || o.Lineage == "" {
		return s.Lineage != ""
	}
	return s.Lineage == o.Lineage && s.Serial > o.Serial
}

// normal makes numbers without a fraction int64, as everywhere else.
func normal(v any) any {
	return topology.MapLeaves(v, func(leaf any) any {
		if f, ok := leaf.(float64); ok {
			if i := int64(f); float64(i) == f {
				return i
			}
		}
		return leaf
	})
}

func idOf(in *stateInstance) string {
	if in == nil {
		return ""
	}
	switch t := in.Attributes["id"].(type) {
	case string:
		return t
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	}
	return ""
}
