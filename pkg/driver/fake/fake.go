// Package fake is a driver for tests of whatever runs operations: it acts on a World in memory, takes as long as it is told, fails where it
// is told, and records what it did in order.
//
// A World outlives its drivers, as real hosts outlive a killed orch: it keeps a journal by OpID, so that running an OpID again re-attaches to
// what is running or returns what was recorded, and an effect happens once. Time is the time package's: under testing/synctest everything
// is deterministic and takes no time.
package fake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
)

// Behaviour of one operation. The zero value succeeds at once.
type Behaviour struct {
	Duration time.Duration
	// Err is the operation's outcome; nil is success with Result.
	Err    error
	Result driver.Result
	// Lost makes the first attempts to learn the outcome fail with a retryable error although the operation goes on: a lost reply.
	Lost int
	// Output is emitted as log lines when the operation begins.
	Output []string
	// Hang lets the operation run until it is cancelled.
	Hang bool
	// Stubborn operations take so long to end after a cancellation.
	Stubborn time.Duration
	// Crash is where orch dies: see Point. The zero value is nowhere.
	Crash Point
}

// Point of an operation's life at which a driver can be made to crash.
type Point string

const (
	BeforeBegin Point = "before-begin" // nothing has happened
	AfterBegin  Point = "after-begin"  // the world works on it; nobody knows
	BeforeReply Point = "before-reply" // it has ended; nobody knows
)

// ErrCrash is returned by a driver that crashed, at that operation and at all later ones: to its caller it looks as if orch was killed.
var ErrCrash = errors.New("fake: the driver crashed")

// Script decides how a request behaves.
type Script func(req *driver.Request) Behaviour

// Table is a Script made of a map: keys are looked up in the order "step#attempt", "step", "node[i].operation", "operation", "".
type Table map[string]Behaviour

// Behave looks the request up.
func (t Table) Behave(req *driver.Request) Behaviour {
	for _, k := range []string{fmt.Sprintf("%s#%d", req.Step, req.Attempt), req.Step, req.ID().String() + "." + OperationName(req), OperationName(req), ""} {
		if b, ok := t[k]; ok && (k != "" || len(t) > 0) {
			return b
		}
	}
	return Behaviour{}
}

// OperationName of a request: the operation's name, or the action for infrastructure.
func OperationName(req *driver.Request) string {
	if req.Operation != nil {
		return req.Operation.Name
	}
	return string(req.Action)
}

// Record of what happened in a world.
type Record struct {
	Seq     int
	Time    time.Time
	Kind    Kind
	OpID    string
	Step    string
	Attempt int
	Op      string // node[i].operation
	Err     error
}

// Kind of a record.
type Kind string

const (
	Begin  Kind = "begin"  // the effect takes place
	End    Kind = "end"    // with Err
	Attach Kind = "attach" // the same OpID was run again
	Cancel Kind = "cancel" // the operation was ended
	Detach Kind = "detach" // it was left running
	Crash  Kind = "crash"
)

// World is what operations act on. The zero value is ready; it is safe for concurrent use.
type World struct {
	mu      sync.Mutex
	ops     map[string]*op
	records []Record
	active  int
	most    int
}

// op in the journal of the world.
type op struct {
	req   *driver.Request
	b     Behaviour
	stop  chan struct{} // closed to cancel
	done  chan struct{} // closed at the end
	res   driver.Result
	err   error
	lost  int
	ended bool
	once  sync.Once
}

// Records are what happened so far, in order.
func (w *World) Records() []Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.records)
}

// Order of the operations' beginnings, as "node[i].operation".
func (w *World) Order() []string {
	var out []string
	for _, r := range w.Records() {
		if r.Kind == Begin {
			out = append(out, r.Op)
		}
	}
	return out
}

// Begun counts how often an operation, "node[i].operation", took effect.
func (w *World) Begun(name string) int {
	n := 0
	for _, o := range w.Order() {
		if o == name {
			n++
		}
	}
	return n
}

// Active is how many operations run now, Most how many ever ran at once.
func (w *World) Active() int { w.mu.Lock(); defer w.mu.Unlock(); return w.active }

// Most is the highest number of operations that ran at once.
func (w *World) Most() int { w.mu.Lock(); defer w.mu.Unlock(); return w.most }

// Reboot ends all running operations without a result: running them again reports an interruption.
func (w *World) Reboot() {
	w.mu.Lock()
	var running []*op
	for _, o := range w.ops {
		if !o.ended {
			o.b.Err = &driver.Error{Op: "run", ExitCode: -1, Err: ErrInterrupted} // its end is known: there is none
			running = append(running, o)
		}
	}
	w.mu.Unlock()
	for _, o := range running {
		o.cancel()
	}
}

// ErrInterrupted is what became of operations that ran when the world was rebooted.
var ErrInterrupted = driver.ErrInterrupted

func (o *op) cancel() { o.once.Do(func() { close(o.stop) }) }

// record is called with the lock held.
func (w *World) record(k Kind, req *driver.Request, err error) {
	w.records = append(w.records, Record{Seq: len(w.records) + 1, Time: time.Now(), Kind: k, OpID: req.OpID, Step: req.Step, Attempt: req.Attempt,
		Op: req.ID().String() + "." + OperationName(req), Err: err})
}

// begin starts an operation, or finds it.
func (w *World) begin(req *driver.Request, b Behaviour) *op {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o, ok := w.ops[req.OpID]; ok {
		w.record(Attach, req, nil)
		return o
	}
	if w.ops == nil {
		w.ops = map[string]*op{}
	}
	o := &op{req: req, b: b, stop: make(chan struct{}), done: make(chan struct{}), lost: b.Lost}
	w.ops[req.OpID] = o
	w.record(Begin, req, nil)
	w.active++
	w.most = max(w.most, w.active)
	go w.work(o)
	return o
}

// work is the world's own doing: it goes on when drivers die.
func (w *World) work(o *op) {
	t := time.NewTimer(o.b.Duration)
	defer t.Stop()
	end := t.C
	if o.b.Hang {
		end = nil
	}
	cancelled := false
	select {
	case <-end:
	case <-o.stop:
		cancelled = true
		if o.b.Stubborn > 0 {
			time.Sleep(o.b.Stubborn)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o.ended = true
	o.res, o.err = o.b.Result, o.b.Err
	if o.err == nil && cancelled {
		o.err = &driver.Error{Op: "run " + OperationName(o.req), ExitCode: 143, Err: errors.New("cancelled")}
	}
	w.active--
	w.record(End, o.req, o.err)
	close(o.done)
}

// Driver acts on a World. The zero value with a World is ready.
type Driver struct {
	World *World
	// Script says how requests behave; nil: all succeed at once.
	Script Script
	// DriverName is what Name returns; "" is "fake".
	DriverName string
	// OnCrash is called once when a crash point is reached, before Run returns ErrCrash: a test stops its engine here.
	OnCrash func(req *driver.Request, p Point)

	mu      sync.Mutex
	crashed bool
}

var _ driver.Driver = (*Driver)(nil)

// Name of the driver.
func (d *Driver) Name() string { return cmp.Or(d.DriverName, "fake") }

// Run runs a request in the world, attaches to it, or returns its recorded outcome.
func (d *Driver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	var b Behaviour
	if d.Script != nil {
		b = d.Script(req)
	}
	if d.crash(req, b, BeforeBegin) {
		return driver.Result{}, ErrCrash
	}
	if err := context.Cause(ctx); err != nil {
		return driver.Result{}, err
	}
	o := d.World.begin(req, b)
	for _, l := range b.Output {
		if emit != nil {
			emit(event.Event{Time: time.Now(), Type: event.Log, Deployment: req.Deployment, Task: req.Task, Step: req.Step, Node: req.Node.Name,
				Instance: req.Instance, Level: event.Info, Stream: "stdout", Message: l})
		}
	}
	if d.crash(req, b, AfterBegin) {
		return driver.Result{}, ErrCrash
	}
	if d.World.loses(o) {
		return driver.Result{}, &driver.Error{Op: "run " + OperationName(req), ExitCode: -1, Retryable: true, Err: ErrLost}
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		cause := context.Cause(ctx)
		if errors.Is(cause, driver.ErrDetach) {
			d.World.note(Detach, req)
			return driver.Result{}, cause
		}
		d.World.note(Cancel, req)
		o.cancel()
		<-o.done
		return driver.Result{}, cause
	}
	if d.crash(req, b, BeforeReply) {
		return driver.Result{}, ErrCrash
	}
	return o.res, o.err
}

// ErrLost is a reply that was lost: the operation goes on, and running its OpID again attaches to it.
var ErrLost = errors.New("fake: connection lost")

func (w *World) loses(o *op) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.lost == 0 {
		return false
	}
	o.lost--
	return true
}

func (w *World) note(k Kind, req *driver.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record(k, req, nil)
}

// crash reports whether the driver is dead at this point, dying of it if the behaviour says so.
func (d *Driver) crash(req *driver.Request, b Behaviour, p Point) bool {
	d.mu.Lock()
	if d.crashed {
		d.mu.Unlock()
		return true
	}
	if b.Crash != p {
		d.mu.Unlock()
		return false
	}
	d.crashed = true
	d.mu.Unlock()
	d.World.note(Crash, req)
	if d.OnCrash != nil {
		d.OnCrash(req, p)
	}
	return true
}

// Crashed reports whether a crash point was reached.
func (d *Driver) Crashed() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.crashed }
