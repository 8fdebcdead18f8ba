package neutron

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func networkMissing(id string) *rest.Error {
	return notFound("NetworkNotFound", "Network %s could not be found.", id)
}

func (s *Service) networkKind() *kind {
	return &kind{
		one: "network", many: "networks",
		attrs: map[string]string{
			"admin_state_up": "cu", "shared": "cua", "router:external": "cua", "is_default": "cua", "mtu": "cu", "dns_domain": "cu",
			"port_security_enabled": "cu", "availability_zone_hints": "c", "qos_policy_id": "cu", "vlan_transparent": "ca",
			"provider:network_type": "cua", "provider:physical_network": "cua", "provider:segmentation_id": "cua",
		},
		absent: networkMissing,
		list: func(c *rest.Call) []rest.Doc {
			var docs []rest.Doc
			for n := range s.Cloud.Networks.All() {
				if s.seesNetwork(c, n) {
					docs = append(docs, s.networkDoc(c, n))
				}
			}
			return docs
		},
		create: s.createNetwork, update: s.updateNetwork, remove: s.removeNetwork,
		stamp: func(id string) *cloud.Stamp {
			if n := s.Cloud.Networks.Get(id); n != nil {
				return &n.Stamp
			}
			return nil
		},
	}
}

// notAllowed refuses resources on a network that the caller sees but does not own.
func notAllowed(c *rest.Call, resource string) *rest.Error {
	return rest.Typed(http.StatusForbidden, "HTTPForbidden", "Tenant %s not allowed to create %s on this network", c.Project(), resource)
}

func (s *Service) seesNetwork(c *rest.Call, n *cloud.Network) bool {
	return n.ProjectID == c.Project() || n.Shared || n.External || c.Admin()
}

func (s *Service) networkDoc(c *rest.Call, n *cloud.Network) rest.Doc {
	subnets := []string{}
	for sub := range s.Cloud.Subnets.Where(func(sub *cloud.Subnet) bool { return sub.NetworkID == n.ID }) {
		subnets = append(subnets, sub.ID)
	}
	d := stampDoc(&n.Stamp)
	d["admin_state_up"], d["status"], d["subnets"], d["shared"] = !n.AdminDown, "ACTIVE", subnets, n.Shared
	d["router:external"], d["mtu"], d["port_security_enabled"], d["dns_domain"] = n.External, n.MTU, !n.NoPortSecurity, n.DNSDomain
	d["availability_zone_hints"], d["availability_zones"] = orEmpty(n.AZHints), []string{s.Zone}
	d["ipv4_address_scope"], d["ipv6_address_scope"], d["qos_policy_id"] = nil, nil, nil
	if n.External {
		d["is_default"] = n.Default
	}
	if c.Admin() {
		d["provider:network_type"], d["provider:physical_network"], d["provider:segmentation_id"] = n.Type, orNil(n.Physical), nil
		if n.Segment > 0 {
			d["provider:segmentation_id"] = n.Segment
		}
	}
	return d
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

type networkBody struct {
	name, description, dns, typ, physical opt[string]
	up, shared, external, def, security   opt[boolean]
	mtu, segment                          opt[integer]
	hints                                 opt[[]string]
}

func (b *networkBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{
		"name": &b.name, "description": &b.description, "admin_state_up": &b.up, "shared": &b.shared, "router:external": &b.external,
		"is_default": &b.def, "port_security_enabled": &b.security, "mtu": &b.mtu, "dns_domain": &b.dns, "availability_zone_hints": &b.hints,
		"provider:network_type": &b.typ, "provider:physical_network": &b.physical, "provider:segmentation_id": &b.segment,
	})
}

func (b *networkBody) apply(n *cloud.Network) error {
	if b.mtu.Set && (b.mtu.V < 68 || b.mtu.V > 9000) && b.mtu.V != 0 {
		return badInput("Requested MTU is out of range: %d", int(b.mtu.V))
	}
	setText(&n.Name, &n.Description, b.name, b.description)
	n.AdminDown = !bool(b.up.or(boolean(!n.AdminDown)))
	n.Shared = bool(b.shared.or(boolean(n.Shared)))
	n.External = bool(b.external.or(boolean(n.External)))
	n.Default = bool(b.def.or(boolean(n.Default)))
	n.NoPortSecurity = !bool(b.security.or(boolean(!n.NoPortSecurity)))
	n.DNSDomain = b.dns.or(n.DNSDomain)
	n.AZHints = b.hints.or(n.AZHints)
	n.Type, n.Physical = b.typ.or(n.Type), b.physical.or(n.Physical)
	n.Segment = int(b.segment.or(integer(n.Segment)))
	if m := int(b.mtu.or(0)); m > 0 {
		n.MTU = m
	}
	return nil
}

func (s *Service) createNetwork(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b networkBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	for _, hint := range b.hints.V {
		if hint != s.Zone {
			return nil, notFound("AvailabilityZoneNotFound", "AvailabilityZone %s could not be found.", hint)
		}
	}
	if err := s.quota(project, "network"); err != nil {
		return nil, err
	}
	n := &cloud.Network{Stamp: s.newStamp(project), MTU: 1450, Type: "vxlan", Segment: s.Cloud.Number()}
	if err := b.apply(n); err != nil {
		return nil, err
	}
	s.ensureDefaultGroup(project)
	s.Cloud.Networks.Put(n.ID, n)
	s.agent.network(n.ID)
	return s.networkDoc(c, n), nil
}

func (s *Service) updateNetwork(c *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
	var b networkBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	n := s.Cloud.Networks.Get(id)
	if n.External && b.external.Set && !bool(b.external.V) && s.externalInUse(id) {
		return nil, inUse("ExternalNetworkInUse", "External network %s cannot be updated to be made non-external, since it has existing gateway ports.", id)
	}
	if err := b.apply(n); err != nil {
		return nil, err
	}
	s.touch(&n.Stamp)
	return s.networkDoc(c, n), nil
}

func (s *Service) externalInUse(id string) bool {
	return s.Cloud.Ports.First(func(p *cloud.Port) bool { return p.NetworkID == id && p.DeviceOwner == ownerGateway }) != nil
}

func (s *Service) removeNetwork(_ *rest.Call, id string) error {
	var users []string
	for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.NetworkID == id && p.DeviceOwner != ownerDHCP }) {
		users = append(users, p.ID)
	}
	if users != nil {
		return rest.Typed(http.StatusConflict, "NetworkInUse", "Unable to complete operation on network %s. %s.", id,
			fmt.Sprintf("There are one or more ports still in use on the network, id for these ports is: %s", strings.Join(users, ",")))
	}
	for p := range s.Cloud.Ports.Where(func(p *cloud.Port) bool { return p.NetworkID == id }) {
		s.dropPort(p)
	}
	for sub := range s.Cloud.Subnets.Where(func(sub *cloud.Subnet) bool { return sub.NetworkID == id }) {
		s.Cloud.Subnets.Delete(sub.ID)
	}
	s.Cloud.Networks.Delete(id)
	s.agent.network(id)
	return nil
}
