package dag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
)

// Slot is a place that a node occupies while it is visited, one of Max with this key: a host's sessions, a driver's processes.
type Slot struct {
	Key string
	Max int // of the key; at most 0 is no limit. Nodes that name the same key should agree
}

// Verdict is what a failed visit means for the rest of the walk.
type Verdict int

const (
	// Skip leaves out everything that comes after the node; the rest goes on.
	Skip Verdict = iota
	// Continue treats the node as done.
	Continue
	// Stop starts nothing more; visits under way are waited for.
	Stop
)

// WalkOptions of Walk; the zero value visits with no limits, and skips what comes after a failure. The callbacks are called by Walk's
// own goroutine, one at a time, and must not block.
type WalkOptions[K cmp.Ordered] struct {
	Parallel int            // visits at once; at most 0 is no limit
	Slots    func(K) []Slot // what the node occupies; asked once, when it is ready
	// Less says which of two ready nodes starts first when not all can; default the smaller id.
	Less func(a, b K) int
	// Failed decides after a visit returned an error. Default Skip.
	Failed func(id K, err error) Verdict
	// Skipped is told of each node that will not be visited because of a failed one, in order of ids.
	Skipped func(id, because K)
	// Waiting is told when a ready node has to wait for a slot, with the slot's key ("" for Parallel).
	Waiting func(id K, key string)
}

// NodeError is the error of a visit.
type NodeError[K cmp.Ordered] struct {
	ID  K
	Err error
}

func (e *NodeError[K]) Error() string { return fmt.Sprintf("%v: %v", e.ID, e.Err) }
func (e *NodeError[K]) Unwrap() error { return e.Err }

// PanicError is a panic of a visit.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// Unwrap returns the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// errGoexit is the result of a visit that ended its goroutine.
var errGoexit = errors.New("the visit ended its goroutine")

// Walk visits every node after all that come before it, each in its own goroutine as soon as it is ready and its slots are free.
// It returns when every visit has returned: nil, or the errors of the visits as *NodeError in order of ids, joined, with the cause of
// ctx in front if that ended the walk early. A graph with a cycle is refused with a *CycleError before anything is visited.
//
//	blocked ──all before done──▶ ready ──slots free──▶ visiting ──▶ done
//	   └──one before failed (Skip) or skipped──▶ skipped        └──▶ failed
func (g *Graph[K]) Walk(ctx context.Context, opts WalkOptions[K], visit func(context.Context, K) error) error {
	x := g.index()
	if _, ok := x.order(); !ok {
		return g.cycleError(x)
	}
	w := newWalker(x, opts)
	for i, n := range x.in {
		if n == 0 {
			w.makeReady(int32(i))
		}
	}
	done := make(chan result) // unbuffered: a sent result is always received, as Walk waits for all
	stop := ctx.Done()
	for {
		if !w.stopped && ctx.Err() == nil {
			for i, ok := w.next(); ok; i, ok = w.next() {
				w.running++
				start(ctx, i, x.ids[i], visit, done)
			}
		}
		if w.running == 0 {
			break
		}
		select {
		case r := <-done:
			w.running--
			w.finish(r)
		case <-stop:
			stop = nil // visits see ctx themselves; only wait now
		}
	}
	return w.result(ctx)
}

type result struct {
	node int32
	err  error
}

// start visits a node in a goroutine of its own. Whatever the visit does, a panic and runtime.Goexit included, done gets a result.
func start[K any](ctx context.Context, node int32, id K, visit func(context.Context, K) error, done chan<- result) {
	go func() {
		r := result{node, errGoexit}
		defer func() {
			if v := recover(); v != nil {
				r.err = &PanicError{v, debug.Stack()}
			}
			done <- r
		}()
		r.err = visit(ctx, id)
	}()
}

func (w *walker[K]) result(ctx context.Context) error {
	slices.SortFunc(w.failed, func(a, b *NodeError[K]) int { return cmp.Compare(a.ID, b.ID) })
	var errs []error
	if ctx.Err() != nil && w.left > 0 {
		errs = append(errs, context.Cause(ctx))
	}
	for _, e := range w.failed {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
