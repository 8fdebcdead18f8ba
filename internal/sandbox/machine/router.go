package machine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

// router is a namespace with a leg in each of its networks, and one outside when it has a gateway.
type router struct {
	id    string
	ns    *namespace
	state Router            // as last set
	legs  map[string]string // network → link in the namespace
	hostRoutes
}

var anywhere = netip.MustParsePrefix("0.0.0.0/0")

func (h *host) SetRouter(_ context.Context, want Router) error {
	h.routerMu.Lock()
	defer h.routerMu.Unlock()
	r := h.routers[want.ID]
	if r == nil {
		var err error
		if r, err = h.newRouter(want.ID); err != nil {
			return fmt.Errorf("cannot make router %s: %w", want.ID, err)
		}
		h.routers[want.ID] = r
	}
	if err := h.bring(r, want); err != nil {
		return fmt.Errorf("cannot set router %s: %w", want.ID, err)
	}
	return nil
}

func (h *host) newRouter(id string) (*router, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	err = ns.sysctls([2]string{"net/ipv4/ip_forward", "1"}, [2]string{"net/ipv4/conf/all/rp_filter", "0"},
		[2]string{"net/ipv4/conf/default/rp_filter", "0"}, [2]string{"net/ipv4/conf/all/send_redirects", "0"},
		[2]string{"net/ipv4/conf/default/send_redirects", "0"}, [2]string{"net/ipv4/conf/all/arp_ignore", "1"},
		[2]string{"-net/ipv6/conf/all/forwarding", "1"}, [2]string{"-net/ipv6/conf/default/accept_dad", "0"})
	if err != nil {
		ns.close()
		return nil, err
	}
	return &router{id: id, ns: ns, legs: map[string]string{}}, nil
}

// bring moves the router to the wanted state, in an order in which a packet never takes a way that neither state has.
func (h *host) bring(r *router, want Router) error {
	moved := slices.Concat(r.addresses(), addressesOf(want))
	if err := h.setLegs(r, want.Interfaces); err != nil {
		return err
	}
	if err := h.setGateway(r, want); err != nil {
		return err
	}
	if err := r.setRoutes(want.Routes); err != nil {
		return err
	}
	if err := r.setNAT(want); err != nil {
		return err
	}
	r.state = clone(want)
	// An address that moved between routers has another hardware address now.
	h.fabric.host.forget(moved...)
	h.fabric.ns.forget(moved...)
	for _, other := range h.routers {
		other.ns.forget(moved...)
	}
	h.fabric.setHostRoutes(r)
	return nil
}

func clone(r Router) Router {
	r.Interfaces, r.FloatingIPs, r.Routes = slices.Clone(r.Interfaces), slices.Clone(r.FloatingIPs), slices.Clone(r.Routes)
	return r
}

func (r *router) addresses() []netip.Addr { return addressesOf(r.state) }

func addressesOf(s Router) []netip.Addr {
	var out []netip.Addr
	if s.External.IsValid() {
		out = append(out, s.External.Addr())
	}
	for _, f := range s.FloatingIPs {
		out = append(out, f.Floating)
	}
	return out
}

// setLegs plugs the router into its networks. One leg carries all the addresses the router has on a network.
func (h *host) setLegs(r *router, legs []Leg) error {
	want := map[string][]netip.Prefix{}
	for _, l := range legs {
		want[l.NetworkID] = append(want[l.NetworkID], l.Address)
	}
	for id, link := range maps.Clone(r.legs) {
		if want[id] == nil {
			if err := r.ns.remove(link); err != nil {
				return err
			}
			delete(r.legs, id)
		}
	}
	for id, addrs := range want {
		link := r.legs[id]
		if link == "" {
			n, err := h.fabric.network(id)
			if err != nil {
				return err
			}
			link = shortName("q", id)
			outside := shortName("q", r.id+id)
			if err := cable(end{ns: h.fabric.ns, name: outside}, end{ns: r.ns, name: link}); err != nil {
				return err
			}
			if err := h.fabric.plug(outside, n.bridge); err != nil {
				return err
			}
			if err := r.ns.up(link); err != nil {
				return err
			}
			r.legs[id] = link
		}
		if err := r.ns.setAddresses(link, addrs); err != nil {
			return err
		}
		for _, a := range addrs {
			h.forgetOnNetwork(id, a.Addr())
		}
	}
	return nil
}

// setGateway makes, changes or removes the external leg with the router's own and the floating addresses.
func (h *host) setGateway(r *router, want Router) error {
	if !want.External.IsValid() {
		return r.ns.remove(extLink)
	}
	if _, err := r.ns.nl.LinkByName(extLink); err != nil {
		outside := shortName("x", r.id)
		if err := cable(end{ns: h.fabric.ns, name: outside}, end{ns: r.ns, name: extLink}); err != nil {
			return err
		}
		if err := h.fabric.plug(outside, extLink); err != nil {
			return err
		}
		if err := r.ns.up(extLink); err != nil {
			return err
		}
	}
	addrs := []netip.Prefix{want.External}
	for _, f := range want.FloatingIPs {
		addrs = append(addrs, single(f.Floating))
	}
	if err := r.ns.setAddresses(extLink, addrs); err != nil {
		return err
	}
	return r.ns.addRoute(route{to: anywhere, via: nextHop, link: extLink, onlink: true, src: want.External.Addr()})
}

func (r *router) setRoutes(want []Route) error {
	for _, old := range r.state.Routes {
		if !slices.Contains(want, old) {
			if err := r.ns.dropRoute(route{to: old.Destination, via: old.Via}); err != nil {
				return err
			}
		}
	}
	for _, n := range want {
		if err := r.ns.addRoute(route{to: n.Destination, via: n.Via}); err != nil {
			return err
		}
	}
	return nil
}

// setNAT follows Neutron's l3 agent: floating addresses one to one in both directions, everything else leaves with the
// router's address, and a server that reaches another through a floating address from inside gets its answers by the router.
func (r *router) setNAT(want Router) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(r.ns.fd)))
	if err != nil {
		return err
	}
	t := newRuleset(conn, nftables.TableFamilyIPv4, 0)
	pre := t.hook("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100)
	out := t.hook("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, -100)
	post := t.hook("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100)
	if want.External.IsValid() {
		for _, f := range want.FloatingIPs {
			t.add(pre, to(single(f.Floating)), dnat(f.Fixed))
			t.add(out, to(single(f.Floating)), dnat(f.Fixed))
		}
		// What came in from outside keeps its source; a connection between two inside addresses is left alone.
		t.add(post, inIf(extLink), accept())
		t.add(post, notOutIf(extLink), ctDNAT(false), accept())
		for _, f := range want.FloatingIPs {
			t.add(post, from(single(f.Fixed)), snat(f.Floating))
		}
		if want.SNAT {
			t.add(post, ctDNAT(false), snat(want.External.Addr()))
		}
		t.add(post, ctDNAT(true), snat(want.External.Addr()))
	}
	// As in Neutron, the metadata address never leaves by a router.
	fwd := t.hook("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, 0)
	t.add(fwd, to(netip.MustParsePrefix("169.254.0.0/16")), drop())
	return t.commit()
}

func (h *host) DeleteRouter(_ context.Context, id string) error {
	h.routerMu.Lock()
	defer h.routerMu.Unlock()
	r := h.routers[id]
	if r == nil {
		return nil
	}
	moved := r.addresses()
	h.fabric.dropHostRoutes(r)
	// The links go at once; the namespace itself is removed by the kernel in the background.
	links := slices.Collect(maps.Values(r.legs))
	for _, l := range append(links, extLink) {
		if err := r.ns.remove(l); err != nil {
			return fmt.Errorf("cannot remove router %s: %w", id, err)
		}
	}
	r.ns.close()
	delete(h.routers, id)
	h.fabric.host.forget(moved...)
	h.fabric.ns.forget(moved...)
	return nil
}
