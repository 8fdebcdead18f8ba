package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// The records of a deployment. Small ones, so that a change costs little; a plan is a blob.
//
//	d/<deployment>/task/<task>             Task
//	d/<deployment>/journal/<task>/<n>      []Transition: what happened to steps, in the order of n
//	d/<deployment>/instance/<node>/<index> Instance
//	d/<deployment>/values/<node>/<index>   Values: attributes and outputs
//	d/<deployment>/function/<digest>       what a function of the document gave (see functions)
//	blob plan/<deployment>/<task>          the plan
func taskKey(dep, task string) string { return state.Join("d", dep, "task", task) }

func journalPrefix(dep, task string) string { return state.Prefix("d", dep, "journal", task) }

func instanceKey(dep string, in topology.Instance) string {
	return state.Join("d", dep, "instance", in.Node, in.Index)
}

func valuesKey(dep string, in topology.Instance) string {
	return state.Join("d", dep, "values", in.Node, in.Index)
}

func planBlob(dep, task string) string { return state.Join("plan", dep, task) }

// Instance is the record of a node instance.
type Instance struct {
	plan.Recorded
	// Host is set when the instance is a server that a driver has made.
	Host     *driver.Host `json:"host,omitempty"`
	Revision int          `json:"revision,omitempty"` // of the topology by which it was last changed
	Updated  time.Time    `json:"updated"`
}

// Status of a task or a step.
//
//	task:  queued ─▶ pending ─▶ running ─▶ done | failed | paused | cancelled     failed | paused | cancelled ──resume──▶ running
//	         └────────cancel──────▶└──cancel──▶ cancelling ─▶ cancelled
//	step:  pending ─▶ doing ─▶ done | failed | cancelled          pending ─▶ skipped | cancelled
type Status string

const (
	Queued     Status = "queued" // waits for other tasks of the deployment
	Pending    Status = "pending"
	Running    Status = "running"
	Doing      Status = "doing"
	Done       Status = "done"
	Failed     Status = "failed"
	Skipped    Status = "skipped" // its predecessors failed, or it is an alternative that was not taken
	Cancelling Status = "cancelling"
	Cancelled  Status = "cancelled"
	Paused     Status = "paused" // a step failed, and somebody has to say how it goes on
)

// Ended reports whether nothing more happens without a new request.
func (s Status) Ended() bool {
	return s == Done || s == Failed || s == Skipped || s == Cancelled
}

// Works reports whether a task in this status has, or should have, a process that works on it.
func (s Status) Works() bool { return s == Pending || s == Running || s == Cancelling }

// Task is the record of a task.
type Task struct {
	ID         string    `json:"id"`
	Deployment string    `json:"deployment"`
	Verb       string    `json:"verb"`
	Workflow   string    `json:"workflow"`
	Status     Status    `json:"status"`
	User       string    `json:"user,omitempty"`
	Created    time.Time `json:"created"`
	Started    time.Time `json:"started,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	Progress   Progress  `json:"progress"`
	Failure    *Failure  `json:"failure,omitempty"`
	Changed    bool      `json:"changed"`
	PlanDigest string    `json:"plan_digest,omitempty"`
	Revision   int       `json:"revision"`
	Force      bool      `json:"force,omitempty"`
	Parallel   int       `json:"parallel,omitempty"`
	// Admin says that User may use the private secrets of others.
	Admin bool `json:"admin,omitempty"`
	// Inputs of the workflow or operation, sealed.
	Inputs []byte `json:"inputs,omitempty"`
	// Outputs of a workflow or operation, sealed.
	Outputs []byte `json:"outputs,omitempty"`
	// Left and Checked are the proof after an uninstall.
	Left    []string `json:"left,omitempty"`
	Checked []string `json:"checked,omitempty"`
	// Kept is what stays in the cloud on purpose.
	Kept []string `json:"kept,omitempty"`
	// Doing is what the deployment's status is about while the task runs: deploy, update, scale, undeploy or purge; "" for workflows and operations.
	Doing string `json:"doing,omitempty"`
	// Purge the deployment when the task is done.
	Purge bool `json:"purge,omitempty"`
	// Footprint is what its plan works with; Request identifies what was asked for, so that asking again finds it.
	Footprint plan.Footprint `json:"footprint,omitzero"`
	Request   string         `json:"request,omitempty"`
	// Key is that of the one request that it came of, if that had one.
	Key string `json:"key,omitempty"`
	// Waits says what a queued task waits for.
	Waits string `json:"waits,omitempty"`
	// OnFailure is what a failure leads to: keep, rollback or pause.
	OnFailure string `json:"on_failure,omitempty"`
	// Limited tasks plan a part of the topology only (scaling).
	Limited bool `json:"limited,omitempty"`
	// Before is the deployment before the task: what a rollback leads back to.
	Before *Before `json:"before,omitempty"`
	// Handled are failures that something was done about.
	Handled []Handled `json:"handled,omitempty"`
	// Undoes is the task that this one rolls back, Undo the one that rolls this one back.
	Undoes string `json:"undoes,omitempty"`
	Undo   string `json:"undo,omitempty"`
}

// Before is what a deployment was when a task began.
type Before struct {
	Status   string         `json:"status,omitempty"`
	Revision int            `json:"revision,omitempty"` // the last one that was reached; 0 for none
	Scale    map[string]int `json:"scale,omitempty"`
}

// Progress counts steps that act.
type Progress struct {
	Total, Done, Failed, Skipped, Running int
}

// Failure is a first cause: not the last symptom.
type Failure struct {
	Step      string `json:"step"`
	Node      string `json:"node"`
	Instance  string `json:"instance,omitempty"`
	Operation string `json:"operation,omitempty"`
	// WorkflowStep is the step of a declared workflow.
	WorkflowStep string   `json:"workflow_step,omitempty"`
	Host         string   `json:"host,omitempty"`
	ExitCode     int      `json:"exit_code,omitempty"`
	Message      string   `json:"message"`
	Stderr       []string `json:"stderr,omitempty"`
	Console      []string `json:"console,omitempty"` // end of the server's console log
	Detail       string   `json:"detail,omitempty"`
	Hint         string   `json:"hint,omitempty"`
	Pos          diag.Pos `json:"pos,omitzero"`
	Attempts     int      `json:"attempts,omitempty"`
	Infra        bool     `json:"infra,omitempty"` // the cloud's, not a host's
	// Skipped steps because of it; Others are further independent failures.
	Skipped []string  `json:"skipped,omitempty"`
	Others  []Failure `json:"others,omitempty"`

	// Because of this instance's failure, done in the same go. It is folded into that one when the task ends.
	Because topology.Instance `json:"-"`
}

// Transition of a step.
type Transition struct {
	Step    string    `json:"s"`
	Status  Status    `json:"st"`
	Attempt int       `json:"n,omitempty"`
	OpID    string    `json:"op,omitempty"`
	At      time.Time `json:"t"`
	Error   string    `json:"e,omitempty"`
	// Because is the step whose failure made this one be skipped; "" for an alternative that was not taken.
	Because string `json:"b,omitempty"`
	// LeftOut: it counts as done, but the filter of its declared step left the instance out.
	LeftOut bool `json:"lo,omitempty"`
	// Halt, without a Step, is the decision to begin nothing more because of this failure. It stands until Resumed takes it back: a process that
	// dies before the end of the task leaves it to the next one.
	Halt    *Failure `json:"h,omitempty"`
	Resumed bool     `json:"r,omitempty"`
}

// Snapshot is everything that is recorded of a deployment's instances.
type Snapshot struct {
	Instances map[topology.Instance]*Instance
	Values    map[topology.Instance]*Values
	Functions map[string]json.RawMessage // what functions of the document gave, by plan.FunctionKey
}

// Recorded is the snapshot as the planner wants it.
func (s *Snapshot) Recorded() map[topology.Instance]*plan.Recorded {
	out := make(map[topology.Instance]*plan.Recorded, len(s.Instances))
	for in, r := range s.Instances {
		out[in] = &r.Recorded
	}
	return out
}

// Load reads the instances of a deployment.
func Load(ctx context.Context, store state.Store, dep string) (*Snapshot, error) {
	var s *Snapshot
	err := store.View(ctx, func(tx state.Tx) error {
		s = &Snapshot{Instances: map[topology.Instance]*Instance{}, Values: map[topology.Instance]*Values{}, Functions: map[string]json.RawMessage{}}
		for r, err := range state.List[json.RawMessage](tx, functionPrefix(dep)) {
			if err != nil {
				return err
			}
			s.Functions[state.Last(r.Key)] = r.Value
		}
		if err := loadAll(tx, state.Prefix("d", dep, "instance"), s.Instances); err != nil {
			return err
		}
		return loadAll(tx, state.Prefix("d", dep, "values"), s.Values)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the instances of %s: %w", dep, err)
	}
	return s, nil
}

func loadAll[T any](tx state.Tx, prefix string, into map[topology.Instance]*T) error {
	for r, err := range state.List[T](tx, prefix) {
		if err != nil {
			return err
		}
		parts, err := state.Split(r.Key)
		if err != nil || len(parts) < 2 {
			return fmt.Errorf("cannot read the key %q: %w", r.Key, errors.Join(state.ErrCorrupt, err))
		}
		v := r.Value
		into[topology.Instance{Node: parts[len(parts)-2], Index: parts[len(parts)-1]}] = &v
	}
	return nil
}

// LoadTask reads a task.
func LoadTask(ctx context.Context, store state.Store, dep, id string) (Task, error) {
	var t Task
	err := store.View(ctx, func(tx state.Tx) (err error) {
		t, _, err = state.Get[Task](tx, taskKey(dep, id))
		return err
	})
	return t, err
}

// Tasks lists the tasks of a deployment, oldest first (their IDs are in the order of time).
func Tasks(ctx context.Context, store state.Store, dep string) ([]Task, error) {
	var out []Task
	err := store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[Task](tx, state.Prefix("d", dep, "task")) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, err
}

// Journal reads what happened to the steps of a task, in order.
func Journal(ctx context.Context, store state.Store, dep, task string) ([]Transition, error) {
	out, _, err := journal(ctx, store, dep, task)
	return out, err
}

// journal returns also the number of the next part.
func journal(ctx context.Context, store state.Store, dep, task string) (out []Transition, next uint64, err error) {
	err = store.View(ctx, func(tx state.Tx) error {
		out, next = nil, 0
		for r, err := range state.List[[]Transition](tx, journalPrefix(dep, task)) {
			if err != nil {
				return err
			}
			out = append(out, r.Value...)
			n, err := strconv.ParseUint(state.Last(r.Key), 10, 64)
			if err != nil {
				return fmt.Errorf("cannot read the key %q: %w", r.Key, state.ErrCorrupt)
			}
			next = n + 1
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the journal of task %s: %w", task, err)
	}
	return out, next, nil
}

// FindTaskTx reads a task's record; false if there is none.
func FindTaskTx(tx state.Tx, dep, id string) (Task, bool, error) {
	return state.Find[Task](tx, taskKey(dep, id))
}

// PutTaskTx writes a task's record.
func PutTaskTx(tx state.Tx, t Task) error { return state.Put(tx, taskKey(t.Deployment, t.ID), t) }

// ForgetTx removes every record of a deployment's instances and tasks: one operation. Plans are blobs and are removed by ForgetPlans.
func ForgetTx(tx state.Tx, dep string) error { return tx.DeletePrefix(state.Prefix("d", dep)) }

// CountTx counts the instances of a deployment.
func CountTx(tx state.Tx, dep string) (n int, err error) {
	for _, err := range tx.Keys(state.Prefix("d", dep, "instance")) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
