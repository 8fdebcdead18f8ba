package neutron

import (
	"net/netip"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// defaultPools is the whole block without network, broadcast and gateway address.
func defaultPools(sub *cloud.Subnet) []cloud.Range {
	first, last := sub.CIDR.Addr(), lastAddr(sub.CIDR)
	if sub.CIDR.Bits() < first.BitLen()-1 {
		first = first.Next()
		if first.Is4() {
			last = last.Prev()
		}
	}
	gw := sub.Gateway
	if !gw.IsValid() || gw.Less(first) || last.Less(gw) {
		return []cloud.Range{{Start: first, End: last}}
	}
	var pools []cloud.Range
	if first.Less(gw) {
		pools = append(pools, cloud.Range{Start: first, End: gw.Prev()})
	}
	if gw.Less(last) {
		pools = append(pools, cloud.Range{Start: gw.Next(), End: last})
	}
	return pools
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// taken are the addresses of a subnet that ports hold.
func (s *Service) taken(subnet string) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for p := range s.Cloud.Ports.All() {
		for _, f := range p.FixedIPs {
			if f.SubnetID == subnet {
				out[f.IPAddress] = true
			}
		}
	}
	return out
}

// portWith returns the port that holds the address, or nil.
func (s *Service) portWith(subnet string, a netip.Addr) *cloud.Port {
	return s.Cloud.Ports.First(func(p *cloud.Port) bool {
		for _, f := range p.FixedIPs {
			if f.SubnetID == subnet && f.IPAddress == a {
				return true
			}
		}
		return false
	})
}

// allocate takes a free address of the subnet's pools. The search goes on after the last one given, so that an address
// that was just released is not another's at once (agents and clients may still know the old holder).
func (s *Service) allocate(sub *cloud.Subnet) (netip.Addr, bool) {
	taken := s.taken(sub.ID)
	free := func(from netip.Addr) (netip.Addr, bool) {
		for _, pool := range sub.Pools {
			a := pool.Start
			if from.IsValid() {
				if pool.End.Less(from) {
					continue
				}
				if a.Less(from) {
					a = from
				}
			}
			for ; a.IsValid() && pool.Contains(a); a = a.Next() {
				if !taken[a] {
					return a, true
				}
			}
		}
		return netip.Addr{}, false
	}
	a, ok := free(sub.Next)
	if !ok {
		if a, ok = free(netip.Addr{}); !ok {
			return a, false
		}
	}
	sub.Next = a.Next()
	return a, true
}

// claim takes the given address of the subnet.
func (s *Service) claim(sub *cloud.Subnet, a netip.Addr) error {
	if !sub.CIDR.Contains(a) || a.Is4() && sub.CIDR.Bits() < 31 && (a == sub.CIDR.Addr() || a == lastAddr(sub.CIDR)) {
		return rest.Typed(400, "InvalidIpForSubnet", "IP address %s is not a valid IP for the specified subnet.", a)
	}
	if s.portWith(sub.ID, a) != nil {
		return inUse("IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", a, sub.ID)
	}
	return nil
}

func noAddresses(network string) *rest.Error {
	return inUse("IpAddressGenerationFailure", "No more IP addresses available on network %s.", network)
}

// subnetsOf are the subnets of a network, oldest first.
func (s *Service) subnetsOf(network string) []*cloud.Subnet {
	var out []*cloud.Subnet
	for sub := range s.Cloud.Subnets.Where(func(sub *cloud.Subnet) bool { return sub.NetworkID == network }) {
		out = append(out, sub)
	}
	return out
}

// syncDHCP gives the network's DHCP port an address in every subnet with DHCP, as the DHCP agent does.
func (s *Service) syncDHCP(n *cloud.Network) {
	port := s.Cloud.Ports.First(func(p *cloud.Port) bool { return p.NetworkID == n.ID && p.DeviceOwner == ownerDHCP })
	var ips []cloud.FixedIP
	for _, sub := range s.subnetsOf(n.ID) {
		if sub.NoDHCP {
			continue
		}
		had := false
		if port != nil {
			for _, f := range port.FixedIPs {
				if f.SubnetID == sub.ID {
					ips, had = append(ips, f), true
				}
			}
		}
		if !had {
			if a, ok := s.allocate(sub); ok {
				ips = append(ips, cloud.FixedIP{SubnetID: sub.ID, IPAddress: a})
			}
		}
	}
	switch {
	case len(ips) == 0 && port != nil:
		s.Cloud.Ports.Delete(port.ID)
	case len(ips) > 0 && port == nil:
		port = &cloud.Port{
			Stamp: s.newStamp(n.ProjectID), NetworkID: n.ID, MAC: cloud.MAC(), Status: "ACTIVE", DeviceOwner: ownerDHCP,
			DeviceID: "dhcp" + cloud.UUID() + "-" + n.ID, NoPortSecurity: true, VNICType: "normal", FixedIPs: ips,
		}
		s.Cloud.Ports.Put(port.ID, port)
	case port != nil:
		port.FixedIPs = ips
	}
}
