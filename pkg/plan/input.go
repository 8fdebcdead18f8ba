package plan

import (
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Names of the workflows that every topology has. A document's own workflow of the same name replaces install, uninstall, start, stop,
// run and cancel; TOSCA 1.3's deploy and undeploy stand for install and uninstall.
const (
	Install   = "install"
	Uninstall = "uninstall"
	Start     = "start"
	Stop      = "stop"
	Restart   = "restart"
	Run       = "run"
	Cancel    = "cancel"
	Operation = "operation" // Input.Operate
	Heal      = "heal"      // Input.Instances are made anew
	Check     = "check"     // the operations that say whether instances are well
	Rollback  = "rollback"  // Cloudify's: what was installed half-way is taken back
)

// Input of Build. Only Topology is needed: the zero rest plans the installation of everything.
type Input struct {
	Deployment string
	// Workflow is one of the names above or a declared one; "" is Install.
	Workflow string
	Topology *topology.Topology
	// Previous is the topology that the recorded instances were made from, with its inputs: what is gone is uninstalled by it, and what
	// changed is told by it. Nil: as Topology.
	Previous       *topology.Topology
	PreviousInputs map[string]any
	// Older are the topologies before Previous, newest first, that instances were made from which Previous does not know any more: updates
	// that failed before they had removed everything leave such.
	Older []Version
	// Inputs are the values of the topology's inputs, coerced, defaults applied.
	Inputs map[string]any
	// WorkflowInputs of a declared workflow, or of the operation.
	WorkflowInputs map[string]any
	// Recorded is what the store knows of each instance.
	Recorded map[topology.Instance]*Recorded
	// Scale overrides the number of instances of a node (the end of a hosted-on chain).
	Scale map[string]int
	// Only limits an installation to these nodes (with what scales with them) and what they require; nil is the whole topology. Scaling does
	// so: whatever else is unfinished or changed stays as it is.
	Only []string
	// Update makes an installation treat what exists as Cloudify's update does; nil: what has changed is done again.
	Update *Update
	// Batch makes an installation get to existing instances in portions (nil: to all at once), Gates what must hold of each portion before
	// the next, beside the checking operations that nodes have.
	Batch       *Batch
	Gates       []Gate
	GateTimeout time.Duration // how long an instance may take to become well; 0: 2 min
	// Remove names the instances that go first when a node is scaled in; the others are those that have failed, then the newest.
	Remove []topology.Instance
	// Replaced instances are made anew by the infrastructure in this plan: what is hosted on them is installed again. The value is
	// the cause, "" for a general one.
	Replaced map[topology.Instance]string
	// Operate is the operation of the Operation workflow.
	Operate *Operate
	// Reinstall: Heal makes instances anew even where they have an operation that heals them.
	Reinstall bool
	// InPlace: Heal makes nothing anew, and finds fault where that would be needed. Spare leaves out, of what Heal is about, those instances
	// whose last check says that they are well.
	InPlace, Spare bool
	// Found: nobody has chosen Instances, they are those that were found to be unwell.
	Found bool
	// Repair are native instances whose infrastructure Heal brings back to what was asked for, where they are.
	Repair []topology.Instance
	// Lost are servers on which nothing can run any more: operations on them are left out of a Heal.
	Lost map[topology.Instance]bool
	// Instances limits a workflow other than Install to these; nil is all.
	Instances []topology.Instance
	// Force lets an uninstall, or another declared workflow, go on over failing scripts. Deleting infrastructure is never ignored.
	Force bool
}

// Version is a topology with the inputs that it was deployed with.
type Version struct {
	Topology *topology.Topology
	Inputs   map[string]any
}

// Operate asks for one operation on instances of a node (no Instances: all), or, without a node, on all of Input.Instances that have it.
type Operate struct {
	Node, Interface, Operation string
	Instances                  []string
	// Ordered: targets of relationships before their sources, where there is no node; else all at once.
	Ordered bool
}

// Status of an act in an instance's journal.
type Status string

const (
	Doing  Status = "doing"  // begun; nobody knows how it ended
	Done   Status = "done"   // has succeeded
	Failed Status = "failed" // has failed or was cancelled, and has ended
)

// Recorded is what is known of an instance. It is a small record: values of attributes are kept elsewhere.
type Recorded struct {
	State string `json:"state"`
	// Generation is new each time that the instance is made anew: what was done on or with an older one counts no more.
	Generation string `json:"generation,omitempty"`
	// Created is when the record was made.
	Created time.Time `json:"created,omitzero"`
	// Made is set while the infrastructure of a native instance is known to exist: nothing can run on a server that never came up.
	Made bool `json:"made,omitempty"`
	// Journal holds the acts on the instance by Step.Key.
	Journal map[string]Entry `json:"journal,omitempty"`
}

// Entry of an instance's journal.
type Entry struct {
	Status Status `json:"status"`
	// OpID under which the driver knows it; a Doing act is run again under the same one.
	OpID string `json:"op_id,omitempty"`
	// Task that has begun it.
	Task string `json:"task,omitempty"`
	// Digest of the act when it was begun, and of its parts, by which a change is told: "input PORT", "file scripts/x.sh".
	Digest string            `json:"digest,omitempty"`
	Parts  map[string]string `json:"parts,omitempty"`
	// Host and Peer are the generations of the host and of the other end of the relationship.
	Host string    `json:"host,omitempty"`
	Peer string    `json:"peer,omitempty"`
	At   time.Time `json:"at,omitzero"`
	// Replaces: the act makes the instance anew. From its beginning on nothing counts any more that was done on what it replaces.
	Replaces bool `json:"replaces,omitempty"`
}

// replacing reports whether the instance was being made anew when the work on it stopped.
func (r *Recorded) replacing() bool {
	e := r.Journal[string(driver.Create)]
	return e.Replaces && e.Status != Done
}

// begun reports whether the act was ever begun.
func (r *Recorded) begun(key string) bool {
	if r == nil {
		return false
	}
	_, ok := r.Journal[key]
	return ok
}
