package glance

import (
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func memberDoc(i *cloud.Image, project string) rest.Doc {
	return rest.Doc{
		"image_id": i.ID, "member_id": project, "status": i.Members[project], "schema": "/v2/schemas/member",
		"created_at": cloud.Zulu(i.Created), "updated_at": cloud.Zulu(i.Updated),
	}
}

func (s *Service) listMembers(c *rest.Call) (rest.Reply, error) {
	i, err := s.image(c)
	if err != nil {
		return rest.Reply{}, err
	}
	docs := []rest.Doc{}
	for project := range i.Members {
		if i.Owner == c.Project() || c.Admin() || project == c.Project() {
			docs = append(docs, memberDoc(i, project))
		}
	}
	rest.Sort(docs, []rest.SortKey{{Name: "member_id"}})
	return rest.OK(map[string]any{"members": docs, "schema": "/v2/schemas/members"})
}

func (s *Service) addMember(c *rest.Call) (rest.Reply, error) {
	i, err := s.own(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Member string }
	if err := c.Decode(&b); err != nil || b.Member == "" {
		return rest.Reply{}, rest.Bad("Member must be specified (non-empty)")
	}
	if i.Visibility != "shared" {
		return rest.Reply{}, rest.Forbidden("Only shared images have members.")
	}
	if _, had := i.Members[b.Member]; had {
		return rest.Reply{}, rest.Conflict("Image %s is already shared with %s.", i.ID, b.Member)
	}
	if i.Members == nil {
		i.Members = map[string]string{}
	}
	i.Members[b.Member] = "pending"
	return rest.OK(memberDoc(i, b.Member))
}

func (s *Service) member(c *rest.Call) (*cloud.Image, string, error) {
	i, err := s.image(c)
	if err != nil {
		return nil, "", err
	}
	m := c.PathValue("member")
	if _, ok := i.Members[m]; !ok || i.Owner != c.Project() && m != c.Project() && !c.Admin() {
		return nil, "", rest.Missing("%s not found in the member list of the image %s.", m, i.ID)
	}
	return i, m, nil
}

func (s *Service) showMember(c *rest.Call) (rest.Reply, error) {
	i, m, err := s.member(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(memberDoc(i, m))
}

func (s *Service) updateMember(c *rest.Call) (rest.Reply, error) {
	i, m, err := s.member(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Status string }
	if err := c.Decode(&b); err != nil || !slices.Contains([]string{"pending", "accepted", "rejected"}, b.Status) {
		return rest.Reply{}, rest.Bad("Status must be \"pending\", \"accepted\" or \"rejected\".")
	}
	if m != c.Project() && !c.Admin() {
		return rest.Reply{}, rest.Forbidden("You are not permitted to modify 'status' on this image member.")
	}
	i.Members[m] = b.Status
	return rest.OK(memberDoc(i, m))
}

func (s *Service) removeMember(c *rest.Call) (rest.Reply, error) {
	i, err := s.own(c)
	if err != nil {
		return rest.Reply{}, err
	}
	m := c.PathValue("member")
	if _, ok := i.Members[m]; !ok {
		return rest.Reply{}, rest.Missing("%s not found in the member list of the image %s.", m, i.ID)
	}
	delete(i.Members, m)
	return rest.Empty()
}
