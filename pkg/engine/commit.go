package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// changes collect what the loop has decided until it is stored.
type changes struct {
	next        uint64 // number of the next part of the task's journal
	transitions []Transition
	events      []event.Event
	instances   set
	values      set
	forgotten   []forgotten
}

// forgotten is an instance to remove, with what happened to the step that removes it: both are stored together, after everything else
// that is known of the instance's steps. Unless it is made anew in the same commit (healed): then its new record replaces the old one, and the
// step is told of in its place among the transitions.
type forgotten struct {
	in topology.Instance
	t  Transition
	at int // of the transitions: how many were before
}

// set of instances in the order of adding.
type set struct {
	list []topology.Instance
	has  map[topology.Instance]bool
}

func (s *set) add(in topology.Instance) {
	if s.has == nil {
		s.has = map[topology.Instance]bool{}
	}
	if !s.has[in] {
		s.has[in] = true
		s.list = append(s.list, in)
	}
}

func (s *set) remove(in topology.Instance) {
	if s.has[in] {
		delete(s.has, in)
		s.list = slices.DeleteFunc(s.list, func(x topology.Instance) bool { return x == in })
	}
}

func (c *changes) touch(in topology.Instance)       { c.instances.add(in) }
func (c *changes) touchValues(in topology.Instance) { c.values.add(in) }

func (c *changes) event(e event.Event) {
	e.Time = time.Now().UTC()
	c.events = append(c.events, e)
}

// transition notes the present status of a step.
func (c *changes) transition(r *run, st *step) {
	t := Transition{Step: st.ID, Status: st.status, Attempt: st.attempt, OpID: st.opID, At: time.Now().UTC(), Because: st.because, LeftOut: st.leftOut}
	if st.err != nil && st.status != Doing && st.status != Done {
		t.Error = r.e.opts.Redactor.String(st.err.Error())
	}
	r.observe(st, t.At)
	if st.Kind == plan.Forget && st.status == Done {
		c.forgotten = append(c.forgotten, forgotten{st.Of(), t, len(c.transitions)})
		return
	}
	c.transitions = append(c.transitions, t)
	if st.Acts() || st.WorkflowStep != "" {
		e := r.stepEvent(st)
		e.Type, e.Status, e.Message, e.Time = event.StepStatus, string(st.status), t.Error, t.At
		if st.leftOut {
			e.Status, e.Message = string(Skipped), st.why
		}
		if st.status == Skipped && st.because != "" && e.Message == "" {
			e.Message = st.because + " failed"
		}
		c.events = append(c.events, e)
	}
}

func (r *run) stepEvent(st *step) event.Event {
	return event.Event{Deployment: r.job.Deployment, Task: r.job.Task, Workflow: r.job.Plan.Workflow, Step: st.ID, WorkflowStep: st.WorkflowStep, Node: st.Node, Instance: st.Instance,
		Relationship: st.Relationship, Target: st.Target, Interface: st.Interface, Operation: st.operation(), Host: st.Host}
}

// operation names the act for people.
func (st *step) operation() string {
	if st.Kind == plan.Infra {
		return string(st.Action)
	}
	return st.Operation
}

// forget removes an instance.
func (c *changes) forget(r *run, in topology.Instance) {
	r.world.mu.Lock()
	delete(r.world.instances, in)
	delete(r.world.values, in)
	delete(r.world.decoded, in)
	r.world.mu.Unlock()
	c.instances.remove(in)
	c.values.remove(in)
}

// Bounds of one transaction, well below those of the store: journal, events and fence need room too.
const (
	maxPuts        = 45
	maxPutBytes    = 180 * 1024
	maxTransitions = 500
	maxForgets     = 20
)

// put is a record to write; without a value to delete.
type put struct {
	key   string
	value []byte
}

func (p put) do(tx state.Tx) error {
	if p.value == nil {
		return tx.Delete(p.key)
	}
	return tx.Put(p.key, p.value)
}

// commit stores what has changed: first the instances, then what happened to the steps with the events that tell of it, last what is
// forgotten. A crash in between leaves instances that know more than the task; replay takes that into account. Where there are many events
// they are returned instead, to be stored when the acts have begun: these wait for intent only.
func (r *run) commit(ctx context.Context) (later []event.Event, err error) {
	c := &r.pending
	events := c.events
	if emitted := r.events.take(); len(emitted) > 0 {
		events = append(emitted, c.events...)
	}
	if len(events) == 0 && len(c.transitions) == 0 && len(c.instances.list) == 0 && len(c.values.list) == 0 && len(c.forgotten) == 0 {
		return nil, nil
	}
	r.logged += len(events)
	for i := range events {
		events[i].Deployment, events[i].Task, events[i].Workflow = r.job.Deployment, r.job.Task, r.job.Plan.Workflow
	}
	puts, err := r.encode()
	if err != nil {
		return nil, err
	}
	puts = r.renew(puts)
	if puts, err = r.putMost(ctx, puts); err != nil {
		return nil, err
	}
	transitions := c.transitions
	for first := true; first || len(transitions) > 0; first = false {
		n := min(len(transitions), maxTransitions)
		var now []event.Event
		if n == len(transitions) && len(events) <= maxTxEvents {
			now, events = events, nil
		}
		if err := r.update(ctx, puts, transitions[:n], now); err != nil {
			return nil, err
		}
		puts, transitions = nil, transitions[n:]
	}
	for part := range slices.Chunk(c.forgotten, maxForgets) {
		if err := r.remove(ctx, part); err != nil {
			return nil, err
		}
	}
	clear(c.transitions) // the capacity stays: under load each round has about as much as the one before
	*c = changes{next: c.next, transitions: c.transitions[:0]}
	return events, nil
}

// putMost writes all records but those of the last transaction, many transactions at once: stores commit concurrent ones together.
func (r *run) putMost(ctx context.Context, puts []put) (rest []put, err error) {
	var g errgroup.Group
	g.SetLimit(maxParallelPuts)
	for len(puts) > maxPuts || size(puts) > maxPutBytes && len(puts) > 1 {
		n, bytes := 0, 0
		for n < len(puts) && n < maxPuts && (n == 0 || bytes+len(puts[n].value) <= maxPutBytes) {
			bytes += len(puts[n].value)
			n++
		}
		now := puts[:n]
		g.Go(func() error { return r.update(ctx, now, nil, nil) })
		puts = puts[n:]
	}
	return puts, g.Wait()
}

const maxParallelPuts = 16

// maxTxEvents is how many events are stored with the transitions that they tell of; more follow in transactions of their own.
const maxTxEvents = 60

func size(puts []put) (n int) {
	for _, p := range puts {
		n += len(p.key) + len(p.value)
	}
	return n
}

// encode makes the records of what has changed, many on all processors: it is most of what a step that does nothing costs.
func (r *run) encode() ([]put, error) {
	c := &r.pending
	n := len(c.instances.list)
	puts := make([]put, n+len(c.values.list))
	var g errgroup.Group
	for from := 0; from < len(puts); from += encodeChunk {
		to := min(from+encodeChunk, len(puts))
		do := func() (err error) {
			for i := from; i < to && err == nil; i++ {
				if i < n {
					puts[i], err = r.encodeInstance(c.instances.list[i])
				} else {
					puts[i], err = r.encodeValues(c.values.list[i-n])
				}
			}
			return err
		}
		if len(puts) <= encodeChunk {
			if err := do(); err != nil {
				return nil, err
			}
			break
		}
		g.Go(do)
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(puts, func(p put) bool { return p.key == "" }), nil
}

// encodeChunk is how many records are worth a goroutine.
const encodeChunk = 128

func (r *run) encodeInstance(in topology.Instance) (put, error) {
	rec := r.world.instances[in]
	if rec == nil {
		return put{}, nil
	}
	b, err := state.EncodeRecord(*rec)
	if err != nil {
		return put{}, fmt.Errorf("cannot encode %s: %w", in, err)
	}
	return put{instanceKey(r.job.Deployment, in), b}, nil
}

func (r *run) encodeValues(in topology.Instance) (put, error) {
	v := r.world.values[in]
	if v == nil {
		return put{}, nil
	}
	b, err := state.EncodeRecord(*v)
	if err != nil {
		return put{}, fmt.Errorf("cannot encode the attributes of %s: %w", in, err)
	}
	return put{valuesKey(r.job.Deployment, in), b}, nil
}

// update writes one transaction, patiently.
func (r *run) update(ctx context.Context, puts []put, transitions []Transition, events []event.Event) error {
	if len(puts) == 0 && len(transitions) == 0 && len(events) == 0 {
		return nil
	}
	key := journalPrefix(r.job.Deployment, r.job.Task) + state.Num(r.pending.next)
	err := r.patient(ctx, func() error {
		return r.store.Update(ctx, func(tx state.Tx) error {
			for _, p := range puts {
				if err := p.do(tx); err != nil {
					return err
				}
			}
			if len(transitions) > 0 {
				if err := state.Put(tx, key, transitions); err != nil {
					return err
				}
			}
			_, err := state.AppendTx(tx, r.job.Deployment, events...)
			return err
		})
	})
	if errors.Is(err, state.ErrTooLarge) && len(events) > 0 {
		if err := r.update(ctx, puts, transitions, nil); err != nil {
			return err
		}
		return r.append(ctx, events)
	}
	if err == nil && len(transitions) > 0 {
		r.pending.next++
	}
	return err
}

func (r *run) append(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	return r.patient(ctx, func() error {
		return r.log.Add(ctx, r.job.Deployment, events...)
	})
}

// renew moves what is forgotten and made anew at once to where it is not forgotten after all the rest: a crash in between would have it forgotten once
// more, and for good.
func (r *run) renew(puts []put) []put {
	c := &r.pending
	r.world.mu.RLock()
	defer r.world.mu.RUnlock()
	moved := 0
	c.forgotten = slices.DeleteFunc(c.forgotten, func(f forgotten) bool {
		_, again := r.world.instances[f.in]
		if !again {
			return false
		}
		c.transitions = slices.Insert(c.transitions, f.at+moved, f.t)
		moved++
		if _, values := r.world.values[f.in]; !values {
			puts = append(puts, put{key: valuesKey(r.job.Deployment, f.in)})
		}
		return true
	})
	return puts
}

// remove removes records of instances.
func (r *run) remove(ctx context.Context, gone []forgotten) error {
	key := journalPrefix(r.job.Deployment, r.job.Task) + state.Num(r.pending.next)
	err := r.patient(ctx, func() error {
		return r.store.Update(ctx, func(tx state.Tx) error {
			var transitions []Transition
			for _, f := range gone {
				transitions = append(transitions, f.t)
				if err := errors.Join(tx.Delete(instanceKey(r.job.Deployment, f.in)), tx.Delete(valuesKey(r.job.Deployment, f.in))); err != nil {
					return err
				}
			}
			return state.Put(tx, key, transitions)
		})
	})
	if err == nil {
		r.pending.next++
	}
	return err
}

// patient repeats what fails because the store cannot be used just now: acts go on meanwhile, and lose nothing by it.
func (r *run) patient(ctx context.Context, do func() error) error {
	delay := 100 * time.Millisecond
	var said time.Time
	for deadline := time.Now().Add(r.e.opts.StorePatience); ; {
		err := do()
		if err == nil && !said.IsZero() {
			r.e.opts.Logger.Warn("the store can be used again", "deployment", r.job.Deployment)
		}
		var away *state.UnavailableError
		if err == nil || !errors.As(err, &away) && !errors.Is(err, state.ErrConflict) || time.Now().Add(delay).After(deadline) {
			return err
		}
		if away != nil && time.Since(said) > 30*time.Second {
			said = time.Now()
			r.e.opts.Logger.Warn("the store cannot be used; trying on", "deployment", r.job.Deployment, "error", err, "for", time.Until(deadline).Round(time.Second))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
		delay = min(2*delay, 5*time.Second)
	}
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }
