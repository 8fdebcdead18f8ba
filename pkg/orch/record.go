package orch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

// The service's records beside those of the engine:
//
//	deployments/<name>            record
//	waiting/<name>                of a deployment that was purged and for which requests wait: who looks for work finds them
//	d/<name>/revision/<n>         revision: which bundle with which inputs
//	d/<name>/queue/<task>         queued: a request that waits (see queue.go)
//	d/<name>/control/<task>       controlRecord: a command to the process that works on the deployment
//	blob bundle/<name>/<digest>   the bundle, a zip
type record struct {
	Name        string            `json:"name"`
	Status      Status            `json:"status"`
	Topology    string            `json:"topology"`
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Revision    int               `json:"revision"`       // that the instances are made from, or are on their way to
	Applied     int               `json:"applied"`        // the last that was reached completely
	Last        int               `json:"last,omitempty"` // the newest there is: after a rollback it is not Revision
	Location    string            `json:"location,omitempty"`
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated"`
	Task        string            `json:"task,omitempty"`
	Cause       string            `json:"cause,omitempty"`
	Doing       string            `json:"doing,omitempty"` // what Status is about: see doing
	Scale       map[string]int    `json:"scale,omitempty"`
	OnFailure   string            `json:"on_failure,omitempty"` // of requests that say nothing else
	// Blueprint that it was deployed from, "name:version".
	Blueprint string `json:"blueprint,omitempty"`
	// Purging: it is about to be forgotten, so that no request is queued for it any more. Who asks for something waits for that.
	Purging bool `json:"purging,omitempty"`
	// Infra is set once infrastructure was asked for: only then is there something to prove about the cloud.
	Infra bool `json:"infra,omitempty"`
}

// Status of a deployment.
//
//	(none) ─▶ created ─ deploy ─┐
//	            ┌────────── deploy ──────────┐
//	(none) ─▶ deploying ─▶ deployed ─▶ updating ─▶ deployed
//	              │  ▲         │            │
//	      failure │  │ deploy, │ undeploy   │ failure
//	              ▼  │ resume  ▼            ▼
//	           failed ─────▶ undeploying ─▶ undeployed ─▶ (purged)
//	          cancelled          │
//	              ▲              │ failure, cancellation
//	              └──────────────┘
//
// Undeploying is possible from everywhere, deploying from everywhere but a running task. Workflows and operations leave it as it is.
type Status string

const (
	StatusCreated     Status = "created" // its topology and inputs are on record; nothing was ever installed
	StatusDeploying   Status = "deploying"
	StatusDeployed    Status = "deployed"
	StatusUpdating    Status = "updating"
	StatusUndeploying Status = "undeploying"
	StatusRollingBack Status = "rolling-back" // a failed deployment or update is undone
	StatusPaused      Status = "paused"       // a step has failed, and somebody has to say how it goes on
	StatusUndeployed  Status = "undeployed"
	StatusFailed      Status = "failed"
	StatusCancelled   Status = "cancelled"
)

// revision is a topology with inputs as it was applied.
type revision struct {
	N          int       `json:"n"`
	Bundle     string    `json:"bundle"` // blob
	Entry      string    `json:"entry,omitempty"`
	SourceName string    `json:"source_name,omitempty"`
	Imports    int       `json:"imports,omitempty"` // archives of the import path in the bundle
	Inputs     []byte    `json:"inputs,omitempty"`  // sealed
	Location   string    `json:"location,omitempty"`
	Digest     string    `json:"digest"` // of the topology
	Created    time.Time `json:"created"`
	User       string    `json:"user,omitempty"`
	From       int       `json:"from,omitempty"`    // the revision that it goes back to
	Changes    []string  `json:"changes,omitempty"` // from the one before, in words
	// Selected are the nodes of other deployments that stand for nodes with the directive select.
	Selected []selected `json:"selected,omitempty"`
}

const (
	deploymentPrefix = "deployments/"
	waitingPrefix    = "waiting/"
	askPrefix        = "asked/"
)

func deploymentKey(name string) string { return state.Join("deployments", name) }

func waitingKey(name string) string { return state.Join("waiting", name) }

// askKey changes whenever a request for a deployment was left in its queue, or a command for one of its tasks.
func askKey(name string) string { return state.Join("asked", name) }

func revisionKey(name string, n int) string {
	return state.Join("d", name, "revision", state.Num(uint64(n)))
}

func leaseKey(name string) string { return state.Join("deployment", name) }

func controlPrefix(name string) string { return state.Prefix("d", name, "control") }

func controlKey(name, task string) string { return state.Join("d", name, "control", task) }

func loadDeployment(ctx context.Context, store state.Store, name string) (record, error) {
	var d record
	err := store.View(ctx, func(tx state.Tx) (err error) {
		d, _, err = state.Get[record](tx, deploymentKey(name))
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return d, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no deployment %q", name), Hint: "orch list shows all deployments", Err: ErrNotFound}
	}
	return d, storeError(err)
}

// ErrNotFound is wrapped by errors of KindNotFound.
var ErrNotFound = errors.New("not found")

// storeError gives errors of the store their kind.
func storeError(err error) error {
	var away *state.UnavailableError
	var oe *Error
	switch {
	case err == nil, errors.As(err, &oe), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &away):
		bare := *away
		bare.Hint = ""
		return &Error{Kind: KindStore, Hint: away.Hint, Err: &bare}
	case errors.Is(err, state.ErrFenced):
		// Not a conflict: nothing was written, and a moment later somebody has the deployment who can.
		return &Error{Kind: KindStore, Msg: "this process has lost its hold of the deployment", Hint: "ask again; orch status shows who has it", Err: err}
	case errors.Is(err, state.ErrNewer):
		return &Error{Kind: KindStore, Msg: "the store holds records of a newer version of orch", Hint: "update orch", Err: err}
	case errors.Is(err, state.ErrNotFound):
		return &Error{Kind: KindNotFound, Err: err}
	}
	return &Error{Kind: KindStore, Msg: "the state store failed", Err: err}
}
