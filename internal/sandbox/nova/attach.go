package nova

import (
	"context"
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func attachmentDoc(c *rest.Call, v *cloud.Server, d *cloud.Disk) rest.Doc {
	doc := rest.Doc{"serverId": v.ID, "volumeId": d.VolumeID, "device": orNil(d.Device)}
	if !c.Version.At(89) {
		doc["id"] = d.VolumeID
	} else {
		doc["attachment_id"], doc["bdm_uuid"] = d.AttachmentID, d.UUID
	}
	if c.Version.At(70) {
		doc["tag"] = orNil(d.Tag)
	}
	if c.Version.At(79) {
		doc["delete_on_termination"] = d.DeleteOnTermination
	}
	return doc
}

func (s *Service) listAttachments(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	docs := []rest.Doc{}
	for _, d := range v.Disks {
		docs = append(docs, attachmentDoc(c, v, d))
	}
	offset, err := number(c, "offset")
	if err != nil {
		return rest.Reply{}, err
	}
	limit, err := number(c, "limit")
	if err != nil {
		return rest.Reply{}, err
	}
	docs = docs[min(offset, len(docs)):]
	if limit > 0 && len(docs) > limit {
		docs = docs[:limit]
	}
	return rest.OK(map[string]any{"volumeAttachments": docs})
}

// disk is the attachment of the path.
func (s *Service) disk(c *rest.Call) (*cloud.Server, *cloud.Disk, error) {
	v, err := s.server(c)
	if err != nil {
		return nil, nil, err
	}
	id := c.PathValue("volume")
	for _, d := range v.Disks {
		if d.VolumeID == id {
			return v, d, nil
		}
	}
	if s.Cloud.Volumes.Get(id) == nil {
		return nil, nil, rest.Missing("Volume %s could not be found.", id)
	}
	return nil, nil, rest.Missing("volume_id not found: %s", id)
}

func (s *Service) showAttachment(c *rest.Call) (rest.Reply, error) {
	v, d, err := s.disk(c)
	if err != nil {
		if e, ok := err.(*rest.Error); ok && s.Cloud.Servers.Get(c.PathValue("id")) != nil {
			e.Message = "Instance " + c.PathValue("id") + " is not attached to volume " + c.PathValue("volume")
		}
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"volumeAttachment": attachmentDoc(c, v, d)})
}

func (s *Service) attachVolume(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Attachment struct {
			Volume   string `json:"volumeId"`
			Device   *string
			Tag      string
			DeleteOn bool `json:"delete_on_termination"`
		} `json:"volumeAttachment"`
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if err := s.mayAttach(c, v); err != nil {
		return rest.Reply{}, err
	}
	volume := s.Cloud.Volumes.Get(b.Attachment.Volume)
	if volume == nil || volume.ProjectID != c.Project() && !c.Admin() {
		return rest.Reply{}, rest.Missing("Volume %s could not be found.", b.Attachment.Volume)
	}
	for _, d := range v.Disks {
		if d.VolumeID == volume.ID {
			return rest.Reply{}, rest.Bad("Invalid volume: volume %s is already attached to instances: %s", volume.ID, v.ID)
		}
	}
	a, err := s.Cinder.Reserve(volume, v.ID)
	if err != nil {
		return rest.Reply{}, rest.Bad("Invalid volume: volume '%s' status must be 'available'. Currently in '%s'", volume.ID, volume.Status)
	}
	// As with libvirt, the wish for a name is ignored.
	d := &cloud.Disk{
		VolumeID: volume.ID, AttachmentID: a.ID, UUID: cloud.UUID(), Device: nextDevice(v, false), Tag: b.Attachment.Tag, DeleteOnTermination: b.Attachment.DeleteOn,
	}
	v.Disks = append(v.Disks, d)
	s.began(c, v, "attach_volume")
	s.Cinder.Connecting(a, v.Host)
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) { s.finishAttach(ctx, v, d, a) })
	return rest.OK(map[string]any{"volumeAttachment": attachmentDoc(c, v, d)})
}

// mayAttach refuses servers in no state for changes of their devices.
func (s *Service) mayAttach(c *rest.Call, v *cloud.Server) error {
	if err := unlocked(c, v); err != nil {
		return err
	}
	switch v.VMState {
	case "active", "stopped", "paused", "suspended", "resized", "shelved", "shelved_offloaded":
		if v.TaskState != "deleting" {
			return nil
		}
	}
	return conflict("attach_volume", v)
}

// finishAttach is the compute agent's part; a failure gives the volume back, as Nova does.
func (s *Service) finishAttach(ctx context.Context, v *cloud.Server, d *cloud.Disk, a *cloud.Attachment) {
	if !cloud.Sleep(ctx, s.Cloud.Delays.Action) {
		return
	}
	s.Cloud.Lock()
	gone := v.TaskState == "deleting" || v.VMState == "deleted"
	s.Cloud.Unlock()
	if gone {
		return
	}
	err := s.plugDisk(ctx, v, d)
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	s.ended(v, err)
	if err != nil {
		s.Cloud.Log.Error("cannot attach the volume", "server", v.ID, "volume", d.VolumeID, "error", err)
		s.dropDisk(v, d)
		s.Cinder.Release(a)
	}
}

func (s *Service) dropDisk(v *cloud.Server, gone *cloud.Disk) {
	var left []*cloud.Disk
	for _, d := range v.Disks {
		if d != gone {
			left = append(left, d)
		}
	}
	v.Disks = left
}

func (s *Service) updateAttachment(c *rest.Call) (rest.Reply, error) {
	_, d, err := s.disk(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Attachment struct {
			Volume   string `json:"volumeId"`
			DeleteOn *bool  `json:"delete_on_termination"`
		} `json:"volumeAttachment"`
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Attachment.Volume != d.VolumeID {
		if !c.Admin() {
			return rest.Reply{}, denied("os-volumes-attachments:swap")
		}
		return rest.Reply{}, rest.Fail(http.StatusNotImplemented, "The sandbox cannot swap volumes.")
	}
	if !c.Version.At(85) {
		return rest.Reply{}, denied("os-volumes-attachments:update")
	}
	if b.Attachment.DeleteOn != nil {
		d.DeleteOnTermination = *b.Attachment.DeleteOn
	}
	return rest.Accepted(nil)
}

func (s *Service) detachVolume(c *rest.Call) (rest.Reply, error) {
	v, d, err := s.disk(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.mayAttach(c, v); err != nil {
		if e, ok := err.(*rest.Error); ok && !v.Locked {
			e.Message = conflict("detach_volume", v).Message
		}
		return rest.Reply{}, err
	}
	if d.Root {
		return rest.Reply{}, rest.Forbidden("Cannot detach a root device volume")
	}
	a, volume := s.Cloud.Attachments.Get(d.AttachmentID), s.Cloud.Volumes.Get(d.VolumeID)
	if a == nil || volume == nil || volume.Status != "in-use" {
		state := "unknown"
		if volume != nil {
			state = volume.Status
		}
		return rest.Reply{}, rest.Bad("Invalid volume: Invalid input received: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach. Currently: %s", state)
	}
	s.Cinder.Detaching(volume)
	s.began(c, v, "detach_volume")
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) { s.finishDetach(ctx, v, d, a, volume) })
	return rest.Accepted(nil)
}

func (s *Service) finishDetach(ctx context.Context, v *cloud.Server, d *cloud.Disk, a *cloud.Attachment, volume *cloud.Volume) {
	if !cloud.Sleep(ctx, s.Cloud.Delays.Action) {
		return
	}
	var err error
	if host := s.Cloud.Host; host != nil {
		err = host.DetachVolume(ctx, v.ID, d.VolumeID)
	}
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	s.ended(v, err)
	if err != nil {
		s.Cloud.Log.Error("cannot detach the volume", "server", v.ID, "volume", d.VolumeID, "error", err)
		volume.Status = "in-use"
		return
	}
	s.dropDisk(v, d)
	s.Cinder.Release(a)
}
