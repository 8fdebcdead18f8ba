package neutron

import (
	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

type interfaceBody struct {
	Subnet string `json:"subnet_id"`
	Port   string `json:"port_id"`
}

func interfaceDoc(r *cloud.Router, p *cloud.Port) rest.Doc {
	subnets := []string{}
	for _, f := range p.FixedIPs {
		subnets = append(subnets, f.SubnetID)
	}
	d := rest.Doc{"id": r.ID, "tenant_id": r.ProjectID, "project_id": r.ProjectID, "port_id": p.ID, "network_id": p.NetworkID, "subnet_ids": subnets, "tags": orEmpty(r.Tags)}
	if len(subnets) > 0 {
		d["subnet_id"] = subnets[0]
	}
	return d
}

// addInterface gives the router a leg on a subnet, with the subnet's gateway address or a port's.
func (s *Service) addInterface(c *rest.Call) (rest.Reply, error) {
	r, err := s.ownRouter(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b interfaceBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	var p *cloud.Port
	switch {
	case b.Subnet != "" && b.Port != "":
		err = badRequest("router", "Cannot specify both subnet-id and port-id")
	case b.Subnet != "":
		p, err = s.interfaceBySubnet(c, r, b.Subnet)
	case b.Port != "":
		p, err = s.interfaceByPort(c, r, b.Port)
	default:
		err = badRequest("router", "Either subnet_id or port_id must be specified")
	}
	if err != nil {
		return rest.Reply{}, err
	}
	s.touch(&r.Stamp)
	s.agent.router(r.ID)
	return rest.OK(interfaceDoc(r, p))
}

func (s *Service) interfaceBySubnet(c *rest.Call, r *cloud.Router, id string) (*cloud.Port, error) {
	sub := s.Cloud.Subnets.Get(id)
	if sub == nil {
		return nil, subnetMissing(id)
	}
	n := s.Cloud.Networks.Get(sub.NetworkID)
	if !s.seesNetwork(c, n) {
		return nil, subnetMissing(id)
	}
	if !sub.Gateway.IsValid() {
		return nil, badRequest("router", "Subnet for router interface must have a gateway IP")
	}
	if n.ProjectID != c.Project() && !c.Admin() && !n.Shared {
		return nil, badRequest("router", "Cannot add interface to router because subnet %s is not owned by project making the request", id)
	}
	if err := s.overlaps(r, sub); err != nil {
		return nil, err
	}
	if p := s.portWith(sub.ID, sub.Gateway); p != nil {
		return nil, inUse("IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", sub.Gateway, sub.ID)
	}
	p, err := s.newPort(r.ProjectID, n, &portBody{
		device: opt[string]{Set: true, V: r.ID}, owner: opt[string]{Set: true, V: ownerInterface},
		ips: opt[[]fixedIPBody]{Set: true, V: []fixedIPBody{{SubnetID: sub.ID, IPAddress: sub.Gateway.String()}}},
	})
	if err != nil {
		return nil, err
	}
	p.NoPortSecurity = true
	return p, nil
}

// overlaps refuses a subnet that the router has already, or whose addresses collide with one that it has.
func (s *Service) overlaps(r *cloud.Router, sub *cloud.Subnet) error {
	for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.DeviceID == r.ID }) {
		for _, f := range p.FixedIPs {
			other := s.Cloud.Subnets.Get(f.SubnetID)
			switch {
			case other == nil:
			case other.ID == sub.ID:
				return badRequest("router", "Router already has a port on subnet %s", sub.ID)
			case other.CIDR.Overlaps(sub.CIDR):
				return badRequest("router", "Cidr %s of subnet %s overlaps with cidr %s of subnet %s", sub.CIDR, sub.ID, other.CIDR, other.ID)
			}
		}
	}
	return nil
}

func (s *Service) interfaceByPort(c *rest.Call, r *cloud.Router, id string) (*cloud.Port, error) {
	p := s.Cloud.Ports.Get(id)
	if p == nil || p.ProjectID != c.Project() && !c.Admin() {
		return nil, portMissing(id)
	}
	if p.DeviceID != "" {
		return nil, inUse("PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", id, p.NetworkID, p.DeviceID)
	}
	if len(p.FixedIPs) == 0 {
		return nil, badRequest("router", "Router port must have at least one fixed IP")
	}
	for _, f := range p.FixedIPs {
		if err := s.overlaps(r, s.Cloud.Subnets.Get(f.SubnetID)); err != nil {
			return nil, err
		}
	}
	p.DeviceID, p.DeviceOwner, p.SecurityGroups, p.NoPortSecurity = r.ID, ownerInterface, nil, true
	s.touch(&p.Stamp)
	return p, nil
}

func (s *Service) removeInterface(c *rest.Call) (rest.Reply, error) {
	r, err := s.ownRouter(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b interfaceBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	p, err := s.leg(r, b)
	if err != nil {
		return rest.Reply{}, err
	}
	for _, f := range p.FixedIPs {
		if s.neededByFloating(r, f.SubnetID) {
			return rest.Reply{}, inUse("RouterInterfaceInUseByFloatingIP", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.", f.SubnetID, r.ID)
		}
	}
	doc := interfaceDoc(r, p)
	s.Cloud.Ports.Delete(p.ID)
	s.touch(&r.Stamp)
	s.agent.router(r.ID)
	return rest.OK(doc)
}

// leg finds the router's port that a removal names.
func (s *Service) leg(r *cloud.Router, b interfaceBody) (*cloud.Port, error) {
	for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.DeviceID == r.ID && p.DeviceOwner == ownerInterface }) {
		if b.Port != "" && p.ID != b.Port {
			continue
		}
		if b.Subnet == "" && b.Port != "" {
			return p, nil
		}
		for _, f := range p.FixedIPs {
			if f.SubnetID == b.Subnet {
				return p, nil
			}
		}
	}
	switch {
	case b.Subnet == "" && b.Port == "":
		return nil, badRequest("router", "Either subnet_id or port_id must be specified")
	case b.Port != "":
		return nil, rest.Typed(404, "RouterInterfaceNotFound", "Router %s does not have an interface with id %s", r.ID, b.Port)
	case s.Cloud.Subnets.Get(b.Subnet) == nil:
		return nil, subnetMissing(b.Subnet)
	}
	return nil, rest.Typed(404, "RouterInterfaceNotFoundForSubnet", "Router %s has no interface on subnet %s", r.ID, b.Subnet)
}

func (s *Service) neededByFloating(r *cloud.Router, subnet string) bool {
	return s.Cloud.FloatingIPs.First(func(f *cloud.FloatingIP) bool {
		p := s.Cloud.Ports.Get(f.PortID)
		if f.RouterID != r.ID || p == nil {
			return false
		}
		for _, ip := range p.FixedIPs {
			if ip.SubnetID == subnet && ip.IPAddress == f.Fixed {
				return true
			}
		}
		return false
	}) != nil
}
