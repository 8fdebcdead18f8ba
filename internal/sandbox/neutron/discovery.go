package neutron

import (
	"encoding/json"
	"math/big"
	"net/netip"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) versions(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"versions": []any{map[string]any{
		"id": "v2.0", "status": "CURRENT", "links": []rest.Link{{Rel: "self", Href: c.Base + "/v2.0/"}},
	}}})
}

// version lists the resources of the API, as Neutron's /v2.0 does.
func (s *Service) version(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, k := range s.kinds {
		docs = append(docs, map[string]any{"name": k.one, "collection": k.many, "links": []rest.Link{{Rel: "self", Href: c.Base + "/v2.0/" + k.many}}})
	}
	return rest.OK(map[string]any{"resources": docs})
}

// extensions are the aliases of what this service really does.
var extensions = [][2]string{
	{"address-scope", "Address scope"}, {"agent", "agent"}, {"allowed-address-pairs", "Allowed Address Pairs"},
	{"availability_zone", "Availability Zone"}, {"binding", "Port Binding"}, {"default-subnetpools", "Default Subnetpools"},
	{"ext-gw-mode", "Neutron L3 Configurable external gateway mode"}, {"external-net", "Neutron external network"},
	{"extra_dhcp_opt", "Neutron Extra DHCP options"}, {"extraroute", "Neutron Extra Route"}, {"extraroute-atomic", "Atomically add/remove extra routes"},
	{"filter-validation", "Filter parameters validation"}, {"fip-port-details", "Floating IP Port Details Extension"},
	{"flavors", "Neutron Service Flavors"}, {"ip-substring-filtering", "IP address substring filtering"}, {"net-mtu", "Network MTU"},
	{"net-mtu-writable", "Network MTU (writable)"}, {"network_availability_zone", "Network Availability Zone"},
	{"network-ip-availability", "Network IP Availability"}, {"pagination", "Pagination support"}, {"port-security", "Port Security"},
	{"project-id", "project_id field enabled"}, {"provider", "Provider Network"}, {"quota_details", "Quota details management support"},
	{"quotas", "Quota management support"}, {"revision-if-match", "If-Match constraints based on revision_number"},
	{"router", "Neutron L3 Router"}, {"router_availability_zone", "Router Availability Zone"}, {"security-group", "security-group"},
	{"security-groups-remote-address-group", "Remote address group id field for security group rules"},
	{"security-groups-normalized-cidr", "Normalized CIDR field for security group rules"},
	{"service-type", "Neutron Service Type Management"}, {"sorting", "Sorting support"}, {"standard-attr-description", "standard-attr-description"},
	{"standard-attr-revisions", "Resource revision numbers"}, {"standard-attr-tag", "Tag support for resources with standard attribute: port, subnet, subnetpool, network, security_group, router, floatingip, policy, trunk"},
	{"standard-attr-timestamp", "Resource timestamps"}, {"stateful-security-group", "Stateful security group"},
	{"subnet_allocation", "Subnet Allocation"}, {"subnet-service-types", "Subnet service types"}, {"dns-integration", "DNS Integration"},
	{"ip_allocation", "IP Allocation"},
}

func extensionDoc(e [2]string) map[string]any {
	return map[string]any{"alias": e[0], "name": e[1], "description": e[1] + ".", "updated": "2017-01-01T10:00:00-00:00", "links": []any{}}
}

func (s *Service) listExtensions(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, e := range extensions {
		docs = append(docs, extensionDoc(e))
	}
	return rest.OK(map[string]any{"extensions": docs})
}

func (s *Service) showExtension(c *rest.Call) (rest.Reply, error) {
	for _, e := range extensions {
		if e[0] == c.PathValue("alias") {
			return rest.OK(map[string]any{"extension": extensionDoc(e)})
		}
	}
	return rest.Reply{}, notFound("HTTPNotFound", "Extension with alias %s does not exist", c.PathValue("alias"))
}

func (s *Service) listZones(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, resource := range []string{"network", "router"} {
		docs = append(docs, map[string]any{"name": s.Zone, "resource": resource, "state": "available"})
	}
	return rest.OK(map[string]any{"availability_zones": docs})
}

func (s *Service) listAgents(*rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"agents": []any{}})
}

func (s *Service) listProviders(*rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"service_providers": []any{}})
}

func (s *Service) availability(n *cloud.Network) rest.Doc {
	total, used := new(big.Int), 0
	subnets := []any{}
	for _, sub := range s.subnetsOf(n.ID) {
		free, taken := new(big.Int), len(s.taken(sub.ID))
		for _, pool := range sub.Pools {
			free.Add(free, size(pool))
		}
		total.Add(total, free)
		used += taken
		version := 4
		if sub.CIDR.Addr().Is6() {
			version = 6
		}
		subnets = append(subnets, map[string]any{
			"subnet_id": sub.ID, "subnet_name": sub.Name, "cidr": sub.CIDR.String(), "ip_version": version, "total_ips": free, "used_ips": taken,
		})
	}
	return rest.Doc{
		"network_id": n.ID, "network_name": n.Name, "tenant_id": n.ProjectID, "project_id": n.ProjectID,
		"total_ips": total, "used_ips": used, "subnet_ip_availability": subnets,
	}
}

func size(r cloud.Range) *big.Int {
	n := func(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }
	d := new(big.Int).Sub(n(r.End), n(r.Start))
	return d.Add(d, big.NewInt(1))
}

func (s *Service) listAvailabilities(c *rest.Call) (rest.Reply, error) {
	docs := []rest.Doc{}
	for n := range s.Cloud.Networks.All() {
		docs = append(docs, s.availability(n))
	}
	return rest.OK(map[string]any{"network_ip_availabilities": docs})
}

func (s *Service) showAvailability(c *rest.Call) (rest.Reply, error) {
	n := s.Cloud.Networks.Get(c.PathValue("id"))
	if n == nil {
		return rest.Reply{}, networkMissing(c.PathValue("id"))
	}
	return rest.OK(map[string]any{"network_ip_availability": s.availability(n)})
}

// subnetPoolKind has no pools: subnets always come with their cidr. Clients list it when they look for a default one.
func (s *Service) subnetPoolKind() *kind {
	absent := func(id string) *rest.Error {
		return notFound("SubnetPoolNotFound", "Subnet pool %s could not be found.", id)
	}
	unsupported := func() error {
		return rest.Typed(501, "HTTPNotImplemented", "The sandbox has no subnet pools: give subnets a cidr.")
	}
	return &kind{
		one: "subnetpool", many: "subnetpools",
		attrs: map[string]string{
			"prefixes": "cu", "default_quota": "cu", "default_prefixlen": "cu", "min_prefixlen": "cu", "max_prefixlen": "cu",
			"is_default": "cu", "shared": "c", "address_scope_id": "cu", "ip_version": "",
		},
		absent: absent,
		list:   func(*rest.Call) []rest.Doc { return nil },
		create: func(*rest.Call, string, json.RawMessage) (rest.Doc, error) { return nil, unsupported() },
		update: func(_ *rest.Call, id string, _ json.RawMessage) (rest.Doc, error) { return nil, absent(id) },
		remove: func(_ *rest.Call, id string) error { return absent(id) },
		stamp:  func(string) *cloud.Stamp { return nil },
	}
}
