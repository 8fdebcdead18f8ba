package cinder

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func volumeMissing(id string) *rest.Error { return rest.Missing("Volume %s could not be found.", id) }

func (s *Service) volume(c *rest.Call) (*cloud.Volume, error) {
	v := s.Cloud.Volumes.Get(c.PathValue("id"))
	if v == nil || v.ProjectID != c.Project() && !c.Admin() {
		return nil, volumeMissing(c.PathValue("id"))
	}
	return v, nil
}

func (s *Service) links(c *rest.Call, kind, id string) []rest.Link {
	project := c.Project()
	return []rest.Link{
		{Rel: "self", Href: c.Base + "/v3/" + project + "/" + kind + "/" + id},
		{Rel: "bookmark", Href: c.Base + "/" + project + "/" + kind + "/" + id},
	}
}

func (s *Service) volumeDoc(c *rest.Call, v *cloud.Volume) rest.Doc {
	typ := any(nil)
	if t := s.Cloud.VolumeTypes.Get(v.Type); t != nil {
		typ = t.Name
	}
	attachments := []any{}
	for a := range s.Cloud.Attachments.Where(func(a *cloud.Attachment) bool { return a.VolumeID == v.ID && a.Status == "attached" }) {
		doc := map[string]any{
			"id": v.ID, "volume_id": v.ID, "attachment_id": a.ID, "server_id": a.ServerID, "host_name": nil, "device": a.Device,
			"attached_at": cloud.Micro(a.Attached),
		}
		if c.Admin() {
			doc["host_name"] = a.Host
		}
		attachments = append(attachments, doc)
	}
	d := rest.Doc{
		"id": v.ID, "name": orNil(v.Name), "description": orNil(v.Description), "status": v.Status, "size": v.Size, "volume_type": typ,
		"availability_zone": v.Zone, "bootable": strconv.FormatBool(v.Bootable), "encrypted": false, "multiattach": v.Multiattach,
		"created_at": cloud.Micro(v.Created), "updated_at": cloud.Micro(v.Updated), "user_id": v.UserID, "metadata": orEmpty(v.Metadata),
		"snapshot_id": orNil(v.SnapshotID), "source_volid": orNil(v.SourceID), "replication_status": nil, "consistencygroup_id": nil,
		"attachments": attachments, "links": s.links(c, "volumes", v.ID), "os-vol-tenant-attr:tenant_id": v.ProjectID,
	}
	if len(v.ImageMeta) > 0 {
		d["volume_image_metadata"] = v.ImageMeta
	}
	if c.Admin() {
		d["os-vol-host-attr:host"], d["os-vol-mig-status-attr:migstat"], d["os-vol-mig-status-attr:name_id"], d["migration_status"] = "sandbox@file#file", nil, nil, nil
	}
	if c.Version.At(13) {
		d["group_id"] = nil
	}
	if c.Version.At(21) && c.Admin() {
		d["provider_id"] = nil
	}
	if c.Version.At(48) {
		d["shared_targets"], d["service_uuid"] = false, nil
	}
	if c.Version.At(61) && c.Admin() {
		d["cluster_name"] = nil
	}
	if c.Version.At(63) {
		d["volume_type_id"] = v.Type
	}
	if c.Version.At(65) {
		d["consumes_quota"] = true
	}
	return d
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (s *Service) listVolumes(detail bool) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		all, _ := rest.ParseBool(c.Query.Get("all_tenants"))
		docs := []rest.Doc{}
		for v := range s.Cloud.Volumes.All() {
			if v.ProjectID == c.Project() || all && c.Admin() {
				docs = append(docs, s.volumeDoc(c, v))
			}
		}
		slices.Reverse(docs) // newest first
		page, err := s.page(c, docs, "volumes")
		if err != nil {
			return rest.Reply{}, err
		}
		if !detail {
			for i, d := range page.Docs {
				page.Docs[i] = rest.Doc{"id": d["id"], "name": d["name"], "links": d["links"]}
			}
		}
		return rest.OK(s.listDoc("volumes", page))
	}
}

// page applies filters, order and paging as Cinder does.
func (s *Service) page(c *rest.Call, docs []rest.Doc, many string) (rest.Page, error) {
	docs = filter(docs, c)
	keys, err := order(c, docs)
	if err != nil {
		return rest.Page{}, err
	}
	rest.Sort(docs, keys)
	if n := c.Query.Get("offset"); n != "" {
		skip, err := strconv.Atoi(n)
		if err != nil || skip < 0 {
			return rest.Page{}, rest.Bad("offset param must be an integer")
		}
		docs = docs[min(skip, len(docs)):]
	}
	page, known, err := rest.Paginate(docs, c.Query, rest.PageOptions{Max: 1000, URL: c.Base + "/v3/" + c.Project() + c.URL.Path[len("/v3"):]})
	if err != nil {
		return page, rest.Bad("limit param must be an integer")
	}
	if !known {
		return page, volumeMissing(c.Query.Get("marker"))
	}
	return page, nil
}

func (s *Service) listDoc(many string, page rest.Page) map[string]any {
	out := map[string]any{many: page.Docs}
	if page.Next != "" {
		out[many+"_links"] = []rest.Link{{Rel: "next", Href: page.Next}}
	}
	return out
}

// filterable are the attributes of a member's queries; others are ignored, as Cinder does without its filter file.
var filterable = []string{"name", "status", "bootable", "availability_zone", "volume_type", "size", "volume_id", "id", "user_id", "description", "instance_id", "attach_status"}

func filter(docs []rest.Doc, c *rest.Call) []rest.Doc {
	return slices.DeleteFunc(docs, func(d rest.Doc) bool {
		for name, values := range c.Query {
			switch {
			case name == "metadata":
				if !hasMetadata(d, values[0]) {
					return true
				}
			case name == "project_id" && c.Admin():
				if d["os-vol-tenant-attr:tenant_id"] != values[0] {
					return true
				}
			case slices.Contains(filterable, name):
				if _, known := d[name]; known && !rest.Equal(d[name], values[0]) {
					return true
				}
			}
		}
		return false
	})
}

// hasMetadata reads the Python dictionary or JSON object of the metadata filter.
func hasMetadata(d rest.Doc, text string) bool {
	var want map[string]string
	if json.Unmarshal([]byte(text), &want) != nil {
		fixed := []byte(text)
		for i, b := range fixed {
			if b == '\'' {
				fixed[i] = '"'
			}
		}
		if json.Unmarshal(fixed, &want) != nil {
			return false
		}
	}
	have, _ := d["metadata"].(map[string]string)
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func order(c *rest.Call, docs []rest.Doc) ([]rest.SortKey, error) {
	var keys []rest.SortKey
	if text := c.Query.Get("sort"); text != "" {
		for _, part := range splitComma(text) {
			name, dir := part, "desc"
			if i := slices.Index([]byte(part), ':'); i >= 0 {
				name, dir = part[:i], part[i+1:]
			}
			keys = append(keys, rest.SortKey{Name: name, Desc: dir != "asc"})
		}
	}
	for i, name := range c.Query["sort_key"] {
		dir := "desc"
		if dirs := c.Query["sort_dir"]; i < len(dirs) {
			dir = dirs[i]
		}
		keys = append(keys, rest.SortKey{Name: name, Desc: dir != "asc"})
	}
	for _, k := range keys {
		if len(docs) > 0 {
			if _, ok := docs[0][k.Name]; !ok {
				return nil, rest.Bad("Invalid input received: Sort key %s is not valid.", k.Name)
			}
		}
	}
	return keys, nil
}

func splitComma(text string) []string {
	var out []string
	start := 0
	for i := 0; i <= len(text); i++ {
		if i == len(text) || text[i] == ',' {
			out = append(out, text[start:i])
			start = i + 1
		}
	}
	return out
}

func (s *Service) showVolume(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"volume": s.volumeDoc(c, v)})
}

func (s *Service) summary(c *rest.Call) (rest.Reply, error) {
	n, size := 0, 0
	for v := range s.Cloud.Volumes.Where(func(v *cloud.Volume) bool { return v.ProjectID == c.Project() }) {
		n, size = n+1, size+v.Size
	}
	return rest.OK(map[string]any{"volume-summary": map[string]any{"total_count": n, "total_size": size, "metadata": map[string]any{}}})
}

// VolumeRequest is a volume to be made, by this API or by Nova.
type VolumeRequest struct {
	Name, Description, Project, User, Type, Zone string
	Size                                         int
	Image, Snapshot, Source                      string
	Multiattach                                  bool
	Metadata                                     map[string]string
}

func (s *Service) createVolume(c *rest.Call) (rest.Reply, error) {
	var b struct {
		Volume *struct {
			Size              any
			Name, Description *string
			Type              *string           `json:"volume_type"`
			Zone              *string           `json:"availability_zone"`
			Snapshot          *string           `json:"snapshot_id"`
			Source            *string           `json:"source_volid"`
			Image             *string           `json:"imageRef"`
			ImageID           *string           `json:"image_id"`
			Backup            *string           `json:"backup_id"`
			DisplayName       *string           `json:"display_name"`
			Metadata          map[string]string `json:"metadata"`
			Multiattach       any
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Volume == nil {
		return rest.Reply{}, rest.Bad("'volume' is a required property")
	}
	in := b.Volume
	if in.Backup != nil {
		return rest.Reply{}, rest.Missing("Backup %s could not be found.", *in.Backup)
	}
	r := VolumeRequest{
		Name: text(in.Name, in.DisplayName), Description: text(in.Description), Project: c.Project(), User: c.Token.User.ID, Type: text(in.Type),
		Zone: text(in.Zone), Image: text(in.Image, in.ImageID), Snapshot: text(in.Snapshot), Source: text(in.Source), Metadata: in.Metadata,
	}
	switch size := in.Size.(type) {
	case nil:
	case float64:
		r.Size = int(size)
	case string:
		n, err := strconv.Atoi(size)
		if err != nil {
			return rest.Reply{}, badSize(size)
		}
		r.Size = n
	default:
		return rest.Reply{}, badSize(rest.Text(size))
	}
	if in.Size != nil && r.Size <= 0 {
		return rest.Reply{}, badSize(rest.Text(in.Size))
	}
	v, err := s.MakeVolume(r)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.Accepted(map[string]any{"volume": s.volumeDoc(c, v)})
}

func badSize(text string) error {
	if n, err := strconv.Atoi(text); err == nil {
		return rest.Bad("Invalid input for field/attribute size. Value: %d. %d is less than the minimum of 1", n, n)
	}
	if text == "" {
		return rest.Bad("The server could not comply with the request since it is either malformed or otherwise incorrect.")
	}
	return rest.Bad("Invalid input for field/attribute size. Value: %s. '%s' does not match '^[0-9]+$'", text, text)
}

func text(pointers ...*string) string {
	for _, p := range pointers {
		if p != nil {
			return *p
		}
	}
	return ""
}

// MakeVolume checks the request and starts making the volume; it is "creating" at first.
func (s *Service) MakeVolume(r VolumeRequest) (*cloud.Volume, error) {
	now := s.Cloud.Now()
	v := &cloud.Volume{
		ID: cloud.UUID(), Name: r.Name, Description: r.Description, ProjectID: r.Project, UserID: r.User, Size: r.Size, Status: "creating",
		Zone: r.Zone, Metadata: r.Metadata, Created: now, Updated: now,
	}
	if v.Zone == "" {
		v.Zone = s.Zone
	}
	if v.Zone != s.Zone {
		return nil, rest.Bad("Availability zone '%s' is invalid.", v.Zone)
	}
	if err := s.fromSource(v, r); err != nil {
		return nil, err
	}
	if v.Size <= 0 {
		return nil, badSize(rest.Text(nil))
	}
	typ := s.findType(r.Type)
	if r.Type == "" {
		typ = s.Cloud.VolumeTypes.Get(s.Cloud.DefaultVolumeType)
	}
	if typ == nil && r.Type != "" {
		return nil, rest.Missing("Volume type with name %s could not be found.", r.Type)
	}
	if typ != nil {
		v.Type = typ.ID
		v.Multiattach = typ.ExtraSpecs["multiattach"] == "<is> True"
	}
	if err := s.quota(r.Project, v.Size); err != nil {
		return nil, err
	}
	s.Cloud.Volumes.Put(v.ID, v)
	s.Cloud.Work.Do("volume:"+v.ID, func(ctx context.Context) {
		cloud.Sleep(ctx, s.Cloud.Delays.Volume)
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		if v.Status == "creating" {
			v.Status, v.Updated = "available", s.Cloud.Now()
		}
	})
	return v, nil
}

// fromSource takes size and image from what the volume is made of.
func (s *Service) fromSource(v *cloud.Volume, r VolumeRequest) error {
	switch {
	case r.Snapshot != "":
		snap := s.Cloud.Snapshots.Get(r.Snapshot)
		if snap == nil || snap.ProjectID != r.Project {
			return rest.Missing("Snapshot %s could not be found.", r.Snapshot)
		}
		if v.Size != 0 && v.Size < snap.Size {
			return rest.Bad("Invalid input received: Volume size '%dGB' cannot be smaller than the snapshot size %dGB. They must be >= original snapshot size.", v.Size, snap.Size)
		}
		v.SnapshotID, v.Size = snap.ID, max(v.Size, snap.Size)
	case r.Source != "":
		src := s.Cloud.Volumes.Get(r.Source)
		if src == nil || src.ProjectID != r.Project {
			return volumeMissing(r.Source)
		}
		if v.Size != 0 && v.Size < src.Size {
			return rest.Bad("Invalid input received: Volume size '%dGB' cannot be smaller than original volume size  %dGB. They must be >= original volume size.", v.Size, src.Size)
		}
		v.SourceID, v.Size, v.Bootable, v.ImageMeta = src.ID, max(v.Size, src.Size), src.Bootable, src.ImageMeta
	case r.Image != "":
		img := s.Cloud.Images.Get(r.Image)
		if img == nil || img.Visibility != "public" && img.Owner != r.Project {
			return rest.Bad("Invalid image identifier or unable to access requested image.")
		}
		if img.Status != "active" {
			return rest.Bad("Invalid input received: Image %s is not active.", img.ID)
		}
		if v.Size < img.MinDisk {
			return rest.Bad("Invalid input received: Volume size %dGB cannot be smaller than the image minDisk size %dGB.", v.Size, img.MinDisk)
		}
		v.ImageID, v.Bootable = img.ID, true
		v.ImageMeta = map[string]string{
			"image_id": img.ID, "image_name": img.Name, "disk_format": img.DiskFormat, "container_format": img.ContainerFormat,
			"size": strconv.FormatInt(img.Size, 10), "min_disk": strconv.Itoa(img.MinDisk), "min_ram": strconv.Itoa(img.MinRAM), "checksum": img.Checksum,
		}
		for k, p := range img.Properties {
			v.ImageMeta[k] = p
		}
	}
	return nil
}

func (s *Service) updateVolume(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Volume struct {
			Name, Description *string
			Metadata          map[string]string
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Volume.Name != nil {
		v.Name = *b.Volume.Name
	}
	if b.Volume.Description != nil {
		v.Description = *b.Volume.Description
	}
	if b.Volume.Metadata != nil {
		v.Metadata = b.Volume.Metadata
	}
	v.Updated = s.Cloud.Now()
	return rest.OK(map[string]any{"volume": s.volumeDoc(c, v)})
}

func (s *Service) deleteVolume(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	cascade, _ := rest.ParseBool(c.Query.Get("cascade"))
	if err := s.RemoveVolume(v, cascade); err != nil {
		return rest.Reply{}, err
	}
	return rest.Reply{Status: http.StatusAccepted}, nil
}

// RemoveVolume starts the removal of a volume that nothing uses.
func (s *Service) RemoveVolume(v *cloud.Volume, cascade bool) error {
	attached := s.Cloud.Attachments.First(func(a *cloud.Attachment) bool { return a.VolumeID == v.ID }) != nil
	snapshots := s.Cloud.Snapshots.Count(func(p *cloud.Snapshot) bool { return p.VolumeID == v.ID })
	deletable := []string{"available", "error", "error_restoring", "error_extending", "error_managing", "error_deleting"}
	if attached || !slices.Contains(deletable, v.Status) || snapshots > 0 && !cascade {
		return rest.Bad("Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.")
	}
	for p := range s.Cloud.Snapshots.Where(func(p *cloud.Snapshot) bool { return p.VolumeID == v.ID }) {
		s.Cloud.Snapshots.Delete(p.ID)
	}
	v.Status, v.Updated = "deleting", s.Cloud.Now()
	s.Cloud.Work.Do("volume:"+v.ID, func(ctx context.Context) {
		cloud.Sleep(ctx, s.Cloud.Delays.Delete)
		if s.Cloud.Host != nil {
			if err := s.Cloud.Host.DeleteVolume(ctx, v.ID); err != nil {
				s.Cloud.Log.Error("cannot remove the volume's file", "volume", v.ID, "error", err)
				s.Cloud.Lock()
				v.Status = "error_deleting"
				s.Cloud.Unlock()
				return
			}
		}
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		s.Cloud.Volumes.Delete(v.ID)
	})
	return nil
}
