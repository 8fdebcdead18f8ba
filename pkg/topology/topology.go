// Package topology is the resolved model of an application: node templates with their types flattened, relationships bound to their
// targets, operations with their files, expressions parsed. Every dialect resolves to it; everything after it knows no dialect.
//
// A Topology is immutable once resolved and does no I/O. Values that depend on the running deployment (attributes, secrets, operation
// outputs) stay expressions and are evaluated by Eval with an Env that the caller provides.
package topology

import (
	"io/fs"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
)

// Topology is one application.
type Topology struct {
	Name        string
	Version     string
	Description string
	// Dialect is the tosca_definitions_version of the root document.
	Dialect  string
	Metadata map[string]string

	Inputs  []*Parameter
	Outputs []*Parameter // Value set
	// Nodes in document order; NodeNamed finds one.
	Nodes    []*Node
	Groups   []*Group
	Policies []*Policy
	// Workflows that the document declares, by name. Absent ones are generated from the lifecycle.
	Workflows map[string]*Workflow
	// Order says how the lifecycle weaves the two ends of a relationship.
	Order Order
	// Files are the documents and artifacts of the topology (File paths below are relative to it). Imported archives and plugins are
	// mounted in it. It is safe: paths cannot leave it.
	Files fs.FS
	// Digest identifies documents, plugin types and artifacts.
	Digest string
	// Sources are the documents and artifacts of Files that the topology is made of: what must be kept to load it again.
	Sources []string
	// Documents are all that were read, those of imported archives and of plugins too.
	Documents []string
	// Entry is the root document in Files.
	Entry string
	// Network are the documents that were imported from the network, as they were read.
	Network []Fetched
	// Unfulfilled requirements: no node, or no single node, fits. They were warned of; deploying decides what to do.
	Unfulfilled []Unfulfilled
	// Substitution is what the topology offers in place of a node; nil for none.
	Substitution *Substitution
	// Capabilities are values for other deployments; Labels and BlueprintLabels hold lists, ResourceTags and Settings any values (Cloudify).
	Capabilities, Labels, BlueprintLabels, ResourceTags, Settings []*Parameter
	// OpenAttributes: instances have attributes that nobody declares; one that is not there is null (Cloudify's runtime properties).
	OpenAttributes bool
	// HostLookup: what a node has no value for is looked for on its host, and on that one's host; what is nowhere is null (Alien4Cloud, Yorc).
	HostLookup bool

	index map[string]*Node
}

// Fetched is a document of the network.
type Fetched struct {
	URL  string
	Data []byte
}

// Order selects the generated workflow's rule between the ends of a relationship (A4C generates two different orders by dialect).
type Order int

const (
	// TargetStartedFirst: nothing of the source begins before the target is started. A4C 2.0/3.0, Yorc.
	TargetStartedFirst Order = iota
	// CreateInParallel: except for HostedOn, only the source's configure waits for the target's start, and the target's configure for
	// the source's create. A4C 1.2–1.4.
	CreateInParallel
	// Interleaved: as TargetStartedFirst, but what connects to a running service (ConnectsTo, RoutesTo) may be created meanwhile; its
	// configure, and the relationship operations around it, wait for the target's start. TOSCA 1.x (weaving of §7.2) and 2.0.
	Interleaved
	// Cloudify: as TargetStartedFirst with Cloudify's relationship operations (preconfigure, postconfigure, establish, unlink).
	Cloudify
)

// NodeNamed returns the node template of that name, or nil.
func (t *Topology) NodeNamed(name string) *Node {
	if t.index == nil || len(t.index) != len(t.Nodes) {
		t.Reindex()
	}
	return t.index[name]
}

// Reindex must be called after Nodes changed; Resolve does it.
func (t *Topology) Reindex() {
	t.index = make(map[string]*Node, len(t.Nodes))
	for _, n := range t.Nodes {
		t.index[n.Name] = n
	}
}

// Unfulfilled is a requirement without a target.
type Unfulfilled struct {
	Node, Requirement string
	Pos               diag.Pos
}

// Substitution makes a topology usable as the implementation of a node of Type.
type Substitution struct {
	Type Type
	// Properties map a property of the substituted node to an input ([input]) or to a property ([node, property]); Attributes likewise.
	Properties, Attributes []Mapping
	// Capabilities and Requirements map to [node, capability or requirement].
	Capabilities, Requirements []Mapping
	// Interfaces map "interface.operation" to a workflow: [workflow].
	Interfaces []Mapping
	Pos        diag.Pos
}

// Mapping of a substitution.
type Mapping struct {
	Name string
	To   []string
	Pos  diag.Pos
}

// Type is a type's name with its ancestors, nearest first: Type[0] is the type itself, in its full name.
type Type []string

// Name of the type itself.
func (t Type) Name() string {
	if len(t) == 0 {
		return ""
	}
	return t[0]
}

// Is reports whether the type is, or derives from, the named one.
func (t Type) Is(name string) bool {
	for _, n := range t {
		if n == name {
			return true
		}
	}
	return false
}

// Node is a node template.
type Node struct {
	Name        string
	Type        Type
	Description string
	Metadata    map[string]string
	Directives  []string
	// Properties: assigned or default values, of every declared property that has one, in declaration order.
	Properties *Values
	// Declared holds the schema of every property that the type declares, with and without a value; shared by the type's nodes.
	Declared map[string]*Schema
	// Attributes: every declared attribute, with its formula or default, or a null literal; running values come from the Env.
	Attributes   *Values
	Capabilities []*Capability
	// Relationships to other nodes: the bound requirements, in document order.
	Relationships []*Relationship
	Interfaces    []*Interface
	Artifacts     []*Artifact
	// Count of instances that the template itself asks for (TOSCA 2.0 count, Cloudify instances); nil: 1, or what the host's Scalable
	// capability says. See Topology.Scale.
	Count *Value
	// SubstitutedBy is the document whose topology template stands in for the node: its nodes, named NODE--INNER, are the node's
	// implementation, and the node itself only holds the properties and attributes that others ask for. "" for none.
	SubstitutedBy string
	// Select is set for a node with the directive select (selectable): a node of another deployment is to take its place. nil for others.
	Select *Selection
	// Native nodes are made by the location (a Terraform mapping), not by scripts. Set when the plugins bind the topology.
	Native bool
	// ScalesWith names the node whose number of instances this one shares, one to one (its host; the server of a volume, port or
	// floating IP). "" for none. HostedOn is set by resolve, the others by the plugins' mappings.
	ScalesWith string
	Pos        diag.Pos
}

// Capability returns the named capability, or nil.
func (n *Node) Capability(name string) *Capability {
	for _, c := range n.Capabilities {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Operation returns the operation of an interface (short or full name), or nil.
func (n *Node) Operation(iface, op string) *Operation { return findOperation(n.Interfaces, iface, op) }

// Host is the node that this one is hosted on, or "".
func (n *Node) Host() string {
	for _, r := range n.Relationships {
		if r.HostedOn() {
			return r.Target
		}
	}
	return ""
}

// Capability of a node.
type Capability struct {
	Name       string
	Type       Type
	Properties *Values
	Declared   map[string]*Schema // as of Node
	Attributes *Values
}

// Relationship is a bound requirement.
type Relationship struct {
	// Name is unique within the source node: the requirement's name, with "-1", "-2" … for its repetitions (A4C: the relationship's name).
	Name        string
	Requirement string
	// Template is the relationship template's name, if one was used.
	Template   string
	Type       Type
	Source     string
	Target     string
	Capability string // the target's capability, "" when the requirement names none
	// Which of the target's instances each of the source's is related to: the one at TargetIndex, else as many as Count says, evenly spread;
	// all of them where both are nil. See Topology.Related.
	TargetIndex, Count *Value
	// Allocation is what each relationship takes of the capability's properties (TOSCA 2.0).
	Allocation *Values
	Properties *Values
	Declared   map[string]*Schema // as of Node
	Attributes *Values
	Interfaces []*Interface
	Artifacts  []*Artifact
	Pos        diag.Pos
}

// HostedOn reports whether the relationship contains its source in its target.
func (r *Relationship) HostedOn() bool {
	return r.Type.Is("tosca.relationships.HostedOn") || r.Type.Is("cloudify.relationships.contained_in")
}

// Connects reports whether the relationship is one between running services, whose source may be created before its target is started.
func (r *Relationship) Connects() bool {
	return r.Type.Is("tosca.relationships.ConnectsTo") || r.Type.Is("tosca.relationships.RoutesTo")
}

// Operation returns the operation of an interface (short or full name), or nil.
func (r *Relationship) Operation(iface, op string) *Operation {
	return findOperation(r.Interfaces, iface, op)
}

// Interface groups operations. Name is as the dialect's canonical short name: Standard, Configure, Runnable, or the custom name.
type Interface struct {
	Name       string
	Type       Type
	Inputs     *Values
	Operations []*Operation
}

// interfaceNames are the standard's short names of interfaces that documents name in several ways.
var interfaceNames = map[string]string{
	"tosca.interfaces.node.lifecycle.standard": "Standard", "standard": "Standard", "lifecycle": "Standard", "tosca.interfaces.node.lifecycle": "Standard",
	"tosca.interfaces.relationship.configure": "Configure", "configure": "Configure",
	"cloudify.interfaces.lifecycle":            "Standard",
	"tosca.interfaces.node.lifecycle.runnable": "Runnable", "runnable": "Runnable",
}

// InterfaceName is the canonical name of an interface: Standard, Configure or Runnable for every form of those, else the name itself.
func InterfaceName(name string) string {
	if c := interfaceNames[strings.ToLower(strings.TrimPrefix(name, "tosca:"))]; c != "" {
		return c
	}
	return name
}

// TargetEnd leads the names of interfaces whose operations belong to the target of a Cloudify relationship, so that they stay apart from the
// source's of the same name.
const TargetEnd = "target:"

// CloudifyInterface is an interface's name as Cloudify's blueprints have it.
func CloudifyInterface(name string) string {
	if name = strings.TrimPrefix(name, TargetEnd); name == "Standard" {
		return "cloudify.interfaces.lifecycle"
	}
	return name
}

func findOperation(in []*Interface, iface, op string) *Operation {
	for _, i := range in {
		if i.Name == iface || i.Type.Name() == iface || i.Name == InterfaceName(iface) {
			for _, o := range i.Operations {
				if o.Name == op {
					return o
				}
			}
		}
	}
	return nil
}

// Operation of an interface. One without Implementation does nothing, but the state still changes.
type Operation struct {
	Interface      string
	Name           string
	Description    string
	Implementation *Artifact // nil: none
	Dependencies   []*Artifact
	// Inputs of the operation over those of the interface; in declaration order.
	Inputs *Values
	// Outputs: attribute mappings (TOSCA 1.3, 2.0).
	Outputs []OutputMapping
	// Timeout of one attempt; 0: the default.
	Timeout time.Duration
	// Retries after a failure; -1: the default. RetryInterval 0: backoff.
	Retries       int
	RetryInterval time.Duration
	// Host that runs it: "" (the node's own host), SELF, HOST, SOURCE, TARGET, ORCHESTRATOR, or a node or group name.
	Host string
	// Sudo asks for root rights ("" default of the host, "true", "false"); Executor (Cloudify) and Args as the dialect gives them.
	Sudo     string
	Executor string
	// Plugin operations (Cloudify "plugin.module.function") have no file; Call holds the mapping.
	Call string
	Pos  diag.Pos
}

// OutputMapping publishes an operation's output as an attribute: [SELF, attr…] or [SELF, capability, attr].
type OutputMapping struct {
	Output string
	Target []string
	Pos    diag.Pos
}

// Artifact is a file that belongs to a node, relationship or operation.
type Artifact struct {
	Name string
	Type Type
	// File is the path in Topology.Files; a directory is used as a whole. For remote artifacts it is the path or URL in the Repository.
	File       string
	Repository *Repository
	DeployPath string
	// Source is the text of an inline script (Cloudify, fabric commands), with File "".
	Source      string
	Checksum    string
	ChecksumAlg string
	Properties  *Values
	Pos         diag.Pos
}

// Repository of artifacts.
type Repository struct {
	Name, URL, Type string
	Credential      *Value
}

// Parameter is an input or output of the topology, a workflow or an operation.
type Parameter struct {
	Name        string
	Description string
	Schema      *Schema
	Required    bool
	// Value: the default (input) or formula (output); nil for none.
	Value *Value
	// Mapping of a 2.0 output back to an attribute.
	Mapping []string
	Pos     diag.Pos
}

// Schema is a declared data type, flattened: what a value must look like.
type Schema struct {
	// Type is the full type name: string, integer, float, boolean, timestamp, version, range, list, map, scalar-unit.*, or a data type.
	Type        Type
	Description string
	// Entry is the schema of list items and map values; Key of map keys.
	Entry, Key *Schema
	// Fields of a structured data type, in declaration order; nil for primitives.
	Fields      []*Field
	Constraints []Constraint
	// Validation clauses of TOSCA 2.0: boolean functions of $value.
	Validation []*Value
	// Scalar describes a TOSCA 2.0 scalar type (a number with a unit); nil for others.
	Scalar *ScalarType
	// Metadata of a property definition (TOSCA 1.3); nil for none.
	Metadata map[string]string
	Pos      diag.Pos
}

// ScalarType is what a TOSCA 2.0 data type derived from scalar declares.
type ScalarType struct {
	Integer bool // the number before the unit is an integer
	// Number is the data type of the number where that is no bare primitive.
	Number *Schema
	// Units and their multipliers; Prefixes multiply a unit. Canonical is the unit of multiplier 1.
	Units, Prefixes map[string]float64
	Canonical       string
}

// Field of a structured data type.
type Field struct {
	Name     string
	Schema   *Schema
	Required bool
	Default  *Value
}

// Constraint on a value: Op is a canonical name (equal, greater_than, in_range, valid_values, length, pattern …).
type Constraint struct {
	Op   string
	Args []*Value
	Pos  diag.Pos
}

// Group of nodes.
type Group struct {
	Name        string
	Type        Type
	Description string
	Metadata    map[string]string
	Members     []string
	Properties  *Values
	Interfaces  []*Interface
	Pos         diag.Pos
}

// Policy applies to nodes or groups.
type Policy struct {
	Name       string
	Type       Type
	Targets    []string // nodes and groups
	Metadata   map[string]string
	Properties *Values
	Triggers   []*Trigger
	Pos        diag.Pos
}

// Trigger of a policy.
type Trigger struct {
	Name      string
	Event     string
	Schedule  *Value
	Condition *Value
	Target    string
	Actions   []Activity
	Pos       diag.Pos
}

// Workflow that the document declares.
type Workflow struct {
	Name          string
	Description   string
	Inputs        []*Parameter
	Outputs       []*Parameter
	Preconditions []Precondition
	Steps         []*WorkflowStep
	// Call is the code that a workflow without steps is mapped to (Cloudify: plugin.module.function, or a script).
	Call string
	Pos  diag.Pos
}

// BuiltIn is the workflow of Cloudify's own that this one is mapped to, "" if it is not.
func (w *Workflow) BuiltIn() string {
	rest, ok := strings.CutPrefix(w.Call, "default_workflows.cloudify.plugins.workflows.")
	if !ok {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '.')+1:]
}

// Precondition of a workflow.
type Precondition struct {
	Target, Relationship string
	Condition            *Value // as parsed: and/or/not/assert clauses or a boolean function
	Pos                  diag.Pos
}

// WorkflowStep of a declared workflow. A step without predecessor starts at once; one with several starts when all are done.
type WorkflowStep struct {
	Name string
	// Target is a node or group; Relationship a relationship name of the target node.
	Target       string
	Relationship string
	// OperationHost is SOURCE, TARGET, ORCHESTRATOR, SELF, HOST or a node.
	OperationHost string
	Filter        *Value
	Activities    []Activity
	OnSuccess     []string
	OnFailure     []string
	OnCancel      []string
	Pos           diag.Pos
}

// Activity kinds.
const (
	ActivityDelegate = "delegate"       // Name: install, uninstall, start, stop …
	ActivitySetState = "set_state"      // Name: the state
	ActivityCall     = "call_operation" // Interface and Name
	ActivityInline   = "inline"         // Name: the workflow
)

// Activity of a step or trigger.
type Activity struct {
	Kind      string
	Interface string // call_operation
	Name      string
	Inputs    *Values
	Pos       diag.Pos
}
