// Package machine runs the servers and networks of the sandbox: every server is a Linux environment in its own
// mount, pid, uts and network namespaces over an overlay of this machine's root file system, reachable over SSH
// (the SSH server is in this binary); every network is a bridge, every router a namespace with NAT.
//
// It knows nothing of OpenStack's API: package sandbox translates API objects into these calls. Everything it makes
// is held by processes and namespaces that end with the Host, so that a killed daemon leaves no interface, route,
// mount or process behind; files lie below Options.Dir.
package machine

import (
	"context"
	"net/netip"
	"time"
)

// Host is the hypervisor and the network node in one. All methods are safe for concurrent use and idempotent: creating what exists
// with the same specification and removing what is absent succeed.
type Host interface {
	// CreateNetwork makes a layer-2 segment; ID is the Neutron network's.
	CreateNetwork(ctx context.Context, id string) error
	DeleteNetwork(ctx context.Context, id string) error

	// SetRouter creates a router or brings it to the given state: interfaces, external gateway, floating addresses, static routes.
	SetRouter(ctx context.Context, r Router) error
	DeleteRouter(ctx context.Context, id string) error

	// Boot creates a server and starts it. It returns when the server's init runs; cloud-init's work and SSH follow, as on
	// a real cloud. The error names what failed in words fit for a Nova fault.
	Boot(ctx context.Context, s Server) error
	Stop(ctx context.Context, id string) error
	Start(ctx context.Context, id string) error
	Reboot(ctx context.Context, id string, hard bool) error
	// Destroy ends all processes of the server and removes its files. Nil if absent.
	Destroy(ctx context.Context, id string) error
	// Console returns the console log: the last `lines` lines, or all when lines <= 0.
	Console(ctx context.Context, id string, lines int) (string, error)

	// AttachPort plugs a further port into a running (or stopped) server; DetachPort pulls it.
	AttachPort(ctx context.Context, serverID string, p Port) error
	DetachPort(ctx context.Context, serverID, portID string) error
	// SetSecurity replaces the packet filter of a port. A nil Filter lets everything pass (port security off).
	SetSecurity(ctx context.Context, portID string, f *Filter) error

	// AttachVolume makes the volume's file (created sparse on first use) a block device in the server and returns its name there,
	// e.g. "/dev/vdb". The wish may be empty.
	AttachVolume(ctx context.Context, serverID string, v Volume, wish string) (device string, err error)
	DetachVolume(ctx context.Context, serverID, volumeID string) error
	// DeleteVolume removes the file of a detached volume.
	DeleteVolume(ctx context.Context, volumeID string) error

	// InjectSSH makes the server's SSH misbehave, for tests of what depends on it; the zero Fault heals it.
	InjectSSH(ctx context.Context, serverID string, f SSHFault) error
	// InjectNetwork breaks the server's network from outside; the zero fault mends it. It outlasts reboots.
	InjectNetwork(ctx context.Context, serverID string, f NetworkFault) error

	// Close ends all servers and removes all networks and files.
	Close() error
}

// Server is what Nova asks for.
type Server struct {
	ID       string // UUID
	Hostname string
	// User is the image's default login ("debian"), created with passwordless sudo; PublicKeys (authorized_keys lines) are installed for it.
	User       string
	PublicKeys []string
	// UserData is the decoded user data: #cloud-config, #!script, MIME multipart, or empty.
	UserData []byte
	// MetaData is the document served as openstack/latest/meta_data.json at 169.254.169.254 and on the config drive.
	MetaData    []byte
	ConfigDrive bool
	AdminPass   string
	Ports       []Port
	// BootDelay is waited between Boot's return and the start of the init's work (an injected slow boot).
	BootDelay time.Duration
	// MemoryMiB limits the server's memory where cgroups allow; 0 is no limit.
	MemoryMiB int
}

// Port is a network interface.
type Port struct {
	ID        string
	NetworkID string
	MAC       string
	// Addresses with their subnets' prefix lengths.
	Addresses []netip.Prefix
	// Gateway is the default route; invalid for none.
	Gateway netip.Addr
	// Routes are the subnet's host routes.
	Routes []Route
	// DNS are name servers of the subnet; empty: the host's resolver behind the fabric.
	DNS    []netip.Addr
	MTU    int
	Filter *Filter
}

type Route struct {
	Destination netip.Prefix
	Via         netip.Addr
}

// Filter is the union of a port's security groups. Established connections always pass, as do DHCP, ARP and the metadata service.
type Filter struct {
	Ingress, Egress []Rule
	// AllowedAddresses are sources the server may use besides the port's own (Neutron's allowed_address_pairs).
	AllowedAddresses []netip.Prefix
}

// Rule lets matching packets pass. Zero values match all.
type Rule struct {
	IPv6     bool
	Protocol string // "", "tcp", "udp", "icmp", or a number
	// PortMin and PortMax are destination ports (for icmp: type and code, -1 for any).
	PortMin, PortMax int
	// Remotes are the peers; for remote groups the caller expands the members' addresses. Empty with RemoteSet means nobody.
	Remotes   []netip.Prefix
	RemoteSet bool
}

// Router joins networks.
type Router struct {
	ID string
	// External is the router's address on the external network, invalid without gateway.
	External netip.Prefix
	SNAT     bool
	// Interfaces are the router's legs: the address is the subnet's gateway.
	Interfaces  []Leg
	FloatingIPs []FloatingIP
	Routes      []Route
}

type Leg struct {
	NetworkID string
	Address   netip.Prefix
}

type FloatingIP struct{ Floating, Fixed netip.Addr }

type Volume struct {
	ID      string
	SizeGiB int
}

// SSHFault says how SSH misbehaves.
type SSHFault struct {
	Refuse    bool          // the port is closed
	Hang      bool          // connections are accepted and then silent
	DropAfter time.Duration // every connection is cut after this time
	DropBytes int64         // every connection is cut after so many bytes sent to the client
	// Reject makes every authentication fail.
	Reject bool
}
