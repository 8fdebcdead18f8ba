package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// take takes in what an act reports.
func (r *run) take(m message) {
	if m.step == nil { // a batch has ended
		r.acting--
		m.batch.running = nil
		return
	}
	st := m.step
	if m.batch == nil {
		r.acting--
		for _, w := range r.slots.free(st) {
			r.ready.push(w)
		}
	}
	err := m.err
	st.begun = st.begun || st.pauses == nil || st.pauses.Begun()
	if err == nil {
		if err = r.keep(st, m.result); err != nil {
			err = &unkeptError{err}
		}
	}
	switch {
	case err == nil:
		r.succeed(st)
	case m.shared && r.outOfTurn(st):
	default:
		if m.err != nil {
			r.keepWritten(st, m.result)
		}
		r.fail(st, err)
	}
}

// keepWritten stores attributes that an operation has set before it failed.
func (r *run) keepWritten(st *step, res driver.Result) {
	for name, v := range res.Attributes {
		if err := r.setAttribute(st.Of(), name, v); err != nil {
			r.e.opts.Logger.Warn("cannot keep what a failed operation has set", "step", st.ID, "attribute", name, "error", err)
		}
	}
	r.unsetAttributes(st.Of(), res.Unset)
	if err := r.keepAlso(res.Also); err != nil {
		r.e.opts.Logger.Warn("cannot keep what a failed operation has set", "step", st.ID, "error", err)
	}
}

// outOfTurn deals with a step that its batch did not come to because a predecessor in it failed: it goes back to waiting for that one. It keeps
// its OpID: a process that died may have begun it under that already.
func (r *run) outOfTurn(st *step) bool {
	if st.waits == 0 && !st.bad {
		return false
	}
	st.status, st.decided = Pending, false
	if st.waits == 0 {
		r.decide(st)
	}
	return true
}

func (r *run) succeed(st *step) {
	st.err = nil
	r.retried(st)
	r.finish(st, plan.Done)
	if st.StateAfter != "" {
		r.passStates(st.StateOf(), st.StateAfter)
	}
	r.ended(st, Done)
}

// finish writes the end of the act into the journal of its instance.
func (r *run) finish(st *step, status plan.Status) {
	rec := r.instance(st.Of())
	if rec.Finish(st.Key(), status, time.Now().UTC()); status == plan.Done {
		rec.Adopt(st.Adopts)
	}
	r.pending.touch(st.Of())
}

// keep stores what an act has brought: host, attributes, outputs.
func (r *run) keep(st *step, res driver.Result) error {
	in := st.Of()
	rec := r.instance(in)
	r.world.mu.Lock()
	if res.Host != nil {
		rec.Host = res.Host
	}
	if res.Replaced || st.Replaces || st.Action == driver.Replace {
		rec.Generation = st.opID[:min(16, len(st.opID))]
	}
	r.world.mu.Unlock()
	if st.Kind == plan.Infra && st.Action == driver.Delete {
		return r.keepAlso(res.Also)
	}
	if st.Kind == plan.Infra && (st.Action == driver.Create || st.Action == driver.Update || st.Action == driver.Replace) {
		rec.Made = true
	}
	for name, v := range res.Attributes {
		if err := r.setAttribute(in, name, v); err != nil {
			return err
		}
	}
	r.unsetAttributes(in, res.Unset)
	if err := r.keepAlso(res.Also); err != nil {
		return err
	}
	return r.keepOutputs(st, res)
}

// keepAlso stores what an act has changed of other instances; those that are gone stay gone.
func (r *run) keepAlso(also map[topology.Instance]driver.Result) error {
	for in, res := range also {
		rec := r.world.instances[in]
		if rec == nil {
			continue
		}
		if res.Host != nil {
			r.world.mu.Lock()
			rec.Host = res.Host
			r.world.mu.Unlock()
			r.pending.touch(in)
		}
		for name, v := range res.Attributes {
			if err := r.setAttribute(in, name, v); err != nil {
				return err
			}
		}
		r.unsetAttributes(in, res.Unset)
	}
	return nil
}

func (r *run) keepOutputs(st *step, res driver.Result) error {
	in, key := st.Of(), outputKey(st.Relationship, st.Interface, st.Operation)
	if len(res.Outputs) == 0 {
		r.forgetOutputs(st, in, key)
		return nil
	}
	out := map[string]json.RawMessage{}
	dec := map[string]any{}
	for name, text := range res.Outputs {
		v := r.hide(text)
		raw, err := encodeSmall(v, r.e.opts.Cipher)
		if err != nil {
			return fmt.Errorf("cannot store the output %s: %w", name, err)
		}
		out[name], dec[name] = raw, v
	}
	r.world.mu.Lock()
	v, d := r.world.forChange(in)
	v.Outputs[key], d.outputs[key] = out, dec
	r.world.mu.Unlock()
	r.pending.touchValues(in)
	return r.mapOutputs(st, dec)
}

// forgetOutputs of an earlier run of the operation: this one has set none.
func (r *run) forgetOutputs(st *step, in topology.Instance, key string) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	if v := r.world.values[in]; st.Kind == plan.Op && v != nil && len(v.Outputs[key]) > 0 {
		delete(v.Outputs, key)
		if d := r.world.decode(in); d != nil {
			delete(d.outputs, key)
		}
		r.pending.touchValues(in)
	}
}

// hide makes a secret of a text that holds one.
func (r *run) hide(text string) any {
	if r.e.opts.Redactor.String(text) != text {
		return secret.New(text)
	}
	return text
}

// mapOutputs publishes outputs as attributes, as the operation declares (TOSCA 1.3 §3.6.16).
func (r *run) mapOutputs(st *step, outputs map[string]any) error {
	_, n, rel, op := r.find(st)
	if op == nil || n == nil {
		return nil
	}
	for _, m := range op.Outputs {
		v, ok := outputs[m.Output]
		if !ok || len(m.Target) < 2 {
			continue
		}
		name := strings.Join(m.Target[1:], ".")
		var err error
		switch m.Target[0] {
		case "SELF":
			if rel != nil {
				err = r.setRelationshipAttribute(st, name, v)
				break
			}
			err = r.setAttribute(st.Of(), name, v)
		case "SOURCE":
			err = r.setAttribute(st.Of(), name, v)
		case "TARGET":
			for _, i := range r.targets(st) {
				err = errors.Join(err, r.setAttribute(topology.Instance{Node: st.Target, Index: i}, name, v))
			}
		default:
			for _, i := range r.world.Instances(m.Target[0]) {
				err = errors.Join(err, r.setAttribute(topology.Instance{Node: m.Target[0], Index: i}, name, v))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) setAttribute(in topology.Instance, name string, v any) error {
	raw, err := encodeSmall(v, r.e.opts.Cipher)
	if err != nil {
		return fmt.Errorf("cannot store the attribute %s of %s: %w", name, in, err)
	}
	addSecrets(r.e.opts.Redactor, v)
	r.instance(in)
	r.world.mu.Lock()
	vals, d := r.world.forChange(in)
	same := string(vals.Attributes[name]) == string(raw)
	vals.Attributes[name] = raw
	d.attributes[name], _ = Decode(raw, r.e.opts.Cipher)
	r.world.mu.Unlock()
	if same {
		return nil
	}
	r.pending.touchValues(in)
	text, hidden := topology.Text(v)
	if hidden {
		text = secret.Mask
	}
	r.pending.event(event.Event{Type: event.Attribute, Node: in.Node, Instance: in.Index, Key: name, Value: r.e.opts.Redactor.String(text)})
	return nil
}

// unsetAttributes forgets values that the instance has no more.
func (r *run) unsetAttributes(in topology.Instance, names []string) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	for _, name := range names {
		if v := r.world.values[in]; v == nil || v.Attributes[name] == nil {
			continue
		}
		vals, d := r.world.forChange(in)
		delete(vals.Attributes, name)
		delete(d.attributes, name)
		r.pending.touchValues(in)
	}
}

func (r *run) setRelationshipAttribute(st *step, name string, v any) error {
	raw, err := encodeSmall(v, r.e.opts.Cipher)
	if err != nil {
		return fmt.Errorf("cannot store the attribute %s of %s: %w", name, st.ID, err)
	}
	key := st.Relationship
	if st.PerPair() {
		key += "[" + st.TargetInstance + "]"
	}
	r.world.mu.Lock()
	vals, d := r.world.forChange(st.Of())
	if vals.Relationships[key] == nil {
		vals.Relationships[key], d.rels[key] = map[string]json.RawMessage{}, map[string]any{}
	}
	vals.Relationships[key][name], d.rels[key][name] = raw, v
	r.world.mu.Unlock()
	r.pending.touchValues(st.Of())
	return nil
}

// forChange returns the values of an instance with all maps made. The lock must be held.
func (w *World) forChange(in topology.Instance) (*Values, *decoded) {
	v := w.values[in]
	if v == nil {
		v = &Values{}
		w.values[in] = v
	}
	if v.Attributes == nil {
		v.Attributes = map[string]json.RawMessage{}
	}
	if v.Relationships == nil {
		v.Relationships = map[string]map[string]json.RawMessage{}
	}
	if v.Outputs == nil {
		v.Outputs = map[string]map[string]json.RawMessage{}
	}
	return v, w.decode(in)
}

// fail decides what a failure means: another attempt, or the end of the step.
func (r *run) fail(st *step, err error) {
	st.err = err
	switch {
	case errors.Is(err, driver.ErrNotBegun):
		r.neverBegun(st)
		return
	case errors.Is(err, driver.ErrDetach) || st.Kind == plan.Infra && r.actCtx.Err() != nil:
		// It goes on without us. The journal of the instance keeps it as being done, so that whoever comes next observes it.
		st.err = fmt.Errorf("%w", driver.ErrDetach)
		r.ended(st, Cancelled)
		return
	case r.opCtx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(context.Cause(r.opCtx), errForced)):
		if !unknownEnd(err) {
			r.finish(st, plan.Failed)
		}
		st.err = errForced
		r.ended(st, Cancelled)
		return
	}
	var unkept *unkeptError
	done := errors.As(err, &unkept)
	if done {
		// Its journal keeps it as being done: whoever tries again asks for the same OpID, and gets the same result without doing it again.
	} else if delay, again := r.retry(st, err); again && r.stop == goOn {
		r.attempted(st, err)
		if st.opID == "" {
			r.finish(st, plan.Failed) // this attempt is over; the next is another
		}
		r.waitsFor(st, fmt.Sprintf("another attempt in %s: %s", delay.Round(time.Second), r.e.opts.Redactor.String(firstLine(err))))
		r.later.add(time.Now().Add(delay), st)
		return
	}
	if !done && (!unknownEnd(err) || st.opID == "") {
		r.finish(st, plan.Failed)
	}
	if !st.IgnoreFailure {
		r.setState(st.StateOf(), plan.StateError)
		r.failed(st, err)
	} else {
		e := r.stepEvent(st)
		e.Type, e.Level, e.Message = event.Log, event.Warn, "the failure is ignored: "+r.e.opts.Redactor.String(err.Error())
		r.pending.event(e)
		if st.StateAfter != "" {
			r.passStates(st.StateOf(), st.StateAfter)
		}
	}
	r.ended(st, Failed)
	if !st.IgnoreFailure && !st.handled {
		r.halt()
	}
}

// unkeptError is why what an act has brought cannot be stored. The act itself is done.
type unkeptError struct{ err error }

func (e *unkeptError) Error() string { return e.err.Error() }
func (e *unkeptError) Unwrap() error { return e.err }

// neverBegun ends a step that was given up while it waited for what it needs to begin. It is as if it had not been started: it has no OpID that
// anything could be asked about.
func (r *run) neverBegun(st *step) {
	r.instance(st.Of()).NeverBegun(st.Key())
	r.pending.touch(st.Of())
	st.opID = ""
	if r.halted {
		st.status, st.err = Pending, nil
		r.pending.transition(r, st)
		return
	}
	st.err = driver.ErrNotBegun
	r.ended(st, Cancelled)
}

// unknownEnd reports whether nobody knows how the act has ended: the connection was lost, and stayed so. Its journal keeps it as being done,
// so that the next attempt asks for the same OpID instead of doing it again.
func unknownEnd(err error) bool {
	var de *driver.Error
	return errors.As(err, &de) && de.Retryable && de.ExitCode <= 0
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// due queues the steps whose next attempt has come. One that was in a batch with what it waits for, and failed by itself, waits for that
// again: it is decided like any other when that ends, and not twice.
func (r *run) due() {
	for _, st := range r.later.due(time.Now()) {
		st.status = Pending
		switch {
		case st.decided:
			r.enqueue(st)
		case st.waits == 0:
			r.decide(st)
		}
	}
}

// waitsFor tells users why a step does not go on.
func (r *run) waitsFor(st *step, what string) {
	if st.waiting == what {
		return
	}
	st.waiting = what
	e := r.stepEvent(st)
	e.Type, e.Message = event.Waiting, "waiting for "+what
	r.pending.event(e)
}
