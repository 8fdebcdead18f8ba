package neutron

import (
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func floatingMissing(id string) *rest.Error {
	return notFound("FloatingIPNotFound", "Floating IP %s could not be found", id)
}

func (s *Service) floatingIPKind() *kind {
	return &kind{
		one: "floatingip", many: "floatingips",
		attrs: map[string]string{
			"floating_network_id": "c", "floating_ip_address": "ca", "port_id": "cu", "fixed_ip_address": "cu", "subnet_id": "c",
			"dns_name": "c", "dns_domain": "c", "qos_policy_id": "cu", "router_id": "", "name": "",
		},
		required: []string{"floating_network_id"},
		absent:   floatingMissing,
		list: func(c *rest.Call) []rest.Doc {
			var docs []rest.Doc
			for f := range s.Cloud.FloatingIPs.All() {
				if f.ProjectID == c.Project() || c.Admin() {
					docs = append(docs, s.floatingDoc(f))
				}
			}
			return docs
		},
		create: s.createFloating, update: s.updateFloating, remove: s.removeFloating,
		stamp: func(id string) *cloud.Stamp {
			if f := s.Cloud.FloatingIPs.Get(id); f != nil {
				return &f.Stamp
			}
			return nil
		},
	}
}

func (s *Service) floatingDoc(f *cloud.FloatingIP) rest.Doc {
	d := stampDoc(&f.Stamp)
	delete(d, "name")
	d["floating_network_id"], d["floating_ip_address"], d["status"] = f.NetworkID, f.Address.String(), f.Status
	d["port_id"], d["router_id"], d["fixed_ip_address"], d["port_details"] = orNil(f.PortID), orNil(f.RouterID), nil, nil
	if f.Fixed.IsValid() {
		d["fixed_ip_address"] = f.Fixed.String()
	}
	d["dns_name"], d["dns_domain"], d["qos_policy_id"], d["port_forwardings"] = f.DNSName, f.DNSDomain, nil, []any{}
	if p := s.Cloud.Ports.Get(f.PortID); p != nil {
		d["port_details"] = map[string]any{
			"name": p.Name, "network_id": p.NetworkID, "mac_address": p.MAC, "admin_state_up": !p.AdminDown,
			"status": p.Status, "device_id": p.DeviceID, "device_owner": p.DeviceOwner,
		}
	}
	return d
}

type floatingBody struct {
	description, network, address, port, fixed, subnet, dns, domain opt[string]
}

func (b *floatingBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{
		"description": &b.description, "floating_network_id": &b.network, "floating_ip_address": &b.address, "port_id": &b.port,
		"fixed_ip_address": &b.fixed, "subnet_id": &b.subnet, "dns_name": &b.dns, "dns_domain": &b.domain,
	})
}

func (s *Service) createFloating(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b floatingBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	n := s.Cloud.Networks.Get(b.network.V)
	if n == nil || !s.seesNetwork(c, n) {
		return nil, networkMissing(b.network.V)
	}
	if !n.External {
		return nil, badRequest("floatingip", "Network %s is not a valid external network", n.ID)
	}
	if err := s.quota(project, "floatingip"); err != nil {
		return nil, err
	}
	f := &cloud.FloatingIP{Stamp: s.newStamp(project), NetworkID: n.ID, Status: "DOWN", DNSName: b.dns.V, DNSDomain: b.domain.V}
	f.Description = b.description.V
	own, err := s.floatingPort(n, f, &b)
	if err != nil {
		return nil, err
	}
	f.OwnPort, f.Address = own.ID, own.FixedIPs[0].IPAddress
	if b.port.V != "" {
		if err := s.associate(f, b.port.V, b.fixed); err != nil {
			s.Cloud.Ports.Delete(own.ID)
			return nil, err
		}
	} else if b.fixed.V != "" {
		s.Cloud.Ports.Delete(own.ID)
		return nil, badRequest("floatingip", "fixed_ip_address cannot be specified without a port_id")
	}
	s.Cloud.FloatingIPs.Put(f.ID, f)
	return s.floatingDoc(f), nil
}

// floatingPort takes an address of the external network by a port of its own.
func (s *Service) floatingPort(n *cloud.Network, f *cloud.FloatingIP, b *floatingBody) (*cloud.Port, error) {
	pb := &portBody{device: opt[string]{Set: true, V: f.ID}, owner: opt[string]{Set: true, V: ownerFloating}}
	wish := fixedIPBody{IPAddress: b.address.V, SubnetID: b.subnet.V}
	if wish == (fixedIPBody{}) {
		for _, sub := range s.subnetsOf(n.ID) {
			if sub.CIDR.Addr().Is4() {
				wish.SubnetID = sub.ID
				if _, ok := s.allocatable(sub); ok {
					break
				}
			}
		}
		if wish.SubnetID == "" {
			return nil, badRequest("floatingip", "Network %s does not contain any IPv4 subnet", n.ID)
		}
	}
	pb.ips = opt[[]fixedIPBody]{Set: true, V: []fixedIPBody{wish}}
	p, err := s.newPort("", n, pb)
	if err != nil {
		return nil, err
	}
	p.NoPortSecurity, p.Status = true, "N/A"
	return p, nil
}

// allocatable reports whether the subnet has a free address, without taking it.
func (s *Service) allocatable(sub *cloud.Subnet) (netip.Addr, bool) {
	next := sub.Next
	a, ok := s.allocate(sub)
	sub.Next = next
	return a, ok
}

// associate points the floating IP to a port's address, by the router that joins both networks.
func (s *Service) associate(f *cloud.FloatingIP, port string, fixed opt[string]) error {
	p := s.Cloud.Ports.Get(port)
	if p == nil || p.ProjectID != f.ProjectID {
		return portMissing(port)
	}
	ip, err := floatingTarget(p, fixed)
	if err != nil {
		return err
	}
	for o := range s.Cloud.FloatingIPs.All() {
		if o != f && o.PortID == p.ID && o.Fixed == ip.IPAddress && o.NetworkID == f.NetworkID {
			return inUse("FloatingIPPortAlreadyAssociated", "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.", f.Address, f.ID, p.ID, ip.IPAddress, f.NetworkID)
		}
	}
	router := s.routerFor(f.NetworkID, ip.SubnetID)
	if router == nil {
		return rest.Typed(404, "ExternalGatewayForFloatingIPNotFound", "External network %s is not reachable from subnet %s.  Therefore, cannot associate Port %s with a Floating IP.", f.NetworkID, ip.SubnetID, p.ID)
	}
	old := f.RouterID
	f.PortID, f.Fixed, f.RouterID = p.ID, ip.IPAddress, router.ID
	if old != "" && old != router.ID {
		s.agent.router(old)
	}
	s.agent.router(router.ID)
	return nil
}

func floatingTarget(p *cloud.Port, fixed opt[string]) (cloud.FixedIP, error) {
	var four []cloud.FixedIP
	for _, ip := range p.FixedIPs {
		if ip.IPAddress.Is4() {
			four = append(four, ip)
		}
	}
	if fixed.V != "" {
		at := slices.IndexFunc(four, func(ip cloud.FixedIP) bool { return ip.IPAddress.String() == fixed.V })
		if at < 0 {
			return cloud.FixedIP{}, badRequest("floatingip", "Port %s does not have fixed ip %s", p.ID, fixed.V)
		}
		return four[at], nil
	}
	switch len(four) {
	case 0:
		return cloud.FixedIP{}, badRequest("floatingip", "Cannot add floating IP to port %s that has no fixed IPv4 addresses", p.ID)
	case 1:
		return four[0], nil
	}
	return cloud.FixedIP{}, badRequest("floatingip", "Port %s has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a floating IP", p.ID)
}

// routerFor is the router with a leg on the subnet and its gateway on the external network; the one that has the
// subnet's gateway address is preferred.
func (s *Service) routerFor(external, subnet string) *cloud.Router {
	var found *cloud.Router
	sub := s.Cloud.Subnets.Get(subnet)
	for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.DeviceOwner == ownerInterface }) {
		for _, ip := range p.FixedIPs {
			r := s.Cloud.Routers.Get(p.DeviceID)
			if ip.SubnetID != subnet || r == nil || r.Gateway == nil || r.Gateway.NetworkID != external {
				continue
			}
			if found == nil || sub != nil && ip.IPAddress == sub.Gateway {
				found = r
			}
		}
	}
	return found
}

func (s *Service) disassociate(f *cloud.FloatingIP) {
	old := f.RouterID
	f.PortID, f.Fixed, f.RouterID, f.Status = "", netip.Addr{}, "", "DOWN"
	s.touch(&f.Stamp)
	if old != "" {
		s.agent.router(old)
	}
}

// dropLostFloating disassociates floating IPs whose fixed address a port has lost.
func (s *Service) dropLostFloating(p *cloud.Port) {
	for f := range s.Cloud.FloatingIPs.Where(func(f *cloud.FloatingIP) bool { return f.PortID == p.ID }) {
		if !slices.ContainsFunc(p.FixedIPs, func(ip cloud.FixedIP) bool { return ip.IPAddress == f.Fixed }) {
			s.disassociate(f)
		}
	}
}

func (s *Service) updateFloating(_ *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
	var b floatingBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	f := s.Cloud.FloatingIPs.Get(id)
	switch {
	case b.port.Set && b.port.V != "":
		if err := s.associate(f, b.port.V, b.fixed); err != nil {
			return nil, err
		}
	case b.port.Set:
		if f.PortID != "" {
			s.disassociate(f)
		}
	case b.fixed.V != "" && f.PortID != "":
		if err := s.associate(f, f.PortID, b.fixed); err != nil {
			return nil, err
		}
	}
	if b.description.Set {
		f.Description = b.description.V
	}
	s.touch(&f.Stamp)
	return s.floatingDoc(f), nil
}

func (s *Service) removeFloating(_ *rest.Call, id string) error {
	f := s.Cloud.FloatingIPs.Get(id)
	s.Cloud.FloatingIPs.Delete(id)
	s.Cloud.Ports.Delete(f.OwnPort)
	if f.RouterID != "" {
		s.agent.router(f.RouterID)
	}
	return nil
}
