package neutron

import (
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func subnetMissing(id string) *rest.Error {
	return notFound("SubnetNotFound", "Subnet %s could not be found.", id)
}

func (s *Service) subnetKind() *kind {
	return &kind{
		one: "subnet", many: "subnets",
		attrs: map[string]string{
			"network_id": "c", "ip_version": "c", "cidr": "c", "gateway_ip": "cu", "allocation_pools": "cu", "dns_nameservers": "cu",
			"host_routes": "cu", "enable_dhcp": "cu", "ipv6_ra_mode": "c", "ipv6_address_mode": "c", "subnetpool_id": "c", "prefixlen": "c",
			"use_default_subnetpool": "c", "service_types": "cua", "segment_id": "cua", "dns_publish_fixed_ip": "cu",
		},
		required: []string{"network_id", "ip_version"},
		absent:   subnetMissing,
		list: func(c *rest.Call) []rest.Doc {
			var docs []rest.Doc
			for sub := range s.Cloud.Subnets.All() {
				if n := s.Cloud.Networks.Get(sub.NetworkID); sub.ProjectID == c.Project() || n != nil && s.seesNetwork(c, n) && (n.Shared || c.Admin() || n.ProjectID == c.Project()) || n != nil && n.External {
					docs = append(docs, s.subnetDoc(sub))
				}
			}
			return docs
		},
		create: s.createSubnet, update: s.updateSubnet, remove: s.removeSubnet,
		stamp: func(id string) *cloud.Stamp {
			if sub := s.Cloud.Subnets.Get(id); sub != nil {
				return &sub.Stamp
			}
			return nil
		},
		filters: map[string]func(rest.Doc, []string) bool{
			"shared": func(d rest.Doc, values []string) bool {
				n := s.Cloud.Networks.Get(d["network_id"].(string))
				return n != nil && matches(n.Shared, values)
			},
			"router:external": func(d rest.Doc, values []string) bool {
				n := s.Cloud.Networks.Get(d["network_id"].(string))
				return n != nil && matches(n.External, values)
			},
		},
	}
}

func (s *Service) subnetDoc(sub *cloud.Subnet) rest.Doc {
	d := stampDoc(&sub.Stamp)
	d["network_id"], d["cidr"], d["enable_dhcp"] = sub.NetworkID, sub.CIDR.String(), !sub.NoDHCP
	d["ip_version"], d["gateway_ip"] = 4, nil
	if sub.CIDR.Addr().Is6() {
		d["ip_version"] = 6
	}
	if sub.Gateway.IsValid() {
		d["gateway_ip"] = sub.Gateway.String()
	}
	dns := []string{}
	for _, a := range sub.DNS {
		dns = append(dns, a.String())
	}
	d["dns_nameservers"] = dns
	d["allocation_pools"], d["host_routes"] = sub.Pools, sub.Routes
	if sub.Pools == nil {
		d["allocation_pools"] = []cloud.Range{}
	}
	if sub.Routes == nil {
		d["host_routes"] = []cloud.HostRoute{}
	}
	d["ipv6_ra_mode"], d["ipv6_address_mode"], d["subnetpool_id"] = orNil(sub.RAMode), orNil(sub.AddressMode), orNil(sub.PoolID)
	d["service_types"], d["segment_id"], d["dns_publish_fixed_ip"] = orEmpty(sub.ServiceTypes), nil, false
	return d
}

type rangeBody struct{ Start, End string }
type routeBody struct{ Destination, NextHop string }

type subnetBody struct {
	name, description, network, cidr, gateway, ra, mode, pool opt[string]
	version, prefix                                           opt[integer]
	dhcp                                                      opt[boolean]
	pools                                                     opt[[]rangeBody]
	routes                                                    opt[[]routeBody]
	dns, types                                                opt[[]string]
}

func (b *subnetBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{
		"name": &b.name, "description": &b.description, "network_id": &b.network, "cidr": &b.cidr, "gateway_ip": &b.gateway,
		"ipv6_ra_mode": &b.ra, "ipv6_address_mode": &b.mode, "subnetpool_id": &b.pool, "ip_version": &b.version, "prefixlen": &b.prefix,
		"enable_dhcp": &b.dhcp, "allocation_pools": &b.pools, "host_routes": &b.routes, "dns_nameservers": &b.dns, "service_types": &b.types,
	})
}

func (s *Service) createSubnet(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b subnetBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	n := s.Cloud.Networks.Get(b.network.V)
	if n == nil || !s.seesNetwork(c, n) {
		return nil, networkMissing(b.network.V)
	}
	if n.ProjectID != c.Project() && !c.Admin() {
		return nil, notAllowed(c, "subnet")
	}
	sub := &cloud.Subnet{Stamp: s.newStamp(project), NetworkID: n.ID}
	if err := s.setCIDR(sub, &b); err != nil {
		return nil, err
	}
	if err := s.quota(project, "subnet"); err != nil {
		return nil, err
	}
	// The first address is the gateway unless the body says otherwise.
	sub.Gateway = sub.CIDR.Addr().Next()
	if err := b.apply(sub); err != nil {
		return nil, err
	}
	if !b.pools.Set {
		sub.Pools = defaultPools(sub)
	}
	s.Cloud.Subnets.Put(sub.ID, sub)
	s.syncDHCP(n)
	return s.subnetDoc(sub), nil
}

// setCIDR checks the block: it must fit the version and not overlap with another of the network.
func (s *Service) setCIDR(sub *cloud.Subnet, b *subnetBody) error {
	version := int(b.version.or(4))
	switch {
	case version != 4 && version != 6:
		return rest.Bad("Invalid input for ip_version. Reason: '%d' is not in [4, 6].", version)
	case b.pool.Set && !b.pool.Null:
		return notFound("SubnetPoolNotFound", "Subnet pool %s could not be found.", b.pool.V)
	case !b.cidr.Set || b.cidr.Null:
		return badRequest("subnets", "a subnetpool must be specified in the absence of a cidr")
	}
	p, err := parsePrefix(b.cidr.V)
	if err != nil {
		return err
	}
	if p.Addr().Is4() != (version == 4) {
		return badInput("cidr '%s' does not match the ip_version '%d'", p, version)
	}
	if p.Bits() == 0 {
		return badInput("0 is not allowed as CIDR prefix length")
	}
	for o := range s.Cloud.Subnets.Where(func(o *cloud.Subnet) bool { return o.NetworkID == sub.NetworkID }) {
		if o.CIDR.Overlaps(p) {
			return badInput("Requested subnet with cidr: %s for network: %s overlaps with another subnet", p, sub.NetworkID)
		}
	}
	sub.CIDR = p
	sub.RAMode, sub.AddressMode = b.ra.V, b.mode.V
	return nil
}

// apply sets what PUT may change too.
func (b *subnetBody) apply(sub *cloud.Subnet) error {
	setText(&sub.Name, &sub.Description, b.name, b.description)
	sub.NoDHCP = !bool(b.dhcp.or(boolean(!sub.NoDHCP)))
	sub.ServiceTypes = b.types.or(sub.ServiceTypes)
	if b.gateway.Set {
		sub.Gateway = netip.Addr{}
		if !b.gateway.Null {
			a, err := parseAddr("gateway_ip", b.gateway.V)
			if err != nil {
				return err
			}
			if a.Is4() != sub.CIDR.Addr().Is4() {
				return badInput("gateway_ip '%s' does not match the ip_version '%d'", a, b.version.or(4))
			}
			sub.Gateway = a
		}
	}
	if b.dns.Set {
		if len(b.dns.V) > 5 {
			return rest.Typed(400, "DNSNameServersExhausted", "Unable to complete operation for %s. The number of DNS nameservers exceeds the limit 5.", sub.ID)
		}
		sub.DNS = nil
		for _, text := range b.dns.V {
			a, err := parseAddr("dns_nameservers", text)
			if err != nil {
				return err
			}
			sub.DNS = append(sub.DNS, a)
		}
	}
	if b.routes.Set {
		routes, err := parseRoutes("host_routes", b.routes.V)
		if err != nil {
			return err
		}
		sub.Routes = routes
	}
	if b.pools.Set && !b.pools.Null {
		return b.setPools(sub)
	}
	return nil
}

func parseRoutes(attr string, in []routeBody) ([]cloud.HostRoute, error) {
	var out []cloud.HostRoute
	for _, r := range in {
		p, err := parsePrefix(r.Destination)
		if err != nil {
			return nil, err
		}
		a, err := parseAddr(attr, r.NextHop)
		if err != nil {
			return nil, err
		}
		route := cloud.HostRoute{Destination: p, NextHop: a}
		if slices.Contains(out, route) {
			return nil, rest.Bad("Invalid input for %s. Reason: Duplicate hostroute '%s'.", attr, r.Destination)
		}
		out = append(out, route)
	}
	return out, nil
}

func (b *subnetBody) setPools(sub *cloud.Subnet) error {
	var pools []cloud.Range
	for _, r := range b.pools.V {
		start, err := parseAddr("allocation_pools", r.Start)
		if err != nil {
			return err
		}
		end, err := parseAddr("allocation_pools", r.End)
		if err != nil {
			return err
		}
		pool := cloud.Range{Start: start, End: end}
		switch {
		case end.Less(start):
			return rest.Typed(400, "InvalidAllocationPool", "The allocation pool %s-%s is not valid.", start, end)
		case !sub.CIDR.Contains(start) || !sub.CIDR.Contains(end):
			return rest.Typed(400, "OutOfBoundsAllocationPool", "The allocation pool %s-%s spans beyond the subnet cidr %s.", start, end, sub.CIDR)
		case sub.Gateway.IsValid() && pool.Contains(sub.Gateway):
			return inUse("GatewayConflictWithAllocationPools", "Gateway ip %s conflicts with allocation pool %s-%s.", sub.Gateway, start, end)
		}
		for _, o := range pools {
			if o.Contains(start) || o.Contains(end) || pool.Contains(o.Start) {
				return inUse("OverlappingAllocationPools", "Found overlapping allocation pools: %s-%s %s-%s for subnet %s.", o.Start, o.End, start, end, sub.CIDR)
			}
		}
		pools = append(pools, pool)
	}
	sub.Pools = pools
	return nil
}

func (s *Service) updateSubnet(_ *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
	var b subnetBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	sub := s.Cloud.Subnets.Get(id)
	if b.gateway.Set && sub.Gateway.IsValid() && b.gateway.V != sub.Gateway.String() {
		if p := s.portWith(id, sub.Gateway); p != nil && p.DeviceOwner == ownerInterface {
			return nil, inUse("GatewayIpInUse", "Current gateway ip %s already in use by port %s. Unable to update.", sub.Gateway, p.ID)
		}
	}
	changed := *sub
	if err := b.apply(&changed); err != nil {
		return nil, err
	}
	*sub = changed
	s.touch(&sub.Stamp)
	s.syncDHCP(s.Cloud.Networks.Get(sub.NetworkID))
	return s.subnetDoc(sub), nil
}

func (s *Service) removeSubnet(_ *rest.Call, id string) error {
	for p := range s.Cloud.Ports.All() {
		if p.DeviceOwner != ownerDHCP && slices.ContainsFunc(p.FixedIPs, func(f cloud.FixedIP) bool { return f.SubnetID == id }) {
			return inUse("SubnetInUse", "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", id)
		}
	}
	sub := s.Cloud.Subnets.Get(id)
	s.Cloud.Subnets.Delete(id)
	s.syncDHCP(s.Cloud.Networks.Get(sub.NetworkID))
	return nil
}
