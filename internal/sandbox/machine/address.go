package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
)

// shortName derives a link name (at most 15 characters) from an identifier.
func shortName(prefix, id string) string {
	sum := sha256.Sum256([]byte(id))
	return prefix + hex.EncodeToString(sum[:])[:14-len(prefix)]
}

func parseMAC(s string) (net.HardwareAddr, error) {
	m, err := net.ParseMAC(s)
	if err != nil {
		return nil, fmt.Errorf("cannot parse a port's MAC address: %w", err)
	}
	return m, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// addAddress puts an address on a link; one that is there already is fine. IPv6 duplicate detection is skipped:
// addresses come from one allocator and must work at once.
func (n *namespace) addAddress(link string, p netip.Prefix) error {
	l, err := n.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = syscall.IFA_F_NODAD
	}
	if err := n.nl.AddrAdd(l, a); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("cannot give %s the address %s: %w", link, p, err)
	}
	return nil
}

// setAddresses leaves exactly the wanted addresses on the link (link-local IPv6 aside).
func (n *namespace) setAddresses(link string, want []netip.Prefix) error {
	l, err := n.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	have, err := n.nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	keep := map[netip.Prefix]bool{}
	for _, p := range want {
		keep[p] = true
	}
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if ip = ip.Unmap(); keep[netip.PrefixFrom(ip, ones)] || ip.IsLinkLocalUnicast() && ip.Is6() {
			continue
		}
		if err := n.nl.AddrDel(l, &a); err != nil {
			return fmt.Errorf("cannot remove an address of %s: %w", link, err)
		}
	}
	for _, p := range want {
		if err := n.addAddress(link, p); err != nil {
			return err
		}
	}
	return nil
}

// route is a static route; the zero Via is on-link.
type route struct {
	to     netip.Prefix
	via    netip.Addr
	link   string
	onlink bool
	src    netip.Addr
}

func (n *namespace) netlinkRoute(r route) (*netlink.Route, error) {
	nr := &netlink.Route{Dst: ipNet(r.to.Masked())}
	if r.via.IsValid() {
		nr.Gw = r.via.AsSlice()
	} else {
		nr.Scope = netlink.SCOPE_LINK
	}
	if r.src.IsValid() {
		nr.Src = r.src.AsSlice()
	}
	if r.link != "" {
		l, err := n.nl.LinkByName(r.link)
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", r.link, err)
		}
		nr.LinkIndex = l.Attrs().Index
	}
	if r.onlink {
		nr.Flags = int(netlink.FLAG_ONLINK)
	}
	return nr, nil
}

func (n *namespace) addRoute(r route) error {
	nr, err := n.netlinkRoute(r)
	if err != nil {
		return err
	}
	if err := n.nl.RouteReplace(nr); err != nil {
		return fmt.Errorf("cannot add the route to %s: %w", r.to, err)
	}
	return nil
}

func (n *namespace) dropRoute(r route) error {
	nr, err := n.netlinkRoute(r)
	if err != nil {
		return err
	}
	if err := n.nl.RouteDel(nr); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot remove the route to %s: %w", r.to, err)
	}
	return nil
}

// forget drops what the namespace believes about the hardware address behind an IP address that has moved.
func (n *namespace) forget(addrs ...netip.Addr) {
	if len(addrs) == 0 {
		return
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		neighs, err := n.nl.NeighList(0, family)
		if err != nil {
			continue
		}
		for _, e := range neighs {
			ip, _ := netip.AddrFromSlice(e.IP)
			for _, a := range addrs {
				if ip.Unmap() == a {
					_ = n.nl.NeighDel(&e)
				}
			}
		}
	}
}
