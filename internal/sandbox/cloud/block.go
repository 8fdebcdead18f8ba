package cloud

import "time"

// VolumeType is a kind of storage.
type VolumeType struct {
	ID, Name, Description string
	Private               bool
	ExtraSpecs            map[string]string
}

// Volume is a block device.
type Volume struct {
	ID, Name, Description, ProjectID, UserID string
	Size                                     int // GiB
	Status                                   string
	Type                                     string // id
	Zone                                     string
	SnapshotID, SourceID, ImageID            string
	ImageMeta                                map[string]string
	Bootable                                 bool
	Multiattach                              bool
	ReadOnly                                 bool
	Metadata                                 map[string]string
	Created, Updated                         time.Time
	Made                                     bool // its file may exist on the host
}

// Attachment joins a volume and a server.
type Attachment struct {
	ID, VolumeID, ServerID, ProjectID string
	Status                            string // reserved, attaching, attached
	Device, Host, Mode                string
	Connector                         map[string]any
	Created, Attached                 time.Time
}

// Snapshot is a volume at a time.
type Snapshot struct {
	ID, Name, Description, ProjectID, UserID, VolumeID string
	Size                                               int
	Status                                             string
	Metadata                                           map[string]string
	Created, Updated                                   time.Time
}
