package nova

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) showMetadata(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"metadata": orEmpty(v.Metadata)})
}

func (s *Service) mergeMetadata(c *rest.Call) (rest.Reply, error)   { return s.writeMetadata(c, true) }
func (s *Service) replaceMetadata(c *rest.Call) (rest.Reply, error) { return s.writeMetadata(c, false) }

func (s *Service) writeMetadata(c *rest.Call, merge bool) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := textual(c.Object("metadata")); err != nil {
		return rest.Reply{}, err
	}
	var given map[string]string
	if json.Unmarshal(c.Object("metadata"), &given) != nil || given == nil {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute metadata. 'metadata' is a required property")
	}
	next := map[string]string{}
	if merge {
		maps.Copy(next, v.Metadata)
	}
	maps.Copy(next, given)
	if err := s.setMetadata(c, v, next); err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"metadata": next})
}

// textual refuses metadata whose values are no strings, naming the first.
func textual(raw json.RawMessage) error {
	var all map[string]any
	if json.Unmarshal(raw, &all) != nil {
		return nil // absent, or of another type: refused elsewhere
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if _, ok := all[k].(string); !ok {
			return rest.Bad("Invalid input for field/attribute %s. Value: %v. %v is not of type 'string'", k, all[k], all[k])
		}
	}
	return nil
}

func (s *Service) setMetadata(c *rest.Call, v *cloud.Server, next map[string]string) error {
	if err := unlocked(c, v); err != nil {
		return err
	}
	for k, value := range next {
		if len(k) > 255 || len(value) > 255 || k == "" {
			return rest.Bad("Invalid input for field/attribute %.64s. Value: %.64s. '%.64s' is too long", k, value, value)
		}
	}
	if limit := s.Cloud.Quotas.Limit("nova", v.ProjectID, "metadata_items"); limit >= 0 && len(next) > limit {
		return rest.Forbidden("Maximum number of metadata items exceeds %d", limit)
	}
	v.Metadata, v.Updated = next, s.Cloud.Now()
	return nil
}

func (s *Service) showMeta(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	value, ok := v.Metadata[key]
	if !ok {
		return rest.Reply{}, rest.Missing("Metadata item was not found")
	}
	return rest.OK(map[string]any{"meta": map[string]string{key: value}})
}

func (s *Service) setMeta(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var given map[string]string
	key := c.PathValue("key")
	if json.Unmarshal(c.Object("meta"), &given) != nil || len(given) != 1 {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute meta. 'meta' is a required property")
	}
	if _, ok := given[key]; !ok {
		return rest.Reply{}, rest.Bad("Request body and URI mismatch")
	}
	next := maps.Clone(orEmpty(v.Metadata))
	next[key] = given[key]
	if err := s.setMetadata(c, v, next); err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"meta": given})
}

func (s *Service) deleteMeta(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	if _, ok := v.Metadata[key]; !ok {
		return rest.Reply{}, rest.Missing("Metadata item was not found")
	}
	next := maps.Clone(v.Metadata)
	delete(next, key)
	if err := s.setMetadata(c, v, next); err != nil {
		return rest.Reply{}, err
	}
	return rest.Empty()
}
