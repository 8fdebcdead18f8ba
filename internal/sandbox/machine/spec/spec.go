// Package spec is what the host side of a server (package machine) and its init (package guest) say to each other:
// the configuration handed over at start and the messages of the control connection, as JSON lines.
//
// It owns the wire format between two processes of the same binary and must not act on it.
package spec

import "time"

// Config is all that an init knows. It holds secrets and travels through a pipe, never by arguments or files.
type Config struct {
	ID, Hostname string
	User         string
	PublicKeys   []string
	UserData     []byte
	// ConfigDrive is the content of the config drive by path; none when nil.
	ConfigDrive map[string][]byte
	AdminPass   string
	Delay       time.Duration

	Root Root
	DNS  []string
	// Addresses are the server's own, for /etc/hosts and the console's table of interfaces.
	Interfaces []Interface
	Devices    []Device
	Fault      Fault
}

// Root says how to assemble the root file system.
type Root struct {
	Layers    []Layer
	Merged    string // mount point of the assembled root, outside
	UserXattr bool   // in a user namespace overlayfs keeps its marks in user.* attributes
}

// Layer is one overlay; the first is mounted at "/", the others on the host's separate mounts (/usr, /var …).
type Layer struct {
	At    string
	Lower []string // top first
	Upper string
	Work  string
}

// Interface is one port as the guest sees it.
type Interface struct {
	Name, MAC string
	Addresses []string // prefixes
	Gateway   string
}

// Device is a block device to show in /dev.
type Device struct {
	Name         string // "vdb"
	Major, Minor uint32
	Serial       string
	Remove       bool
}

// Fault is machine.SSHFault on the wire.
type Fault struct {
	Refuse, Hang bool
	DropAfter    time.Duration
	DropBytes    int64
	Reject       bool
}

// Message is one line of the control connection. Requests from the host carry a Seq that the reply repeats.
type Message struct {
	Seq   int    `json:",omitempty"`
	Op    string // see the constants
	Error string `json:",omitempty"`

	Config *Config `json:",omitempty"`
	Device *Device `json:",omitempty"`
	Fault  *Fault  `json:",omitempty"`
}

// What can be said.
const (
	OpConfig   = "config"   // host → guest, first of all
	OpShutdown = "shutdown" // host → guest: end in an orderly way; the guest's exit is the answer
	OpDevice   = "device"   // host → guest: show or hide a device
	OpFault    = "fault"    // host → guest
	OpReply    = "reply"    // guest → host
	OpRunning  = "running"  // guest → host: the root is assembled and init runs
	OpFailed   = "failed"   // guest → host: it could not be
	OpReboot   = "reboot"   // guest → host: somebody inside asked for a reboot
	OpPowerOff = "poweroff" // guest → host
)
