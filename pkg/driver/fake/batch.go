package fake

import (
	"context"
	"sync"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
)

// Batch is a Driver that takes many requests at once, as Terraform's does.
type Batch struct {
	Driver
	// Fail is the error of a whole batch, decided before anything begins; nil: none fails.
	Fail func(reqs []*driver.Request) error

	mu    sync.Mutex
	sizes []int
}

var _ driver.Batcher = (*Batch)(nil)

// RunBatch runs all requests at once and reports each when it ends.
func (b *Batch) RunBatch(ctx context.Context, reqs []*driver.Request, emit event.Emit, done func(i int, res driver.Result, err error)) error {
	b.mu.Lock()
	b.sizes = append(b.sizes, len(reqs))
	b.mu.Unlock()
	if b.Fail != nil {
		if err := b.Fail(reqs); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for i, req := range reqs {
		wg.Go(func() {
			res, err := b.Run(ctx, req, emit)
			done(i, res, err)
		})
	}
	wg.Wait()
	return nil
}

// Sizes of the batches so far.
func (b *Batch) Sizes() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int(nil), b.sizes...)
}
