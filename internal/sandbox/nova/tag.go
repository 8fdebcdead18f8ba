package nova

import (
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

const (
	maxTags = 50
	maxTag  = 60
)

// tagged is the server of a tags request; tags came with 2.26.
func (s *Service) tagged(c *rest.Call) (*cloud.Server, error) {
	if !c.Version.At(26) {
		return nil, rest.Missing("The resource could not be found.")
	}
	return s.server(c)
}

func tagsOf(v *cloud.Server) []string {
	if v.Tags == nil {
		return []string{}
	}
	return v.Tags
}

func (s *Service) listTags(c *rest.Call) (rest.Reply, error) {
	v, err := s.tagged(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"tags": tagsOf(v)})
}

func validTag(tag string) error {
	if tag == "" || len(tag) > maxTag || strings.ContainsAny(tag, ",/") {
		return rest.Bad("Invalid input for field/attribute 0. Value: %s. '%s' does not match '^[^,/]*$'", tag, tag)
	}
	return nil
}

func (s *Service) replaceTags(c *rest.Call) (rest.Reply, error) {
	v, err := s.tagged(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Tags []string }
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if len(b.Tags) > maxTags {
		return rest.Reply{}, rest.Bad("The number of tags exceeded the per-server limit %d", maxTags)
	}
	for _, tag := range b.Tags {
		if err := validTag(tag); err != nil {
			return rest.Reply{}, err
		}
	}
	slices.Sort(b.Tags)
	v.Tags, v.Updated = slices.Compact(b.Tags), s.Cloud.Now()
	return rest.OK(map[string]any{"tags": tagsOf(v)})
}

func (s *Service) clearTags(c *rest.Call) (rest.Reply, error) {
	v, err := s.tagged(c)
	if err != nil {
		return rest.Reply{}, err
	}
	v.Tags = nil
	return rest.Empty()
}

func tagMissing(v *cloud.Server, tag string) *rest.Error {
	return rest.Missing("Instance %s has no tag '%s'", v.ID, tag)
}

func (s *Service) checkTag(c *rest.Call) (rest.Reply, error) {
	v, err := s.tagged(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if !slices.Contains(v.Tags, c.PathValue("tag")) {
		return rest.Reply{}, tagMissing(v, c.PathValue("tag"))
	}
	return rest.Empty()
}

func (s *Service) addTag(c *rest.Call) (rest.Reply, error) {
	v, err := s.tagged(c)
	if err != nil {
		return rest.Reply{}, err
	}
	tag := c.PathValue("tag")
	if err := validTag(tag); err != nil {
		return rest.Reply{}, err
	}
	if slices.Contains(v.Tags, tag) {
		return rest.Empty()
	}
	if len(v.Tags) >= maxTags {
		return rest.Reply{}, rest.Bad("The number of tags exceeded the per-server limit %d", maxTags)
	}
	v.Tags = append(slices.Clone(v.Tags), tag)
	slices.Sort(v.Tags)
	reply := rest.Reply{Status: http.StatusCreated}
	return reply.With("Location", c.Base+"/v2.1/servers/"+v.ID+"/tags/"+tag), nil
}

func (s *Service) removeTag(c *rest.Call) (rest.Reply, error) {
	v, err := s.tagged(c)
	if err != nil {
		return rest.Reply{}, err
	}
	tag := c.PathValue("tag")
	if !slices.Contains(v.Tags, tag) {
		return rest.Reply{}, tagMissing(v, tag)
	}
	v.Tags = slices.DeleteFunc(slices.Clone(v.Tags), func(t string) bool { return t == tag })
	return rest.Empty()
}
