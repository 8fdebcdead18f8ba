package cloud

import (
	"net/netip"
	"time"
)

// Stamp is what every Neutron resource carries.
type Stamp struct {
	ID, ProjectID, Name, Description string
	Tags                             []string
	Created, Updated                 time.Time
	Revision                         int
}

// Network is a layer-2 segment.
type Network struct {
	Stamp
	AdminDown      bool
	Shared         bool
	External       bool
	Default        bool // the external network that auto-allocated topologies use
	NoPortSecurity bool
	MTU            int
	DNSDomain      string
	AZHints        []string
	Type, Physical string // provider:network_type and provider:physical_network
	Segment        int
}

// Range is an allocation pool, both ends included.
type Range struct {
	Start netip.Addr `json:"start"`
	End   netip.Addr `json:"end"`
}

// Contains reports whether the address lies in the pool.
func (r Range) Contains(a netip.Addr) bool { return r.Start.Compare(a) <= 0 && a.Compare(r.End) <= 0 }

// HostRoute is a static route of a subnet or router.
type HostRoute struct {
	Destination netip.Prefix `json:"destination"`
	NextHop     netip.Addr   `json:"nexthop"`
}

// Subnet is a block of addresses on a network.
type Subnet struct {
	Stamp
	NetworkID    string
	CIDR         netip.Prefix
	Gateway      netip.Addr // invalid: none
	NoDHCP       bool
	Pools        []Range
	Routes       []HostRoute
	DNS          []netip.Addr
	PoolID       string
	RAMode       string // ipv6_ra_mode
	AddressMode  string // ipv6_address_mode
	ServiceTypes []string
	Next         netip.Addr // where the search for a free address goes on
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID  string     `json:"subnet_id"`
	IPAddress netip.Addr `json:"ip_address"`
}

// AddressPair is an address that a port may also use.
type AddressPair struct {
	IPAddress  string `json:"ip_address"`
	MACAddress string `json:"mac_address"`
}

// DHCPOption is an extra DHCP option of a port.
type DHCPOption struct {
	Name      string  `json:"opt_name"`
	Value     *string `json:"opt_value"`
	IPVersion int     `json:"ip_version"`
}

// Port is an interface on a network.
type Port struct {
	Stamp
	NetworkID      string
	MAC            string
	AdminDown      bool
	Status         string // DOWN, ACTIVE, BUILD
	DeviceID       string
	DeviceOwner    string
	FixedIPs       []FixedIP
	SecurityGroups []string
	Pairs          []AddressPair
	DHCPOptions    []DHCPOption
	NoPortSecurity bool
	DNSName        string
	VNICType       string
	Host           string // binding:host_id
	Profile        map[string]any
}

// Gateway is a router's way out.
type Gateway struct {
	NetworkID string
	NoSNAT    bool
	PortID    string
}

// Router joins subnets.
type Router struct {
	Stamp
	AdminDown bool
	Gateway   *Gateway
	Routes    []HostRoute
	AZHints   []string
}

// FloatingIP is an external address that is translated to a fixed one.
type FloatingIP struct {
	Stamp
	NetworkID string // external
	Address   netip.Addr
	PortID    string // the internal port, empty when not associated
	Fixed     netip.Addr
	RouterID  string
	OwnPort   string // the port on the external network that holds the address
	Status    string
	DNSName   string
	DNSDomain string
}

// SecurityGroup is a named set of rules.
type SecurityGroup struct {
	Stamp
	Stateless bool
	Rules     []*SecurityRule
}

// SecurityRule lets traffic pass.
type SecurityRule struct {
	Stamp
	GroupID      string
	Direction    string // ingress, egress
	EtherType    string // IPv4, IPv6
	Protocol     string
	PortMin      *int
	PortMax      *int
	RemotePrefix string
	RemoteGroup  string
}
