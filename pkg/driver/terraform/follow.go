package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"golang.org/x/sys/unix"
)

// Pace of following a run.
const (
	pollEvery = 50 * time.Millisecond
	saveEvery = 250 * time.Millisecond
)

// follow reads a run's messages until its supervisor has ended, reports requests as they are done, and keeps the store's copy of the state
// up to date. Cancelling ctx interrupts Terraform once and goes on following; with driver.ErrDetach as the cause it leaves the run alone.
func (b *batch) follow(ctx context.Context, t *tracker) error {
	force, unforce := b.d.forceChannel(b.deployment)
	defer unforce()
	sv := b.newSaver(ctx)
	defer sv.stop()
	events := &tail{path: filepath.Join(b.work, fileEvents)}
	cancelled := ctx.Done()
	var deadline <-chan time.Time
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	heard, said := time.Now(), time.Now()
	for {
		_, running := alive(b.work)
		msgs, err := events.read()
		if err != nil {
			return fmt.Errorf("cannot read Terraform's messages: %w", err)
		}
		for _, m := range msgs {
			t.handle(m)
			heard, said = time.Now(), time.Now()
		}
		if time.Since(said) > hush {
			said = time.Now()
			t.silent(time.Since(heard))
		}
		b.look(ctx, t, sv)
		if !running {
			break
		}
		select {
		case <-ticker.C:
		case <-cancelled:
			cancelled = nil
			if errors.Is(context.Cause(ctx), driver.ErrDetach) {
				return context.Cause(ctx)
			}
			b.interrupt()
			timer := time.NewTimer(b.d.opts.CancelGrace)
			defer timer.Stop()
			deadline = timer.C
		case <-force:
			b.kill()
		case <-deadline:
			deadline = nil
			b.kill()
		}
	}
	sv.stop()
	return b.absorb(ctx, t)
}

// interrupt asks Terraform to stop after what it has begun.
func (b *batch) interrupt() {
	if p, ok := alive(b.work); ok {
		if err := p.signal(syscall.SIGINT); err != nil {
			b.d.opts.Logger.Warn("cannot interrupt Terraform", "deployment", b.deployment, "err", err)
		}
	}
}

// kill ends Terraform: the supervisor does that on a further signal.
func (b *batch) kill() {
	b.interrupt()
	time.Sleep(pollEvery) // signals of one kind that are pending together count once
	b.interrupt()
}

// look takes the state as it is in the middle of the run, if it is whole and something ended since the last look.
func (b *batch) look(ctx context.Context, t *tracker, sv *saver) {
	if !t.check && !sv.due() {
		return
	}
	data, err := os.ReadFile(filepath.Join(b.work, fileState))
	if err != nil {
		return
	}
	s, err := parseState(data)
	if err != nil || s.Lineage == "" {
		return // being written; again at the next tick
	}
	if s.newer(b.bundle.state) {
		b.bundle.state, b.bundle.State = s, data
		sv.dirty = true
	}
	sv.offer()
	// Messages come before the state is written, so requests may become ready at a later look.
	t.check = false
	known := b.bundle.state
	if b.d.opts.Relay != nil {
		// Who goes on after this machine is lost has only what is in the store: what is done must be there.
		known = sv.saved.Load()
	}
	t.ready(context.WithoutCancel(ctx), known)
	for i := range b.reqs {
		if !b.reported[i] && t.mine(i) && t.planned && t.quiet(i) {
			t.check = true
		}
	}
}

// quiet reports that nothing is pending for a request, though the state does not show it yet.
func (t *tracker) quiet(i int) bool {
	for _, a := range t.addresses[i] {
		if len(t.pending[a]) > 0 {
			return false
		}
	}
	return true
}

// absorb takes the outcome of a run that has ended over into the store, reports the requests that are left, and removes the run's files.
func (b *batch) absorb(ctx context.Context, t *tracker) error {
	ctx = context.WithoutCancel(ctx)
	failure, err := b.outcome()
	if err != nil {
		return err
	}
	b.failed = failure != nil
	if failure != nil && full(b.work) {
		failure.Detail = "the disk of " + b.work + " is full"
		failure.Hint = "make room there, and resume: what Terraform could not write down is looked for in the cloud"
		b.doubt()
	}
	data, err := os.ReadFile(filepath.Join(b.work, fileState))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("cannot read Terraform's state: %w", err)
	default:
		s, err := parseState(data)
		if err != nil {
			// Terraform was killed while it wrote; the last whole copy is what we have.
			b.d.opts.Logger.Warn("Terraform's last state is not whole; going on with the copy before it", "deployment", b.deployment, "err", err)
			b.doubt()
		} else if s.newer(b.bundle.state) {
			b.bundle.state, b.bundle.State = s, data
		}
	}
	b.bundle.Manifest.bury(&manifest{}, b.bundle.state)
	if b.d.opts.Relay != nil { // as in look: before anything is said to be done
		if err := b.save(ctx); err != nil {
			return err
		}
	}
	b.bundle.Manifest.Apply = nil
	t.planned = true
	if failure == nil {
		b.bundle.Manifest.settled(t.addresses)
		b.certain()
		t.settle(ctx, nil)
	} else {
		t.settle(ctx, failure)
	}
	// The store first: until it has the state, the run's directory is the only place that does.
	if err := b.save(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(b.work); err != nil {
		return err
	}
	b.forgetReport(ctx)
	return nil
}

// outcome of the run: nil when Terraform ended well.
func (b *batch) outcome() (failure *driver.Error, err error) {
	var e exit
	switch err := readJSON(filepath.Join(b.work, fileExit), &e); {
	case errors.Is(err, os.ErrNotExist):
		if err := endRemains(b.work); err != nil {
			return nil, err
		}
		b.doubt()
		return &driver.Error{Op: "terraform apply", Host: "orchestrator", ExitCode: -1, Retryable: true,
			Err: errors.New("the supervisor of Terraform ended without a result (the machine went down, or it was killed)")}, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read how Terraform ended: %w", err)
	}
	if e.Code == 0 && e.Error == "" {
		return nil, nil
	}
	stderr, _ := os.ReadFile(filepath.Join(b.work, fileStderr))
	x := &driver.Error{Op: "terraform apply", Host: "orchestrator", ExitCode: e.Code, Stderr: lastLines(string(stderr), 8)}
	switch {
	case e.Code < 0:
		b.doubt()
		x.Err, x.Retryable = fmt.Errorf("a signal ended Terraform: %s", e.Error), true
	case e.Error != "":
		x.Err = errors.New(e.Error)
	}
	return x, nil
}

// full reports whether nothing can be written any more where a run has its files.
func full(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Bavail*uint64(s.Bsize) < 64<<10
}

// saver stores the bundle beside the following, the newest copy wins.
type saver struct {
	b     *batch
	next  chan copied
	ended chan struct{}
	last  time.Time
	dirty bool                    // there is something to save
	again atomic.Bool             // saving has failed
	saved atomic.Pointer[tfState] // what the store has
}

// copied is a bundle, and the state in it.
type copied struct {
	data  []byte
	state *tfState
}

func (b *batch) newSaver(ctx context.Context) *saver {
	s := &saver{b: b, next: make(chan copied, 1), ended: make(chan struct{}), last: time.Now()}
	s.saved.Store(b.bundle.state)
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer close(s.ended)
		for c := range s.next {
			limited, cancel := context.WithTimeout(ctx, 30*time.Second)
			if err := b.d.opts.States.Save(limited, b.deployment, c.data); err == nil {
				s.saved.Store(c.state)
			} else {
				s.again.Store(true)
				b.d.opts.Logger.Warn("cannot save the Terraform state while an apply runs; trying again", "deployment", b.deployment, "err", err)
			}
			cancel()
		}
	}()
	return s
}

// due reports that the state should be looked at for the copy's sake.
func (s *saver) due() bool {
	return s.dirty || s.again.Load() || time.Since(s.last) > 2*time.Second
}

// offer hands the bundle to the saver if it has changed, at most every saveEvery.
func (s *saver) offer() {
	if s.again.Swap(false) {
		s.dirty = true
	}
	if !s.dirty || time.Since(s.last) < saveEvery {
		return
	}
	data, err := s.b.bundle.encode()
	if err != nil {
		return
	}
	select {
	case s.next <- copied{data, s.b.bundle.state}:
		s.last, s.dirty = time.Now(), false
	default:
	}
}

func (s *saver) stop() {
	if s.next != nil {
		close(s.next)
		<-s.ended
		s.next = nil
	}
}
