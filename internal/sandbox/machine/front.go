package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// Front is this process's network namespace with the Host of an ordinary user, who can add no links to the machine's: the external
// network and the routes to servers are there. Its way into the world is that of the servers.
type Front struct {
	ns    *namespace
	names []*dnsServer
}

// FrontOf is the Host's network where that is not this machine's own, else nil.
func FrontOf(h Host) *Front {
	if own, ok := h.(*host); ok {
		return own.front
	}
	return nil
}

// ErrElsewhere is returned for addresses that are not in the servers' networks.
var ErrElsewhere = errors.New("not an address of the servers' networks")

func (h *host) openFront() (*Front, error) {
	f := &Front{ns: h.fabric.host}
	if err := f.ns.up("lo"); err != nil {
		return nil, err
	}
	if err := f.ns.sysctls([2]string{"-net/ipv4/ping_group_range", everyGroup()}); err != nil {
		return nil, err
	}
	if err := f.ns.addRoute(route{to: netip.MustParsePrefix("0.0.0.0/0"), via: nextHop, link: h.fabric.hostLink, onlink: true, src: h.fabric.hostAddr.Addr()}); err != nil {
		return nil, err
	}
	// A resolver on this machine's loopback is not there.
	for _, s := range nameServers() {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() || !a.IsLoopback() {
			continue
		}
		d, err := h.serveNamesIn(f.ns, netip.AddrPortFrom(a, 53).String(), "")
		if err != nil {
			f.close()
			return nil, err
		}
		f.names = append(f.names, d)
	}
	return f, nil
}

func (f *Front) close() {
	if f == nil {
		return
	}
	for _, d := range f.names {
		d.close()
	}
	f.names = nil
}

// Path is where the namespace can be entered as long as this process lives, by who owns its user namespace. It is not that of
// /proc/PID/ns: the first thread of this process may be anywhere.
func (f *Front) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(f.ns.fd)) }

// Dial connects to an address (host:port, no names) of the servers' networks; ErrElsewhere for all others.
func (f *Front) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, ErrElsewhere
	}
	if ok, err := f.ns.leadsTo(to.Addr().Unmap()); !ok || err != nil {
		return nil, errors.Join(ErrElsewhere, err)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// leadsTo tells whether there is a route to the address besides the default one.
func (n *namespace) leadsTo(a netip.Addr) (bool, error) {
	routes, err := n.nl.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return false, fmt.Errorf("cannot read the routes to the servers: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ip, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		if ones > 0 && netip.PrefixFrom(ip.Unmap(), ones).Contains(a) {
			return true, nil
		}
	}
	return false, nil
}
