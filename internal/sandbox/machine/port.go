package machine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// portLink is the fabric's end of a port's cable.
func portLink(id string) string { return shortName("p", id) }

// plug gives the running server the port: filter first, then the cable, then addresses and routes.
func (s *server) plug(p Port) error {
	h := s.host
	n, err := h.fabric.network(p.NetworkID)
	if err != nil {
		return err
	}
	h.mu.Lock()
	ns := s.ns
	link := ""
	for i := 0; link == ""; i++ {
		name := fmt.Sprintf("eth%d", i)
		if !slices.Contains(mapValues(s.links), name) {
			link = name
		}
	}
	s.links[p.ID] = link
	h.mu.Unlock()
	if err := s.writeFilter(); err != nil {
		return err
	}
	outside := portLink(p.ID)
	if err := cable(end{ns: h.fabric.ns, name: outside, mtu: p.MTU}, end{ns: ns, name: link, mac: p.MAC, mtu: p.MTU}); err != nil {
		return err
	}
	if err := ns.configure(link, p); err != nil {
		return err
	}
	if err := h.fabric.plug(outside, n.bridge); err != nil {
		return err
	}
	if err := s.setCables(); err != nil {
		return err
	}
	for _, a := range p.Addresses {
		h.forgetOnNetwork(p.NetworkID, a.Addr())
	}
	return nil
}

func mapValues(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// configure does what DHCP and router advertisements would: addresses, default route, host routes, the metadata route.
func (n *namespace) configure(link string, p Port) error {
	for _, a := range p.Addresses {
		if err := n.addAddress(link, a); err != nil {
			return err
		}
	}
	if err := n.up(link); err != nil {
		return err
	}
	// The first interface's way wins for the metadata address, as it does with DHCP.
	if _, err := n.nl.RouteGet(metadata.AsSlice()); err != nil || !hasRoute(n, metadata) {
		if slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() }) {
			if err := n.addRoute(route{to: single(metadata), link: link}); err != nil {
				return err
			}
		}
	}
	if p.Gateway.IsValid() {
		def := anywhere
		if p.Gateway.Is6() {
			def = netip.MustParsePrefix("::/0")
		}
		if !hasDefault(n, p.Gateway.Is6()) {
			if err := n.addRoute(route{to: def, via: p.Gateway, link: link, onlink: p.Gateway.Is4()}); err != nil {
				return err
			}
		}
	}
	for _, r := range p.Routes {
		if err := n.addRoute(route{to: r.Destination, via: r.Via, link: link, onlink: r.Via.Is4()}); err != nil {
			return err
		}
	}
	return nil
}

func hasRoute(n *namespace, a netip.Addr) bool {
	routes, _ := n.nl.RouteList(nil, netlink.FAMILY_V4)
	return slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst != nil && r.Dst.IP.Equal(a.AsSlice()) })
}

func hasDefault(n *namespace, v6 bool) bool {
	fam := netlink.FAMILY_V4
	if v6 {
		fam = netlink.FAMILY_V6
	}
	routes, _ := n.nl.RouteList(nil, fam)
	return slices.ContainsFunc(routes, func(r netlink.Route) bool {
		if r.Type != unix.RTN_UNICAST {
			return false
		}
		if r.Dst == nil {
			return true
		}
		ones, _ := r.Dst.Mask.Size()
		return ones == 0
	})
}

// writeFilter brings the packet filter in line with the ports.
func (s *server) writeFilter() error {
	s.host.mu.Lock()
	filters := map[string]Port{}
	for _, p := range s.ports {
		if link := s.links[p.ID]; link != "" {
			filters[link] = p
		}
	}
	t, loss := s.filter, s.broken.Loss
	s.host.mu.Unlock()
	if t == nil {
		return nil
	}
	return t.set(filters, loss)
}

func (h *host) AttachPort(ctx context.Context, serverID string, p Port) error {
	return h.operate(ctx, serverID, func(s *server) error {
		h.mu.Lock()
		if slices.ContainsFunc(s.ports, func(x Port) bool { return x.ID == p.ID }) {
			h.mu.Unlock()
			return nil
		}
		s.ports = append(s.ports, p)
		running := s.ns != nil
		h.mu.Unlock()
		if !running {
			return nil
		}
		if err := s.plug(p); err != nil {
			s.unplug(p.ID)
			return fmt.Errorf("cannot attach port %s: %w", p.ID, err)
		}
		return nil
	})
}

func (h *host) DetachPort(ctx context.Context, serverID, portID string) error {
	s, err := h.server(serverID)
	if err != nil {
		return nil // the port went with it
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	s.unplug(portID)
	return s.writeFilter()
}

// unplug pulls a port out.
func (s *server) unplug(portID string) {
	s.host.mu.Lock()
	_, plugged := s.links[portID]
	delete(s.links, portID)
	s.ports = slices.DeleteFunc(s.ports, func(p Port) bool { return p.ID == portID })
	s.host.mu.Unlock()
	if plugged {
		_ = s.host.fabric.ns.remove(portLink(portID))
	}
}

func (h *host) SetSecurity(ctx context.Context, portID string, f *Filter) error {
	h.mu.Lock()
	var s *server
	for _, x := range h.servers {
		if slices.ContainsFunc(x.ports, func(p Port) bool { return p.ID == portID }) {
			s = x
		}
	}
	h.mu.Unlock()
	if s == nil {
		return fmt.Errorf("port %s: %w", portID, ErrNotFound)
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	h.mu.Lock()
	for i := range s.ports {
		if s.ports[i].ID == portID {
			s.ports[i].Filter = f
		}
	}
	h.mu.Unlock()
	if err := s.writeFilter(); err != nil {
		return fmt.Errorf("cannot set the security groups of port %s: %w", portID, err)
	}
	return nil
}

// forgetOnNetwork makes everybody on a network ask again who has the address.
func (h *host) forgetOnNetwork(network string, a netip.Addr) {
	h.fabric.ns.forget(a)
	h.mu.Lock()
	var peers []*namespace
	for _, s := range h.servers {
		if s.ns != nil && slices.ContainsFunc(s.ports, func(p Port) bool { return p.NetworkID == network }) {
			if dup, err := s.ns.dup(); err == nil {
				peers = append(peers, dup)
			}
		}
	}
	h.mu.Unlock()
	for _, p := range peers {
		p.forget(a)
		p.close()
	}
}

// floatingOf is the floating address that leads to the fixed one.
func (h *host) floatingOf(fixed netip.Addr) netip.Addr {
	h.routerMu.Lock()
	defer h.routerMu.Unlock()
	for _, r := range h.routers {
		for _, f := range r.state.FloatingIPs {
			if f.Fixed == fixed {
				return f.Floating
			}
		}
	}
	return netip.Addr{}
}

// Console returns the end of the console log.
func (h *host) Console(_ context.Context, id string, lines int) (string, error) {
	s, err := h.server(id)
	if err != nil {
		return "", err
	}
	return tailFile(s.consolePath(), lines)
}
