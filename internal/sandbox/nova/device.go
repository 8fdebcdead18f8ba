package nova

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orch-project/orch/internal/sandbox/cinder"
	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

type deviceBody struct {
	Source      string `json:"source_type"`
	Destination string `json:"destination_type"`
	UUID        string `json:"uuid"`
	VolumeID    string `json:"volume_id"`
	Size        any    `json:"volume_size"`
	BootIndex   any    `json:"boot_index"`
	DeleteOn    any    `json:"delete_on_termination"`
	Name        string `json:"device_name"`
	Tag         string `json:"tag"`
	Type        string `json:"volume_type"`
	GuestFormat string `json:"guest_format"`
}

// device is a checked block device mapping.
type device struct {
	source, uuid, typ, tag string // source: image, volume, snapshot, blank
	local                  bool
	size                   int
	boot                   bool
	deleteOn               bool
}

// rootDevice is the volume that the server boots from, or nil.
func rootDevice(devices []device) *device {
	for i := range devices {
		if devices[i].boot && !devices[i].local {
			return &devices[i]
		}
	}
	return nil
}

func invalidMapping(format string, args ...any) *rest.Error {
	return rest.Bad("Block Device Mapping is Invalid: "+format, args...)
}

func (s *Service) devices(c *rest.Call, in []deviceBody, image bool) ([]device, error) {
	var out []device
	boots := 0
	for _, b := range in {
		d, err := s.device(c, b)
		if err != nil {
			return nil, err
		}
		if d.boot {
			boots++
		}
		out = append(out, d)
	}
	if boots > 1 || boots == 0 && !image {
		return nil, invalidMapping("Boot sequence for the instance and image/block device mapping combination is not valid.")
	}
	return out, nil
}

func (s *Service) device(c *rest.Call, b deviceBody) (device, error) {
	d := device{source: b.Source, uuid: b.UUID, local: b.Destination == "local", typ: b.Type, tag: b.Tag}
	if d.source == "" && b.VolumeID != "" {
		d.source, d.uuid, d.boot = "volume", b.VolumeID, b.Name == "vda" || b.Name == "/dev/vda"
	}
	size, ok := toInt(b.Size)
	if !ok {
		return d, rest.Bad("Invalid input for field/attribute volume_size. Value: %v. '%v' does not match '^[0-9]+$'", b.Size, b.Size)
	}
	d.size = size
	if b.BootIndex != nil {
		n, ok := toInt(b.BootIndex)
		if !ok && b.BootIndex != "None" {
			return d, rest.Bad("Invalid input for field/attribute boot_index. Value: %v.", b.BootIndex)
		}
		d.boot = ok && n == 0
	}
	d.deleteOn, _ = rest.ParseBool(rest.Text(b.DeleteOn))
	if d.typ != "" && !c.Version.At(67) {
		return d, rest.Bad("Invalid input for field/attribute 0. Additional properties are not allowed ('volume_type' was unexpected)")
	}
	return d, s.checkDevice(c, &d)
}

func (s *Service) checkDevice(c *rest.Call, d *device) error {
	switch d.source {
	case "volume":
		v := s.Cloud.Volumes.Get(d.uuid)
		switch {
		case v == nil || v.ProjectID != c.Project():
			return invalidMapping("failed to get volume %s.", d.uuid)
		case v.Status != "available" && !(v.Multiattach && v.Status == "in-use"):
			return rest.Bad("Invalid volume: volume '%s' status must be 'available'. Currently in '%s'", v.ID, v.Status)
		case d.boot && !v.Bootable:
			return rest.Bad("Block Device %s is not bootable.", v.ID)
		}
		d.local = false
	case "snapshot":
		p := s.Cloud.Snapshots.Get(d.uuid)
		if p == nil || p.ProjectID != c.Project() {
			return invalidMapping("failed to get snapshot %s.", d.uuid)
		}
		d.size = max(d.size, p.Size)
	case "image":
		i := s.Cloud.Images.Get(d.uuid)
		switch {
		case i == nil:
			return rest.Bad("Can not find requested image")
		case !d.local && d.size == 0:
			return rest.Bad("Images with destination_type 'volume' need to have a non-zero size specified")
		case !d.local && d.size < i.MinDisk:
			return rest.Bad("Volume is smaller than the minimum size specified in image metadata. Volume size is %d bytes, minimum size is %d bytes.", d.size<<30, i.MinDisk<<30)
		}
	case "blank":
		if !d.local && d.size == 0 {
			return invalidMapping("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
		}
	default:
		return rest.Bad("Invalid input for field/attribute source_type. Value: %s. '%s' is not one of ['volume', 'image', 'snapshot', 'blank']", d.source, d.source)
	}
	return nil
}

// makeDisks makes or takes the volumes of a server being built and attaches them in Cinder's books.
func (s *Service) makeDisks(ctx context.Context, v *cloud.Server, devices []device) error {
	for _, d := range devices {
		if d.local {
			continue
		}
		volume, err := s.volumeFor(ctx, v, d)
		if err != nil {
			return err
		}
		s.Cloud.Lock()
		a, err := s.Cinder.Reserve(volume, v.ID)
		if err == nil {
			s.Cinder.Connecting(a, v.Host)
			v.Disks = append(v.Disks, &cloud.Disk{
				VolumeID: volume.ID, AttachmentID: a.ID, UUID: cloud.UUID(), Device: nextDevice(v, d.boot), Tag: d.tag, DeleteOnTermination: d.deleteOn, Root: d.boot,
			})
		}
		s.Cloud.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// volumeFor returns the mapping's volume when it is ready.
func (s *Service) volumeFor(ctx context.Context, v *cloud.Server, d device) (*cloud.Volume, error) {
	s.Cloud.Lock()
	var volume *cloud.Volume
	var err error
	if d.source == "volume" {
		if volume = s.Cloud.Volumes.Get(d.uuid); volume == nil {
			err = rest.Missing("Volume %s could not be found.", d.uuid)
		}
	} else {
		r := cinder.VolumeRequest{Project: v.ProjectID, User: v.UserID, Size: d.size, Type: d.typ}
		switch d.source {
		case "image":
			r.Image = d.uuid
		case "snapshot":
			r.Snapshot = d.uuid
		}
		volume, err = s.Cinder.MakeVolume(r)
	}
	s.Cloud.Unlock()
	for err == nil {
		s.Cloud.Lock()
		state := volume.Status
		s.Cloud.Unlock()
		switch {
		case state == "creating" || state == "downloading":
			if !cloud.Sleep(ctx, 20*time.Millisecond) {
				return nil, ctx.Err()
			}
			continue
		case state != "available" && !(state == "in-use" && volume.Multiattach):
			return nil, rest.Bad("Volume %s did not finish being created even after we waited. And its status is %s.", volume.ID, state)
		}
		break
	}
	return volume, err
}

// nextDevice is the first free name; vda is the root's.
func nextDevice(v *cloud.Server, root bool) string {
	if root {
		return "/dev/vda"
	}
	for letter := 'b'; letter <= 'z'; letter++ {
		name := "/dev/vd" + string(letter)
		if !slices.ContainsFunc(v.Disks, func(d *cloud.Disk) bool { return d.Device == name }) {
			return name
		}
	}
	return fmt.Sprintf("/dev/vda%d", len(v.Disks))
}

// plugDisks gives the booted machine its volumes. The root volume is the machine's own root file system.
func (s *Service) plugDisks(ctx context.Context, v *cloud.Server) error {
	s.Cloud.Lock()
	disks := slices.Clone(v.Disks)
	s.Cloud.Unlock()
	for _, d := range disks {
		if err := s.plugDisk(ctx, v, d); err != nil {
			return err
		}
	}
	return nil
}

// plugDisk attaches one volume to the machine and completes the attachment.
func (s *Service) plugDisk(ctx context.Context, v *cloud.Server, d *cloud.Disk) error {
	s.Cloud.Lock()
	volume := s.Cloud.Volumes.Get(d.VolumeID)
	a := s.Cloud.Attachments.Get(d.AttachmentID)
	host := s.Cloud.Host
	var spec machine.Volume
	if volume != nil {
		spec = machine.Volume{ID: volume.ID, SizeGiB: volume.Size}
	}
	name := d.Device
	s.Cloud.Unlock()
	if volume == nil || a == nil {
		return rest.Missing("Volume %s could not be found.", d.VolumeID)
	}
	if host != nil && !d.Root {
		var err error
		if name, err = host.AttachVolume(ctx, v.ID, spec, name); err != nil {
			return err
		}
	}
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	d.Device = name
	s.Cinder.Attached(a, name)
	return nil
}

// releaseDisks gives the server's volumes back and removes those that end with it.
func (s *Service) releaseDisks(v *cloud.Server) {
	for _, d := range v.Disks {
		if a := s.Cloud.Attachments.Get(d.AttachmentID); a != nil {
			s.Cinder.Release(a)
		}
		if volume := s.Cloud.Volumes.Get(d.VolumeID); volume != nil && d.DeleteOnTermination {
			if err := s.Cinder.RemoveVolume(volume, false); err != nil {
				s.Cloud.Log.Warn("cannot remove the volume of a deleted server", "server", v.ID, "volume", volume.ID, "error", err)
			}
		}
	}
	v.Disks = nil
}
