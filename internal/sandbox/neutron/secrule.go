package neutron

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func ruleMissing(id string) *rest.Error {
	return notFound("SecurityGroupRuleNotFound", "Security group rule %s does not exist", id)
}

// protocols are the names that Neutron knows, with their numbers.
var protocols = map[string]int{
	"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2, "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44,
	"ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6,
	"udp": 17, "udplite": 136, "vrrp": 112,
}

func (s *Service) securityRuleKind() *kind {
	k := &kind{
		one: "security_group_rule", many: "security_group_rules",
		attrs: map[string]string{
			"security_group_id": "c", "direction": "c", "ethertype": "c", "protocol": "c", "port_range_min": "c", "port_range_max": "c",
			"remote_ip_prefix": "c", "remote_group_id": "c", "remote_address_group_id": "c", "name": "", "description": "cu",
		},
		required: []string{"security_group_id", "direction"},
		absent:   ruleMissing,
		create:   s.createRule, remove: s.removeRule,
	}
	k.list = func(c *rest.Call) []rest.Doc {
		var docs []rest.Doc
		for g := range s.Cloud.SecurityGroups.All() {
			if g.ProjectID != c.Project() && !c.Admin() {
				continue
			}
			for _, r := range g.Rules {
				docs = append(docs, ruleDoc(r))
			}
		}
		return docs
	}
	k.update = func(_ *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
		var description opt[string]
		if err := decode(body, map[string]any{"description": &description}); err != nil {
			return nil, err
		}
		_, r := s.rule(id)
		if description.Set {
			r.Description = description.V
		}
		s.touch(&r.Stamp)
		return ruleDoc(r), nil
	}
	k.stamp = func(id string) *cloud.Stamp {
		if _, r := s.rule(id); r != nil {
			return &r.Stamp
		}
		return nil
	}
	return k
}

func (s *Service) rule(id string) (*cloud.SecurityGroup, *cloud.SecurityRule) {
	for g := range s.Cloud.SecurityGroups.All() {
		for _, r := range g.Rules {
			if r.ID == id {
				return g, r
			}
		}
	}
	return nil, nil
}

func ruleDoc(r *cloud.SecurityRule) rest.Doc {
	d := stampDoc(&r.Stamp)
	delete(d, "name")
	d["security_group_id"], d["direction"], d["ethertype"] = r.GroupID, r.Direction, r.EtherType
	d["protocol"], d["remote_ip_prefix"], d["remote_group_id"] = orNil(r.Protocol), orNil(r.RemotePrefix), orNil(r.RemoteGroup)
	d["port_range_min"], d["port_range_max"], d["remote_address_group_id"], d["normalized_cidr"] = nil, nil, nil, nil
	if r.PortMin != nil {
		d["port_range_min"] = *r.PortMin
	}
	if r.PortMax != nil {
		d["port_range_max"] = *r.PortMax
	}
	if p, err := netip.ParsePrefix(r.RemotePrefix); err == nil {
		d["normalized_cidr"] = p.Masked().String()
	}
	return d
}

// protocol accepts names and numbers in either JSON form.
type protocol string

func (p *protocol) UnmarshalJSON(data []byte) error {
	*p = protocol(strings.ToLower(strings.Trim(string(data), `"`)))
	return nil
}

type ruleBody struct {
	group, direction, ether, prefix, remote, description opt[string]
	protocol                                             opt[protocol]
	low, high                                            opt[integer]
}

func (b *ruleBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{
		"security_group_id": &b.group, "direction": &b.direction, "ethertype": &b.ether, "remote_ip_prefix": &b.prefix,
		"remote_group_id": &b.remote, "description": &b.description, "protocol": &b.protocol, "port_range_min": &b.low, "port_range_max": &b.high,
	})
}

func (s *Service) createRule(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b ruleBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	g := s.Cloud.SecurityGroups.Get(b.group.V)
	if g == nil || g.ProjectID != c.Project() && !c.Admin() {
		return nil, groupMissing(b.group.V)
	}
	r := &cloud.SecurityRule{Stamp: s.newStamp(project), GroupID: g.ID}
	if err := s.fillRule(r, &b); err != nil {
		return nil, err
	}
	if old := duplicate(g, r); old != nil {
		return nil, inUse("SecurityGroupRuleExists", "Security group rule already exists. Rule id is %s.", old.ID)
	}
	if err := s.quota(project, "security_group_rule"); err != nil {
		return nil, err
	}
	g.Rules = append(g.Rules, r)
	s.touch(&g.Stamp)
	s.agent.filters()
	return ruleDoc(r), nil
}

func (s *Service) fillRule(r *cloud.SecurityRule, b *ruleBody) error {
	r.Direction, r.EtherType, r.Description = b.direction.V, b.ether.or("IPv4"), b.description.V
	if r.Direction != "ingress" && r.Direction != "egress" {
		return rest.Bad("Invalid input for direction. Reason: %s is not in valid_values.", r.Direction)
	}
	switch strings.ToLower(r.EtherType) {
	case "ipv4":
		r.EtherType = "IPv4"
	case "ipv6":
		r.EtherType = "IPv6"
	default:
		return rest.Typed(400, "SecurityGroupRuleInvalidEtherType", "Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", r.EtherType)
	}
	if err := setProtocol(r, string(b.protocol.V)); err != nil {
		return err
	}
	if err := setPorts(r, b); err != nil {
		return err
	}
	return s.setRemote(r, b)
}

func setProtocol(r *cloud.SecurityRule, p string) error {
	if p == "" || p == "any" || p == "0" {
		return nil
	}
	number, err := strconv.Atoi(p)
	_, named := protocols[p]
	if !named && (err != nil || number < 0 || number > 255) {
		return rest.Typed(400, "SecurityGroupRuleInvalidProtocol", "Security group rule protocol %s not supported. Only protocol values [%s] and integer representations [0 to 255] are supported.", p, protocolNames())
	}
	if strings.HasPrefix(p, "ipv6") && r.EtherType == "IPv4" || p == "icmpv6" && r.EtherType == "IPv4" {
		return rest.Typed(400, "SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype %s for protocol %s.", r.EtherType, p)
	}
	r.Protocol = p
	return nil
}

// protocolNames is Neutron's Python list of them.
func protocolNames() string {
	return "None, '" + strings.Join(slices.Sorted(maps.Keys(protocols)), "', '") + "'"
}

func setPorts(r *cloud.SecurityRule, b *ruleBody) error {
	if b.low.Set && !b.low.Null {
		r.PortMin = new(int(b.low.V))
	}
	if b.high.Set && !b.high.Null {
		r.PortMax = new(int(b.high.V))
	}
	if r.PortMin == nil && r.PortMax == nil {
		return nil
	}
	switch protocolNumber(r.Protocol) {
	case 0:
		return rest.Typed(400, "SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
	case 6, 17, 132, 33, 136:
		if r.PortMin == nil || r.PortMax == nil {
			return rest.Typed(400, "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
		}
		for _, p := range []int{*r.PortMin, *r.PortMax} {
			if p < 0 || p > 65535 {
				return rest.Typed(400, "SecurityGroupInvalidPortValue", "Invalid value for port %d", p)
			}
		}
		if *r.PortMin == 0 || *r.PortMax == 0 {
			return rest.Typed(400, "SecurityGroupInvalidPortValue", "Invalid value for port 0")
		}
		if *r.PortMin > *r.PortMax {
			return rest.Typed(400, "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
		}
	case 1, 58:
		if r.PortMin == nil {
			return rest.Typed(400, "SecurityGroupMissingIcmpType", "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", *r.PortMax)
		}
		for name, p := range map[string]*int{"port_range_min": r.PortMin, "port_range_max": r.PortMax} {
			if p != nil && (*p < 0 || *p > 255) {
				return rest.Typed(400, "SecurityGroupInvalidIcmpValue", "Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", map[string]string{"port_range_min": "type", "port_range_max": "code"}[name], name, *p)
			}
		}
	default:
		return rest.Typed(400, "SecurityGroupInvalidProtocolForPort", "Ports cannot be specified for protocol %s. Ports are only supported for dccp, sctp, tcp, udp, udplite.", r.Protocol)
	}
	return nil
}

func protocolNumber(p string) int {
	if n, ok := protocols[p]; ok {
		return n
	}
	n, _ := strconv.Atoi(p)
	return n
}

func (s *Service) setRemote(r *cloud.SecurityRule, b *ruleBody) error {
	if b.prefix.V != "" && b.remote.V != "" {
		return rest.Typed(400, "SecurityGroupMultipleRemoteEntites", "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.")
	}
	if b.remote.V != "" {
		if s.Cloud.SecurityGroups.Get(b.remote.V) == nil {
			return groupMissing(b.remote.V)
		}
		r.RemoteGroup = b.remote.V
	}
	if b.prefix.V == "" {
		return nil
	}
	text := b.prefix.V
	if !strings.Contains(text, "/") {
		a, err := parseAddr("remote_ip_prefix", text)
		if err != nil {
			return err
		}
		text = fmt.Sprintf("%s/%d", a, a.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return rest.Bad("Invalid input for remote_ip_prefix. Reason: '%s' is not a valid IP subnet.", text)
	}
	if p.Addr().Is4() != (r.EtherType == "IPv4") {
		return rest.Typed(400, "SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s", r.EtherType, p)
	}
	r.RemotePrefix = text
	return nil
}

// duplicate returns the group's rule that lets the same pass.
func duplicate(g *cloud.SecurityGroup, r *cloud.SecurityRule) *cloud.SecurityRule {
	key := func(r *cloud.SecurityRule) string {
		number := func(n *int) string {
			if n == nil {
				return ""
			}
			return strconv.Itoa(*n)
		}
		prefix := r.RemotePrefix
		// All addresses are the same as no prefix.
		if p, err := netip.ParsePrefix(prefix); err == nil && p.Bits() == 0 {
			prefix = ""
		}
		return strings.Join([]string{r.Direction, r.EtherType, strconv.Itoa(protocolNumber(r.Protocol)), number(r.PortMin), number(r.PortMax), prefix, r.RemoteGroup}, "|")
	}
	at := slices.IndexFunc(g.Rules, func(o *cloud.SecurityRule) bool { return key(o) == key(r) })
	if at < 0 {
		return nil
	}
	return g.Rules[at]
}

func (s *Service) removeRule(_ *rest.Call, id string) error {
	g, _ := s.rule(id)
	g.Rules = slices.DeleteFunc(g.Rules, func(r *cloud.SecurityRule) bool { return r.ID == id })
	s.touch(&g.Stamp)
	s.agent.filters()
	return nil
}
