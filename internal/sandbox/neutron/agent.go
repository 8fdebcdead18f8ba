package neutron

import (
	"context"
	"net/netip"
	"reflect"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/machine"
)

// agent stands for the L2 and L3 agents: it brings networks, routers and packet filters to the machine.Host, one after the
// other, each time to the state that the records have by then. Its fields are guarded by the cloud's lock.
type agent struct {
	s       *Service
	routers map[string]bool // waiting for their turn
	pending bool            // the filters wait for their turn
	applied map[string]*machine.Filter
}

// lane is one for all: a router's leg must be gone before its network is.
const lane = "network"

// network makes or removes the network's segment.
func (a *agent) network(id string) {
	host := a.s.Cloud.Host
	if host == nil {
		return
	}
	a.s.Cloud.Work.Do(lane, func(ctx context.Context) {
		a.s.Cloud.Lock()
		exists := a.s.Cloud.Networks.Get(id) != nil
		a.s.Cloud.Unlock()
		var err error
		if exists {
			err = host.CreateNetwork(ctx, id)
		} else {
			err = host.DeleteNetwork(ctx, id)
		}
		if err != nil {
			a.s.Cloud.Log.Error("cannot bring the network to its state", "network", id, "error", err)
		}
	})
}

// router brings a router to its state; floating IPs and interfaces become ACTIVE by it.
func (a *agent) router(id string) {
	if a.routers[id] {
		return
	}
	a.routers[id] = true
	a.s.Cloud.Work.Do(lane, func(ctx context.Context) { a.syncRouter(ctx, id) })
}

func (a *agent) syncRouter(ctx context.Context, id string) {
	c := a.s.Cloud
	c.Lock()
	delete(a.routers, id)
	r := c.Routers.Get(id)
	var want machine.Router
	if r != nil {
		want = a.routerOf(r)
	}
	networks := []string{}
	for _, leg := range want.Interfaces {
		networks = append(networks, leg.NetworkID)
	}
	c.Unlock()
	err := a.tellHost(ctx, id, r != nil, want, networks)
	if err != nil {
		c.Log.Error("cannot bring the router to its state", "router", id, "error", err)
	}
	c.Lock()
	defer c.Unlock()
	a.settle(id, want, err)
}

func (a *agent) tellHost(ctx context.Context, id string, exists bool, want machine.Router, networks []string) error {
	host := a.s.Cloud.Host
	switch {
	case host == nil:
		return nil
	case !exists:
		return host.DeleteRouter(ctx, id)
	}
	for _, n := range networks {
		if err := host.CreateNetwork(ctx, n); err != nil {
			return err
		}
	}
	return host.SetRouter(ctx, want)
}

// settle records what the host now does: only for what has not changed meanwhile.
func (a *agent) settle(id string, done machine.Router, err error) {
	c := a.s.Cloud
	for f := range c.FloatingIPs.Where(func(f *cloud.FloatingIP) bool { return f.RouterID == id }) {
		for _, d := range done.FloatingIPs {
			if d.Floating == f.Address && d.Fixed == f.Fixed {
				f.Status = "ACTIVE"
				if err != nil {
					f.Status = "ERROR"
				}
			}
		}
	}
	for p := range c.Ports.Where(func(p *cloud.Port) bool { return p.DeviceID == id }) {
		if err == nil && !p.AdminDown {
			p.Status = "ACTIVE"
		}
	}
}

// routerOf is the router as the host shall have it.
func (a *agent) routerOf(r *cloud.Router) machine.Router {
	c := a.s.Cloud
	out := machine.Router{ID: r.ID}
	if r.AdminDown {
		return out
	}
	for p := range c.Ports.Where(func(p *cloud.Port) bool { return p.DeviceID == r.ID }) {
		for _, ip := range p.FixedIPs {
			sub := c.Subnets.Get(ip.SubnetID)
			if sub == nil {
				continue
			}
			addr := netip.PrefixFrom(ip.IPAddress, sub.CIDR.Bits())
			switch {
			case p.DeviceOwner == ownerInterface:
				out.Interfaces = append(out.Interfaces, machine.Leg{NetworkID: p.NetworkID, Address: addr})
			case r.Gateway != nil && p.ID == r.Gateway.PortID && !out.External.IsValid():
				out.External, out.SNAT = addr, !r.Gateway.NoSNAT
			}
		}
	}
	for f := range c.FloatingIPs.Where(func(f *cloud.FloatingIP) bool { return f.RouterID == r.ID }) {
		out.FloatingIPs = append(out.FloatingIPs, machine.FloatingIP{Floating: f.Address, Fixed: f.Fixed})
	}
	for _, route := range r.Routes {
		out.Routes = append(out.Routes, machine.Route{Destination: route.Destination, Via: route.NextHop})
	}
	return out
}

// bound lets a router learn of a port that the API gave it.
func (s *Service) bound(p *cloud.Port) {
	if p.DeviceOwner == ownerInterface && s.Cloud.Routers.Get(p.DeviceID) != nil {
		s.agent.router(p.DeviceID)
	}
}

// filters brings the packet filters of all plugged ports to their state.
func (a *agent) filters() {
	if a.s.Cloud.Host == nil || a.pending {
		return
	}
	a.pending = true
	a.s.Cloud.Work.Do("filters", a.syncFilters)
}

func (a *agent) syncFilters(ctx context.Context) {
	c := a.s.Cloud
	c.Lock()
	a.pending = false
	if a.applied == nil {
		a.applied = map[string]*machine.Filter{}
	}
	want, plugged := map[string]*machine.Filter{}, map[string]bool{}
	for p := range c.Ports.Where(func(p *cloud.Port) bool { return p.Status == "ACTIVE" && p.Host != "" }) {
		plugged[p.ID] = true
		f := a.s.filterOf(p)
		if old, known := a.applied[p.ID]; !known || !reflect.DeepEqual(old, f) {
			want[p.ID] = f
		}
	}
	for id := range a.applied {
		if !plugged[id] {
			delete(a.applied, id)
		}
	}
	c.Unlock()
	for id, f := range want {
		err := c.Host.SetSecurity(ctx, id, f)
		c.Lock()
		if err == nil {
			a.applied[id] = f
		} else if p := c.Ports.Get(id); p != nil && p.Status == "ACTIVE" {
			c.Log.Error("cannot set the packet filter", "port", id, "error", err)
		}
		c.Unlock()
	}
}

// filterOf is the union of a port's security groups; nil lets everything pass.
func (s *Service) filterOf(p *cloud.Port) *machine.Filter {
	if p.NoPortSecurity {
		return nil
	}
	f := &machine.Filter{}
	for _, id := range p.SecurityGroups {
		g := s.Cloud.SecurityGroups.Get(id)
		if g == nil {
			continue
		}
		for _, r := range g.Rules {
			if r.Direction == "ingress" {
				f.Ingress = append(f.Ingress, s.ruleOf(r))
			} else {
				f.Egress = append(f.Egress, s.ruleOf(r))
			}
		}
	}
	return f
}

func (s *Service) ruleOf(r *cloud.SecurityRule) machine.Rule {
	out := machine.Rule{IPv6: r.EtherType == "IPv6", Protocol: r.Protocol}
	icmp := protocolNumber(r.Protocol) == 1 || protocolNumber(r.Protocol) == 58
	if icmp {
		out.Protocol, out.PortMin, out.PortMax = "icmp", -1, -1
	}
	if r.PortMin != nil {
		out.PortMin = *r.PortMin
	}
	if r.PortMax != nil {
		out.PortMax = *r.PortMax
	}
	if r.RemotePrefix != "" {
		if p, err := netip.ParsePrefix(r.RemotePrefix); err == nil && p.Bits() > 0 {
			out.Remotes, out.RemoteSet = []netip.Prefix{p.Masked()}, true
		}
	}
	if r.RemoteGroup != "" {
		out.RemoteSet = true
		out.Remotes = s.members(r.RemoteGroup, out.IPv6)
	}
	return out
}

// members are the addresses of a group's ports.
func (s *Service) members(group string, six bool) []netip.Prefix {
	var out []netip.Prefix
	for p := range s.Cloud.Ports.All() {
		for _, id := range p.SecurityGroups {
			if id != group {
				continue
			}
			for _, ip := range p.FixedIPs {
				if ip.IPAddress.Is6() == six {
					out = append(out, netip.PrefixFrom(ip.IPAddress, ip.IPAddress.BitLen()))
				}
			}
			for _, pair := range p.Pairs {
				if prefix, err := netip.ParsePrefix(pair.IPAddress); err == nil && prefix.Addr().Is6() == six {
					out = append(out, prefix)
				} else if a, err := netip.ParseAddr(pair.IPAddress); err == nil && a.Is6() == six {
					out = append(out, netip.PrefixFrom(a, a.BitLen()))
				}
			}
		}
	}
	return out
}

// MachinePort is a port as the host shall plug it.
func (s *Service) MachinePort(p *cloud.Port) machine.Port {
	c := s.Cloud
	out := machine.Port{ID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC, Filter: s.filterOf(p)}
	if n := c.Networks.Get(p.NetworkID); n != nil {
		out.MTU = n.MTU
	}
	for _, ip := range p.FixedIPs {
		sub := c.Subnets.Get(ip.SubnetID)
		if sub == nil {
			continue
		}
		out.Addresses = append(out.Addresses, netip.PrefixFrom(ip.IPAddress, sub.CIDR.Bits()))
		if !out.Gateway.IsValid() {
			out.Gateway = sub.Gateway
		}
		for _, r := range sub.Routes {
			out.Routes = append(out.Routes, machine.Route{Destination: r.Destination, Via: r.NextHop})
		}
		for _, dns := range sub.DNS {
			// The DHCP port's own DNS is the host's resolver.
			if holder := s.portWith(sub.ID, dns); holder == nil || holder.DeviceOwner != ownerDHCP {
				out.DNS = append(out.DNS, dns)
			}
		}
	}
	return out
}
