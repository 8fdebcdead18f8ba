package cloud

import "time"

// Flavor is a server size.
type Flavor struct {
	ID, Name, Description string
	VCPUs, RAM, Disk      int // cores, MiB, GiB
	Ephemeral, Swap       int // GiB, MiB
	RxTx                  float64
	Private               bool
	Disabled              bool
	ExtraSpecs            map[string]string
	Access                []string // project ids
}

// Image is a Glance image.
type Image struct {
	ID, Name, Owner             string
	Status, Visibility          string
	DiskFormat, ContainerFormat string
	Size, VirtualSize           int64
	MinDisk, MinRAM             int
	Checksum, HashValue         string
	Protected, Hidden           bool
	Tags                        []string
	Properties                  map[string]string
	Members                     map[string]string // project id -> status
	Created, Updated            time.Time
}

// KeyPair belongs to a user.
type KeyPair struct {
	Number                                     int
	Name, UserID, Type, PublicKey, Fingerprint string
	Created                                    time.Time
}

// ServerGroup rules where its members may run.
type ServerGroup struct {
	ID, Name, ProjectID, UserID, Policy string
	MaxPerHost                          int
}

// Fault is why a server is in ERROR.
type Fault struct {
	Code             int
	Message, Details string
	Created          time.Time
}

// Disk is a volume of a server.
type Disk struct {
	VolumeID            string
	AttachmentID        string
	UUID                string // of the block device mapping
	Device, Tag         string
	DeleteOnTermination bool
	Root                bool
}

// NIC is a port of a server.
type NIC struct {
	PortID  string
	Made    bool // by Nova, so deleted with the server
	Tag     string
	Plugged bool
}

// Server is a Nova instance.
type Server struct {
	ID, Name, Description, ProjectID, UserID string
	Hostname                                 string
	ImageID, KeyName                         string
	KeyPublic                                []string
	Flavor                                   Flavor // as it was when the server was made or resized
	OldFlavor                                *Flavor
	VMState, TaskState                       string
	PowerState                               int
	Metadata                                 map[string]string
	Tags                                     []string
	UserData                                 []byte
	ConfigDrive                              bool
	AdminPass                                string
	Zone, Host, Node                         string
	AccessV4, AccessV6                       string
	DiskConfig                               string
	ReservationID                            string
	LaunchIndex                              int
	Group                                    string
	NICs                                     []*NIC
	Disks                                    []*Disk
	Locked                                   bool
	LockedReason                             string
	Fault                                    *Fault
	Created, Updated                         time.Time
	Launched, Terminated                     time.Time
	Progress                                 int
	Booted                                   bool // the machine exists
	RescueImage                              string
	Actions                                  []*Action
}

// Action is an entry of a server's history.
type Action struct {
	Name, RequestID, UserID, ProjectID, Message string
	Start, Updated                              time.Time
	Event, Result                               string // compute_..., Success or Error
	Finished                                    bool
}
