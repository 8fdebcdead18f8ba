package cloudify

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// timerRecord is something that is to be done at a time: an execution that is scheduled (its id), a schedule that is due (deployment/name), a
// group of executions of which some wait for others (its id). Whatever server sees it first does it; the ids of tasks are functions of what they
// are for, so that doing it twice does nothing more.
type timerRecord struct {
	Tenant string    `json:"tenant"`
	ID     string    `json:"id"`
	Kind   timerKind `json:"kind"`
	At     time.Time `json:"at"`
}

type timerKind string

const (
	executionTimer timerKind = "execution"
	scheduleTimer  timerKind = "schedule"
	batchTimer     timerKind = "batch"
)

// Due are the tenants for which something is due now. Server.Work does it.
func Due(ctx context.Context, store state.Store, now time.Time) (tenants []string, err error) {
	all, err := newShelf(store).timers.all(ctx, "")
	seen := map[string]bool{}
	for _, t := range all {
		if !t.At.After(now) && !seen[t.Tenant] {
			seen[t.Tenant] = true
			tenants = append(tenants, t.Tenant)
		}
	}
	return tenants, err
}

// Work does what is due in the tenant. What fails is tried again the next time, but for what can never succeed.
func (s *Server) Work(ctx context.Context) error {
	all, err := s.shelf.timers.all(ctx, s.opts.Tenant)
	for _, t := range all {
		if t.At.After(s.opts.now()) || ctx.Err() != nil {
			continue
		}
		switch t.Kind {
		case executionTimer:
			err = errors.Join(err, s.execute(ctx, t.ID))
		case scheduleTimer:
			err = errors.Join(err, s.recur(ctx, t))
		case batchTimer:
			err = errors.Join(err, s.advance(ctx, t.ID))
		}
	}
	return err
}

// actor is on whose behalf something is done later: what is known of the user then counts, or, of users that the server does not keep, what was
// known when it was asked for.
type actor struct {
	User string    `json:"user"`
	Role orch.Role `json:"role"`
	// Kept users are those of the store.
	Kept bool `json:"kept,omitempty"`
}

func (q *request) actor() *actor {
	return &actor{User: q.user(), Role: q.who.Role, Kept: q.who.Via == "basic" || q.who.Via == "token"}
}

// context of what is done on an actor's behalf; an error if it may not do it any more.
func (s *Server) onBehalf(ctx context.Context, a *actor) (context.Context, error) {
	id := orch.Identity{User: a.User, Tenant: s.opts.Tenant, Role: a.Role, Via: "schedule"}
	if a.Kept {
		u, err := s.accounts().User(ctx, a.User)
		switch {
		case isNotFound(err):
			return nil, forbidden("User " + a.User + " does not exist any more")
		case err != nil:
			return nil, err
		case u.Admin:
			id.Role = orch.ServerAdmin
		default:
			id.Role = u.Tenants[s.opts.Tenant]
		}
		if u.Disabled || !id.Allows(orch.Operator) {
			return nil, forbidden("User " + a.User + " may not start executions any more")
		}
	}
	return orch.WithTenant(orch.WithIdentity(ctx, id), s.opts.Tenant), nil
}

// argumentsRecord is how an execution is to be started.
type argumentsRecord struct {
	AllowCustom bool `json:"allow_custom_parameters"`
	Force       bool `json:"force"`
	DryRun      bool `json:"is_dry_run"`
	WaitAfter   int  `json:"wait_after_fail"`
}

// schedule is a start that is to be done later.
func (s *Server) schedule(q *request, b startRequest) (any, error) {
	ctx := q.Request().Context()
	at, err := parseTime(*b.Scheduled)
	if err != nil {
		return nil, err
	}
	if !at.After(s.opts.now()) {
		return nil, badParameters("Date `%s` is in the past", *b.Scheduled)
	}
	if bool(b.DryRun) || bool(b.Queue) {
		return nil, badParameters("`dry_run` and `queue` cannot be used together with `scheduled_time`: what is scheduled waits by itself until it can begin")
	}
	check := b
	check.Force = true // whether it is available is known when its time comes
	l, err := s.understand(ctx, q.user(), check)
	if err != nil {
		return nil, err
	}
	if err := s.startable(l); err != nil {
		return nil, err
	}
	x := executionRecord{owned: owned{ID: executionID(dueID(at, newID())), Tenant: q.tenant, By: q.user(), Visibility: l.record.Visibility, Created: s.opts.now()},
		Deployment: b.Deployment, Blueprint: l.record.Blueprint, Workflow: b.Workflow, AllowCustom: bool(b.AllowCustom), Status: "scheduled", Scheduled: at,
		Arguments: &argumentsRecord{AllowCustom: bool(b.AllowCustom), Force: bool(b.Force)}, As: q.actor()}
	if x.Parameters, err = storable(b.Parameters); err != nil {
		return nil, err
	}
	if err := s.shelf.executions.put(ctx, q.tenant, x.ID, x); err != nil {
		return nil, err
	}
	if err := s.shelf.timers.put(ctx, q.tenant, x.ID, timerRecord{q.tenant, x.ID, executionTimer, at}); err != nil {
		return nil, err
	}
	return created(s.recorded(x, l.record))
}

// storable refuses parameters that are secrets by their names: what waits lies in the store as it is.
func storable(parameters map[string]any) (map[string]any, error) {
	hidden := masked(parameters)
	if !equal(hidden, parameters) {
		return nil, badParameters("Parameters that are passwords, tokens or keys cannot wait in the store: put them into secrets, and let the blueprint ask for those (get_secret)")
	}
	return parameters, nil
}

// startable refuses at once what could not be planned either when its time comes.
func (s *Server) startable(l *launch) error {
	if l.request.Verb == "" {
		return refused("nonexistent_workflow_error", "Workflow %s cannot be started", l.Workflow)
	}
	return nil
}

// dueID is the id of a task that is to be made at a time, for what it is.
func dueID(at time.Time, what string) string {
	var id ulid.ULID
	sum := sha256.Sum256([]byte(what))
	_ = id.SetTime(ulid.Timestamp(at)) // as long as times have 48 bits of milliseconds
	_ = id.SetEntropy(sum[:10])
	return id.String()
}

// execute starts an execution whose time has come, and forgets its timer.
func (s *Server) execute(ctx context.Context, id string) error {
	x, found, err := s.shelf.executions.get(ctx, s.opts.Tenant, id)
	if err != nil {
		return err
	}
	if found && x.Status == "scheduled" {
		if err := s.begin(ctx, x); err != nil {
			return err
		}
	}
	return s.shelf.timers.remove(ctx, s.opts.Tenant, id)
}

// begin makes a task of an execution that waits. One that cannot be begun has failed.
func (s *Server) begin(ctx context.Context, x executionRecord) error {
	err := s.launch(ctx, x)
	if err != nil && (ctx.Err() != nil || problemOf(err).status >= 500) {
		return err // another time
	}
	return s.shelf.executions.change(ctx, x.Tenant, x.ID, func(have *executionRecord) (*executionRecord, error) {
		if have == nil || have.Task || ended(have.Status) {
			return have, nil
		}
		if err != nil {
			now := s.opts.now()
			have.Status, have.Error, have.Started, have.Ended = "failed", problemOf(err).message, now, now
			return have, nil
		}
		have.Task, have.Status = true, ""
		return have, nil
	})
}

func (s *Server) launch(ctx context.Context, x executionRecord) error {
	ctx, err := s.onBehalf(ctx, x.As)
	if err != nil {
		return err
	}
	b := startRequest{Deployment: x.Deployment, Workflow: x.Workflow, Parameters: x.Parameters, AllowCustom: flag(x.Arguments.AllowCustom), Force: flag(x.Arguments.Force)}
	l, err := s.understand(ctx, x.As.User, b)
	if err != nil {
		return err
	}
	task, ok := taskID(x.ID)
	if !ok {
		return badParameters("%s is no id of an execution", x.ID)
	}
	l.request.Task = task
	t, err := s.apply(ctx, l)
	if err != nil {
		return err
	}
	s.known.noteExecution(x.ID, t.Deployment)
	return nil
}
