package nova

import (
	"net/netip"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/neutron"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// nicWish is a requested network interface: an existing port, or a network to make one on.
type nicWish struct {
	port, network, fixed, tag string
}

// wishes checks the request's networks.
func (s *Service) wishes(c *rest.Call, in any) ([]nicWish, error) {
	switch in := in.(type) {
	case nil:
		return s.autoNetwork(c, false)
	case string:
		switch {
		case in == "none" && c.Version.At(37):
			return nil, nil
		case in == "auto" && c.Version.At(37):
			return s.autoNetwork(c, true)
		}
	case []any:
		if len(in) == 0 {
			return s.autoNetwork(c, false)
		}
		return s.namedNetworks(c, in)
	}
	if !c.Version.At(37) {
		return nil, rest.Bad("Invalid input for field/attribute networks. Value: %v. '%v' is not of type 'array'", in, in)
	}
	return nil, rest.Bad("Invalid input for field/attribute networks. Value: %v. '%v' is not valid under any of the given schemas", in, in)
}

func isUUID(text string) bool {
	compact := strings.ToLower(strings.ReplaceAll(text, "-", ""))
	return len(compact) == 32 && strings.Trim(compact, "0123456789abcdef") == ""
}

// autoNetwork takes the project's only network.
func (s *Service) autoNetwork(c *rest.Call, must bool) ([]nicWish, error) {
	var found []*cloud.Network
	for n := range s.Cloud.Networks.All() {
		if (n.ProjectID == c.Project() || n.Shared) && !n.External {
			found = append(found, n)
		}
	}
	switch {
	case len(found) > 1:
		return nil, rest.Conflict("Multiple possible networks found, use a Network ID to be more specific.")
	case len(found) == 1:
		return []nicWish{{network: found[0].ID}}, nil
	case must:
		return nil, rest.Bad("Unable to automatically allocate a network for project %s", c.Project())
	}
	return nil, nil
}

func (s *Service) namedNetworks(c *rest.Call, in []any) ([]nicWish, error) {
	var out []nicWish
	seen := map[string]bool{}
	for _, item := range in {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, rest.Bad("Invalid input for field/attribute networks. Value: %v. %v is not of type 'object'", item, item)
		}
		w := nicWish{port: rest.Text(m["port"]), network: rest.Text(m["uuid"]), fixed: rest.Text(m["fixed_ip"]), tag: rest.Text(m["tag"])}
		if err := s.checkWish(c, &w); err != nil {
			return nil, err
		}
		if w.port != "" && seen[w.port] {
			return nil, rest.Bad("Duplicate port %s", w.port)
		}
		seen[w.port] = true
		out = append(out, w)
	}
	return out, nil
}

func (s *Service) checkWish(c *rest.Call, w *nicWish) error {
	if w.port != "" {
		p := s.Cloud.Ports.Get(w.port)
		switch {
		case p == nil || p.ProjectID != c.Project() && !c.Admin():
			return rest.Bad("Port id %s could not be found.", w.port)
		case p.DeviceID != "":
			return rest.Conflict("Port %s is still in use.", w.port)
		case len(p.FixedIPs) == 0:
			return rest.Bad("Port %s requires a FixedIP in order to be used.", w.port)
		case w.fixed != "":
			return rest.Bad("Specified Fixed IP '%s' cannot be used with port '%s': the two cannot be specified together.", w.fixed, w.port)
		}
		w.network = p.NetworkID
		return nil
	}
	if w.network == "" {
		return rest.Bad("Invalid input for field/attribute networks. a network needs 'uuid' or 'port'")
	}
	if !isUUID(w.network) {
		return rest.Bad("Bad networks format: network uuid is not in proper format (%s)", w.network)
	}
	n := s.Cloud.Networks.Get(w.network)
	if n == nil || n.ProjectID != c.Project() && !n.Shared && !n.External && !c.Admin() {
		return rest.Bad("Network %s could not be found.", w.network)
	}
	if s.Cloud.Subnets.First(func(sub *cloud.Subnet) bool { return sub.NetworkID == n.ID }) == nil {
		return rest.Bad("Network %s requires a subnet in order to boot instances on.", w.network)
	}
	if w.fixed != "" {
		if _, err := netip.ParseAddr(w.fixed); err != nil {
			return rest.Bad("Invalid input for field/attribute fixed_ip. Value: %s. '%s' is not a 'ipv4' or 'ipv6'", w.fixed, w.fixed)
		}
		for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.NetworkID == n.ID }) {
			for _, ip := range p.FixedIPs {
				if ip.IPAddress.String() == w.fixed {
					return rest.Bad("Fixed IP address %s is already in use on instance %s.", w.fixed, p.DeviceID)
				}
			}
		}
	}
	return nil
}

// takePorts binds or makes the ports of a server being built. On an error all are given back.
func (s *Service) takePorts(v *cloud.Server, o order) error {
	for _, w := range o.nics {
		if err := s.takePort(v, w, o.groups); err != nil {
			s.givePorts(v)
			return err
		}
	}
	return nil
}

func (s *Service) takePort(v *cloud.Server, w nicWish, groups []string) error {
	if w.port != "" {
		p := s.Cloud.Ports.Get(w.port)
		if p == nil {
			return rest.Missing("Port %s could not be found.", w.port)
		}
		if p.DeviceID != "" {
			return rest.Conflict("Port %s is still in use.", w.port)
		}
		s.Neutron.BindPort(p, v.ID, v.Zone, v.Host)
		v.NICs = append(v.NICs, &cloud.NIC{PortID: p.ID, Tag: w.tag})
		return nil
	}
	if n := s.Cloud.Networks.Get(w.network); n != nil && n.External && !n.Shared && n.ProjectID != v.ProjectID {
		// Only the compute service finds this out, as in Nova: the server goes to ERROR.
		return rest.Forbidden("It is not allowed to create an interface on external network %s", w.network)
	}
	p, err := s.Neutron.MakePort(neutron.PortRequest{
		Project: v.ProjectID, Network: w.network, FixedIP: w.fixed, Groups: groups, Server: v.ID, Zone: v.Zone, Host: v.Host,
	})
	if err != nil {
		return err
	}
	v.NICs = append(v.NICs, &cloud.NIC{PortID: p.ID, Made: true, Tag: w.tag})
	return nil
}

func (s *Service) givePorts(v *cloud.Server) {
	for _, nic := range v.NICs {
		s.Neutron.ReleasePort(nic.PortID, nic.Made)
	}
	v.NICs = nil
}

// portGone removes the interface of a port that was deleted through Neutron.
func (s *Service) portGone(serverID, portID string) {
	v := s.Cloud.Servers.Get(serverID)
	if v == nil {
		return
	}
	s.dropNIC(v, portID)
	s.unplug(v, portID)
}

func (s *Service) dropNIC(v *cloud.Server, portID string) {
	for i, nic := range v.NICs {
		if nic.PortID == portID {
			v.NICs = append(append([]*cloud.NIC{}, v.NICs[:i]...), v.NICs[i+1:]...)
			return
		}
	}
}

// neutronMessage is the text of a refusal by Neutron.
func neutronMessage(err error) string {
	if e, ok := err.(*rest.Error); ok {
		return strings.TrimSpace(e.Message)
	}
	return err.Error()
}
