package resolve

import (
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// CodeOwnFunction marks calls of functions that documents define without anything that could be run.
const CodeOwnFunction = "own-function"

// CodeUncalledMapping marks operations that a substitution maps to a workflow and nothing calls.
const CodeUncalledMapping = "uncalled-mapping"

func init() {
	diag.Register(
		diag.Code{ID: CodeUncalledMapping, Title: "A mapped operation is called by nobody", Text: "The substitution_mappings of a topology template map an operation of the node to one of the template's workflows. That workflow is run where a step of a declared workflow calls the operation of the node. The install and uninstall that orch generates run the life cycles of the nodes inside instead, in the order of their relationships."},
		diag.Code{ID: CodeOwnFunction, Title: "A function that a document defines has nothing to run", Text: "TOSCA 2.0 lets documents define functions. orch runs the script that a signature names as its implementation; a signature without one is for orchestrators that know the function by themselves, which orch does not. The document is valid and cannot be deployed. Add an implementation, in the service template if the function is a profile's."},
		diag.Code{ID: topology.CodeAsksInVain, Title: "An operation's input asks a node for what it has not", Text: "A type's operation reads a property or attribute of the node or relationship that is meant by SELF, SOURCE, TARGET or HOST, and in this topology that one has nothing of the name. The operation would fail when its turn comes, so nothing is deployed before this is mended: declare the property or attribute in the type of the node that is asked, or ask another one. In Alien4Cloud's and Yorc's documents the hosts of the node are asked, too, and what is nowhere is null: there it stays a warning."},
		diag.Code{ID: "unknown-type", Title: "There is no such type", Text: "The name is neither declared in the document nor in what it imports. TOSCA 1.x documents have the normative types in scope, by full name (tosca.nodes.Compute), prefixed (tosca:Compute) and short (Compute); Alien4Cloud's documents import tosca-normative-types:1.0.0-ALIEN20, and TOSCA 2.0's a profile."},
		diag.Code{ID: "type-cycle", Title: "A type derives from itself", Text: "Following derived_from leads back to the type."},
		diag.Code{ID: "type-depth", Title: "A type has too many ancestors", Text: "Types may derive from each other over 100 generations at most. The first that is beyond is named; what derives from it is not checked."},
		diag.Code{ID: "refinement", Title: "A definition does not refine the one it inherits", Text: "A derived type may narrow what it inherits: a derived type in place of the declared one, more constraints, another default. It cannot change the type to an unrelated one or alter a fixed value."},
		diag.Code{ID: "native-type-properties", Title: "A data type derived from a primitive has properties", Text: "A data type is either structured (properties) or a restricted primitive (constraints)."},
		diag.Code{ID: "constraint-not-applicable", Title: "A constraint does not apply to the type", Text: "Lengths (length, min_length, max_length) are of texts, lists and maps; comparisons (greater_than, in_range …) are of what has an order: numbers, versions, timestamps and scalars with a unit; a pattern is for texts."},
		diag.Code{ID: "pattern", Title: "A pattern cannot be checked", Text: "Patterns are checked with RE2 regular expressions, which lack look-around and back-references. The constraint is ignored."},
		diag.Code{ID: "scalar-type", Title: "A scalar type's definition is wrong", Text: "A TOSCA 2.0 data type that derives from scalar has units (with multipliers), a canonical_unit of multiplier 1 if there are several, a data_type of integer or float, and prefixes only with a single unit."},
		diag.Code{ID: "unknown-interface", Title: "There is no such interface", Text: "A template gives operations to an interface that its type does not declare."},
		diag.Code{ID: "unknown-operation", Title: "There is no such operation", Text: "The interface has no operation of that name. The life cycle of nodes (Standard) has create, configure, start, stop and delete."},
		diag.Code{ID: "unknown-repository", Title: "There is no such repository", Text: "Repositories are declared in the document's section repositories."},
		diag.Code{ID: "bad-path", Title: "A path leaves the archive", Text: "Imports and artifacts of a directory or archive are inside of it."},
		diag.Code{ID: "missing-file", Title: "A file is missing", Text: "Artifacts and implementations are looked for relative to the document that names them, then from the root of its archive. An error for directories and archives, a warning for a single YAML file."},
		diag.Code{ID: "unknown-capability", Title: "There is no such capability", Text: "The node's type does not declare the capability, or a requirement asks for one that its target does not have."},
		diag.Code{ID: "unknown-requirement", Title: "There is no such requirement", Text: "The node's type does not declare the requirement. In Alien4Cloud's dialects the entry may be named after the relationship, with type_requirement naming the requirement."},
		diag.Code{ID: "unknown-property", Title: "There is no such property", Text: "The type does not declare the property that is assigned or asked for."},
		diag.Code{ID: "unknown-attribute", Title: "There is no such attribute", Text: "The type does not declare the attribute that is assigned or asked for."},
		diag.Code{ID: "missing-property", Title: "A required property has no value", Text: "Properties are required unless their definition says required: false or gives a default. A warning in Alien4Cloud's dialects, where values may be given later."},
		diag.Code{ID: "fixed-value", Title: "A fixed value is assigned again", Text: "The property's definition has a value (not a default), which templates cannot change."},
		diag.Code{ID: "no-substitution", Title: "No topology template can stand in for a node", Text: "The directive substitute asks for a topology template whose substitution_mappings have the node's type (or one derived from it) and whose substitution_filter the node passes. Templates are looked for in the documents that are imported, in those that an archive lists under Other-Definitions, and in the import path."},
		diag.Code{ID: "ambiguous-substitution", Title: "Several topology templates can stand in for a node", Text: "The first one is taken, in the order of the imports. Use substitution_filter to tell them apart."},
		diag.Code{ID: "substitution-cycle", Title: "Substitution does not end", Text: "A topology template has a node that is substituted by the same template, directly or through others, or templates multiply beyond a bound."},
		diag.Code{ID: "duplicate-name", Title: "Two things would have the same name", Text: "The nodes of a topology template that stands in for NODE are called NODE--INNER. Rename the node that has such a name already."},
		diag.Code{ID: "unknown-directive", Title: "An unknown directive", Text: "Node templates may have the directives create, select and substitute (selectable and substitutable in TOSCA 1.0 to 1.2). Others are ignored."},
		diag.Code{ID: "too-many-requirements", Title: "A requirement is assigned too often", Text: "The type's definition limits the number with occurrences, [1, 1] if it says nothing."},
		diag.Code{ID: "duplicate-type", Title: "Two documents declare the same type", Text: "The types of everything that a document imports share one space of names, apart from those that are imported with a namespace. The type of the nearer import is used."},
		diag.Code{ID: "missing-operation-input", Title: "An operation's required input has no value", Text: "The type declares the input as required and without default, and the template gives none. An error in Cloudify's blueprints; a warning in TOSCA, where a workflow may give the value."},
		diag.Code{ID: "allocation", Title: "A capability is asked for more than it has", Text: "The allocations of all requirements that lead to a capability (TOSCA 2.0), times the instances of their nodes, are more than the capability's property, times the instances of its node."},
		diag.Code{ID: "unfulfilled-requirement", Title: "No node fulfils a requirement", Text: "The requirement names no node template, and none, or more than one, of the topology's nodes has the type and capability that it asks for. Valid, because another topology may fulfil it, but it has no effect until it names a node."},
		diag.Code{ID: "wrong-target", Title: "A requirement's target does not fit", Text: "The target is not of the node type, or lacks the capability, that the requirement or its relationship asks for."},
		diag.Code{ID: "wrong-source", Title: "A capability does not take this source", Text: "The capability's valid_source_types do not include the type of the node that requires it."},
		diag.Code{ID: "node-cycle", Title: "Nodes depend on each other in a circle", Text: "A node is created after the nodes that it depends on, so a circle cannot be deployed. The message has the path with the names of the requirements."},
		diag.Code{ID: "operation-host", Title: "A step runs at the end of a relationship that it has not", Text: "SOURCE and TARGET as a step's operation_host are the ends of its target_relationship. Without one the operation runs on the node's own host."},
		diag.Code{ID: "unknown-workflow", Title: "There is no such workflow", Text: "An inline activity names a workflow that the topology does not declare."},
		diag.Code{ID: "unknown-relationship", Title: "There is no such relationship", Text: "A workflow step names a relationship that its target node does not have."},
		diag.Code{ID: "unknown-step", Title: "There is no such step", Text: "on_success and on_failure name steps of the same workflow."},
		diag.Code{ID: "workflow-cycle", Title: "Workflow steps or workflows form a circle", Text: "Steps that wait for each other, or workflows that inline each other, never end."},
		diag.Code{ID: "optional-input", Title: "A required input may get no value", Text: "An operation's required input is given an optional workflow input without default."},
		diag.Code{ID: "bad-reference", Title: "A keyword means nothing here", Text: "SELF is the node or relationship that the value belongs to; SOURCE and TARGET exist in relationships only; HOST is the node that hosts SELF."},
		diag.Code{ID: "unknown-artifact", Title: "There is no such artifact", Text: "get_artifact names an artifact that the node does not have."},
	)
}
