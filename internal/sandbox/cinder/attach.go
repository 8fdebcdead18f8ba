package cinder

import (
	"net/http"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// The methods below are what Nova asks of Cinder; the cloud's lock is held.

// Reserve takes a volume for a server: available (or in-use with multiattach) becomes reserved.
func (s *Service) Reserve(v *cloud.Volume, server string) (*cloud.Attachment, error) {
	if v.Status != "available" && (v.Status != "in-use" || !v.Multiattach) {
		return nil, rest.Bad("Invalid volume: Volume %s status must be available or downloading to reserve, but the current status is %s.", v.ID, v.Status)
	}
	a := &cloud.Attachment{ID: cloud.UUID(), VolumeID: v.ID, ServerID: server, ProjectID: v.ProjectID, Status: "reserved", Mode: "rw", Created: s.Cloud.Now()}
	s.Cloud.Attachments.Put(a.ID, a)
	v.Status, v.Updated = "reserved", s.Cloud.Now()
	return a, nil
}

// Connecting marks the attachment as being made.
func (s *Service) Connecting(a *cloud.Attachment, host string) {
	a.Status, a.Host = "attaching", host
	if v := s.Cloud.Volumes.Get(a.VolumeID); v != nil && v.Status == "reserved" {
		v.Status = "attaching"
	}
}

// Attached completes the attachment.
func (s *Service) Attached(a *cloud.Attachment, device string) {
	a.Status, a.Device, a.Attached = "attached", device, s.Cloud.Now()
	if v := s.Cloud.Volumes.Get(a.VolumeID); v != nil {
		v.Status, v.Updated, v.Made = "in-use", s.Cloud.Now(), true
	}
}

// Detaching marks the volume as being taken away.
func (s *Service) Detaching(v *cloud.Volume) {
	v.Status, v.Updated = "detaching", s.Cloud.Now()
}

// Release ends an attachment, completed or not.
func (s *Service) Release(a *cloud.Attachment) {
	s.Cloud.Attachments.Delete(a.ID)
	v := s.Cloud.Volumes.Get(a.VolumeID)
	if v == nil {
		return
	}
	v.Updated = s.Cloud.Now()
	if s.Cloud.Attachments.First(func(o *cloud.Attachment) bool { return o.VolumeID == v.ID }) != nil {
		v.Status = "in-use"
		return
	}
	if slices.Contains([]string{"in-use", "detaching", "attaching", "reserved"}, v.Status) {
		v.Status = "available"
	}
}

func attachmentMissing(id string) *rest.Error {
	return rest.Missing("Volume attachment could not be found with filter: attachment_id = %s.", id)
}

func attachmentDoc(a *cloud.Attachment, detail bool) rest.Doc {
	d := rest.Doc{"id": a.ID, "volume_id": a.VolumeID, "instance": orNil(a.ServerID), "status": a.Status}
	if !detail {
		return d
	}
	d["attach_mode"], d["attached_at"], d["detached_at"], d["connection_info"] = a.Mode, nil, nil, map[string]any{}
	if !a.Attached.IsZero() {
		d["attached_at"] = cloud.Micro(a.Attached)
	}
	if a.Connector != nil {
		d["connection_info"] = map[string]any{"driver_volume_type": "local", "attachment_id": a.ID, "volume_id": a.VolumeID, "access_mode": a.Mode}
	}
	return d
}

// attachmentsVersion is the microversion that brought the attachments API.
func attachmentsVersion(c *rest.Call) error {
	if !c.Version.At(27) {
		return rest.Missing("The resource could not be found.")
	}
	return nil
}

func (s *Service) listAttachments(detail bool) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		if err := attachmentsVersion(c); err != nil {
			return rest.Reply{}, err
		}
		docs := []rest.Doc{}
		for a := range s.Cloud.Attachments.All() {
			volume, server := c.Query.Get("volume_id"), c.Query.Get("instance_id")
			if (a.ProjectID == c.Project() || c.Admin()) && (volume == "" || volume == a.VolumeID) && (server == "" || server == a.ServerID) {
				docs = append(docs, attachmentDoc(a, detail))
			}
		}
		return rest.OK(map[string]any{"attachments": docs})
	}
}

func (s *Service) attachment(c *rest.Call) (*cloud.Attachment, error) {
	if err := attachmentsVersion(c); err != nil {
		return nil, err
	}
	a := s.Cloud.Attachments.Get(c.PathValue("id"))
	if a == nil || a.ProjectID != c.Project() && !c.Admin() {
		return nil, attachmentMissing(c.PathValue("id"))
	}
	return a, nil
}

func (s *Service) showAttachment(c *rest.Call) (rest.Reply, error) {
	a, err := s.attachment(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"attachment": attachmentDoc(a, true)})
}

func (s *Service) createAttachment(c *rest.Call) (rest.Reply, error) {
	if err := attachmentsVersion(c); err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Attachment struct {
			Volume    string  `json:"volume_uuid"`
			Server    *string `json:"instance_uuid"`
			Mode      string
			Connector map[string]any
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	v := s.Cloud.Volumes.Get(b.Attachment.Volume)
	if v == nil || v.ProjectID != c.Project() && !c.Admin() {
		return rest.Reply{}, volumeMissing(b.Attachment.Volume)
	}
	a, err := s.Reserve(v, text(b.Attachment.Server))
	if err != nil {
		return rest.Reply{}, err
	}
	if b.Attachment.Mode == "ro" {
		a.Mode = "ro"
	}
	s.connect(a, b.Attachment.Connector)
	return rest.OK(map[string]any{"attachment": attachmentDoc(a, true)})
}

func (s *Service) connect(a *cloud.Attachment, connector map[string]any) {
	if len(connector) == 0 {
		return
	}
	a.Connector = connector
	host, _ := connector["host"].(string)
	if device, ok := connector["mountpoint"].(string); ok {
		a.Device = device
	}
	s.Connecting(a, host)
}

func (s *Service) updateAttachment(c *rest.Call) (rest.Reply, error) {
	a, err := s.attachment(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Attachment struct{ Connector map[string]any }
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	s.connect(a, b.Attachment.Connector)
	return rest.OK(map[string]any{"attachment": attachmentDoc(a, true)})
}

func (s *Service) completeAttachment(c *rest.Call) (rest.Reply, error) {
	a, err := s.attachment(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if c.Object("os-complete") == nil || !c.Version.At(44) {
		return rest.Reply{}, rest.Bad("There is no such action: %s", string(c.Body))
	}
	s.Attached(a, a.Device)
	return rest.Empty()
}

func (s *Service) deleteAttachment(c *rest.Call) (rest.Reply, error) {
	a, err := s.attachment(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if server := s.Cloud.Servers.Get(a.ServerID); server != nil && a.Status == "attached" && s.nova(a) {
		return rest.Reply{}, rest.Conflict("Detach volume from instance %s using the Compute API", a.ServerID)
	}
	s.Release(a)
	docs := []rest.Doc{}
	for o := range s.Cloud.Attachments.Where(func(o *cloud.Attachment) bool { return o.VolumeID == a.VolumeID }) {
		docs = append(docs, attachmentDoc(o, false))
	}
	return rest.Reply{Status: http.StatusOK, Body: map[string]any{"attachments": docs}}, nil
}

// nova reports whether the attachment is one of a server's disks.
func (s *Service) nova(a *cloud.Attachment) bool {
	server := s.Cloud.Servers.Get(a.ServerID)
	return server != nil && slices.ContainsFunc(server.Disks, func(d *cloud.Disk) bool { return d.AttachmentID == a.ID })
}
