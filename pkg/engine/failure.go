package engine

import (
	"errors"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// failed notes a first cause: a step that failed by itself, not for another's sake. Where an on_failure step fails, what it was to mend is the
// first cause; if it is mended, nobody asks for it.
func (r *run) failed(st *step, err error) {
	f := r.failure(st, err)
	f.recall(st.earlier)
	r.causes[st.ID] = f
	if st.handled {
		st.failure = f
		return
	}
	if before := st.mends; before != nil && !slices.Contains(r.failures, before) {
		r.failures = append(r.failures, before)
	}
	r.failures = append(r.failures, f)
}

func (r *run) failure(st *step, err error) *Failure {
	red := r.e.opts.Redactor
	f := &Failure{Step: st.ID, Node: st.Node, Instance: st.Instance, Operation: st.operation(), Host: st.Host, Message: red.String(err.Error()),
		Pos: st.Pos, Attempts: st.retries + 1, Infra: st.Kind == plan.Infra, WorkflowStep: st.WorkflowStep}
	var de *driver.Error
	if errors.As(err, &de) {
		f.Because = de.Because
		f.ExitCode, f.Detail, f.Hint = de.ExitCode, red.String(de.Detail), red.String(de.Hint)
		if de.Host != "" {
			f.Host = de.Host
		}
		for _, line := range de.Stderr {
			f.Stderr = append(f.Stderr, red.String(line))
		}
		for _, line := range de.Console {
			f.Console = append(f.Console, red.String(line))
		}
	}
	var unkept *unkeptError
	if errors.As(err, &unkept) && st.Kind == plan.Op {
		f.Detail = "the operation itself has succeeded and is not run again: its result is read from its host's journal when the task goes on"
	}
	var ee *topology.EvalError
	if errors.As(err, &ee) {
		f.Message, f.Hint = red.String(ee.Message), red.String(ee.Hint)
		if !ee.Pos.IsZero() {
			f.Pos = ee.Pos
		}
	}
	var placed *placedError
	if errors.As(err, &placed) && ee == nil && !placed.pos.IsZero() {
		f.Pos = placed.pos
	}
	if placed != nil && f.Hint == "" {
		f.Hint = placed.hint
	}
	return f
}

// placedError is an error at a place of the document.
type placedError struct {
	pos  diag.Pos
	hint string
	err  error
}

func (e *placedError) Error() string { return e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

// firstCause is the failure that came first; the others follow it. One that only says that another one happened, as several steps do that are done in
// one go, is a step that was not run because of it.
func (r *run) firstCause() *Failure {
	var own []Failure
	for i, f := range r.failures {
		if cause := r.tells(i); cause == nil {
			own = append(own, *f)
		}
	}
	for i, f := range r.failures {
		if cause := r.tells(i); cause != nil {
			k := slices.IndexFunc(own, func(o Failure) bool { return o.Step == cause.Step })
			own[k].Skipped = append(slices.Clone(own[k].Skipped), f.Step)
		}
	}
	first := own[0]
	first.Others = own[1:len(own):len(own)]
	if len(own) == 1 {
		first.Others = nil
	}
	return &first
}

// tells is the failure that the i-th is about, if that is another one's: of the instance that it names, or the first with the same words.
func (r *run) tells(i int) *Failure {
	f := r.failures[i]
	if f.Because != (topology.Instance{}) {
		for _, o := range r.failures {
			if o.Because == (topology.Instance{}) && o.Infra && o.Node == f.Because.Node && (f.Because.Index == "" || o.Instance == f.Because.Index) {
				return o
			}
		}
	}
	if !f.Infra {
		return nil
	}
	for _, o := range r.failures[:i] {
		if o.Infra && o.Message == f.Message && r.tells(slices.Index(r.failures, o)) == nil {
			return o
		}
	}
	return nil
}
