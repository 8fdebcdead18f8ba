package nova

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// resize restarts the server as another flavor. A machine keeps the memory limit that it was booted with.
func (s *Service) resize(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct {
		Flavor any `json:"flavorRef"`
	}
	_ = json.Unmarshal(raw, &b) // checked by the look-up
	f := s.Cloud.Flavors.Get(lastSegment(rest.Text(b.Flavor)))
	if f == nil || !s.seesFlavor(c, f) {
		return rest.Reply{}, rest.Bad("Flavor %s could not be found.", rest.Text(b.Flavor))
	}
	if f.ID == v.Flavor.ID {
		return rest.Reply{}, rest.Bad("When resizing, instances must change flavor!")
	}
	if f.Disk < v.Flavor.Disk {
		return rest.Reply{}, rest.Bad("Resize to smaller disk is not allowed: flavor's disk is smaller than the server's.")
	}
	if err := s.exceeds(v.ProjectID, map[string]int{"cores": f.VCPUs - v.Flavor.VCPUs, "ram": f.RAM - v.Flavor.RAM}); err != nil {
		return rest.Reply{}, err
	}
	next := *v
	next.Flavor, next.Host = *f, ""
	if s.schedule(&next, hints{}) == "" {
		return rest.Reply{}, rest.Bad("No valid host was found. No valid host found for resize")
	}
	s.move(v, f)
	return accepted, nil
}

func (s *Service) migrate(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	f := v.Flavor
	s.move(v, &f)
	return accepted, nil
}

// move is the way of resize and cold migration, up to VERIFY_RESIZE.
func (s *Service) move(v *cloud.Server, to *cloud.Flavor) {
	old, was := v.Flavor, v.VMState
	s.run(v, step{"resize_prep", func(ctx context.Context) error {
		if was != "active" {
			return nil
		}
		return s.Cloud.Host.Reboot(ctx, v.ID, false)
	}, func(v *cloud.Server) {
		v.Flavor, v.OldFlavor, v.VMState = *to, &old, "resized"
	}})
}

func (s *Service) confirmResize(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	v.OldFlavor, v.Updated = nil, s.Cloud.Now()
	v.VMState = "active"
	if v.PowerState != 1 {
		v.VMState = "stopped"
	}
	return rest.Empty()
}

func (s *Service) revertResize(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	on := v.PowerState == 1
	s.run(v, step{"resize_reverting", func(ctx context.Context) error {
		if !on {
			return nil
		}
		return s.Cloud.Host.Reboot(ctx, v.ID, false)
	}, func(v *cloud.Server) {
		if v.OldFlavor != nil {
			v.Flavor, v.OldFlavor = *v.OldFlavor, nil
		}
		v.VMState = "active"
		if !on {
			v.VMState = "stopped"
		}
	}})
	return accepted, nil
}

type rebuildBody struct {
	Image       string `json:"imageRef"`
	Name        *string
	AdminPass   *string `json:"adminPass"`
	Metadata    map[string]string
	Description *string
	AccessV4    *string `json:"accessIPv4"`
	AccessV6    *string `json:"accessIPv6"`
	DiskConfig  string  `json:"OS-DCF:diskConfig"`
	UserData    *string `json:"user_data"`
	KeyName     *string `json:"key_name"`
}

// rebuild makes the server anew from an image; ports, volumes and addresses stay.
func (s *Service) rebuild(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b rebuildBody
	if json.Unmarshal(raw, &b) != nil || b.Image == "" {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute rebuild. 'imageRef' is a required property")
	}
	img := s.Cloud.Images.Get(lastSegment(b.Image))
	if img == nil || img.Status != "active" {
		return rest.Reply{}, rest.Bad("Cannot find image for rebuild")
	}
	if v.Flavor.Disk != 0 && v.Flavor.Disk < img.MinDisk {
		return rest.Reply{}, rest.Bad("Flavor's disk is too small for requested image.")
	}
	if b.UserData != nil && c.Version.At(57) {
		data, err := base64.StdEncoding.DecodeString(*b.UserData)
		if err != nil {
			return rest.Reply{}, rest.Bad("Invalid input for field/attribute user_data. Value: %.40s. '%.40s' is not a 'base64'", *b.UserData, *b.UserData)
		}
		v.UserData = data
	}
	if b.KeyName != nil && c.Version.At(54) {
		k := s.Cloud.KeyPairs.Get(cloud.KeyPairKey(c.Token.User.ID, *b.KeyName))
		if k == nil {
			return rest.Reply{}, rest.Bad("Invalid key_name provided.")
		}
		v.KeyName, v.KeyPublic = k.Name, []string{k.PublicKey}
	}
	s.applyRebuild(v, &b, img)
	stopped := v.VMState == "stopped"
	spec := s.machineOf(v)
	s.run(v, step{"rebuilding", func(ctx context.Context) error {
		if err := s.Cloud.Host.Destroy(ctx, v.ID); err != nil {
			return err
		}
		if err := s.Cloud.Host.Boot(ctx, spec); err != nil {
			return err
		}
		if err := s.plugDisks(ctx, v); err != nil {
			return err
		}
		if stopped {
			return s.Cloud.Host.Stop(ctx, v.ID)
		}
		return nil
	}, func(v *cloud.Server) {
		s.running(v)
		if stopped {
			v.VMState, v.PowerState = "stopped", 4
		}
	}})
	doc := s.serverDoc(c, v)
	doc["adminPass"] = v.AdminPass
	return rest.Accepted(map[string]any{"server": doc})
}

func (s *Service) applyRebuild(v *cloud.Server, b *rebuildBody, img *cloud.Image) {
	v.ImageID = img.ID
	for to, from := range map[*string]*string{
		&v.Name: b.Name, &v.AdminPass: b.AdminPass, &v.Description: b.Description, &v.AccessV4: b.AccessV4, &v.AccessV6: b.AccessV6,
	} {
		if from != nil {
			*to = *from
		}
	}
	if b.Metadata != nil {
		v.Metadata = maps.Clone(b.Metadata)
	}
	if b.DiskConfig != "" {
		v.DiskConfig = b.DiskConfig
	}
}
