package orch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/orch-project/orch/internal/spool"
	"github.com/orch-project/orch/pkg/diag"
)

// Blueprints is the catalogue of uploaded documents with their files, of the tenant in the context. Each has a name and versions, which do
// not change once they are there.
type Blueprints interface {
	// Upload checks and stores an archive (zip, tar, tar.gz) or a single YAML document. Uploading the same content as the same version again
	// returns what is there; other content is a KindConflict. Findings that are errors store nothing and are the error; with
	// NewBlueprint.Unchecked they are kept in Blueprint.Diagnostics.
	Upload(ctx context.Context, b NewBlueprint) (Blueprint, error)
	// Validate is Upload without storing.
	Validate(ctx context.Context, b NewBlueprint) (Blueprint, error)
	// List the newest version of every blueprint, by name; Versions all of one, newest first (ErrNotFound).
	List(ctx context.Context) ([]Blueprint, error)
	Versions(ctx context.Context, name string) ([]Blueprint, error)
	// Get a version; "" is the newest.
	Get(ctx context.Context, name, version string) (Blueprint, error)
	// Download returns the archive as it was uploaded.
	Download(ctx context.Context, name, version string) (Blueprint, Content, error)
	// Remove a version, or with "" all. Deployments keep their own copy. With digests (Blueprint.SHA256) it is removed only if the version, or the
	// newest of all, has one of them, and else ErrChanged.
	Remove(ctx context.Context, name, version string, digests ...string) error
}

// ErrChanged is wrapped by the error (KindConflict) of a change that was meant for something else than what is there now.
var ErrChanged = errors.New("it has been changed meanwhile")

// NewBlueprint is what is uploaded.
type NewBlueprint struct {
	Name string `json:"name"` // letters, digits, '-', '_' and '.'
	// Version as the name; "" is the next whole number, or the newest version where the content is the same.
	Version string `json:"version,omitempty"`
	// Filename is what the upload was called; Entry the root document in it, "" lets the CSAR rules find it.
	Filename string            `json:"filename,omitempty"`
	Entry    string            `json:"entry,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	// Data is the upload; or Content is, of Size bytes, where it is not to be held in memory.
	Data    []byte      `json:"-"`
	Content io.ReaderAt `json:"-"`
	Size    int64       `json:"-"`
	// New refuses a blueprint that has any version already.
	New bool `json:"new,omitempty"`
	// Unchecked stores documents with mistakes, too.
	Unchecked bool `json:"unchecked,omitempty"`
	// Private hides it from everybody but who uploads it and the tenant's admins, until the same is uploaded without; of what is there already, only
	// these make it so. Cloudify's clients ask for it.
	Private bool `json:"-"`
}

// Reader reads the upload.
func (b NewBlueprint) Reader() Content {
	if b.Content == nil {
		return bytes.NewReader(b.Data)
	}
	return io.NewSectionReader(b.Content, 0, b.Size)
}

// Content is an archive that is whole, in memory or in a file without a name, and there as long as somebody has it.
type Content interface {
	io.ReadSeeker
	io.ReaderAt
	// Size in bytes.
	Size() int64
}

// contentInMemory is how much of an upload is held in memory, in bytes.
const contentInMemory = 4 << 20

// ReadContent reads an archive whole.
func ReadContent(r io.Reader) (Content, error) {
	data, size, err := spool.Read(r, contentInMemory)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(data, 0, size), nil
}

// Blueprint is a version of an uploaded document.
type Blueprint struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Description string            `json:"description,omitempty"`
	Topology    string            `json:"topology,omitempty"` // name in the document
	Dialect     string            `json:"dialect,omitempty"`  // tosca_definitions_version
	Filename    string            `json:"filename"`
	Entry       string            `json:"entry"`
	Labels      map[string]string `json:"labels,omitempty"`
	Size        int64             `json:"size"`
	SHA256      string            `json:"sha256"`
	Created     time.Time         `json:"created,omitzero"`
	User        string            `json:"user,omitempty"`
	Private     bool              `json:"private,omitempty"` // only User and the tenant's admins see it
	// Inputs, outputs, node templates and workflows that the document declares.
	Inputs      []BlueprintInput `json:"inputs"`
	Outputs     []string         `json:"outputs"`
	Nodes       []string         `json:"nodes"`
	Workflows   []string         `json:"workflows"`
	Diagnostics diag.List        `json:"diagnostics,omitempty"`
}

// BlueprintInput is an input that a document asks for.
type BlueprintInput struct {
	Name        string `json:"name"`
	Type        string `json:"type,omitempty"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Default     any    `json:"default,omitempty"`
}
