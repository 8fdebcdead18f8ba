// Package orch is the Service: what one can do with deployments. The local engine implements it here, pkg/client over HTTP; the command
// line, Alien4Cloud's and Cloudify's endpoints and the native API all drive it and hold no logic of their own.
package orch

import (
	"context"
	"io/fs"
	"iter"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// Service is everything users can ask for. Errors are *Error with a Kind (exit code, HTTP status), or carry a diag.ListError.
type Service interface {
	// Plan says what Apply would do, touching nothing. The list holds findings of validation and preflight; it is returned with a nil plan
	// when they are errors.
	Plan(ctx context.Context, req Request) (*plan.Plan, diag.List, error)
	// Apply makes a task of the request and returns at once; Wait or Events follow it. Asking again for what is not finished returns that
	// task. A task that works with the same nodes as others before it, or that another process has to begin, is queued until it can run; an
	// undeployment cancels what runs and takes back what waits.
	Apply(ctx context.Context, req Request) (Task, error)
	// Wait until a task has ended, or is paused.
	Wait(ctx context.Context, deployment, task string) (Task, error)
	// Control steers a running or failed task.
	Control(ctx context.Context, c Control) error

	Deployments(ctx context.Context) ([]Deployment, error)
	// Deployment with instances and tasks; ErrNotFound.
	Deployment(ctx context.Context, name string) (*Detail, error)
	// Outputs evaluates the deployment's outputs; values that are secret stay masked unless reveal.
	Outputs(ctx context.Context, name string, reveal bool) ([]Output, error)
	Tasks(ctx context.Context, deployment string) ([]Task, error)
	Steps(ctx context.Context, deployment, task string) ([]StepStatus, error)
	Events(ctx context.Context, f Filter) iter.Seq2[event.Event, error]
	// Host of an instance (or of the server it is hosted on), for `orch ssh`.
	Host(ctx context.Context, deployment string, in topology.Instance) (*driver.Host, error)

	// Revisions of a deployment, newest first: every topology with inputs that it was brought to or meant to be.
	Revisions(ctx context.Context, deployment string) ([]Revision, error)
	// Workflows that a deployment has: those that its topology declares, and the built-in ones.
	Workflows(ctx context.Context, deployment string) ([]WorkflowInfo, error)
	// Drift looks at what exists and says how it differs from what was deployed.
	Drift(ctx context.Context, req DriftRequest) (*Drift, error)
	// Sweep compares what a deployment has in the cloud with what is on record of it, which need not be anything; it adopts or deletes.
	Sweep(ctx context.Context, req SweepRequest) ([]Resource, error)

	Secrets() Secrets
	// Plans are plans that were kept to be applied as reviewed, Blueprints the catalogue of uploaded documents, Accounts who may do what.
	Plans() Plans
	Blueprints() Blueprints
	Accounts() Accounts
	Hosts() Hosts
	Locations() Locations
	Close() error
}

// Verb of a Request.
type Verb string

const (
	Deploy   Verb = "deploy" // install what is missing, update what changed, uninstall what is gone; nothing when all is as wanted
	Undeploy Verb = "undeploy"
	Workflow Verb = "workflow"  // run the named workflow (declared or built in: start, stop, restart …)
	Operate  Verb = "operation" // run one operation on instances
	Undo     Verb = "rollback"  // of tasks only: undoes a failed Deploy (see Request.OnFailure)
)

// Selective is a Source that knows which of its files a deployment reads: a client sends only those, and not the home directory that a
// document happens to be in.
type Selective interface {
	fs.FS
	Needed() ([]string, error)
}

// Request for a plan or a task.
type Request struct {
	Verb       Verb   `json:"verb"`
	Deployment string `json:"deployment"`
	// Source is the bundle's file system and Entry the root document in it ("" lets the CSAR rules find it). Nil: the deployment's
	// stored topology. SourceName is shown in positions.
	Source     fs.FS  `json:"-"`
	Entry      string `json:"entry,omitempty"`
	SourceName string `json:"source_name,omitempty"`
	// Blueprint names documents of the catalogue instead: "name", for its newest version, or "name:version".
	Blueprint string `json:"blueprint,omitempty"`
	// ImportPath are further archives' directories.
	ImportPath []fs.FS        `json:"-"`
	Inputs     map[string]any `json:"inputs,omitempty"`
	// Location names the configuration section of the cloud; "" is the default one.
	Location string `json:"location,omitempty"`
	// Workflow for Workflow; Node, Instances, Interface, Operation for Operate.
	Workflow  string   `json:"workflow,omitempty"`
	Node      string   `json:"node,omitempty"`
	Instances []string `json:"instances,omitempty"`
	Interface string   `json:"interface,omitempty"`
	Operation string   `json:"operation,omitempty"`
	// Select limits a workflow to instances, of one node or several, beside those of Node and Instances.
	Select []topology.Instance `json:"select,omitempty"`
	// Ordered: an operation without Node runs on targets before their sources. Reinstall: heal makes anew what could heal itself.
	// Repair: heal also brings drifted infrastructure back. InPlace: heal makes nothing anew. Spare: heal leaves those of the selected alone
	// whose last check says that they are well.
	Ordered   bool `json:"ordered,omitempty"`
	Reinstall bool `json:"reinstall,omitempty"`
	Repair    bool `json:"repair,omitempty"`
	InPlace   bool `json:"in_place,omitempty"`
	Spare     bool `json:"spare,omitempty"`
	// Update says what becomes of what exists when a Cloudify blueprint is deployed again; nil: what has changed is done again.
	Update *plan.Update `json:"update,omitempty"`
	// Adopt takes over what the cloud has of the deployment and nobody has on record, before Deploy plans: after a lost store nothing is made twice.
	Adopt bool `json:"adopt,omitempty"`
	// New refuses a deployment that exists already, or whose name another request is just taking.
	New bool `json:"new,omitempty"`
	// Scale sets the number of instances of nodes (the ends of hosted-on chains), for this and all later deploys.
	Scale map[string]int `json:"scale,omitempty"`
	// ScaleBy is Scale relative to what there is: 1, -2.
	ScaleBy map[string]int `json:"scale_by,omitempty"`
	// Remove instances by scaling their nodes in; without a number in Scale, by as many.
	Remove []topology.Instance `json:"remove,omitempty"`
	// Force: uninstall scripts that fail do not stop an undeploy; Purge: forget history as well.
	Force bool `json:"force,omitempty"`
	Purge bool `json:"purge,omitempty"`
	// Revision to deploy again instead of a Source, with the inputs that it had; Previous is the last one that was reached.
	Revision int `json:"revision,omitempty"`
	// Batch makes an update get to the existing instances of a node in portions, "2" or "25%"; Health are further checks that each portion
	// must pass before the next, "[node=]tcp:8080", "http:8080/path".
	Batch  string   `json:"batch,omitempty"`
	Health []string `json:"health,omitempty"`
	// HealthTimeout is how long an updated instance may take to become well; 0: 2 min.
	HealthTimeout time.Duration `json:"health_timeout,omitempty"`
	// OnFailure is what a failure leads to: keep, rollback or pause; "" is what the deployment was last deployed with, at first keep.
	OnFailure string `json:"on_failure,omitempty"`
	// NoQueue refuses (KindConflict) what could not begin at once.
	NoQueue bool `json:"no_queue,omitempty"`
	// Digest of a reviewed plan: refuse if planning now gives another one.
	PlanDigest string `json:"plan_digest,omitempty"`
	// SkipPreflight does not ask the cloud before starting.
	SkipPreflight bool `json:"skip_preflight,omitempty"`
	// Narrate puts warnings into the deployment's log, for who sees no others; with SkipPreflight those of the preflight follow when the task runs.
	Narrate bool `json:"-"`
	// Parallel bounds concurrent steps; 0 is the default.
	Parallel int `json:"parallel,omitempty"`
	// Task is the id that the task gets, a ULID; a task that has it already is what the request is answered with. "" makes one.
	Task string `json:"task,omitempty"`
	// User who asks.
	User string `json:"user,omitempty"`
}

// Control of a task.
type Control struct {
	Deployment string `json:"deployment,omitempty"`
	Task       string `json:"task,omitempty"` // "" is the latest
	Verb       string `json:"verb,omitempty"` // rollback (undo what a paused, failed or cancelled deployment has done), cancel, force (cancel without waiting), resume, retry, skip, settle (skip, but do not go on), reopen (do a done step again; does not go on)
	Step       string `json:"step,omitempty"` // for retry, skip, settle and reopen
}

// Deployment as listed.
type Deployment struct {
	Name   string `json:"name"`
	Status string `json:"status"` // deploying deployed undeploying undeployed failed cancelled updating …
	// Doing is what Status is about: deploy, update, scale, undeploy or purge.
	Doing    string    `json:"doing,omitempty"`
	Topology string    `json:"topology"`
	Revision int       `json:"revision"`
	Location string    `json:"location,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	// Task is the running or last task; Owner who holds the lease ("host pid 123 since …"), "" for nobody.
	Task      string `json:"task,omitempty"`
	Owner     string `json:"owner,omitempty"`
	Instances int    `json:"instances"`
	// Cause of the last failure, one line.
	Cause string `json:"cause,omitempty"`
	// OnFailure is the failure policy of requests that name none.
	OnFailure string `json:"on_failure,omitempty"`
	// Blueprint that it was deployed from, "name:version"; "" if its documents were its own.
	Blueprint string `json:"blueprint,omitempty"`
}

// Detail of a deployment.
type Detail struct {
	Deployment
	Description string            `json:"description,omitempty"`
	Inputs      map[string]any    `json:"inputs,omitempty"` // secrets masked
	Nodes       []NodeStatus      `json:"nodes"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Policies    []PolicyStatus    `json:"policies,omitempty"`
}

// NodeStatus of one node template.
type NodeStatus struct {
	Name      string           `json:"name"`
	Type      string           `json:"type"`
	Host      string           `json:"host,omitempty"`
	Instances []InstanceStatus `json:"instances"`
}

// InstanceStatus of one instance.
type InstanceStatus struct {
	Index      string         `json:"index"`
	State      string         `json:"state"`
	Attributes map[string]any `json:"attributes,omitempty"` // secrets masked
	Address    string         `json:"address,omitempty"`
	// Health by the deployment's policies: healthy, unhealthy (HealthCause says why), "" where nobody checks.
	Health      string `json:"health,omitempty"`
	HealthCause string `json:"health_cause,omitempty"`
}

// Task is one run of a workflow.
type Task struct {
	ID         string    `json:"id"`
	Deployment string    `json:"deployment"`
	Verb       Verb      `json:"verb"`
	Workflow   string    `json:"workflow"`
	Status     string    `json:"status"` // queued pending running done failed paused cancelling cancelled
	User       string    `json:"user,omitempty"`
	Created    time.Time `json:"created"`
	Started    time.Time `json:"started,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	Steps      Progress  `json:"steps"`
	Failure    *Failure  `json:"failure,omitempty"`
	// Handled are failures that something was done about: another attempt, an on_failure step, a resumption.
	Handled []Handled `json:"handled,omitempty"`
	// Waits says what a queued task waits for: "task 01K… of alice (scale): touches app, db".
	Waits string `json:"waits,omitempty"`
	// Touches are the nodes that it works on.
	Touches []string `json:"touches,omitempty"`
	// Doing is what it does to the deployment: deploy, update, scale, undeploy or purge; "" for workflows and operations.
	Doing string `json:"doing,omitempty"`
	// OnFailure is its failure policy; Undo the task that rolls it back, Undoes the one that it rolls back.
	OnFailure string `json:"on_failure,omitempty"`
	Undo      string `json:"undo,omitempty"`
	Undoes    string `json:"undoes,omitempty"`
	Revision  int    `json:"revision,omitempty"`
	// Changed is false when there was nothing to do.
	Changed bool `json:"changed"`
	// Outputs of a workflow that declares some, or of an operation: by name, "instance.name" for those of several instances; secrets masked.
	Outputs map[string]any `json:"outputs,omitempty"`
	// Left are resources still found in the cloud after an undeploy, "service kind name id"; Checked the services that were asked.
	Left    []string `json:"left,omitempty"`
	Checked []string `json:"checked,omitempty"`
	// Kept are resources that stay on purpose: volumes that are not deletable.
	Kept []string `json:"kept,omitempty"`
}

// Progress counts steps.
type Progress struct {
	Total   int `json:"total"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	Running int `json:"running"`
}

// Failure is the first cause of a failed task: not the last symptom.
type Failure = engine.Failure

// Handled is a failure that something was done about, and what.
type Handled = engine.Handled

// StepStatus of a plan's step.
type StepStatus struct {
	*plan.Step
	Status   string    `json:"status"` // pending doing done failed skipped cancelled
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	// Waiting says for what, since Since.
	Waiting string    `json:"waiting,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Waits are the latest times that it spent waiting, in order.
	Waits []Wait `json:"waits,omitempty"`
}

// Output of a deployment.
type Output struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Value       any    `json:"value"`
	Secret      bool   `json:"secret,omitempty"`
	// Unknown: not known yet, waiting for Refs.
	Unknown []string `json:"unknown,omitempty"`
}

// Filter of events.
type Filter struct {
	Deployment string       `json:"deployment,omitempty"`
	Task       string       `json:"task,omitempty"`
	Node       string       `json:"node,omitempty"`
	Instance   string       `json:"instance,omitempty"`
	Types      []event.Type `json:"types,omitempty"`
	After      uint64       `json:"after,omitempty"` // sequence number; 0 from the start
	// Last limits to the newest n stored events; 0 all.
	Last int `json:"last,omitempty"`
	// Follow goes on with new events until ctx ends, or, with UntilTask, until that task has ended.
	Follow    bool   `json:"follow,omitempty"`
	UntilTask string `json:"until_task,omitempty"`

	tenant string // "" is every one; set by InTenant
}

// Kind of an Error decides exit code and HTTP status.
type Kind string

const (
	KindUser      Kind = "user"      // the request or document is wrong: exit 1
	KindCloud     Kind = "cloud"     // the cloud refused or failed: exit 2
	KindHost      Kind = "host"      // an operation on a server failed: exit 3
	KindCancelled Kind = "cancelled" // exit 4
	KindNotFound  Kind = "not-found" // exit 6
	KindConflict  Kind = "conflict"  // somebody else holds it, or it is in the wrong state: exit 7
	KindStore     Kind = "store"     // the state store cannot be reached or written: exit 8
	KindInternal  Kind = "internal"  // a defect of orch: exit 70

	KindUnauthenticated Kind = "unauthenticated" // it is not known who asks: exit 9
	KindForbidden       Kind = "forbidden"       // it is known, and not allowed: exit 9
)

// Error with a kind and a next step.
type Error struct {
	Kind Kind
	Msg  string
	Hint string
	Err  error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }
