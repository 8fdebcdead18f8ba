package neutron

import (
	"net/netip"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// The methods of this file are what Nova asks of Neutron; the cloud's lock is held.

// PortRequest is a port that Nova makes for a server.
type PortRequest struct {
	Project, Network, FixedIP string
	Groups                    []string // ids; nil for the default group
	Server, Zone, Host        string
}

// MakePort makes a port for a server. Errors are Neutron's.
func (s *Service) MakePort(r PortRequest) (*cloud.Port, error) {
	n := s.Cloud.Networks.Get(r.Network)
	if n == nil {
		return nil, networkMissing(r.Network)
	}
	b := &portBody{device: opt[string]{Set: true, V: r.Server}, owner: opt[string]{Set: true, V: "compute:" + r.Zone}, host: opt[string]{Set: true, V: r.Host}}
	if r.FixedIP != "" {
		b.ips = opt[[]fixedIPBody]{Set: true, V: []fixedIPBody{{IPAddress: r.FixedIP}}}
	}
	if r.Groups != nil && !n.NoPortSecurity {
		b.groups = opt[[]string]{Set: true, V: r.Groups}
	}
	return s.newPort(r.Project, n, b)
}

// BindPort gives an existing port to a server.
func (s *Service) BindPort(p *cloud.Port, server, zone, host string) {
	p.DeviceID, p.DeviceOwner, p.Host = server, "compute:"+zone, host
	s.touch(&p.Stamp)
}

// PlugPort marks a port as wired, or not.
func (s *Service) PlugPort(p *cloud.Port, up bool) {
	status := "DOWN"
	if up && !p.AdminDown {
		status = "ACTIVE"
	}
	if p.Status != status {
		p.Status = status
		s.touch(&p.Stamp)
	}
	s.agent.filters()
}

// ReleasePort takes a port from its server: one that Nova made is deleted, another is left unbound.
func (s *Service) ReleasePort(id string, made bool) {
	p := s.Cloud.Ports.Get(id)
	if p == nil {
		return
	}
	if made {
		s.dropPort(p)
		return
	}
	p.DeviceID, p.DeviceOwner, p.Host, p.Status = "", "", "", "DOWN"
	s.touch(&p.Stamp)
	s.agent.filters()
}

// SetGroups replaces the security groups of a port.
func (s *Service) SetGroups(p *cloud.Port, groups []string) {
	p.SecurityGroups = groups
	s.touch(&p.Stamp)
	s.agent.filters()
}

// FloatingOf are the floating addresses of a port's fixed address.
func (s *Service) FloatingOf(port string, fixed netip.Addr) []netip.Addr {
	var out []netip.Addr
	for f := range s.Cloud.FloatingIPs.Where(func(f *cloud.FloatingIP) bool { return f.PortID == port && f.Fixed == fixed }) {
		out = append(out, f.Address)
	}
	return out
}

// GroupByName finds a project's security group by id or name. Errors: 404, or 409 when the name is not unique.
func (s *Service) GroupByName(project, name string) (*cloud.SecurityGroup, error) {
	s.ensureDefaultGroup(project)
	if g := s.Cloud.SecurityGroups.Get(name); g != nil && g.ProjectID == project {
		return g, nil
	}
	var found *cloud.SecurityGroup
	for g := range s.Cloud.SecurityGroups.Where(func(g *cloud.SecurityGroup) bool { return g.ProjectID == project && g.Name == name }) {
		if found != nil {
			return nil, rest.Conflict("Multiple security_group matches found for name '%s', use an ID to be more specific.", name)
		}
		found = g
	}
	if found == nil {
		return nil, groupMissing(name)
	}
	return found, nil
}

// Associate points a floating IP to a port's address.
func (s *Service) Associate(f *cloud.FloatingIP, port string, fixed netip.Addr) error {
	return s.associate(f, port, opt[string]{Set: true, V: fixed.String()})
}

// Disassociate takes a floating IP from its port.
func (s *Service) Disassociate(f *cloud.FloatingIP) { s.disassociate(f) }
