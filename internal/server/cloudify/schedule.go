package cloudify

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/topology"
)

// scheduleRecord starts a workflow of a deployment again and again.
type scheduleRecord struct {
	owned
	Name       string           `json:"name"`
	Deployment string           `json:"deployment"`
	Workflow   string           `json:"workflow"`
	Parameters map[string]any   `json:"parameters,omitempty"`
	Arguments  *argumentsRecord `json:"arguments,omitempty"`
	Rule       ruleRecord       `json:"rule"`
	Since      time.Time        `json:"since"`
	Until      time.Time        `json:"until,omitzero"`
	// Slip is how many minutes late it may start; what is later is left out.
	Slip       int       `json:"slip,omitempty"`
	StopOnFail bool      `json:"stop_on_fail,omitempty"`
	Disabled   bool      `json:"disabled,omitempty"`
	Next       time.Time `json:"next,omitzero"`
	Latest     string    `json:"latest,omitempty"` // execution
	As         *actor    `json:"as"`
}

type scheduleDocument struct {
	common
	Deployment   string           `json:"deployment_id"`
	Workflow     string           `json:"workflow_id"`
	Parameters   map[string]any   `json:"parameters"`
	Arguments    *argumentsRecord `json:"execution_arguments"`
	Rule         ruleRecord       `json:"rule"`
	Since        *string          `json:"since"`
	Until        *string          `json:"until"`
	Slip         int              `json:"slip"`
	StopOnFail   bool             `json:"stop_on_fail"`
	Enabled      bool             `json:"enabled"`
	Next         *string          `json:"next_occurrence"`
	Latest       *string          `json:"latest_execution"`
	LatestStatus *string          `json:"latest_execution_status"`
	All          []string         `json:"all_next_occurrences"`
	record       scheduleRecord
}

func scheduleKey(deployment, name string) string { return deployment + "/" + name }

func scheduleOf(r scheduleRecord) scheduleDocument {
	d := scheduleDocument{common: r.common(), Deployment: r.Deployment, Workflow: r.Workflow, Parameters: r.Parameters, Arguments: r.Arguments, Rule: r.Rule, Since: stamp(r.Since),
		Until: stamp(r.Until), Slip: r.Slip, StopOnFail: r.StopOnFail, Enabled: !r.Disabled, Next: stamp(r.Next), Latest: text0(r.Latest), All: []string{}, record: r}
	d.ID = r.Name
	return d
}

// completeSchedule fills in what is computed: when it is due, and how it went the last time.
func (s *Server) completeSchedule(q *request) func(context.Context, *scheduleDocument) error {
	return func(ctx context.Context, d *scheduleDocument) error {
		rule, err := d.record.Rule.understood()
		if err != nil {
			return err
		}
		for t := range rule.occurrences(d.record.Since, d.record.Until) {
			if len(d.All) == shownOccurrences {
				break
			}
			if !t.Before(s.opts.now()) {
				d.All = append(d.All, t.UTC().Format(time.DateTime))
			}
		}
		if d.Latest == nil {
			return nil
		}
		x, _, err := s.findExecution(ctx, q, *d.Latest)
		if err == nil {
			d.LatestStatus = &x.Status
		} else if isMissing(err) {
			err = nil
		}
		return err
	}
}

// scheduleBody creates or changes a schedule.
type scheduleBody struct {
	Workflow   string         `json:"workflow_id"`
	Parameters map[string]any `json:"parameters"`
	Arguments  *struct {
		AllowCustom flag `json:"allow_custom_parameters"`
		Force       flag `json:"force"`
		DryRun      flag `json:"dry_run"`
		IsDryRun    flag `json:"is_dry_run"`
		Wait        int  `json:"wait_after_fail"`
	} `json:"execution_arguments"`
	Since      *string  `json:"since"`
	Until      *string  `json:"until"`
	Recurrence *string  `json:"recurrence"`
	Count      *int     `json:"count"`
	Weekdays   []string `json:"weekdays"`
	RRule      *string  `json:"rrule"`
	Slip       *int     `json:"slip"`
	StopOnFail *flag    `json:"stop_on_fail"`
	Enabled    *flag    `json:"enabled"`
}

// apply changes a record as the body asks for; what it does not name stays.
func (b *scheduleBody) apply(r *scheduleRecord, now time.Time) (err error) {
	for _, t := range []struct {
		text *string
		into *time.Time
	}{{b.Since, &r.Since}, {b.Until, &r.Until}} {
		if t.text != nil && *t.text != "" {
			if *t.into, err = parseTime(*t.text); err != nil {
				return err
			}
		}
	}
	if b.RRule != nil && *b.RRule != "" {
		r.Rule = ruleRecord{RRule: *b.RRule}
	} else if b.Recurrence != nil || b.Count != nil || len(b.Weekdays) > 0 {
		r.Rule.RRule = ""
	}
	if b.Recurrence != nil {
		r.Rule.Recurrence = *b.Recurrence
	}
	if b.Count != nil {
		r.Rule.Count = *b.Count
	}
	if len(b.Weekdays) > 0 {
		r.Rule.Weekdays = b.Weekdays
	}
	if b.Slip != nil {
		if r.Slip = *b.Slip; r.Slip < 0 {
			return badParameters("slip must be a number of minutes from 0 on, not %d", r.Slip)
		}
	}
	if b.StopOnFail != nil {
		r.StopOnFail = bool(*b.StopOnFail)
	}
	if b.Enabled != nil {
		r.Disabled = !bool(*b.Enabled)
	}
	if a := b.Arguments; a != nil {
		if bool(a.DryRun) || bool(a.IsDryRun) {
			return badParameters("A dry run cannot be scheduled: it shows at once what would be done")
		}
		r.Arguments = &argumentsRecord{AllowCustom: bool(a.AllowCustom), Force: bool(a.Force), WaitAfter: a.Wait}
	}
	return r.plan(now)
}

// plan finds out when it is due the next time.
func (r *scheduleRecord) plan(now time.Time) error {
	rule, err := r.Rule.understood()
	if err != nil {
		return err
	}
	r.Next = rule.after(r.Since, r.Until, now)
	return nil
}

func (q *request) scheduleKey() (deployment, key string, err error) {
	if deployment = q.QueryParam("deployment_id"); deployment == "" {
		return "", "", badParameters("Missing deployment_id in the query: a schedule is one of a deployment")
	}
	return deployment, scheduleKey(deployment, q.param("id")), nil
}

func (s *Server) createSchedule(q *request) (any, error) {
	ctx, name := q.Request().Context(), q.param("id")
	if err := checkID("schedule_id", name, true); err != nil {
		return nil, err
	}
	deployment, _, err := q.scheduleKey()
	if err != nil {
		return nil, err
	}
	var b scheduleBody
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Workflow == "" || b.Since == nil || *b.Since == "" {
		return nil, badParameters("Missing workflow_id or since in json request body")
	}
	r := scheduleRecord{Name: name, Deployment: deployment, Workflow: b.Workflow, Arguments: &argumentsRecord{}, As: q.actor()}
	if r.Parameters, err = storable(jsonbody.PlainMap(b.Parameters)); err != nil {
		return nil, err
	}
	if err := b.apply(&r, s.opts.now()); err != nil {
		return nil, err
	}
	if err := s.addSchedule(ctx, q, &r); err != nil {
		return nil, err
	}
	d := scheduleOf(r)
	if err := s.completeSchedule(q)(ctx, &d); err != nil {
		return nil, err
	}
	return created(d)
}

// addSchedule checks that a schedule's workflow can be started, and keeps it.
func (s *Server) addSchedule(ctx context.Context, q *request, r *scheduleRecord) error {
	l, err := s.understand(ctx, q.user(), startRequest{Deployment: r.Deployment, Workflow: r.Workflow, Parameters: maps.Clone(r.Parameters), AllowCustom: flag(r.Arguments.AllowCustom), Force: true})
	if err != nil {
		return err
	}
	now := s.opts.now()
	r.owned = owned{ID: scheduleKey(r.Deployment, r.Name), Tenant: q.tenant, By: q.user(), Visibility: l.record.Visibility, Created: now, Updated: now}
	err = s.shelf.schedules.change(ctx, q.tenant, r.ID, func(have *scheduleRecord) (*scheduleRecord, error) {
		if have != nil {
			return nil, existing("execution_schedule", r.Name)
		}
		return r, nil
	})
	if err != nil {
		return err
	}
	return s.setTimer(ctx, *r)
}

// setTimer to the next time that a schedule is due.
func (s *Server) setTimer(ctx context.Context, r scheduleRecord) error {
	if r.Next.IsZero() || r.Disabled {
		return s.shelf.timers.remove(ctx, r.Tenant, r.ID)
	}
	return s.shelf.timers.put(ctx, r.Tenant, r.ID, timerRecord{r.Tenant, r.ID, scheduleTimer, r.Next})
}

func (s *Server) editSchedule(q *request) (any, error) {
	ctx := q.Request().Context()
	_, key, err := q.scheduleKey()
	if err != nil {
		return nil, err
	}
	var b scheduleBody
	if err := q.body(&b); err != nil {
		return nil, err
	}
	r, err := s.shelf.schedules.edit(ctx, "ExecutionSchedule", q.tenant, key, func(r *scheduleRecord) error {
		r.Updated = s.opts.now()
		return b.apply(r, s.opts.now())
	})
	if err != nil {
		return nil, err
	}
	if err := s.setTimer(ctx, r); err != nil {
		return nil, err
	}
	d := scheduleOf(r)
	if err := s.completeSchedule(q)(ctx, &d); err != nil {
		return nil, err
	}
	return created(d)
}

func (s *Server) oneSchedule(q *request) (any, error) {
	ctx := q.Request().Context()
	_, key, err := q.scheduleKey()
	if err != nil {
		return nil, err
	}
	r, found, err := s.shelf.schedules.get(ctx, q.tenant, key)
	if err == nil && !found {
		err = notFound("ExecutionSchedule", q.param("id"))
	}
	if err != nil {
		return nil, err
	}
	d := scheduleOf(r)
	if err := s.completeSchedule(q)(ctx, &d); err != nil {
		return nil, err
	}
	return answerOne(q, d)
}

func (s *Server) schedules(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[scheduleDocument](q)
	if err != nil {
		return nil, err
	}
	docs, err := scheduleDocuments(s, q)
	if err != nil {
		return nil, err
	}
	return answerList(ctx, q, l, docs, s.completeSchedule(q))
}

func scheduleDocuments(s *Server, q *request) ([]scheduleDocument, error) {
	all, err := s.shelf.schedules.all(q.Request().Context(), q.tenant)
	docs := []scheduleDocument{}
	for _, r := range all {
		docs = append(docs, scheduleOf(r))
	}
	return docs, err
}

func (s *Server) deleteSchedule(q *request) (any, error) {
	ctx := q.Request().Context()
	_, key, err := q.scheduleKey()
	if err != nil {
		return nil, err
	}
	if _, err := s.shelf.schedules.edit(ctx, "ExecutionSchedule", q.tenant, key, func(*scheduleRecord) error { return nil }); err != nil {
		return nil, err
	}
	if err := s.shelf.forgetSchedule(ctx, q.tenant, key); err != nil {
		return nil, err
	}
	return answered{http.StatusNoContent, nil}, nil
}

func (sh *shelf) forgetSchedule(ctx context.Context, tenant, key string) error {
	if err := sh.schedules.remove(ctx, tenant, key); err != nil {
		return err
	}
	return sh.timers.remove(ctx, tenant, key)
}

// lateness is how much later than its time an execution may start that has no slip: servers look every few seconds.
const lateness = time.Minute

// recur starts the execution of a schedule that is due, and sets its timer to the next time.
func (s *Server) recur(ctx context.Context, t timerRecord) error {
	r, found, err := s.shelf.schedules.get(ctx, t.Tenant, t.ID)
	if err != nil {
		return err
	}
	if !found || r.Disabled || !r.Next.Equal(t.At) {
		return s.setTimer(ctx, withID(r, t)) // it was changed, or is gone
	}
	stop, err := s.stopped(ctx, r)
	if err != nil {
		return err
	}
	latest, now := r.Latest, s.opts.now()
	if !stop && now.Sub(r.Next) <= lateness+time.Duration(r.Slip)*time.Minute {
		x := executionRecord{owned: owned{ID: executionID(dueID(r.Next, r.Tenant+"\x00"+r.ID)), Tenant: r.Tenant, By: r.As.User, Visibility: r.Visibility, Created: r.Next},
			Deployment: r.Deployment, Workflow: r.Workflow, Parameters: r.Parameters, AllowCustom: r.Arguments.AllowCustom, Status: "scheduled", Scheduled: r.Next,
			Arguments: r.Arguments, As: r.As}
		if latest = x.ID; latest != r.Latest {
			err := s.shelf.executions.change(ctx, r.Tenant, x.ID, func(have *executionRecord) (*executionRecord, error) {
				if have != nil {
					x = *have // another server is at it
				}
				return &x, nil
			})
			if err != nil {
				return err
			}
			if err := s.begin(ctx, x); err != nil {
				return err
			}
		}
	} else if !stop {
		s.opts.Logger.Warn("a scheduled execution was left out: it is too late", "deployment", r.Deployment, "schedule", r.Name, "due", r.Next)
	}
	r, err = s.shelf.schedules.edit(ctx, "ExecutionSchedule", t.Tenant, t.ID, func(r *scheduleRecord) error {
		if !r.Next.Equal(t.At) {
			return nil
		}
		r.Latest, r.Disabled = latest, r.Disabled || stop
		return r.plan(now)
	})
	if isMissing(err) {
		return s.shelf.timers.remove(ctx, t.Tenant, t.ID)
	}
	if err != nil {
		return err
	}
	return s.setTimer(ctx, r)
}

func withID(r scheduleRecord, t timerRecord) scheduleRecord {
	r.Tenant, r.ID = t.Tenant, t.ID
	return r
}

// stopped reports whether a schedule ends because its last execution has failed.
func (s *Server) stopped(ctx context.Context, r scheduleRecord) (bool, error) {
	if !r.StopOnFail || r.Latest == "" {
		return false, nil
	}
	x, _, err := s.findExecution(ctx, &request{Server: s, tenant: r.Tenant}, r.Latest)
	if isMissing(err) {
		return false, nil
	}
	return err == nil && x.Status == "failed", err
}

// defaultSchedules are those that a blueprint gives its deployments (deployment_settings).
func (s *Server) defaultSchedules(ctx context.Context, q *request, deployment string) error {
	_, m, err := s.model(ctx, deployment)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(m.Resolved.Settings, func(p *topology.Parameter) bool { return p.Name == "default_schedules" })
	if at < 0 {
		return nil
	}
	all, _ := evaluatedValue(ctx, topology.Scope{Topology: m.Resolved}, m.Resolved.Settings[at].Value, m.Env, false).(map[string]any)
	for _, name := range sorted(all) {
		def, ok := all[name].(map[string]any)
		if !ok {
			return badParameters("The default schedule %s must be a map", name)
		}
		r, err := defaultSchedule(def, s.opts.now())
		if err != nil {
			return badParameters("The default schedule %s of the blueprint: %s", name, problemOf(err).message)
		}
		r.Name, r.Deployment, r.As = name, deployment, q.actor()
		if err := s.addSchedule(ctx, q, &r); err != nil {
			return err
		}
	}
	return nil
}
