// Package driver is the contract of whatever acts on the world: Terraform, SSH, the local host, a fake in tests.
//
// A Driver runs one operation and knows nothing of plans, stores or leases. What it needs to survive a crash (a journal on the host,
// Terraform's state) it keeps under the request's OpID, so that running the same OpID again re-attaches or observes instead of repeating.
package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Action of a request.
type Action string

const (
	Create  Action = "create"  // make the native node (infrastructure)
	Update  Action = "update"  // bring the native node to the topology's properties
	Replace Action = "replace" // make the native node anew, whatever state it is in; what belongs to it stays
	Delete  Action = "delete"  // remove the native node
	Start   Action = "start"   // power a native node on
	Stop    Action = "stop"    // power a native node off
	Run     Action = "run"     // run the operation's implementation
)

// Called is the deployment as its users know it.
func (r *Request) Called() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Deployment
}

// Request is one operation of one instance.
type Request struct {
	Deployment string // as it is recorded
	// Name and Tenant are what users call the deployment, for scripts; "" is Deployment, and the default tenant.
	Name, Tenant string
	// Location names the configuration section of the cloud that the deployment is on; "" is the default one.
	Location string
	Task     string
	Workflow string // that the task runs
	Step     string // plan step id
	// OpID is stable over retries after a lost connection and over restarts of orch, and new for each deliberate new attempt.
	OpID    string
	Attempt int
	Action  Action

	Topology *topology.Topology
	// Wanted is the topology that the deployment goes on with, where it has not the node any more; nil otherwise.
	Wanted   *topology.Topology
	Node     *topology.Node
	Instance string
	// Relationship operations: the relationship and, for operations per pair, the target's instance ("" for all).
	Relationship   *topology.Relationship
	TargetInstance string
	Operation      *topology.Operation // nil for infrastructure
	// Env evaluates expressions (infrastructure drivers render properties themselves).
	Env topology.Env

	// Host to run on; nil is the orchestrator's own host.
	Host *Host
	// Variables of the script's environment, evaluated: plain strings or secret.Value.
	Variables []Variable
	// Inputs are what the operation is called with, evaluated: plain values, with secret.Value for secrets.
	Inputs map[string]any
	// Timeout of this attempt; 0 is the driver's default.
	Timeout time.Duration
	// Revision of the deployment's topology.
	Revision int
	// Removal: the instance is being removed, so a host that cannot be reached is not waited for as one that is being made
	// (RemovalPatience).
	Removal bool
	// Undeploy: the whole deployment is being removed.
	Undeploy bool
	// Ephemeral: nobody will ask for the OpID again, so the driver keeps nothing of it.
	Ephemeral bool
}

// RemovalPatience is how long the operations of what is being removed wait for a host that cannot be reached: a reboot's time. The server
// may well be broken, and that is no reason to keep it for long.
const RemovalPatience = 2 * time.Minute

// ID of the instance.
func (r *Request) ID() topology.Instance {
	return topology.Instance{Node: r.Node.Name, Index: r.Instance}
}

// Variable of an operation's environment. Secret values are redacted from output.
type Variable struct {
	Name  string
	Value string
	// Secret marks values that must not be shown or stored.
	Secret bool
}

// Host says how to reach a server. It is stored with the instance, so it holds references to secrets, never secrets.
type Host struct {
	Instance  topology.Instance `json:"instance"`
	Addresses []string          `json:"addresses"` // in order of preference; the first that answers is used
	Port      int               `json:"port,omitempty"`
	User      string            `json:"user,omitempty"`
	// KeyRef and PasswordRef are secret references (see pkg/secret). Agent uses SSH_AUTH_SOCK.
	KeyRef      string `json:"key_ref,omitempty"`
	PasswordRef string `json:"password_ref,omitempty"`
	Agent       bool   `json:"agent,omitempty"`
	// HostKeys are the pinned public keys in authorized_keys format. Empty: they must be found by HostKeySource.
	HostKeys []string `json:"host_keys,omitempty"`
	// HostKeySource: "injected" (HostKeys were put there by user data; the host shows other keys until that has run),
	// "console" (read from the console log, see ConsoleKeys), "first-use" (pin what is shown first).
	HostKeySource string `json:"host_key_source,omitempty"`
	// ServerID is the cloud's id of the server, for console logs and faults.
	ServerID string `json:"server_id,omitempty"`
	Bastion  *Host  `json:"bastion,omitempty"`
	// CloudInit: wait for cloud-init to finish where the host has it.
	CloudInit bool `json:"cloud_init,omitempty"`
	Sudo      bool `json:"sudo,omitempty"` // become root for operations unless the operation says otherwise
}

// Server is a server that a driver has made, and what there is to find out more about the way to it.
type Server struct {
	Deployment string
	Topology   *topology.Topology
	Instance   topology.Instance
	Env        topology.Env
	Host       *Host
	// Other returns the host of another instance of the deployment; nil: it has none.
	Other func(topology.Instance) *Host
}

// Result of a request.
type Result struct {
	// Attributes of the instance by name; structured values allowed. Capability attributes under "capability.attribute".
	Attributes map[string]any
	// Unset are names of attributes that the instance has no value of (any more): a server whose floating IP was taken away.
	Unset []string
	// Outputs of a script: the variables it exported or set by the output file.
	Outputs map[string]string
	// Host is set by infrastructure drivers when the instance is a server.
	Host *Host
	// Changed is false when the world was already as asked.
	Changed bool
	// Replaced is set when an update made the instance anew: what was done on it before is gone.
	Replaced bool
	// Also holds new attributes and hosts of other instances that this request changed: a floating IP changes its server's addresses.
	Also map[topology.Instance]Result
}

// Driver runs operations.
type Driver interface {
	Name() string
	// Run returns when the operation has ended. Cancelling ctx ends the remote process group, too, unless the cause is ErrDetach:
	// then it is left running for a later re-attachment.
	Run(ctx context.Context, req *Request, emit event.Emit) (Result, error)
}

// Batcher drivers do many requests in one go (one Terraform apply). done is called once per request, from any goroutine, as soon as that
// request's outcome is known. The returned error is of the batch as a whole; requests without a done call share it.
type Batcher interface {
	Driver
	RunBatch(ctx context.Context, reqs []*Request, emit event.Emit, done func(i int, res Result, err error)) error
}

// Checker drivers examine a whole topology before anything is created (preflight).
type Checker interface {
	Check(ctx context.Context, reqs []*Request) diag.List
}

// Planner drivers say what a batch would change, without touching anything.
type Planner interface {
	Plan(ctx context.Context, reqs []*Request) ([]Change, error)
}

// Drifter drivers look at what exists and say what it would take to bring it back to what the requests (Update) ask for.
type Drifter interface {
	Drift(ctx context.Context, reqs []*Request) ([]Change, error)
}

// Change that a Planner expects.
type Change struct {
	Instance topology.Instance `json:"instance"`
	Address  string            `json:"address"` // openstack_compute_instance_v2.app_server_0
	Action   string            `json:"action"`  // create update replace delete no-op
	// Shared: it belongs to several instances or to the whole deployment (a security group of all servers); Instance is one that uses it.
	Shared bool `json:"shared,omitempty"`
	// Fields that change: path → from/to, "(known after create)" where unknown, "(sensitive)" where secret.
	Fields []FieldChange `json:"fields,omitempty"`
}

// FieldChange of a resource.
type FieldChange struct {
	Path   string `json:"path"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Forces bool   `json:"forces_replacement,omitempty"`
}

// Explainer drivers show the exact command of a request.
type Explainer interface {
	Explain(req *Request) string
}

// ErrInterrupted: what was begun under this OpID does not run any more and left no result, as after a reboot of the host. It is never run again
// under the same OpID.
var ErrInterrupted = errors.New("the operation was interrupted before it ended: the host restarted, or the process was killed")

// ErrDetach as a cancellation cause leaves remote work running.
var ErrDetach = errors.New("detached: the operation goes on and can be re-attached")

// Error of an operation: what users see as the first cause. Wrap it, never flatten it.
type Error struct {
	Op       string   // "run create.sh", "terraform apply"
	Host     string   // address or "orchestrator"
	ExitCode int      // -1 when there is none
	Stderr   []string // the last lines, redacted
	Console  []string // the last lines of the server's console log, where that did not boot or cannot be reached
	// Detail in the cloud's own words (Nova fault, quota text), redacted.
	Detail string
	Hint   string
	// Retryable: trying again without a change may succeed (lost connection, 5xx, 429, package lock).
	Retryable bool
	// Because of another instance, done in the same go, that failed: what is told is that one's failure.
	Because topology.Instance
	// Final: it is not tried again by itself, whatever the operation's own retries say: that is useless, or has been done for long enough.
	Final bool
	// RetryAfter is what the other side asked for; 0 if nothing.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Host != "" {
		b.WriteString(" on " + e.Host)
	}
	b.WriteString(": ")
	switch {
	case e.Detail != "":
		b.WriteString(e.Detail)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	case e.ExitCode > 0:
		fmt.Fprintf(&b, "exit code %d", e.ExitCode)
	default:
		b.WriteString("failed")
	}
	if n := len(e.Stderr); n > 0 && e.Detail == "" {
		b.WriteString(": " + e.Stderr[n-1])
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Secrets that drivers may read and create (key pairs, host keys). References are opaque strings.
type Secrets interface {
	Resolve(ctx context.Context, ref string) (secret.Value, error)
	// Generate returns the secret under ref, creating it with make on first use; concurrent callers get the same value.
	Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error)
	Remove(ctx context.Context, ref string) error
}
