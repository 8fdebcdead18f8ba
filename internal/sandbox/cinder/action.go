package cinder

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

type actionBody struct {
	Server     string `json:"instance_uuid"`
	Mountpoint string
	Mode       string
	Attachment string `json:"attachment_id"`
	NewSize    int    `json:"new_size"`
	Bootable   any
	ReadOnly   any `json:"readonly"`
	Status     string
	Metadata   map[string]string
	Key        string
	NewType    string `json:"new_type"`
	Force      bool
}

// action performs the one action that the body names.
func (s *Service) action(c *rest.Call) (rest.Reply, error) {
	v, err := s.volume(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var outer map[string]json.RawMessage
	if json.Unmarshal(c.Body, &outer) != nil || len(outer) != 1 {
		return rest.Reply{}, rest.Bad("There is no such action: %s", string(c.Body))
	}
	for name, raw := range outer {
		var b actionBody
		if string(raw) != "null" {
			if err := json.Unmarshal(raw, &b); err != nil {
				return rest.Reply{}, rest.Bad("Invalid input for field/attribute %s.", name)
			}
		}
		return s.perform(c, v, name, b)
	}
	return rest.Reply{}, nil
}

func (s *Service) perform(c *rest.Call, v *cloud.Volume, name string, b actionBody) (rest.Reply, error) {
	done := rest.Reply{Status: http.StatusAccepted}
	switch name {
	case "os-attach":
		return done, s.legacyAttach(v, b)
	case "os-detach":
		return done, s.legacyDetach(v, b)
	case "os-force_detach":
		if !c.Admin() {
			return done, s.Forbidden(c, "volume_extension:volume_admin_actions:force_detach")
		}
		return done, s.legacyDetach(v, b)
	case "os-reserve":
		if v.Status != "available" {
			return done, rest.Bad("Invalid volume: Volume status must be available to reserve, but the status is %s.", v.Status)
		}
		v.Status = "attaching"
	case "os-unreserve":
		if v.Status == "attaching" || v.Status == "reserved" {
			v.Status = "available"
		}
	case "os-begin_detaching":
		if v.Status != "in-use" {
			return done, rest.Bad("Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.")
		}
		v.Status = "detaching"
	case "os-roll_detaching":
		if v.Status == "detaching" {
			v.Status = "in-use"
		}
	case "os-extend":
		return done, s.extend(c, v, b.NewSize)
	case "os-set_bootable":
		v.Bootable, _ = rest.ParseBool(rest.Text(b.Bootable))
		done.Status = http.StatusOK
	case "os-update_readonly_flag":
		v.ReadOnly, _ = rest.ParseBool(rest.Text(b.ReadOnly))
	case "os-set_image_metadata":
		meta := orEmpty(v.ImageMeta)
		for k, value := range b.Metadata {
			meta[k] = value
		}
		v.ImageMeta = meta
		return rest.OK(map[string]any{"metadata": meta})
	case "os-unset_image_metadata":
		delete(v.ImageMeta, b.Key)
		done.Status = http.StatusOK
	case "os-show_image_metadata":
		return rest.OK(map[string]any{"metadata": orEmpty(v.ImageMeta)})
	case "os-reset_status":
		if !c.Admin() {
			return done, s.Forbidden(c, "volume_extension:volume_admin_actions:reset_status")
		}
		v.Status = b.Status
	case "os-force_delete":
		if !c.Admin() {
			return done, s.Forbidden(c, "volume_extension:volume_admin_actions:force_delete")
		}
		v.Status = "error"
		return done, s.RemoveVolume(v, true)
	case "os-retype":
		t := s.findType(b.NewType)
		if t == nil {
			return done, rest.Missing("Volume type with name %s could not be found.", b.NewType)
		}
		v.Type = t.ID
	default:
		return done, rest.Bad("There is no such action: %s. Verify the request body and Content-Type header and try again.", name)
	}
	v.Updated = s.Cloud.Now()
	return done, nil
}

// legacyAttach is the attachment of clients that do without the attachments API.
func (s *Service) legacyAttach(v *cloud.Volume, b actionBody) error {
	if v.Status != "available" && v.Status != "attaching" {
		return rest.Bad("Invalid volume: volume already attached")
	}
	a := &cloud.Attachment{ID: cloud.UUID(), VolumeID: v.ID, ServerID: b.Server, ProjectID: v.ProjectID, Mode: "rw", Created: s.Cloud.Now()}
	s.Cloud.Attachments.Put(a.ID, a)
	s.Attached(a, b.Mountpoint)
	v.Made = false
	return nil
}

func (s *Service) legacyDetach(v *cloud.Volume, b actionBody) error {
	a := s.Cloud.Attachments.First(func(a *cloud.Attachment) bool {
		return a.VolumeID == v.ID && (b.Attachment == "" || a.ID == b.Attachment)
	})
	if a == nil {
		if b.Attachment != "" {
			return attachmentMissing(b.Attachment)
		}
		if v.Status == "detaching" || v.Status == "in-use" {
			v.Status = "available"
		}
		return nil
	}
	s.Release(a)
	return nil
}

func (s *Service) extend(c *rest.Call, v *cloud.Volume, size int) error {
	if v.Status != "available" && (v.Status != "in-use" || !c.Version.At(42)) {
		return rest.Bad("Invalid volume: Volume %s status must be available to extend, but current status is: %s.", v.ID, v.Status)
	}
	if size <= v.Size {
		return rest.Bad("Invalid input received: New size for extend must be greater than current size. (current: %d, extended: %d).", v.Size, size)
	}
	used, limit := s.used(v.ProjectID, "gigabytes"), s.Cloud.Quotas.Limit("cinder", v.ProjectID, "gigabytes")
	if limit >= 0 && used+size-v.Size > limit {
		return overLimit("VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested %dG, quota is %dG and %dG has been consumed.", size-v.Size, limit, used)
	}
	before := v.Status
	v.Status = "extending"
	s.Cloud.Work.Do("volume:"+v.ID, func(ctx context.Context) {
		cloud.Sleep(ctx, s.Cloud.Delays.Volume)
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		if v.Status == "extending" {
			v.Size, v.Status, v.Updated = size, before, s.Cloud.Now()
		}
	})
	return nil
}
