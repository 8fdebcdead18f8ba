package neutron

import (
	"net/http"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

const maxTag = 60

// tagged finds the record whose tags the caller may see, or change.
func (k *kind) tagged(c *rest.Call, change bool) (*cloud.Stamp, error) {
	id := c.PathValue("id")
	if _, err := k.find(c, id); err != nil {
		return nil, rest.Typed(http.StatusNotFound, "TagResourceNotFound", "Resource %s %s could not be found.", k.many, id)
	}
	if change {
		if err := k.owned(c, "update"); err != nil {
			return nil, err
		}
	}
	st := k.stamp(id)
	if st == nil {
		return nil, rest.Typed(http.StatusNotFound, "TagResourceNotFound", "Resource %s %s could not be found.", k.many, id)
	}
	return st, nil
}

func (k *kind) listTags(c *rest.Call) (rest.Reply, error) {
	st, err := k.tagged(c, false)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"tags": orEmpty(st.Tags)})
}

func (k *kind) replaceTags(c *rest.Call) (rest.Reply, error) {
	st, err := k.tagged(c, true)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Tags []string }
	if err := c.Decode(&b); err != nil || b.Tags == nil {
		return rest.Reply{}, rest.Bad("Invalid tags body")
	}
	for _, tag := range b.Tags {
		if tag == "" || len(tag) > maxTag {
			return rest.Reply{}, rest.Bad("Invalid input for tags. Reason: '%s' exceeds maximum length of %d.", tag, maxTag)
		}
	}
	slices.Sort(b.Tags)
	st.Tags = slices.Compact(b.Tags)
	st.Revision++
	return rest.OK(map[string]any{"tags": st.Tags})
}

func (k *kind) clearTags(c *rest.Call) (rest.Reply, error) {
	st, err := k.tagged(c, true)
	if err != nil {
		return rest.Reply{}, err
	}
	st.Tags = nil
	st.Revision++
	return rest.Empty()
}

func (k *kind) checkTag(c *rest.Call) (rest.Reply, error) {
	st, err := k.tagged(c, false)
	if err != nil {
		return rest.Reply{}, err
	}
	if !slices.Contains(st.Tags, c.PathValue("tag")) {
		return rest.Reply{}, rest.Typed(http.StatusNotFound, "TagNotFound", "Tag %s could not be found.", c.PathValue("tag"))
	}
	return rest.Empty()
}

func (k *kind) addTag(c *rest.Call) (rest.Reply, error) {
	st, err := k.tagged(c, true)
	if err != nil {
		return rest.Reply{}, err
	}
	tag := c.PathValue("tag")
	if len(tag) > maxTag {
		return rest.Reply{}, rest.Bad("Invalid input for tags. Reason: '%s' exceeds maximum length of %d.", tag, maxTag)
	}
	if !slices.Contains(st.Tags, tag) {
		st.Tags = append(slices.Clone(st.Tags), tag)
		slices.Sort(st.Tags)
		st.Revision++
	}
	return rest.Reply{Status: http.StatusCreated}, nil
}

func (k *kind) removeTag(c *rest.Call) (rest.Reply, error) {
	st, err := k.tagged(c, true)
	if err != nil {
		return rest.Reply{}, err
	}
	tag := c.PathValue("tag")
	if !slices.Contains(st.Tags, tag) {
		return rest.Reply{}, rest.Typed(http.StatusNotFound, "TagNotFound", "Tag %s could not be found.", tag)
	}
	st.Tags = slices.DeleteFunc(slices.Clone(st.Tags), func(t string) bool { return t == tag })
	st.Revision++
	return rest.Empty()
}
