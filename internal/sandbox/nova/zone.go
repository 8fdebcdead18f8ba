package nova

import (
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) zones() []string {
	var out []string
	for _, h := range s.Cloud.Hypervisors {
		if !slices.Contains(out, h.Zone) {
			out = append(out, h.Zone)
		}
	}
	return out
}

func (s *Service) listZones(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, z := range s.zones() {
		docs = append(docs, rest.Doc{"zoneName": z, "zoneState": map[string]bool{"available": true}, "hosts": nil})
	}
	return rest.OK(map[string]any{"availabilityZoneInfo": docs})
}

func (s *Service) listZonesDetail(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, z := range s.zones() {
		hosts := map[string]any{}
		for _, h := range s.Cloud.Hypervisors {
			if h.Zone == z {
				hosts[h.Name] = map[string]any{"nova-compute": map[string]any{"available": true, "active": true, "updated_at": cloud.Micro(s.Cloud.Now())}}
			}
		}
		docs = append(docs, rest.Doc{"zoneName": z, "zoneState": map[string]bool{"available": true}, "hosts": hosts})
	}
	return rest.OK(map[string]any{"availabilityZoneInfo": docs})
}

func (s *Service) listHypervisors(detail bool) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		docs := []any{}
		for i, h := range s.Cloud.Hypervisors {
			d := rest.Doc{"id": i + 1, "hypervisor_hostname": h.Name, "state": "up", "status": "enabled"}
			if c.Version.At(53) {
				d["id"] = h.Name
			}
			if detail {
				cpu, ram, disk := s.load(h.Name)
				d["hypervisor_type"], d["hypervisor_version"], d["host_ip"] = "sandbox", 1, "127.0.0.1"
				d["service"] = map[string]any{"id": i + 1, "host": h.Name, "disabled_reason": nil}
				if !c.Version.At(88) {
					d["vcpus"], d["vcpus_used"], d["memory_mb"], d["memory_mb_used"], d["free_ram_mb"] = h.VCPUs, cpu, h.RAM, ram, h.RAM-ram
					d["local_gb"], d["local_gb_used"], d["free_disk_gb"], d["disk_available_least"] = h.Disk, disk, h.Disk-disk, h.Disk-disk
					d["running_vms"] = s.Cloud.Servers.Count(func(v *cloud.Server) bool { return v.Host == h.Name })
					d["current_workload"], d["cpu_info"] = 0, map[string]any{}
				}
			}
			docs = append(docs, d)
		}
		return rest.OK(map[string]any{"hypervisors": docs})
	}
}

func (s *Service) listServices(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	add := func(binary, host, zone string) {
		docs = append(docs, rest.Doc{"id": len(docs) + 1, "binary": binary, "host": host, "zone": zone, "status": "enabled", "state": "up", "updated_at": cloud.Micro(s.Cloud.Now()), "disabled_reason": nil})
	}
	add("nova-conductor", "sandbox", "internal")
	add("nova-scheduler", "sandbox", "internal")
	for _, h := range s.Cloud.Hypervisors {
		add("nova-compute", h.Name, h.Zone)
	}
	return rest.OK(map[string]any{"services": docs})
}

func (s *Service) usage(c *rest.Call) (rest.Reply, error) {
	project := c.PathValue("project")
	if project != c.Project() && !c.Admin() {
		return rest.Reply{}, denied("os-simple-tenant-usage:show")
	}
	docs := []any{}
	for v := range s.Cloud.Servers.Where(func(v *cloud.Server) bool { return v.ProjectID == project }) {
		docs = append(docs, rest.Doc{
			"instance_id": v.ID, "name": v.Name, "vcpus": v.Flavor.VCPUs, "memory_mb": v.Flavor.RAM, "local_gb": v.Flavor.Disk, "flavor": v.Flavor.Name,
			"tenant_id": v.ProjectID, "started_at": cloud.Micro(v.Created), "ended_at": nil, "state": v.VMState,
			"hours": s.Cloud.Now().Sub(v.Created).Hours(), "uptime": int(s.Cloud.Now().Sub(v.Created).Seconds()),
		})
	}
	return rest.OK(map[string]any{"tenant_usage": rest.Doc{"tenant_id": project, "server_usages": docs}})
}
