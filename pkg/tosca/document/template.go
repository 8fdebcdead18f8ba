package document

import (
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Topology is a topology template (TOSCA 2.0: service template).
type Topology struct {
	Description   string
	Metadata      map[string]string
	Inputs        []*Param
	Nodes         []*NodeTemplate
	Relationships []*RelationshipTemplate
	Groups        []*Group
	Policies      []*Policy
	Outputs       []*Param
	Workflows     []*Workflow
	Substitution  *Substitution
	// Functions that the template defines or refines (TOSCA 2.0 §10.4).
	Functions []*Function
	// InputArtifacts (Alien4Cloud) are artifacts that the deployment gives.
	InputArtifacts []*Artifact
	// Capabilities, Labels, BlueprintLabels, ResourceTags and Settings of a Cloudify blueprint: names with their values.
	Capabilities, Labels, BlueprintLabels, ResourceTags, Settings []*Param
	Pos                                                           diag.Pos
	Path                                                          string
}

// NodeTemplate of a topology.
type NodeTemplate struct {
	Name                   Name
	Type                   Name
	Description            string
	Metadata               map[string]string
	Directives             []Name
	Properties, Attributes []Assign
	Capabilities           []*CapabilityAssign
	Requirements           []*Requirement
	Interfaces             []*Interface
	Artifacts              []*Artifact
	NodeFilter             *NodeFilter
	Count                  *source.Node
	Path                   string
}

// CapabilityAssign gives values to a capability.
type CapabilityAssign struct {
	Name                   Name
	Properties, Attributes []Assign
	Path                   string
}

// Requirement assignment.
type Requirement struct {
	// Name as written; Requirement is the type's requirement where that differs (Alien4Cloud's type_requirement).
	Name, Requirement Name
	Node              Name // template or type
	NodeIndex         *source.Node
	Capability        Name // capability or capability type
	Relationship      *RelationshipUse
	NodeFilter        *NodeFilter
	Occurrences       *Range
	Count             *source.Node
	Allocation        []Assign
	Optional          bool
	Directives        []Name
	Path              string
}

// RelationshipTemplate of a topology.
type RelationshipTemplate struct {
	Name                   Name
	Type                   Name
	Description            string
	Metadata               map[string]string
	Properties, Attributes []Assign
	Interfaces             []*Interface
	Path                   string
}

// Group of nodes.
type Group struct {
	Name        Name
	Type        Name
	Description string
	Metadata    map[string]string
	Members     []Name
	Properties  []Assign
	Attributes  []Assign
	Interfaces  []*Interface
	Path        string
}

// Policy on nodes and groups.
type Policy struct {
	Name        Name
	Type        Name
	Description string
	Metadata    map[string]string
	Properties  []Assign
	Targets     []Name
	Triggers    []*Trigger
	Path        string
}

// Trigger of a policy.
type Trigger struct {
	Name      Name
	Event     string
	Schedule  *source.Node
	Target    Name // target_filter's node
	Condition *source.Node
	Actions   []*Activity
	Path      string
}

// Workflow declared by a topology.
type Workflow struct {
	Name          Name
	Description   string
	Inputs        []*Param
	Outputs       []*Param
	Preconditions []*Precondition
	Steps         []*Step
	Call          string // code that it is mapped to instead of steps (Cloudify)
	Path          string
}

// Precondition of a workflow.
type Precondition struct {
	Target, Relationship Name
	Condition            *source.Node
	Path                 string
}

// Step of a workflow.
type Step struct {
	Name                 Name
	Target, Relationship Name
	Host                 Name
	Filter               *source.Node
	Activities           []*Activity
	OnSuccess            []Name
	OnFailure            []Name
	OnCancel             []Name
	Path                 string
}

// Activity of a step or trigger: Kind is one of topology's Activity constants.
type Activity struct {
	Kind   string
	Target Name // operation ("Standard.create"), state, workflow
	Inputs []*Input
	Path   string
}

// Substitution mappings.
type Substitution struct {
	Type Name
	// Filter restricts the nodes that the template stands in for; nil for none.
	Filter       *NodeFilter
	Properties   []Mapping
	Attributes   []Mapping
	Capabilities []Mapping
	Requirements []Mapping
	Interfaces   []Mapping
	Path         string
}

// Mapping of a substituted node's feature to the topology's.
type Mapping struct {
	Name Name
	To   []Name
	// More targets of a requirement, each as To (TOSCA 2.0 §15.5).
	More [][]Name
	// Count of the assignments of a requirement that the mapping serves, Unbounded (-1) for all that are left; 0: one, or all if there is no other.
	Count int64
	// Of is the way to a property or attribute of a capability or relationship: CAPABILITY, its name or RELATIONSHIP, the requirement, an index
	// (TOSCA 2.0 §15.2, §15.3). Name is then the property's.
	Of []Name
	// Value instead of a place (properties).
	Value *source.Node
	Path  string
}
