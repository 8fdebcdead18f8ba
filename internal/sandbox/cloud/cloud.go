// Package cloud is the state of the sandbox's OpenStack: the records of all services, their quotas, and the work that
// goes on behind the APIs. It knows nothing of HTTP, of JSON bodies or of error texts; the service packages own those.
//
// One lock guards all records: hold it while reading or changing any, and never across a call to the machine.Host.
package cloud

import (
	"log/slog"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine"
)

// Cloud is everything that exists.
type Cloud struct {
	sync.Mutex

	Region string
	Delays Delays
	Log    *slog.Logger
	Work   *Work
	// Host runs the servers; nil when servers are only records.
	Host machine.Host

	Projects       Table[Project]
	Users          Table[User]
	Roles          Table[Role]
	AppCredentials Table[AppCredential]
	Tokens         Table[Token]

	Networks       Table[Network]
	Subnets        Table[Subnet]
	Ports          Table[Port]
	Routers        Table[Router]
	FloatingIPs    Table[FloatingIP]
	SecurityGroups Table[SecurityGroup]

	Flavors      Table[Flavor]
	Images       Table[Image]
	KeyPairs     Table[KeyPair] // by KeyPairKey
	ServerGroups Table[ServerGroup]
	Servers      Table[Server]
	Hypervisors  []Hypervisor

	VolumeTypes       Table[VolumeType]
	DefaultVolumeType string // id
	Volumes           Table[Volume]
	Attachments       Table[Attachment]
	Snapshots         Table[Snapshot]

	Quotas Quotas
	// ServerFaults decide what befalls servers being built; nil: nothing.
	ServerFault func(*Server) *BuildFault

	numbers int
}

// Delays are how long things take that have no machine behind them.
type Delays struct {
	Build, Action, Volume, Delete time.Duration
}

// Hypervisor is a compute host.
type Hypervisor struct {
	Name, Zone       string
	VCPUs, RAM, Disk int // cores, MiB, GiB; before overcommit
}

// BuildFault befalls a server.
type BuildFault struct {
	// Message, when not empty, puts the server into ERROR with it.
	Message string
	// Code is the fault's code; 0 means 500.
	Code int
	// Build prolongs the time in BUILD, Boot the time from ACTIVE to the work of the server's init (SSH comes later).
	Build, Boot time.Duration
}

// Number returns the next small integer, for resources that Nova numbers.
func (c *Cloud) Number() int { c.numbers++; return c.numbers }

// KeyPairKey is the key of a key pair in its table: names are unique per user.
func KeyPairKey(userID, name string) string { return userID + "/" + name }

// Now is the time that records are stamped with.
func (c *Cloud) Now() time.Time { return time.Now().UTC() }
