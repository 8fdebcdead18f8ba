package engine

import (
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
)

// batcher collects the infrastructure steps of one Batcher driver. One batch runs at a time. It takes all that are ready, and those that wait
// for nothing but steps of the same batch: the driver orders these itself (Terraform by references). What becomes ready meanwhile is
// the next batch's.
type batcher struct {
	r       *run
	d       driver.Batcher
	ready   []*step
	running []*step
}

// batches reports whether the step is run in batches.
func (r *run) batches(st *step) bool {
	if st.Kind != plan.Infra {
		return false
	}
	_, ok := r.e.opts.Infra.(driver.Batcher)
	return ok
}

func (r *run) batcher(st *step) *batcher {
	if !r.batches(st) {
		return nil
	}
	d := r.e.opts.Infra.(driver.Batcher)
	b := r.infra[d]
	if b == nil {
		b = &batcher{r: r, d: d}
		r.infra[d] = b
	}
	return b
}

func (b *batcher) add(st *step) {
	st.batch = b
	b.ready = append(b.ready, st)
	if len(b.running) > 0 {
		b.r.waitsFor(st, "the running "+b.d.Name()+" to end")
	}
}

// start begins a batch if none runs and there is something to do.
func (b *batcher) start() func() {
	if len(b.running) > 0 || len(b.ready) == 0 || b.gathers() {
		return nil
	}
	steps := b.close(b.ready)
	b.ready = nil
	b.running = steps
	for _, st := range steps {
		st.batch = b
		b.r.mark(st)
	}
	b.r.acting++ // the batch itself; its steps end one by one
	return func() { go b.run(steps) }
}

// gathers reports whether the batch should wait for more. What is only taken down waits for the scripts that run: they free more of it, and
// one removal of everything is much quicker than one after the other, in which each waits for the cloud. Nothing can wait for ever: a batch
// starts as soon as no script runs.
func (b *batcher) gathers() bool {
	if b.r.acting == 0 || b.r.stop != goOn {
		return false
	}
	return !slices.ContainsFunc(b.ready, func(st *step) bool { return st.Action != driver.Delete })
}

// close adds the steps that wait only for steps of the batch.
func (b *batcher) close(ready []*step) []*step {
	in := map[*step]bool{}
	all := slices.Clone(ready)
	for _, st := range ready {
		in[st] = true
	}
	waits := map[*step]int{}
	for i := 0; i < len(all); i++ {
		for _, s := range all[i].succ {
			if b.r.stop != goOn && !b.r.cleaning && !s.unfinished {
				continue
			}
			if in[s] || s.status != Pending || !b.r.batches(s) || s.alt || s.bad || s.lost || s.Filter != "" {
				continue
			}
			if waits[s]++; waits[s] == s.waits {
				in[s] = true
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, func(a, c *step) int { return a.index - c.index })
	return all
}

// run runs in a goroutine of its own. Every step reports once: by done, or at the end with what the batch ended with.
func (b *batcher) run(steps []*step) {
	r := b.r
	var reqs []*driver.Request
	var owners []*step
	for _, st := range steps {
		req, err := r.request(r.actCtx, st)
		if err != nil {
			r.send(message{step: st, err: err, batch: b})
			continue
		}
		reqs = append(reqs, req)
		owners = append(owners, st)
	}
	reported := newOnce(len(reqs))
	err := b.call(reqs, owners, func(i int, res driver.Result, err error) {
		if reported.first(i) {
			r.send(message{step: owners[i], result: res, err: err, batch: b})
		}
	})
	for i, st := range owners {
		if reported.first(i) {
			if err == nil {
				err = errNoAnswer
			}
			r.send(message{step: st, err: err, batch: b, shared: true})
		}
	}
	r.send(message{batch: b, err: err})
}
