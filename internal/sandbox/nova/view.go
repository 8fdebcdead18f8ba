package nova

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// status is the API's word for a server's machine and task state.
func status(v *cloud.Server) string {
	byTask := map[string]map[string]string{
		"active": {
			"rebooting": "REBOOT", "reboot_pending": "REBOOT", "reboot_started": "REBOOT", "rebooting_hard": "HARD_REBOOT",
			"rebuilding": "REBUILD", "rebuild_spawning": "REBUILD", "updating_password": "PASSWORD", "migrating": "MIGRATING",
			"resize_prep": "RESIZE", "resize_migrating": "RESIZE", "resize_finish": "RESIZE",
		},
		"stopped": {"resize_prep": "RESIZE", "resize_migrating": "RESIZE", "resize_finish": "RESIZE", "rebuilding": "REBUILD", "rebuild_spawning": "REBUILD"},
		"resized": {"resize_reverting": "REVERT_RESIZE"},
		"error":   {"rebuilding": "REBUILD", "rebuild_spawning": "REBUILD"},
	}
	if word, ok := byTask[v.VMState][v.TaskState]; ok {
		return word
	}
	word, ok := map[string]string{
		"active": "ACTIVE", "building": "BUILD", "stopped": "SHUTOFF", "resized": "VERIFY_RESIZE", "paused": "PAUSED", "suspended": "SUSPENDED",
		"rescued": "RESCUE", "error": "ERROR", "deleted": "DELETED", "shelved": "SHELVED", "shelved_offloaded": "SHELVED_OFFLOADED",
	}[v.VMState]
	if !ok {
		return "UNKNOWN"
	}
	return word
}

// addresses are those of the server's ports by network name.
func (s *Service) addresses(v *cloud.Server) map[string][]any {
	out := map[string][]any{}
	for _, nic := range v.NICs {
		p := s.Cloud.Ports.Get(nic.PortID)
		if p == nil {
			continue
		}
		n := s.Cloud.Networks.Get(p.NetworkID)
		if n == nil {
			continue
		}
		add := func(addr fmt.Stringer, six bool, kind string) {
			version := 4
			if six {
				version = 6
			}
			out[n.Name] = append(out[n.Name], map[string]any{
				"version": version, "addr": addr.String(), "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": p.MAC,
			})
		}
		for _, ip := range p.FixedIPs {
			add(ip.IPAddress, ip.IPAddress.Is6(), "fixed")
			for _, f := range s.Neutron.FloatingOf(p.ID, ip.IPAddress) {
				add(f, f.Is6(), "floating")
			}
		}
	}
	return out
}

// groupNames are the security groups of the server's ports, each once.
func (s *Service) groupNames(v *cloud.Server) []any {
	out := []any{}
	seen := map[string]bool{}
	for _, nic := range v.NICs {
		p := s.Cloud.Ports.Get(nic.PortID)
		if p == nil {
			continue
		}
		for _, id := range p.SecurityGroups {
			if g := s.Cloud.SecurityGroups.Get(id); g != nil && !seen[g.Name] {
				seen[g.Name] = true
				out = append(out, map[string]any{"name": g.Name})
			}
		}
	}
	return out
}

func hostID(v *cloud.Server) string {
	if v.Host == "" {
		return ""
	}
	sum := sha256.Sum224([]byte(v.ProjectID + v.Host))
	return hex.EncodeToString(sum[:])
}

func (s *Service) serverDoc(c *rest.Call, v *cloud.Server) rest.Doc {
	d := rest.Doc{
		"id": v.ID, "name": v.Name, "status": status(v), "tenant_id": v.ProjectID, "user_id": v.UserID, "metadata": orEmpty(v.Metadata),
		"hostId": hostID(v), "created": cloud.Zulu(v.Created), "updated": cloud.Zulu(v.Updated), "addresses": s.addresses(v),
		"accessIPv4": v.AccessV4, "accessIPv6": v.AccessV6, "links": links(c, "servers", v.ID), "OS-DCF:diskConfig": v.DiskConfig,
		"OS-EXT-AZ:availability_zone": v.Zone, "config_drive": "", "key_name": orNil(v.KeyName), "OS-EXT-STS:task_state": orNil(v.TaskState),
		"OS-EXT-STS:vm_state": v.VMState, "OS-EXT-STS:power_state": v.PowerState, "OS-SRV-USG:launched_at": nil, "OS-SRV-USG:terminated_at": nil,
	}
	if v.Host == "" {
		d["OS-EXT-AZ:availability_zone"] = ""
	}
	if v.ConfigDrive {
		d["config_drive"] = "True"
	}
	if !v.Launched.IsZero() {
		d["OS-SRV-USG:launched_at"] = cloud.Micro(v.Launched)
	}
	if !v.Terminated.IsZero() {
		d["OS-SRV-USG:terminated_at"] = cloud.Micro(v.Terminated)
	}
	if groups := s.groupNames(v); len(groups) > 0 || v.Host != "" {
		d["security_groups"] = groups
	}
	if v.VMState != "error" && v.VMState != "deleted" {
		d["progress"] = v.Progress
	}
	d["image"] = any("")
	if v.ImageID != "" {
		d["image"] = rest.Doc{"id": v.ImageID, "links": links(c, "images", v.ImageID)[1:]}
	}
	s.flavorOf(c, v, d)
	s.faultOf(c, v, d)
	disks := []any{}
	for _, disk := range v.Disks {
		doc := rest.Doc{"id": disk.VolumeID}
		if c.Version.At(3) {
			doc["delete_on_termination"] = disk.DeleteOnTermination
		}
		disks = append(disks, doc)
	}
	d["os-extended-volumes:volumes_attached"] = disks
	s.newer(c, v, d)
	if c.Admin() {
		s.adminPart(c, v, d)
	}
	return d
}

func (s *Service) flavorOf(c *rest.Call, v *cloud.Server, d rest.Doc) {
	f := &v.Flavor
	if !c.Version.At(47) {
		d["flavor"] = rest.Doc{"id": f.ID, "links": links(c, "flavors", f.ID)[1:]}
		return
	}
	d["flavor"] = rest.Doc{
		"original_name": f.Name, "vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "ephemeral": f.Ephemeral, "swap": f.Swap, "extra_specs": orEmpty(f.ExtraSpecs),
	}
}

// faultOf shows why a server failed; details are for administrators.
func (s *Service) faultOf(c *rest.Call, v *cloud.Server, d rest.Doc) {
	if v.Fault == nil || v.VMState != "error" && v.VMState != "deleted" {
		return
	}
	doc := rest.Doc{"code": v.Fault.Code, "message": v.Fault.Message, "created": cloud.Zulu(v.Fault.Created)}
	if v.Fault.Details != "" && (c.Admin() || v.Fault.Code != 500) {
		doc["details"] = v.Fault.Details
	}
	d["fault"] = doc
}

// newer are the fields that came with microversions.
func (s *Service) newer(c *rest.Call, v *cloud.Server, d rest.Doc) {
	if c.Version.At(9) {
		d["locked"] = v.Locked
	}
	if c.Version.At(19) {
		d["description"] = orNil(v.Description)
	}
	if c.Version.At(26) {
		d["tags"] = v.Tags
		if v.Tags == nil {
			d["tags"] = []string{}
		}
	}
	if c.Version.At(63) {
		d["trusted_image_certificates"] = nil
	}
	if c.Version.At(71) {
		groups := []string{}
		if v.Group != "" {
			groups = append(groups, v.Group)
		}
		d["server_groups"] = groups
	}
	if c.Version.At(73) {
		d["locked_reason"] = orNil(v.LockedReason)
	}
	if c.Version.At(90) {
		d["OS-EXT-SRV-ATTR:hostname"] = v.Hostname
	}
}

func (s *Service) adminPart(c *rest.Call, v *cloud.Server, d rest.Doc) {
	d["OS-EXT-SRV-ATTR:host"], d["OS-EXT-SRV-ATTR:hypervisor_hostname"] = orNil(v.Host), orNil(v.Host)
	d["OS-EXT-SRV-ATTR:instance_name"] = "instance-" + v.ID[:8]
	if c.Version.At(3) {
		d["OS-EXT-SRV-ATTR:hostname"], d["OS-EXT-SRV-ATTR:reservation_id"], d["OS-EXT-SRV-ATTR:launch_index"] = v.Hostname, v.ReservationID, v.LaunchIndex
		d["OS-EXT-SRV-ATTR:kernel_id"], d["OS-EXT-SRV-ATTR:ramdisk_id"] = "", ""
		d["OS-EXT-SRV-ATTR:root_device_name"], d["OS-EXT-SRV-ATTR:user_data"] = "/dev/vda", nil
	}
	if c.Version.At(16) {
		d["host_status"] = "UP"
		if v.Host == "" {
			d["host_status"] = ""
		}
	}
}

func serverMissing(id string) *rest.Error { return rest.Missing("Instance %s could not be found.", id) }

// server is the one of the path, if the caller may see it.
func (s *Service) server(c *rest.Call) (*cloud.Server, error) {
	v := s.Cloud.Servers.Get(c.PathValue("id"))
	if v == nil || v.ProjectID != c.Project() && !c.Admin() {
		return nil, serverMissing(c.PathValue("id"))
	}
	return v, nil
}

func (s *Service) showServer(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"server": s.serverDoc(c, v)})
}

func (s *Service) listAddresses(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"addresses": plain(s.addresses(v))})
}

// plain leaves out the extended attributes, which only servers' documents have.
func plain(all map[string][]any) map[string][]any {
	out := map[string][]any{}
	for name, list := range all {
		for _, a := range list {
			m := a.(map[string]any)
			out[name] = append(out[name], map[string]any{"version": m["version"], "addr": m["addr"]})
		}
	}
	return out
}

func (s *Service) showAddresses(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	list, ok := plain(s.addresses(v))[c.PathValue("network")]
	if !ok {
		return rest.Reply{}, rest.Missing("Network not found")
	}
	return rest.OK(map[string]any{c.PathValue("network"): list})
}

func (s *Service) diagnostics(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if v.VMState != "active" {
		return rest.Reply{}, conflict("get_diagnostics", v)
	}
	return rest.OK(map[string]any{"state": "running", "hypervisor": "sandbox", "num_cpus": v.Flavor.VCPUs, "num_nics": len(v.NICs), "num_disks": len(v.Disks) + 1})
}
