package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/orch-project/orch/pkg/driver"
)

var (
	errTimeout  = errors.New("the operation did not end in time")
	errNoAnswer = errors.New("the driver has ended without saying what became of it")
)

// once lets each of n things happen once, from any goroutine.
type once struct {
	mu   sync.Mutex
	done []bool
}

func newOnce(n int) *once { return &once{done: make([]bool, n)} }

func (o *once) first(i int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i < 0 || i >= len(o.done) || o.done[i] {
		return false
	}
	o.done[i] = true
	return true
}

// call runs the batch; a panic in the driver is the failure of the steps that it has not reported.
func (b *batcher) call(reqs []*driver.Request, owners []*step, done func(int, driver.Result, error)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("defect in the driver: %v", p)
		}
	}()
	if len(reqs) == 0 {
		return nil
	}
	return b.d.RunBatch(b.r.actCtx, reqs, b.r.emitBatch(owners), done)
}
