package cinder

import (
	"maps"
	"net/http"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) typeDoc(c *rest.Call, t *cloud.VolumeType) rest.Doc {
	d := rest.Doc{"id": t.ID, "name": t.Name, "description": orNil(t.Description), "is_public": !t.Private, "os-volume-type-access:is_public": !t.Private}
	specs := map[string]string{}
	for k, v := range t.ExtraSpecs {
		// Members see the specs that say what a user may care for.
		if c.Admin() || k == "multiattach" || k == "RESKEY:availability_zones" || k == "replication_enabled" {
			specs[k] = v
		}
	}
	d["extra_specs"] = specs
	if c.Admin() {
		d["qos_specs_id"] = nil
	}
	return d
}

// findType is by id or name.
func (s *Service) findType(ref string) *cloud.VolumeType {
	if t := s.Cloud.VolumeTypes.Get(ref); t != nil {
		return t
	}
	return s.Cloud.VolumeTypes.First(func(t *cloud.VolumeType) bool { return t.Name == ref })
}

func (s *Service) listTypes(c *rest.Call) (rest.Reply, error) {
	docs := []rest.Doc{}
	for t := range s.Cloud.VolumeTypes.All() {
		if !t.Private || c.Admin() {
			docs = append(docs, s.typeDoc(c, t))
		}
	}
	page, err := s.page(c, docs, "volume_types")
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(s.listDoc("volume_types", page))
}

func (s *Service) volumeType(c *rest.Call) (*cloud.VolumeType, error) {
	id := c.PathValue("id")
	t := s.Cloud.VolumeTypes.Get(id)
	if id == "default" {
		t = s.Cloud.VolumeTypes.Get(s.Cloud.DefaultVolumeType)
	}
	if t == nil || t.Private && !c.Admin() {
		return nil, rest.Missing("Volume type %s could not be found.", id)
	}
	return t, nil
}

func (s *Service) showType(c *rest.Call) (rest.Reply, error) {
	t, err := s.volumeType(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"volume_type": s.typeDoc(c, t)})
}

type typeBody struct {
	Type struct {
		Name, Description *string
		Specs             map[string]string `json:"extra_specs"`
		Public            *bool             `json:"os-volume-type-access:is_public"`
		IsPublic          *bool             `json:"is_public"`
	} `json:"volume_type"`
}

func (b *typeBody) apply(t *cloud.VolumeType) {
	if b.Type.Name != nil {
		t.Name = *b.Type.Name
	}
	if b.Type.Description != nil {
		t.Description = *b.Type.Description
	}
	for _, public := range []*bool{b.Type.Public, b.Type.IsPublic} {
		if public != nil {
			t.Private = !*public
		}
	}
	if b.Type.Specs != nil {
		t.ExtraSpecs = b.Type.Specs
	}
}

func (s *Service) createType(c *rest.Call) (rest.Reply, error) {
	var b typeBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Type.Name == nil || *b.Type.Name == "" {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute volume_type. 'name' is a required property")
	}
	if s.findType(*b.Type.Name) != nil {
		return rest.Reply{}, rest.Conflict("Volume Type %s already exists.", *b.Type.Name)
	}
	t := &cloud.VolumeType{ID: cloud.UUID()}
	b.apply(t)
	s.Cloud.VolumeTypes.Put(t.ID, t)
	return rest.OK(map[string]any{"volume_type": s.typeDoc(c, t)})
}

func (s *Service) updateType(c *rest.Call) (rest.Reply, error) {
	t, err := s.volumeType(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b typeBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	b.apply(t)
	return rest.OK(map[string]any{"volume_type": s.typeDoc(c, t)})
}

func (s *Service) deleteType(c *rest.Call) (rest.Reply, error) {
	t, err := s.volumeType(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if s.Cloud.Volumes.First(func(v *cloud.Volume) bool { return v.Type == t.ID }) != nil || t.ID == s.Cloud.DefaultVolumeType {
		return rest.Reply{}, rest.Bad("Target volume type is still in use.")
	}
	s.Cloud.VolumeTypes.Delete(t.ID)
	return rest.Reply{Status: http.StatusAccepted}, nil
}

func (s *Service) extraSpecs(c *rest.Call) (rest.Reply, error) {
	t, err := s.volumeType(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"extra_specs": s.typeDoc(c, t)["extra_specs"]})
}

func (s *Service) setExtraSpecs(c *rest.Call) (rest.Reply, error) {
	t, err := s.volumeType(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Specs map[string]string `json:"extra_specs"`
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	next := maps.Clone(orEmpty(t.ExtraSpecs))
	maps.Copy(next, b.Specs)
	t.ExtraSpecs = next
	return rest.OK(map[string]any{"extra_specs": b.Specs})
}

func (s *Service) snapshotDoc(p *cloud.Snapshot) rest.Doc {
	return rest.Doc{
		"id": p.ID, "name": orNil(p.Name), "description": orNil(p.Description), "volume_id": p.VolumeID, "status": p.Status, "size": p.Size,
		"created_at": cloud.Micro(p.Created), "updated_at": cloud.Micro(p.Updated), "metadata": orEmpty(p.Metadata), "user_id": p.UserID,
		"os-extended-snapshot-attributes:project_id": p.ProjectID, "os-extended-snapshot-attributes:progress": "100%", "group_snapshot_id": nil,
	}
}

func (s *Service) listSnapshots(c *rest.Call) (rest.Reply, error) {
	docs := []rest.Doc{}
	for p := range s.Cloud.Snapshots.Where(func(p *cloud.Snapshot) bool { return p.ProjectID == c.Project() }) {
		docs = append(docs, s.snapshotDoc(p))
	}
	slices.Reverse(docs)
	page, err := s.page(c, docs, "snapshots")
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(s.listDoc("snapshots", page))
}
