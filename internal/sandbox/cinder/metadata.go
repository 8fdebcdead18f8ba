package cinder

import (
	"maps"

	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) showMetadata(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"metadata": orEmpty(v.Metadata)})
}

func (s *Service) mergeMetadata(c *rest.Call) (rest.Reply, error)   { return s.writeMetadata(c, true) }
func (s *Service) replaceMetadata(c *rest.Call) (rest.Reply, error) { return s.writeMetadata(c, false) }

func (s *Service) writeMetadata(c *rest.Call, merge bool) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Metadata map[string]string }
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	next := map[string]string{}
	if merge {
		maps.Copy(next, v.Metadata)
	}
	maps.Copy(next, b.Metadata)
	v.Metadata = next
	return rest.OK(map[string]any{"metadata": next})
}

func keyMissing(key string) *rest.Error {
	return rest.Missing("Volume metadata key %s could not be found.", key)
}

func (s *Service) showMeta(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	value, ok := v.Metadata[key]
	if !ok {
		return rest.Reply{}, keyMissing(key)
	}
	return rest.OK(map[string]any{"meta": map[string]string{key: value}})
}

func (s *Service) setMeta(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Meta map[string]string }
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	if _, ok := b.Meta[key]; !ok || len(b.Meta) != 1 {
		return rest.Reply{}, rest.Bad("Request body and URI mismatch")
	}
	next := maps.Clone(orEmpty(v.Metadata))
	next[key] = b.Meta[key]
	v.Metadata = next
	return rest.OK(map[string]any{"meta": b.Meta})
}

func (s *Service) deleteMeta(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	if _, ok := v.Metadata[key]; !ok {
		return rest.Reply{}, keyMissing(key)
	}
	next := maps.Clone(v.Metadata)
	delete(next, key)
	v.Metadata = next
	return rest.Reply{Status: 200}, nil
}
