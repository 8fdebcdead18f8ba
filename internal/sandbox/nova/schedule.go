package nova

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
)

// Overcommit as in Nova's defaults for new hosts.
const (
	cpuRatio  = 4
	ramRatio  = 1
	diskRatio = 1
)

// schedule chooses a host, or returns "" when none is fit: the filters are zone, forced host, required traits, capacity,
// affinity, and the hints same_host and different_host. Of the fit ones the emptiest wins, as Nova's weighers do.
func (s *Service) schedule(v *cloud.Server, h hints) string {
	best, free := "", -1
	for _, hv := range s.Cloud.Hypervisors {
		if hv.Zone != v.Zone || h.forcedHost != "" && hv.Name != h.forcedHost {
			continue
		}
		cpu, ram, disk := s.load(hv.Name)
		f := &v.Flavor
		if cpu+f.VCPUs > hv.VCPUs*cpuRatio || f.VCPUs > hv.VCPUs || ram+f.RAM > hv.RAM*ramRatio || disk+f.Disk+f.Ephemeral > hv.Disk*diskRatio {
			continue
		}
		if !traits(f.ExtraSpecs) || !s.hinted(hv.Name, h) || !s.affine(v, hv.Name) {
			continue
		}
		if left := hv.RAM - ram; left > free {
			best, free = hv.Name, left
		}
	}
	return best
}

// load sums the servers of a host.
func (s *Service) load(host string) (cpu, ram, disk int) {
	for v := range s.Cloud.Servers.Where(func(v *cloud.Server) bool { return v.Host == host }) {
		cpu, ram, disk = cpu+v.Flavor.VCPUs, ram+v.Flavor.RAM, disk+v.Flavor.Disk+v.Flavor.Ephemeral
	}
	return cpu, ram, disk
}

// traits reports whether the hosts, which have no traits and no aggregates, satisfy a flavor's extra specs.
func traits(specs map[string]string) bool {
	for key, value := range specs {
		if strings.HasPrefix(key, "trait") && value == "required" || strings.HasPrefix(key, "aggregate_instance_extra_specs:") || strings.HasPrefix(key, "resources:CUSTOM_") {
			return false
		}
	}
	return true
}

func (s *Service) hinted(host string, h hints) bool {
	on := func(id string) bool {
		o := s.Cloud.Servers.Get(id)
		return o != nil && o.Host == host
	}
	if slices.ContainsFunc(h.different, on) {
		return false
	}
	return len(h.same) == 0 || slices.ContainsFunc(h.same, on)
}

// affine applies the policy of the server's group. The soft policies only prefer, and all hosts are equal here.
func (s *Service) affine(v *cloud.Server, host string) bool {
	g := s.Cloud.ServerGroups.Get(v.Group)
	if g == nil {
		return true
	}
	here, elsewhere := 0, 0
	for _, m := range s.members(g.ID) {
		switch {
		case m.ID == v.ID || m.Host == "":
		case m.Host == host:
			here++
		default:
			elsewhere++
		}
	}
	switch g.Policy {
	case "anti-affinity":
		return here < max(g.MaxPerHost, 1)
	case "affinity":
		return elsewhere == 0
	}
	return true
}
