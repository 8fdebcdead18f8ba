// Package plan compares what is wanted with what is recorded and returns a graph of operations with their causes.
//
// It is pure: no I/O, no clock, no randomness; the same input gives the same plan, byte for byte. Workflows that a document declares
// become the same graph as generated ones. The text form is golden-tested; JSON is what the store and the API carry; DOT draws it.
package plan

import (
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
)

// Plan of one task.
type Plan struct {
	Deployment string `json:"deployment"`
	Workflow   string `json:"workflow"` // install, uninstall, or the declared name
	// Digest of topology, inputs and steps: a plan is applied as reviewed or refused.
	Digest string  `json:"digest"`
	Steps  []*Step `json:"steps"` // in a stable topological order
	// Changes that infrastructure drivers foresee (filled by the service, not by Build).
	Changes []driver.Change `json:"changes,omitempty"`
	// Unchanged counts instances that are already as wanted.
	Unchanged int `json:"unchanged"`
	// Summary says what becomes of which instance; of installations and updates only.
	Summary *Summary `json:"summary,omitempty"`
	// Warnings found while planning (e.g. a scaled-down policy that removes data).
	Diagnostics diag.List `json:"diagnostics,omitempty"`
}

// Kind of a step.
type Kind string

const (
	Infra    Kind = "infra"     // a native node is made, changed or removed: Action
	Op       Kind = "operation" // an implementation runs
	Health   Kind = "health"    // Probe must succeed
	SetState Kind = "state"     // only the instance's state changes
	Forget   Kind = "forget"    // the instance's record is removed, last step of an instance's uninstall
	Join     Kind = "join"      // nothing happens: it waits for many steps on behalf of many
	Assert   Kind = "assert"    // the preconditions of Workflow must hold, or the step fails
)

// Step is one act on one instance. Its ID is stable between plans: the same act has the same ID.
//
//	web[0].create                    node operation or infrastructure
//	web[0].database.pre_configure_source    relationship operation, once per source instance
//	web[0].database[1].add_target    relationship operation per pair of instances
type Step struct {
	ID           string        `json:"id"`
	Kind         Kind          `json:"kind"`
	Action       driver.Action `json:"action,omitempty"`
	Node         string        `json:"node"`
	Instance     string        `json:"instance"`
	Relationship string        `json:"relationship,omitempty"` // Relationship.Name of Node
	// Target and TargetInstance are the other end; TargetInstance "" for operations run once per source instance.
	Target         string `json:"target,omitempty"`
	TargetInstance string `json:"target_instance,omitempty"`
	// AtTarget: the operation belongs to the target's side (pre_configure_target, add_source …): it changes the target's state.
	AtTarget  bool   `json:"at_target,omitempty"`
	Interface string `json:"interface,omitempty"`
	Operation string `json:"operation,omitempty"`
	// Host is the instance whose server runs the step, "node[i]", or "orchestrator".
	Host string `json:"host,omitempty"`
	// State is set on the instance when the step begins (Before) and when it has succeeded (After); "" leaves it.
	StateBefore string `json:"state_before,omitempty"`
	StateAfter  string `json:"state_after,omitempty"`
	// Needs are the steps that must have succeeded before (or, for OnFailureOf, failed).
	Needs []string `json:"needs,omitempty"`
	// Tolerates are those of Needs that only have to have ended, however: they keep the order, and what becomes of them is no concern of the step.
	Tolerates []string `json:"tolerates,omitempty"`
	// OnFailureOf: the step runs only if one of these failed (on_failure edges); OnCancelOf likewise for cancellation.
	OnFailureOf []string `json:"on_failure_of,omitempty"`
	OnCancelOf  []string `json:"on_cancel_of,omitempty"`
	// Cause in words: "new node", "property port changed 80 -> 8080", "resumed after failure", "workflow restart, step web_stop".
	Cause string `json:"cause"`
	// WorkflowStep is the declared step that this one belongs to (Alien4Cloud shows and steers those).
	WorkflowStep string `json:"workflow_step,omitempty"`
	// Activity is the declared activity, "workflow/step/n", whose inputs override the operation's; see CallInputs.
	Activity string `json:"activity,omitempty"`
	// Inline are the inline activities that lead to the step, outermost first, as Activity: they give their workflows' inputs.
	Inline []string `json:"inline,omitempty"`
	// Filter is the declared step, "workflow/step", whose filter decides whether the instance takes part when its turn comes; see FilterOf.
	Filter string `json:"filter,omitempty"`
	// Probe of a Health step.
	Probe string `json:"probe,omitempty"`
	// Workflow whose preconditions an Assert step judges.
	Workflow string `json:"workflow,omitempty"`
	// Digest of the act: implementation files, inputs' expressions, host. Equal digest and done = need not run again.
	Digest string `json:"digest,omitempty"`
	// Parts are digests of the parts of the act, by what users call them: "input PORT", "file scripts/x.sh", "property flavor".
	Parts   map[string]string `json:"parts,omitempty"`
	Timeout time.Duration     `json:"timeout,omitempty"`
	// Retries after failures that may pass; -1 is the engine's default.
	Retries       int           `json:"retries"`
	RetryInterval time.Duration `json:"retry_interval,omitempty"`
	// IgnoreFailure: a failure does not stop the dependants (uninstall --force, continue on error).
	IgnoreFailure bool `json:"ignore_failure,omitempty"`
	// Replaces: the infrastructure makes the instance anew, and what was done on it before is gone.
	Replaces bool `json:"replaces,omitempty"`
	// Adopts are acts on the instance that count, once the step is done, as having been done as they would be now.
	Adopts []Adopted `json:"adopts,omitempty"`
	Pos    diag.Pos  `json:"pos,omitzero"` // the YAML line that asks for it
}

// Adopted is an act by its Key in the journal, with what its Digest and Parts are from now on.
type Adopted struct {
	Key    string            `json:"key"`
	Digest string            `json:"digest"`
	Parts  map[string]string `json:"parts,omitempty"`
}
