package driver

import (
	"context"

	"github.com/orch-project/orch/pkg/secret"
)

// Cloud is what infrastructure drivers ask of a cloud beside Terraform: what it offers, what it allows, and its own words about failures.
// Package openstack implements it.
type Cloud interface {
	// List returns what the cloud offers of a kind ("images", "flavors", "networks" …) as plain values with "id" and "name".
	List(ctx context.Context, kind string) ([]map[string]any, error)
	// Quota returns the limits by name ("instances", "cores", "ram", "ports" …).
	Quota(ctx context.Context) (map[string]Quota, error)
	// Fault returns why a server failed, "" if it did not or does not exist.
	Fault(ctx context.Context, serverID string) (string, error)
	// Console returns the last lines of a server's console log.
	Console(ctx context.Context, serverID string, lines int) (string, error)
	// Environ returns the variables with which Terraform's provider finds and enters the cloud.
	Environ() map[string]secret.Value
	// Inventory returns everything in the cloud that carries the deployment's identity.
	Inventory(ctx context.Context, deployment string) ([]CloudResource, error)
	// Delete removes resources in the order of their dependencies. The error joins those of resources that are left.
	Delete(ctx context.Context, resources []CloudResource) error
}

// ServerDeleted is the status of a server that does not exist.
const ServerDeleted = "DELETED"

// Statuser clouds tell the status of a server in Nova's words ("ACTIVE", "ERROR", ServerDeleted …), and why it failed, "" if it did not.
type Statuser interface {
	ServerStatus(ctx context.Context, serverID string) (status, fault string, err error)
}

// Holder clouds know what keeps resources from going, which else is only seen by a deletion that takes until its time is up.
type Holder interface {
	// Holding returns what uses some of the resources, each with kind and id, and does not go with them.
	Holding(ctx context.Context, going []CloudResource) ([]Hold, error)
}

// Hold is a use of something that is to go by something that stays.
type Hold struct {
	Held CloudResource
	By   CloudResource
	// Text says who and how: "port lb (ID; device owner …) is on it".
	Text string
	// Blocks: Held cannot be deleted. Otherwise what stays loses it.
	Blocks bool
}

// Quota is a limit of the cloud; Limit -1 is none. Each: it limits every single thing (the members of one server group), not a sum.
type Quota struct {
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
	Each  bool  `json:"each,omitempty"`
}

// CloudResource is something that exists in the cloud.
type CloudResource struct {
	Service string `json:"service"` // nova, neutron, cinder
	Kind    string `json:"kind"`    // server, port, volume …
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Status  string `json:"status,omitempty"`
	// Node and Instance as the identity says; "" where it does not.
	Node     string `json:"node,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Kept: it is marked to stay when its deployment goes.
	Kept bool `json:"kept,omitempty"`
	// Part of other resources, with which it comes and goes; Marked: it carries the deployment's identity itself. Attributes are what tells it
	// from others, in the words of Terraform's provider. A Surveyor sets them.
	Part       bool              `json:"-"`
	Marked     bool              `json:"-"`
	Attributes map[string]string `json:"-"`
}
