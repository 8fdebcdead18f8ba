// Package document is what one file says, whatever its dialect: types, templates, imports, workflows, with every position kept.
//
// Dialects (package grammar) decode into it and the resolver (package resolve) reads it; neither knows the other. Values stay source nodes,
// because what a scalar means depends on its declared type, which only the resolver knows. Names are references as written; nothing here
// has been looked up.
package document

import (
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// Name is a name or reference as written, with its place. The zero Name is absent.
type Name struct {
	Text string
	Pos  diag.Pos
}

// IsZero reports an absent name.
func (n Name) IsZero() bool { return n.Text == "" }

// Document is one file.
type Document struct {
	// Version is the tosca_definitions_version as written; Traits what its dialect means beyond syntax.
	Version string
	Traits  *Traits
	Pos     diag.Pos // the file's first line
	// File is the document's path in the mounted file system; set by the loader.
	File string

	// ArchiveName and ArchiveVersion identify the archive (template_name, template_version).
	ArchiveName, ArchiveVersion string
	Namespace, Profile          Name
	Description                 string
	Metadata                    map[string]string

	Imports      []*Import
	Repositories []*Repository
	Types        []*Type
	Functions    []*Function
	Topology     *Topology
}

// Traits are the facts of a dialect that the resolver needs.
type Traits struct {
	// Implicit names the always-imported types, e.g. tosca-simple-profile:1.3; "" for none.
	Implicit string
	// Expressions recognises function calls.
	Expressions Expressions
	Order       topology.Order
	// YAML11 reads yes/no/on/off as booleans; Strict refuses scalars of another YAML type (TOSCA 2.0).
	YAML11, Strict bool
	// Lenient reports what the dialect's own tools let through (attributes that no type declares, missing required properties of types used
	// as building blocks) as warnings.
	Lenient bool
	// Root types that a type without derived_from has, by kind; empty for none.
	Roots map[Kind]string
	// RequirementsByRelationship: requirement entries may be named by relationship, with type_requirement (Alien4Cloud 2.0).
	RequirementsByRelationship bool
	// Open: templates may have relationships, interfaces and operations that their type does not declare, and any attributes (Cloudify).
	Open bool
	// HostLookup: see topology.Topology (Alien4Cloud, Yorc).
	HostLookup bool
	// Replace: what redefines a property or an operation replaces it whole; an operation's inputs only last while its implementation does
	// (Cloudify).
	Replace bool
	// YAMLTypes: see topology.Checker (Cloudify).
	YAMLTypes bool
	// External is the property that, when true, lets a node template go without its required properties; "" for none (Cloudify).
	External string
	// CapabilityNames: a requirement's `capability` may be a capability's name (Alien4Cloud 1.2).
	CapabilityNames bool
}

// Expressions is a dialect's function syntax.
type Expressions interface {
	// Call splits a function call into its canonical name and arguments; ok is false for data. A call that is malformed (wrong number of
	// arguments, unknown function) is still a call; problem says what is wrong with it.
	Call(n *source.Node) (fn string, args []*source.Node, problem, hint string, ok bool)
	// Data unescapes keys that only look like calls ($$name); it returns the key itself otherwise.
	Data(key string) string
	// Names lists the functions as a document writes them.
	Names() []string
}

// Kind of a type.
type Kind int

const (
	NodeType Kind = iota
	RelationshipType
	CapabilityType
	InterfaceType
	DataType
	ArtifactType
	GroupType
	PolicyType
	Kinds // number of kinds
)

// String is the kind as a user says it.
func (k Kind) String() string {
	return [...]string{"node type", "relationship type", "capability type", "interface type", "data type", "artifact type", "group type", "policy type"}[k]
}

// Section is the kind's section in a document.
func (k Kind) Section() string {
	return [...]string{"node_types", "relationship_types", "capability_types", "interface_types", "data_types", "artifact_types", "group_types", "policy_types"}[k]
}

// Import of another document.
type Import struct {
	// File is a path or URL; Archive and ArchiveVersion name an archive (name:version); Internal a document of a plugin (<name.yml>);
	// Profile a TOSCA 2.0 profile. Exactly one of them is set.
	File, Archive, ArchiveVersion, Internal, Profile string
	Repository                                       Name
	// Namespace is what the imported types' names are prefixed with ("prefix:Type"), "" for none.
	Namespace    string
	NamespaceURI string
	Pos          diag.Pos
	Path         string
}

// Repository of artifacts and imports.
type Repository struct {
	Name       Name
	URL, Type  string
	Credential *source.Node
}

// Function that a document defines (TOSCA 2.0).
type Function struct {
	Name       Name
	Signatures []*Signature
	Path       string
}

// Signature of a function: what it takes, by position, and gives. The last argument of a variadic one may be repeated.
type Signature struct {
	Arguments, Optional []*Schema // nil: anything
	Variadic            bool
	Result              *Schema
	Implementation      *Operation // its Implementation and Dependencies
	Pos                 diag.Pos
	Path                string
}

// Type is a type definition of any kind; only the fields of its kind are set.
type Type struct {
	Kind        Kind
	Name        Name
	DerivedFrom Name
	Version     string
	Description string
	Metadata    map[string]string
	Abstract    bool
	Path        string

	Properties, Attributes []*Param
	Capabilities           []*CapabilityDef
	Requirements           []*RequirementDef
	Interfaces             []*Interface
	Artifacts              []*Artifact
	// ValidTargetTypes (relationships; TOSCA 2.0: valid_target_node_types), ValidSourceTypes (capabilities, relationships),
	// ValidCapabilityTypes, ValidRelationshipTypes (2.0).
	ValidTargetTypes, ValidSourceTypes, ValidCapabilityTypes, ValidRelationshipTypes []Name

	// Data types.
	Schema *Schema      // constraints, key and entry schema, validation; its Type is unset
	Scalar *source.Node // TOSCA 2.0 scalar keynames: the type's own node
	// Interface types.
	Interface *Interface
	// Artifact types.
	MimeType string
	FileExt  []string
	// Groups and policies.
	Members, Targets []Name
	Triggers         []*Trigger
}

// Param is the definition of a property, attribute, input or output.
type Param struct {
	Name        Name
	Schema      *Schema // nil: none declared
	Description string
	Required    *bool
	Default     *source.Node
	// Value is a fixed value (2.0), an output's value, or the formula of an attribute (Alien4Cloud).
	Value    *source.Node
	Status   string
	Mapping  []string
	Metadata map[string]string
	// Short is a scalar in place of the definition (TOSCA 2.0): the type of a new parameter, the value of a refined one.
	Short *source.Node
	Path  string
	// Misspelt: there is a keyname that was to be the type, and it is reported.
	Misspelt bool
}

// Schema of a value.
type Schema struct {
	Type        Name
	Description string
	Constraints []*Constraint
	Key, Entry  *Schema
	Validation  *source.Node
	Pos         diag.Pos
	Path        string
}

// Constraint by its canonical name.
type Constraint struct {
	Op  string
	Arg *source.Node
	Pos diag.Pos
}

// Range of occurrences; Upper -1 is unbounded.
type Range struct {
	Lower, Upper int64
	Pos          diag.Pos
}

// CapabilityDef is a capability definition of a node type.
type CapabilityDef struct {
	Name                   Name
	Type                   Name
	Description            string
	Properties, Attributes []*Param
	// Values assigned in the definition (Alien4Cloud; TOSCA 2.0 refinements).
	Values []Assign
	// ValidRelationshipTypes: TOSCA 2.0.
	ValidSourceTypes, ValidRelationshipTypes []Name
	Occurrences                              *Range
	Path                                     string
}

// RequirementDef is a requirement definition of a node type.
type RequirementDef struct {
	Name           Name
	Description    string
	Capability     Name
	CapabilityName Name
	Node           Name
	Relationship   *RelationshipUse
	Occurrences    *Range
	NodeFilter     *NodeFilter
	Path           string
}

// RelationshipUse is what a requirement says about its relationship: a type's or template's name, or an inline template.
type RelationshipUse struct {
	Name                   Name // type or template
	Properties, Attributes []Assign
	// PropertyDefs, AttributeDefs refine the type's, in definitions of requirements (TOSCA 2.0 §8.4).
	PropertyDefs, AttributeDefs []*Param
	Interfaces                  []*Interface
	Artifacts                   []*Artifact
	Path                        string
}

// NodeFilter restricts the nodes that may fulfil a requirement.
type NodeFilter struct {
	Properties   []Filter
	Capabilities []CapabilityFilter
	Condition    *source.Node // TOSCA 2.0: one boolean function
	Pos          diag.Pos
	Path         string
}

// Filter is a property's constraints.
type Filter struct {
	Name        Name
	Constraints []*Constraint
}

// CapabilityFilter holds the filters of a capability, named by name or type.
type CapabilityFilter struct {
	Name       Name
	Properties []Filter
}

// Interface of a type or template.
type Interface struct {
	Name        Name
	Type        Name
	Description string
	Inputs      []*Input
	Operations  []*Operation
	// Notifications (1.3) are operations whose implementation waits.
	Notifications []*Operation
	Path          string
}

// Operation of an interface.
type Operation struct {
	Name           Name
	Description    string
	Implementation *Artifact
	Dependencies   []*Artifact
	Host           string
	Timeout        *source.Node
	// Call is a plugin's function in place of an implementation; Executor, Retries and RetryInterval (seconds) go with it (Cloudify).
	Call                   Name
	Executor               string
	Retries, RetryInterval *source.Node
	Inputs                 []*Input
	Outputs                []*Output
	Path                   string
}

// Input of an operation, interface or activity: a value, a definition, or both.
type Input struct {
	Name  Name
	Def   *Param       // nil: a value only
	Value *source.Node // nil: a definition only
}

// Output of an operation: where it goes.
type Output struct {
	Name   Name
	Def    *Param
	Target []string
	Pos    diag.Pos
}

// Artifact definition or use. A use names either an artifact of the node or a file; Name is then unset and File holds it.
type Artifact struct {
	Name        Name
	Type        Name
	File        Name
	Source      string // the text of an inline script (Cloudify)
	Repository  Name
	Description string
	DeployPath  string
	Version     string
	Checksum    string
	ChecksumAlg string
	Properties  []Assign
	Input       Name // {get_input_artifact: name}: the file is given by the deployment
	Use         bool // an implementation or dependency: File may be the name of an artifact
	Path        string
}

// Assign gives a value to a name.
type Assign struct {
	Name  Name
	Value *source.Node
}
