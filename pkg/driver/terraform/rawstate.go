package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/oklog/ulid/v2"
)

// rawState is a state file of version 4 for changing: what is not known of it stays as it is.
type rawState struct {
	file      map[string]any
	resources []any
}

// rawResource is the current instance of a managed resource.
type rawResource struct {
	raw        map[string]any
	attributes map[string]any
}

// parseRaw reads a state; without any it begins one.
func parseRaw(data []byte, tool *Tool) (*rawState, error) {
	s := &rawState{file: map[string]any{}}
	if len(data) == 0 {
		s.file = map[string]any{"version": 4, "terraform_version": tool.Version, "serial": 0, "lineage": ulid.Make().String(), "outputs": map[string]any{}}
		return s, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&s.file); err != nil {
		return nil, fmt.Errorf("cannot read Terraform's state: %w", err)
	}
	s.resources, _ = s.file["resources"].([]any)
	return s, nil
}

// add a resource of which nothing is known but its id.
func (s *rawState) add(typ, name, provider, id string, schema uint64) {
	s.resources = append(s.resources, map[string]any{"mode": "managed", "type": typ, "name": name, "provider": provider,
		"instances": []any{map[string]any{"schema_version": schema, "attributes": map[string]any{"id": id}, "sensitive_attributes": []any{}}}})
}

// find the current instance of a resource by its address, or nil.
func (s *rawState) find(address string) *rawResource {
	typ, name, _ := strings.Cut(address, ".")
	for _, r := range s.resources {
		m, _ := r.(map[string]any)
		if m["mode"] != "managed" || m["type"] != typ || m["name"] != name {
			continue
		}
		list, _ := m["instances"].([]any)
		for _, i := range list {
			raw, _ := i.(map[string]any)
			attributes, ok := raw["attributes"].(map[string]any)
			if deposed, _ := raw["deposed"].(string); deposed == "" && ok {
				return &rawResource{raw: raw, attributes: attributes}
			}
		}
	}
	return nil
}

func (r *rawResource) sensitive() []any {
	list, _ := r.raw["sensitive_attributes"].([]any)
	if list == nil {
		return []any{}
	}
	return list
}

// encode the state as a newer one.
func (s *rawState) encode() ([]byte, error) {
	serial, _ := s.file["serial"].(float64)
	s.file["serial"], s.file["resources"] = serial+1, s.resources
	data, err := json.Marshal(s.file)
	if err != nil {
		return nil, fmt.Errorf("cannot write Terraform's state: %w", err)
	}
	return data, nil
}

func (s *rawState) write(path string) error {
	data, err := s.encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("cannot write Terraform's state: %w", err)
	}
	return nil
}
