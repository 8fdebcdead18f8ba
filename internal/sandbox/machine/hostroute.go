package machine

import "net/netip"

// hostRoutes are the routes on this machine to the networks behind a router: fixed addresses are reachable from here too,
// as long as no other network of this machine, or of another tenant, has the same addresses.
type hostRoutes []route

func (f *fabric) setHostRoutes(r *router) {
	var want []route
	if r.state.External.IsValid() {
		for _, l := range r.state.Interfaces {
			if l.Address.Addr().Is4() {
				want = append(want, route{to: l.Address.Masked(), via: r.state.External.Addr(), link: f.hostLink, src: f.hostAddr.Addr()})
			}
		}
	}
	kept := map[netip.Prefix]bool{}
	var have []route
	for _, old := range r.hostRoutes {
		if containsRoute(want, old) {
			have = append(have, old)
			kept[old.to] = true
		} else {
			_ = f.host.dropRoute(old)
		}
	}
	for _, w := range want {
		// Only a convenience: the first tenant has it, and a machine that uses the addresses itself goes first.
		if !kept[w.to] && f.conflict(w.to) == nil && f.host.addRoute(w) == nil {
			have = append(have, w)
		}
	}
	r.hostRoutes = have
}

func containsRoute(list []route, r route) bool {
	for _, x := range list {
		if x == r {
			return true
		}
	}
	return false
}

func (f *fabric) dropHostRoutes(r *router) {
	for _, old := range r.hostRoutes {
		_ = f.host.dropRoute(old)
	}
	r.hostRoutes = nil
}
