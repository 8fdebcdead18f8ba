package cloud

import (
	"context"
	"sync"
	"time"
)

// Work runs what the real services do behind their APIs' back: functions of one lane run one after the other in the
// order given, lanes run at once. Close cancels and waits, so that no goroutine outlives the sandbox.
type Work struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu    sync.Mutex
	lanes map[string][]func(context.Context) // present while the lane's goroutine runs
	shut  bool
}

// NewWork returns a running Work.
func NewWork() *Work {
	ctx, cancel := context.WithCancel(context.Background())
	return &Work{ctx: ctx, cancel: cancel, lanes: map[string][]func(context.Context){}}
}

// Do queues fn on the lane. After Close it does nothing.
func (w *Work) Do(lane string, fn func(context.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return
	}
	waiting, running := w.lanes[lane]
	w.lanes[lane] = append(waiting, fn)
	if !running {
		w.group.Add(1)
		go w.run(lane)
	}
}

func (w *Work) run(lane string) {
	defer w.group.Done()
	for {
		w.mu.Lock()
		waiting := w.lanes[lane]
		if len(waiting) == 0 || w.shut {
			delete(w.lanes, lane)
			w.mu.Unlock()
			return
		}
		fn := waiting[0]
		w.lanes[lane] = waiting[1:]
		w.mu.Unlock()
		fn(w.ctx)
	}
}

// Done is closed when the sandbox shuts down.
func (w *Work) Done() <-chan struct{} { return w.ctx.Done() }

// Close cancels what runs, drops what waits and returns when all goroutines have ended.
func (w *Work) Close() {
	w.mu.Lock()
	w.shut = true
	w.mu.Unlock()
	w.cancel()
	w.group.Wait()
}

// Sleep waits d or until ctx ends, and reports whether the time passed in full.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
