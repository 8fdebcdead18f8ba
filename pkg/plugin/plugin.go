// Package plugin owns plugins as data: a manifest, TOSCA types, and mappings that say which Terraform resources a node type becomes.
//
// A plugin is a folder of YAML (see docs/plugins.md). This package reads it strictly, binds a topology's nodes to its mappings, and renders
// an instance into resource blocks, published attributes, a host and quota counts. Rendering is pure: what only the cloud knows (lists of
// images, flavors, networks) comes through a Catalogue, what only the running deployment knows through a topology.Env. The package must not
// run Terraform, talk to a cloud, or know the names of any cloud's resources.
package plugin

import (
	"io/fs"
	"maps"

	"github.com/hashicorp/go-version"

	"github.com/orch-project/orch/pkg/diag"
)

// Plugin is one loaded folder.
type Plugin struct {
	Name        string
	Version     string
	Description string
	Providers   []Provider
	// Types are the plugin's TOSCA files, relative to Files.
	Types []string
	// Settings that a location of this plugin understands, in the order of the manifest.
	Settings []Setting
	Mappings []*Mapping
	// Operations are plugins of other orchestrators (Cloudify's openstack) whose operations on mapped nodes the mappings take the place of.
	Operations []string
	Files      fs.FS
	// Dir is the folder's name in positions.
	Dir string
	Pos diag.Pos
}

// Provider of Terraform that the plugin's resources need.
type Provider struct {
	Name    string // local name: the first word of its resources' types
	Source  string // namespace/type or host/namespace/type
	Version string // constraint: ">= 1.15.0, < 4.0.0"
	// Configuration of the provider block; literal. Credentials never belong here: they travel by environment.
	Configuration map[string]any
	// Renamed are arguments that older versions call otherwise.
	Renamed []Renaming
	// Adopts says how what exists in the cloud is told to be which resource.
	Adopts []Adoption
	Pos    diag.Pos
}

// Adoption says which objects of a cloud are resources of a type, and when one of them is a certain resource: its mark says so, or, for parts
// of others, these arguments. A type may have several.
type Adoption struct {
	Resource string `yaml:"resource"`
	// Kind of the cloud's objects, as package openstack has them: "server", "router interface".
	Kind string `yaml:"kind"`
	// By are arguments that must equal the object's; one that is not given equals an empty one. IfGiven count only where they are given.
	By      []string `yaml:"by"`
	IfGiven []string `yaml:"if_given"`
}

// Renaming of a resource's argument: versions before Before call it To.
type Renaming struct {
	Resource string `yaml:"resource"`
	Argument string `yaml:"argument"`
	Before   string `yaml:"before"`
	To       string `yaml:"to"`
}

// Body of a resource as a version of the provider wants it; "" is the newest. The given body is not changed.
func (p Provider) Body(have, resource string, body map[string]any) map[string]any {
	v, err := version.NewVersion(have)
	for _, r := range p.Renamed {
		value, used := body[r.Argument]
		before, err2 := version.NewVersion(r.Before)
		if r.Resource != resource || !used || err != nil || err2 != nil || !v.LessThan(before) {
			continue
		}
		body = maps.Clone(body)
		delete(body, r.Argument)
		body[r.To] = value
	}
	return body
}

// Setting of a location.
type Setting struct {
	Name        string
	Type        string // string, integer, boolean, list, map
	Default     any
	Values      []string // allowed values; empty: any
	Description string
	Pos         diag.Pos
}

// Mapping says what a node type becomes.
type Mapping struct {
	// Name is unique in the plugin; links refer to it.
	Name string
	// Types that the mapping implements, with everything derived from them.
	Types []string
	// Substitutes are portable types that the mapping implements where nothing more specific does.
	Substitutes []string
	// ScalesWith names the link whose first target gives this node its number of instances.
	ScalesWith string
	Links      []*Link
	// With names links whose targets are made together with, and awaited by, this node's instances (a server's ports).
	With []string
	// Refresh names links whose targets publish again when this node's instance is done (a floating IP changes its server's address).
	Refresh    []string
	Values     *Named
	Requires   []*Require
	Resources  []*Resource
	Attributes *Named
	Host       *Named
	Pos        diag.Pos

	Plugin *Plugin
	links  map[string]*Link
	byID   map[string][]*Resource
}

// Link is a named set of other native nodes, found through the topology's relationships.
type Link struct {
	Name string
	// To selects targets of the node's own relationships, From sources of relationships that end at the node; each names mappings.
	To, From []string
	// Requirement restricts the relationships by the requirement's name; empty: any.
	Requirement []string
	// Via names another link whose targets are searched instead of the node itself (the networks of my server).
	Via string
	Pos diag.Pos
}

// Scope of a resource: how many there are.
type Scope string

const (
	PerInstance   Scope = "instance"
	PerNode       Scope = "node"       // one for all instances of the node
	PerDeployment Scope = "deployment" // one for all nodes that need it
)

// Resource is a block of Terraform configuration: a resource, or a data source when Data is set.
type Resource struct {
	ID    string
	Type  string
	Data  bool
	Scope Scope
	When  *Expr // nil: always
	// Keep: the resource stays in the cloud when it is no longer asked for, marked as kept. nil: never.
	Keep *Expr
	// Each repeats the block over a list; As names the item in expressions ("item" otherwise), Key makes the address ("0", "1" …
	// without one).
	Each *Expr
	As   string
	Key  *Expr
	// Identity says which arguments carry the mark by which the resource is known as ours.
	Identity  Identify
	Arguments *Named
	DependsOn []*Expr
	Timeouts  map[string]string
	Lifecycle map[string]any
	// ReplaceOn are arguments of which a change makes the resource anew, also where the provider would change it in place.
	ReplaceOn []string
	// OnlyGrows are numbers that can be made greater and never less, such as a volume's size.
	OnlyGrows []string
	// Quota: what one block counts against the cloud's limits, by the names that the catalogue uses (instances, cores, ports …).
	Quota *Named
	Pos   diag.Pos
}

// Identify names the arguments that carry a resource's identity; each may be empty.
type Identify struct {
	Name   string `yaml:"name"`   // set to a readable unique name unless the arguments give one
	Unique string `yaml:"unique"` // set to a name by which alone the resource is known as ours
	Tags   string `yaml:"tags"`   // list of strings
	// Description is a text that the mark is appended to.
	Description string `yaml:"description"`
	Metadata    string `yaml:"metadata"` // map of strings
}

// Require is a condition checked before anything is made.
type Require struct {
	When    *Expr
	That    *Expr
	Message *Expr
	Hint    string
	// At is the path of the property whose place is blamed: property.flavor.
	At string
	// Warn: what is not met is told of, and refuses nothing.
	Warn bool
	Pos  diag.Pos
}

// Named is an ordered set of expressions.
type Named struct {
	Keys  []string
	Exprs map[string]*Expr
}

// Get returns the expression of a name, or nil.
func (n *Named) Get(name string) *Expr {
	if n == nil {
		return nil
	}
	return n.Exprs[name]
}

// Mapping returns the mapping of a name, or nil.
func (p *Plugin) Mapping(name string) *Mapping {
	for _, m := range p.Mappings {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Link returns the link of a name, or nil.
func (m *Mapping) Link(name string) *Link { return m.links[name] }
