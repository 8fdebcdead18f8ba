package neutron

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// Owners of ports that Neutron itself makes.
const (
	ownerDHCP      = "network:dhcp"
	ownerInterface = "network:router_interface"
	ownerGateway   = "network:router_gateway"
	ownerFloating  = "network:floatingip"
)

func portMissing(id string) *rest.Error {
	return notFound("PortNotFound", "Port %s could not be found.", id)
}

func (s *Service) portKind() *kind {
	return &kind{
		one: "port", many: "ports",
		attrs: map[string]string{
			"network_id": "c", "admin_state_up": "cu", "mac_address": "cuA", "fixed_ips": "cu", "device_id": "cu", "device_owner": "cu",
			"security_groups": "cu", "allowed_address_pairs": "cu", "extra_dhcp_opts": "cu", "port_security_enabled": "cu", "dns_name": "cu",
			"dns_domain": "cu", "qos_policy_id": "cu", "binding:vnic_type": "cu", "binding:host_id": "cua", "binding:profile": "cua",
			"propagate_uplink_status": "cu", "ip_allocation": "", "numa_affinity_policy": "cua",
		},
		required: []string{"network_id"},
		absent:   portMissing,
		list: func(c *rest.Call) []rest.Doc {
			var docs []rest.Doc
			for p := range s.Cloud.Ports.All() {
				n := s.Cloud.Networks.Get(p.NetworkID)
				if c.Admin() || p.ProjectID != "" && p.ProjectID == c.Project() || n != nil && n.ProjectID == c.Project() {
					docs = append(docs, s.portDoc(c, p))
				}
			}
			return docs
		},
		create: s.createPort, update: s.updatePort, remove: s.removePort,
		stamp: func(id string) *cloud.Stamp {
			if p := s.Cloud.Ports.Get(id); p != nil {
				return &p.Stamp
			}
			return nil
		},
		filters: map[string]func(rest.Doc, []string) bool{"fixed_ips": matchFixedIPs},
	}
}

// matchFixedIPs reads "ip_address=…", "subnet_id=…" and "ip_address_substr=…".
func matchFixedIPs(d rest.Doc, values []string) bool {
	ips := d["fixed_ips"].([]cloud.FixedIP)
	// Values of one key are alternatives, the keys must all hold for one address.
	byKey := map[string][]string{}
	for _, v := range values {
		key, value, _ := strings.Cut(v, "=")
		byKey[key] = append(byKey[key], value)
	}
	return slices.ContainsFunc(ips, func(f cloud.FixedIP) bool {
		for key, want := range byKey {
			ok := false
			switch key {
			case "ip_address":
				ok = slices.Contains(want, f.IPAddress.String())
			case "subnet_id":
				ok = slices.Contains(want, f.SubnetID)
			case "ip_address_substr":
				ok = slices.ContainsFunc(want, func(w string) bool { return strings.Contains(f.IPAddress.String(), w) })
			}
			if !ok {
				return false
			}
		}
		return true
	})
}

func (s *Service) portDoc(c *rest.Call, p *cloud.Port) rest.Doc {
	d := stampDoc(&p.Stamp)
	d["network_id"], d["mac_address"], d["admin_state_up"], d["status"] = p.NetworkID, p.MAC, !p.AdminDown, p.Status
	d["device_id"], d["device_owner"] = p.DeviceID, p.DeviceOwner
	d["fixed_ips"] = p.FixedIPs
	if p.FixedIPs == nil {
		d["fixed_ips"] = []cloud.FixedIP{}
	}
	d["security_groups"], d["port_security_enabled"] = orEmpty(p.SecurityGroups), !p.NoPortSecurity
	d["allowed_address_pairs"], d["extra_dhcp_opts"] = p.Pairs, p.DHCPOptions
	if p.Pairs == nil {
		d["allowed_address_pairs"] = []cloud.AddressPair{}
	}
	if p.DHCPOptions == nil {
		d["extra_dhcp_opts"] = []cloud.DHCPOption{}
	}
	d["binding:vnic_type"], d["qos_policy_id"], d["qos_network_policy_id"], d["ip_allocation"] = p.VNICType, nil, nil, "immediate"
	d["dns_name"] = p.DNSName
	assignment := []any{}
	for _, f := range p.FixedIPs {
		host := p.DNSName
		if host == "" {
			host = "host-" + strings.NewReplacer(".", "-", ":", "-").Replace(f.IPAddress.String())
		}
		assignment = append(assignment, map[string]any{"ip_address": f.IPAddress, "hostname": host, "fqdn": host + ".openstacklocal."})
	}
	d["dns_assignment"] = assignment
	if c.Admin() {
		d["binding:host_id"], d["binding:profile"], d["binding:vif_details"] = p.Host, p.Profile, map[string]any{}
		if p.Profile == nil {
			d["binding:profile"] = map[string]any{}
		}
		d["binding:vif_type"] = "unbound"
		if p.Host != "" {
			d["binding:vif_type"], d["binding:vif_details"] = "bridge", map[string]any{"port_filter": true, "connectivity": "l2"}
		}
	}
	return d
}

type fixedIPBody struct {
	SubnetID  string `json:"subnet_id"`
	IPAddress string `json:"ip_address"`
}

type portBody struct {
	name, description, network, mac, device, owner, dns, vnic, host opt[string]
	up, security                                                    opt[boolean]
	ips                                                             opt[[]fixedIPBody]
	groups                                                          opt[[]string]
	pairs                                                           opt[[]cloud.AddressPair]
	options                                                         opt[[]cloud.DHCPOption]
	profile                                                         opt[map[string]any]
}

func (b *portBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{
		"name": &b.name, "description": &b.description, "network_id": &b.network, "mac_address": &b.mac, "device_id": &b.device,
		"device_owner": &b.owner, "dns_name": &b.dns, "binding:vnic_type": &b.vnic, "binding:host_id": &b.host, "admin_state_up": &b.up,
		"port_security_enabled": &b.security, "fixed_ips": &b.ips, "security_groups": &b.groups, "allowed_address_pairs": &b.pairs,
		"extra_dhcp_opts": &b.options, "binding:profile": &b.profile,
	})
}

func (s *Service) createPort(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b portBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	n := s.Cloud.Networks.Get(b.network.V)
	if n == nil || !s.seesNetwork(c, n) {
		return nil, networkMissing(b.network.V)
	}
	if n.ProjectID != c.Project() && !n.Shared && !c.Admin() {
		return nil, notAllowed(c, "port")
	}
	p, err := s.newPort(project, n, &b)
	if err != nil {
		return nil, err
	}
	s.bound(p)
	return s.portDoc(c, p), nil
}

// newPort checks the body, takes addresses and records the port.
func (s *Service) newPort(project string, n *cloud.Network, b *portBody) (*cloud.Port, error) {
	p := &cloud.Port{Stamp: s.newStamp(project), NetworkID: n.ID, Status: "DOWN", VNICType: "normal", NoPortSecurity: n.NoPortSecurity, MAC: cloud.MAC()}
	if b.mac.Set {
		mac, err := net.ParseMAC(b.mac.V)
		if err != nil {
			return nil, rest.Bad("Invalid input for mac_address. Reason: '%s' is not a valid MAC address.", b.mac.V)
		}
		p.MAC = mac.String()
	}
	if s.Cloud.Ports.First(func(o *cloud.Port) bool { return o.NetworkID == n.ID && o.MAC == p.MAC }) != nil {
		return nil, inUse("MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", n.ID, p.MAC)
	}
	if err := s.quota(project, "port"); err != nil {
		return nil, err
	}
	if err := s.applyPort(p, b); err != nil {
		return nil, err
	}
	if !b.groups.Set && !p.NoPortSecurity && !strings.HasPrefix(p.DeviceOwner, "network:") {
		p.SecurityGroups = []string{s.ensureDefaultGroup(project).ID}
	}
	if !b.ips.Set || b.ips.Null {
		if err := s.autoAddress(p, n); err != nil {
			return nil, err
		}
	}
	s.Cloud.Ports.Put(p.ID, p)
	s.agent.filters()
	return p, nil
}

// autoAddress gives one address of each IP version that the network has.
func (s *Service) autoAddress(p *cloud.Port, n *cloud.Network) error {
	for _, six := range []bool{false, true} {
		tried, done := false, false
		for _, sub := range s.subnetsOf(n.ID) {
			if sub.CIDR.Addr().Is6() != six || len(sub.ServiceTypes) > 0 && !slices.Contains(sub.ServiceTypes, p.DeviceOwner) {
				continue
			}
			tried = true
			if a, ok := s.allocate(sub); ok {
				p.FixedIPs = append(p.FixedIPs, cloud.FixedIP{SubnetID: sub.ID, IPAddress: a})
				done = true
				break
			}
		}
		if tried && !done {
			return noAddresses(n.ID)
		}
	}
	return nil
}

// applyPort sets what PUT may change too.
func (s *Service) applyPort(p *cloud.Port, b *portBody) error {
	if b.groups.Set {
		for _, id := range b.groups.V {
			if g := s.Cloud.SecurityGroups.Get(id); g == nil || g.ProjectID != p.ProjectID {
				return groupMissing(id)
			}
		}
	}
	noSecurity := !bool(b.security.or(boolean(!p.NoPortSecurity)))
	groups := p.SecurityGroups
	if b.groups.Set {
		groups = slices.Compact(slices.Clone(b.groups.V))
	}
	if noSecurity && (b.groups.Set || b.security.Set) && len(groups) > 0 {
		return inUse("PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	if noSecurity && len(b.pairs.V) > 0 {
		return inUse("AddressPairAndPortSecurityRequired", "Port Security must be enabled in order to have allowed address pairs on a port.")
	}
	if b.ips.Set && !b.ips.Null {
		ips, err := s.fixedIPs(p, b.ips.V)
		if err != nil {
			return err
		}
		p.FixedIPs = ips
	}
	p.SecurityGroups, p.NoPortSecurity = groups, noSecurity
	setText(&p.Name, &p.Description, b.name, b.description)
	p.AdminDown = !bool(b.up.or(boolean(!p.AdminDown)))
	p.DNSName, p.VNICType, p.Host = b.dns.or(p.DNSName), b.vnic.or(p.VNICType), b.host.or(p.Host)
	if b.device.Set {
		p.DeviceID = b.device.V
	}
	if b.owner.Set {
		p.DeviceOwner = b.owner.V
	}
	if b.options.Set {
		p.DHCPOptions = b.options.V
		for i := range p.DHCPOptions {
			if p.DHCPOptions[i].IPVersion == 0 {
				p.DHCPOptions[i].IPVersion = 4
			}
		}
	}
	if b.profile.Set {
		p.Profile = b.profile.V
	}
	if b.pairs.Set {
		return s.setPairs(p, b.pairs.V)
	}
	return nil
}

func (s *Service) setPairs(p *cloud.Port, pairs []cloud.AddressPair) error {
	out := slices.Clone(pairs)
	for i := range out {
		if _, err := parseAddr("allowed_address_pairs", strings.Split(out[i].IPAddress, "/")[0]); err != nil {
			return err
		}
		if out[i].MACAddress == "" {
			out[i].MACAddress = p.MAC
		}
		if slices.Contains(out[:i], out[i]) {
			return rest.Bad("Invalid input for allowed_address_pairs. Reason: Request contains duplicate address pair: mac_address %s ip_address %s.", out[i].MACAddress, out[i].IPAddress)
		}
	}
	p.Pairs = out
	return nil
}

// fixedIPs resolves wished addresses; those that the port has already stay.
func (s *Service) fixedIPs(p *cloud.Port, wishes []fixedIPBody) ([]cloud.FixedIP, error) {
	var out []cloud.FixedIP
	for _, w := range wishes {
		if w.SubnetID == "" && w.IPAddress == "" {
			return nil, badInput("IP allocation requires subnet_id or ip_address")
		}
		f, err := s.wish(p, w)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out, nil
}

func (s *Service) wish(p *cloud.Port, w fixedIPBody) (cloud.FixedIP, error) {
	var sub *cloud.Subnet
	if w.SubnetID != "" {
		if sub = s.Cloud.Subnets.Get(w.SubnetID); sub == nil {
			return cloud.FixedIP{}, subnetMissing(w.SubnetID)
		}
		if sub.NetworkID != p.NetworkID {
			return cloud.FixedIP{}, badInput("Failed to create port on network %s, because fixed_ips included invalid subnet %s", p.NetworkID, sub.ID)
		}
	}
	if w.IPAddress == "" {
		for _, f := range p.FixedIPs {
			if f.SubnetID == sub.ID {
				return f, nil
			}
		}
		a, ok := s.allocate(sub)
		if !ok {
			return cloud.FixedIP{}, noAddresses(p.NetworkID)
		}
		return cloud.FixedIP{SubnetID: sub.ID, IPAddress: a}, nil
	}
	a, err := parseAddr("fixed_ips", w.IPAddress)
	if err != nil {
		return cloud.FixedIP{}, err
	}
	for _, candidate := range s.subnetsOf(p.NetworkID) {
		if sub == nil && candidate.CIDR.Contains(a) {
			sub = candidate
		}
	}
	if sub == nil {
		return cloud.FixedIP{}, rest.Typed(http.StatusBadRequest, "InvalidIpForNetwork", "IP address %s is not a valid IP for any of the subnets on the specified network.", a)
	}
	f := cloud.FixedIP{SubnetID: sub.ID, IPAddress: a}
	if slices.Contains(p.FixedIPs, f) {
		return f, nil
	}
	return f, s.claim(sub, a)
}

func (s *Service) updatePort(c *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
	var b portBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	p := s.Cloud.Ports.Get(id)
	if b.device.Set && b.device.V != "" && p.DeviceID != "" && b.device.V != p.DeviceID {
		return nil, inUse("PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", id, p.NetworkID, p.DeviceID)
	}
	before := p.FixedIPs
	changed := *p
	if err := s.applyPort(&changed, &b); err != nil {
		return nil, err
	}
	*p = changed
	s.touch(&p.Stamp)
	if !slices.Equal(before, p.FixedIPs) {
		s.dropLostFloating(p)
		if s.PortChanged != nil && strings.HasPrefix(p.DeviceOwner, "compute:") {
			s.PortChanged(p.DeviceID, p.ID)
		}
	}
	s.bound(p)
	s.agent.filters()
	return s.portDoc(c, p), nil
}

func (s *Service) removePort(_ *rest.Call, id string) error {
	p := s.Cloud.Ports.Get(id)
	switch p.DeviceOwner {
	case ownerInterface, ownerGateway, ownerFloating:
		return rest.Typed(http.StatusConflict, "ServicePortInUse", "Port %s cannot be deleted directly via the port API: has device owner %s.", id, p.DeviceOwner)
	}
	server := ""
	if strings.HasPrefix(p.DeviceOwner, "compute:") {
		server = p.DeviceID
	}
	s.dropPort(p)
	if server != "" && s.PortGone != nil {
		s.PortGone(server, id)
	}
	return nil
}

// dropPort forgets a port and the floating IPs that point to it.
func (s *Service) dropPort(p *cloud.Port) {
	s.Cloud.Ports.Delete(p.ID)
	for f := range s.Cloud.FloatingIPs.Where(func(f *cloud.FloatingIP) bool { return f.PortID == p.ID }) {
		s.disassociate(f)
	}
	s.agent.filters()
}
