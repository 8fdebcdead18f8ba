package machine

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// DialHidden connects to an address (host:port, no names) behind a router of the Host to which the Host could set no route on this machine, because this
// machine or another sandbox has the same addresses; ErrElsewhere for all others. It goes through the router, whatever the addresses mean outside.
func DialHidden(ctx context.Context, h Host, addr string) (net.Conn, error) {
	own, ok := h.(*host)
	to, err := netip.ParseAddrPort(addr)
	if !ok || err != nil {
		return nil, ErrElsewhere
	}
	through, err := own.hidden(to.Addr().Unmap())
	if err != nil {
		return nil, err
	}
	defer through.close()
	var c net.Conn
	err = through.do(func() error {
		// For one address the dialer opens the socket on the calling thread.
		c, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

// hidden finds the router behind which the address is, where it cannot be reached from this machine's own network.
func (h *host) hidden(a netip.Addr) (*namespace, error) {
	h.routerMu.Lock()
	defer h.routerMu.Unlock()
	var found *router
	for _, r := range h.routers {
		behind := r.state.External.IsValid() && slices.ContainsFunc(r.state.Interfaces, func(l Leg) bool { return l.Address.Masked().Contains(a) })
		if !behind {
			continue
		}
		if slices.ContainsFunc(r.hostRoutes, func(x route) bool { return x.to.Contains(a) }) {
			return nil, ErrElsewhere // there is a route to it, or to another tenant's who was first
		}
		if found == nil || r.id < found.id {
			found = r
		}
	}
	if found == nil {
		return nil, ErrElsewhere
	}
	return found.ns.dup()
}
