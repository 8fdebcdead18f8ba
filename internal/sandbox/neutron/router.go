package neutron

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func routerMissing(id string) *rest.Error {
	return notFound("RouterNotFound", "Router %s could not be found", id)
}

func (s *Service) routerKind() *kind {
	return &kind{
		one: "router", many: "routers",
		attrs: map[string]string{
			"admin_state_up": "cu", "external_gateway_info": "cu", "routes": "u", "availability_zone_hints": "c", "flavor_id": "c",
			"distributed": "cua", "ha": "cua", "enable_ndp_proxy": "cu",
		},
		absent: routerMissing,
		list: func(c *rest.Call) []rest.Doc {
			var docs []rest.Doc
			for r := range s.Cloud.Routers.All() {
				if r.ProjectID == c.Project() || c.Admin() {
					docs = append(docs, s.routerDoc(c, r))
				}
			}
			return docs
		},
		create: s.createRouter, update: s.updateRouter, remove: s.removeRouter,
		stamp: func(id string) *cloud.Stamp {
			if r := s.Cloud.Routers.Get(id); r != nil {
				return &r.Stamp
			}
			return nil
		},
	}
}

func (s *Service) routerDoc(c *rest.Call, r *cloud.Router) rest.Doc {
	d := stampDoc(&r.Stamp)
	d["admin_state_up"], d["status"], d["flavor_id"] = !r.AdminDown, "ACTIVE", nil
	d["availability_zone_hints"], d["availability_zones"] = orEmpty(r.AZHints), []string{s.Zone}
	d["routes"] = r.Routes
	if r.Routes == nil {
		d["routes"] = []cloud.HostRoute{}
	}
	d["external_gateway_info"] = nil
	if g := r.Gateway; g != nil {
		ips := []cloud.FixedIP{}
		if p := s.Cloud.Ports.Get(g.PortID); p != nil {
			ips = p.FixedIPs
		}
		d["external_gateway_info"] = map[string]any{"network_id": g.NetworkID, "enable_snat": !g.NoSNAT, "external_fixed_ips": ips}
	}
	if c.Admin() {
		d["distributed"], d["ha"] = false, false
	}
	return d
}

type gatewayBody struct {
	NetworkID string        `json:"network_id"`
	SNAT      *bool         `json:"enable_snat"`
	IPs       []fixedIPBody `json:"external_fixed_ips"`
}

type routerBody struct {
	name, description opt[string]
	up                opt[boolean]
	gateway           opt[gatewayBody]
	routes            opt[[]routeBody]
	hints             opt[[]string]
}

func (b *routerBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{
		"name": &b.name, "description": &b.description, "admin_state_up": &b.up, "external_gateway_info": &b.gateway,
		"routes": &b.routes, "availability_zone_hints": &b.hints,
	})
}

func (s *Service) createRouter(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b routerBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	for _, hint := range b.hints.V {
		if hint != s.Zone {
			return nil, notFound("AvailabilityZoneNotFound", "AvailabilityZone %s could not be found.", hint)
		}
	}
	if err := s.quota(project, "router"); err != nil {
		return nil, err
	}
	r := &cloud.Router{Stamp: s.newStamp(project), AZHints: b.hints.V, AdminDown: !bool(b.up.or(true))}
	setText(&r.Name, &r.Description, b.name, b.description)
	if b.gateway.Set {
		if err := s.setGateway(c, r, b.gateway); err != nil {
			return nil, err
		}
	}
	s.Cloud.Routers.Put(r.ID, r)
	s.agent.router(r.ID)
	return s.routerDoc(c, r), nil
}

// setGateway connects the router with an external network, changes its addresses, or cuts it off (null or {}).
func (s *Service) setGateway(c *rest.Call, r *cloud.Router, want opt[gatewayBody]) error {
	old := r.Gateway
	if want.Null || want.V.NetworkID == "" {
		if old == nil {
			return nil
		}
		if err := s.gatewayFree(r); err != nil {
			return err
		}
		s.Cloud.Ports.Delete(old.PortID)
		r.Gateway = nil
		return nil
	}
	g := want.V
	n := s.Cloud.Networks.Get(g.NetworkID)
	if n == nil || !s.seesNetwork(c, n) {
		return networkMissing(g.NetworkID)
	}
	if !n.External {
		return badRequest("router", "Network %s is not an external network", n.ID)
	}
	// Wishing for what is there already is no change: clients send the whole gateway back on every update.
	if g.SNAT != nil && !c.Admin() && *g.SNAT != (old == nil || !old.NoSNAT) {
		verb := "update_router"
		if s.Cloud.Routers.Get(r.ID) == nil {
			verb = "create_router"
		}
		info := "rule:" + verb + ":external_gateway_info"
		return disallowed("(rule:" + verb + " and (" + info + " and (" + info + ":network_id and " + info + ":enable_snat)))")
	}
	next := &cloud.Gateway{NetworkID: n.ID, NoSNAT: g.SNAT != nil && !*g.SNAT}
	if old != nil && old.NetworkID == n.ID && (len(g.IPs) == 0 || s.holds(old.PortID, g.IPs)) {
		next.PortID = old.PortID
		if g.SNAT == nil {
			next.NoSNAT = old.NoSNAT
		}
		r.Gateway = next
		return nil
	}
	if old != nil {
		if old.NetworkID != n.ID {
			if err := s.gatewayFree(r); err != nil {
				return err
			}
		}
	}
	b := &portBody{device: opt[string]{Set: true, V: r.ID}, owner: opt[string]{Set: true, V: ownerGateway}}
	if len(g.IPs) > 0 {
		b.ips = opt[[]fixedIPBody]{Set: true, V: g.IPs}
	}
	p, err := s.newPort("", n, b)
	if err != nil {
		return err // the old gateway stays
	}
	if old != nil {
		s.Cloud.Ports.Delete(old.PortID)
	}
	p.NoPortSecurity = true
	next.PortID = p.ID
	r.Gateway = next
	return nil
}

// holds reports whether the port has the wished addresses.
func (s *Service) holds(port string, wishes []fixedIPBody) bool {
	p := s.Cloud.Ports.Get(port)
	if p == nil {
		return false
	}
	for _, w := range wishes {
		if !slices.ContainsFunc(p.FixedIPs, func(f cloud.FixedIP) bool {
			return (w.SubnetID == "" || w.SubnetID == f.SubnetID) && (w.IPAddress == "" || w.IPAddress == f.IPAddress.String())
		}) {
			return false
		}
	}
	return true
}

// gatewayFree refuses when floating IPs need the router's gateway.
func (s *Service) gatewayFree(r *cloud.Router) error {
	if s.Cloud.FloatingIPs.First(func(f *cloud.FloatingIP) bool { return f.RouterID == r.ID }) != nil {
		return inUse("RouterExternalGatewayInUseByFloatingIp", "Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.", r.ID, r.Gateway.NetworkID)
	}
	return nil
}

func (s *Service) updateRouter(c *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
	var b routerBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	r := s.Cloud.Routers.Get(id)
	if b.routes.Set {
		routes, err := s.checkRoutes(r, b.routes.V)
		if err != nil {
			return nil, err
		}
		r.Routes = routes
	}
	if b.gateway.Set {
		if err := s.setGateway(c, r, b.gateway); err != nil {
			return nil, err
		}
	}
	setText(&r.Name, &r.Description, b.name, b.description)
	r.AdminDown = !bool(b.up.or(boolean(!r.AdminDown)))
	s.touch(&r.Stamp)
	s.agent.router(id)
	return s.routerDoc(c, r), nil
}

// checkRoutes wants every next hop to be on a network of the router.
func (s *Service) checkRoutes(r *cloud.Router, in []routeBody) ([]cloud.HostRoute, error) {
	routes, err := parseRoutes("routes", in)
	if err != nil {
		return nil, err
	}
	for _, route := range routes {
		ok := false
		for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.DeviceID == r.ID }) {
			for _, f := range p.FixedIPs {
				sub := s.Cloud.Subnets.Get(f.SubnetID)
				ok = ok || sub != nil && sub.CIDR.Contains(route.NextHop)
			}
		}
		if !ok {
			return nil, rest.Typed(400, "InvalidRoutes", "Invalid format for routes: %s, the nexthop is not connected with router", routes)
		}
	}
	return routes, nil
}

func (s *Service) removeRouter(_ *rest.Call, id string) error {
	r := s.Cloud.Routers.Get(id)
	var legs []string
	for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.DeviceID == id && p.DeviceOwner == ownerInterface }) {
		legs = append(legs, p.ID)
	}
	if legs != nil {
		return inUse("RouterInUse", "Router %s has ports still attached: %s", id, strings.Join(legs, ", "))
	}
	if r.Gateway != nil {
		s.Cloud.Ports.Delete(r.Gateway.PortID)
	}
	s.Cloud.Routers.Delete(id)
	s.agent.router(id)
	return nil
}

type extraRoutes struct {
	Router struct{ Routes []routeBody }
}

func (s *Service) addRoutes(c *rest.Call) (rest.Reply, error) {
	return s.extraRoutes(c, func(have, more []cloud.HostRoute) []cloud.HostRoute {
		for _, m := range more {
			if !slices.Contains(have, m) {
				have = append(have, m)
			}
		}
		return have
	})
}

func (s *Service) removeRoutes(c *rest.Call) (rest.Reply, error) {
	return s.extraRoutes(c, func(have, less []cloud.HostRoute) []cloud.HostRoute {
		return slices.DeleteFunc(slices.Clone(have), func(h cloud.HostRoute) bool { return slices.Contains(less, h) })
	})
}

func (s *Service) extraRoutes(c *rest.Call, change func(have, given []cloud.HostRoute) []cloud.HostRoute) (rest.Reply, error) {
	r, err := s.ownRouter(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b extraRoutes
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	given, err := s.checkRoutes(r, b.Router.Routes)
	if err != nil {
		return rest.Reply{}, err
	}
	r.Routes = change(r.Routes, given)
	s.touch(&r.Stamp)
	s.agent.router(r.ID)
	return rest.OK(map[string]any{"router": s.routerDoc(c, r)})
}

func (s *Service) ownRouter(c *rest.Call) (*cloud.Router, error) {
	id := c.PathValue("id")
	r := s.Cloud.Routers.Get(id)
	if r == nil || r.ProjectID != c.Project() && !c.Admin() {
		return nil, routerMissing(id)
	}
	return r, nil
}
