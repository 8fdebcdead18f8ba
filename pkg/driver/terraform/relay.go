package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
)

// A relayed run can be finished by another server, on another machine. Its supervisor keeps a copy of the run's directory in the store
// while Terraform works; who takes the deployment over from a server that has died waits for the end of the run there, and goes on with that
// copy as it would with the directory. So nobody ever applies while another apply of the deployment is still at work.
//
// A run that is silent for long is taken for dead, which is first noted in the deployment's record, and then looked at once more:
//
//	who goes on:     note "dead" ──▶ look for a report ──none──▶ goes on        some ──▶ waits for the end
//	the supervisor:  report ──▶ look for the note ──none──▶ begins, or goes on   there ──▶ ends Terraform, or never begins it
//
// One of them sees what the other has written. So a machine that stood still for minutes does nothing any more when it wakes up.
//
//	server A ──start──▶ supervisor ──▶ terraform apply
//	    ✗ dies              └──report: beat, files──▶ store ──await──▶ server B: absorbs the outcome, goes on
//	                            ◀──────stop?─────────

// Relay lets supervisors reach the store. Only a store that several machines share needs it.
type Relay struct {
	// Config is passed to Open in the supervisor's process, by pipe: it may hold secrets.
	Config json.RawMessage
}

// OpenStates opens the StateStore that a Relay's configuration means. A program gives it to MaybeSupervise.
type OpenStates func(ctx context.Context, config json.RawMessage) (states StateStore, closeStore func() error, err error)

// relayed says what the supervisor reports, and where.
type relayed struct {
	Config     json.RawMessage `json:"config"`
	Deployment string          `json:"deployment"`
	Run        string          `json:"run"`
}

// runReport is what the store has of a run, with runCopy, which is longer and changes less often.
type runReport struct {
	Run   string `json:"run"`
	Beat  uint64 `json:"beat"`
	Ended bool   `json:"ended,omitempty"`
}

// runCopy are the files of a run.
type runCopy struct {
	Run   string            `json:"run"`
	Files map[string][]byte `json:"files"`
}

// Keys beside those of deployments, whose names have no '@' (with a tenant they have a '~').
func reportKey(deployment string) string { return deployment + "@run" }
func copyKey(deployment string) string   { return deployment + "@files" }
func stopKey(deployment string) string   { return deployment + "@stop" }

const (
	reportEvery = 3 * time.Second
	copyEvery   = 10 * time.Second // if Terraform's state has changed
	// reportSilence after which a run is taken for dead, with its machine: by the clock of who waits.
	reportSilence = 20 * time.Second
	// beginPatience is how long the supervisor waits for the store before it gives up without having begun.
	beginPatience = 5 * time.Minute
	// reportPatience is how long the supervisor tries to tell the end, while the store cannot be reached.
	reportPatience = time.Hour
	maxReported    = 8 << 20 // bytes of a file; of longer ones the end
)

// reporter tells the store of a run.
type reporter struct {
	r      relayed
	dir    string
	open   OpenStates
	states StateStore
	close  func() error
	beat   uint64
	told   time.Time // of the last report that was stored, or was tried to be
	copied time.Time
	state  os.FileInfo // Terraform's state as it was copied
}

// run reports until ended is closed, and then the end. stop is called when another server wants the run to stop, kill when another has gone on
// without it.
func (p *reporter) run(ended <-chan struct{}, stop, kill func()) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	stopped := false
	for {
		select {
		case <-ended:
			p.last()
			return
		case <-tick.C:
		}
		silent := p.silent()
		if p.report(false) != nil {
			continue // tried again at the next tick
		}
		if silent {
			switch over, err := p.over(); {
			case err != nil:
				p.told = time.Time{} // not certain yet
				continue
			case over:
				kill()
				<-ended
				p.last()
				return
			}
		}
		if !stopped && p.asked() {
			stopped = true
			stop()
		}
	}
}

// silent reports whether the last report is so old that the run may have been taken for dead: by either clock, as one of them stands still while the
// machine does.
func (p *reporter) silent() bool {
	return time.Since(p.told) > reportSilence/2 || time.Since(p.told.Round(0)) > reportSilence/2
}

// begin reports before Terraform is started, and finds out whether it may be. While the store cannot be reached it may not.
func (p *reporter) begin() error {
	err := error(nil)
	for deadline := time.Now().Add(beginPatience); time.Now().Before(deadline); time.Sleep(reportEvery / 10) {
		if err = p.report(false); err != nil {
			continue
		}
		var over bool
		if over, err = p.over(); err != nil {
			continue
		}
		if over {
			return errors.New("another server has taken the deployment over")
		}
		return nil
	}
	return fmt.Errorf("cannot tell the store that Terraform begins: %w", err)
}

// over reports whether somebody has gone on without the run: it was taken for dead, or is no longer the deployment's.
func (p *reporter) over() (bool, error) {
	rec, err := p.record()
	return err == nil && (rec == nil || rec.ID != p.r.Run || rec.Dead), err
}

// record is the deployment's run as the store has it.
func (p *reporter) record() (*applyRecord, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	data, err := p.states.Load(ctx, p.r.Deployment)
	if err != nil {
		return nil, err
	}
	b, err := decodeBundle(data)
	if err != nil {
		return nil, err
	}
	return b.Manifest.Apply, nil
}

// last reports the end, patiently: until then nobody else may go on. Nobody waits for the end of a run that another has replaced.
func (p *reporter) last() {
	for deadline := time.Now().Add(reportPatience); time.Now().Before(deadline); time.Sleep(reportEvery) {
		if p.report(true) == nil {
			return
		}
	}
}

func (p *reporter) report(ended bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if p.states == nil {
		states, closeStore, err := p.open(ctx, p.r.Config)
		if err != nil {
			return err
		}
		p.states, p.close = states, closeStore
	}
	if !exists(filepath.Join(p.dir, fileRun)) { // the server that started it has absorbed it
		if ended {
			return p.forget(ctx)
		}
		return nil
	}
	if ended {
		if rec, err := p.record(); err != nil || rec == nil || rec.ID != p.r.Run {
			return err
		}
	}
	if err := p.copy(ctx, ended); err != nil {
		return err
	}
	p.beat++
	if err := save(ctx, p.states, reportKey(p.r.Deployment), runReport{Run: p.r.Run, Beat: p.beat, Ended: ended}); err != nil {
		return err
	}
	p.told = time.Now()
	if ended && !exists(filepath.Join(p.dir, fileRun)) { // absorbed, and forgotten, while this was saved
		return p.forget(ctx)
	}
	return nil
}

// forget removes what the store has of the run, unless that is of another one by now.
func (p *reporter) forget(ctx context.Context) error {
	var now runReport
	if data, err := p.states.Load(ctx, reportKey(p.r.Deployment)); err != nil || len(data) > 0 && json.Unmarshal(data, &now) == nil && now.Run != p.r.Run {
		return err
	}
	return forget(ctx, p.states, p.r.Deployment)
}

// copy stores the run's files, when they are worth it.
func (p *reporter) copy(ctx context.Context, ended bool) error {
	now, err := os.Stat(filepath.Join(p.dir, fileState))
	same := err != nil && p.state == nil || err == nil && p.state != nil && now.Size() == p.state.Size() && now.ModTime().Equal(p.state.ModTime())
	if !ended && !p.copied.IsZero() && (same || time.Since(p.copied) < copyEvery) {
		return nil
	}
	if err := save(ctx, p.states, copyKey(p.r.Deployment), runCopy{Run: p.r.Run, Files: runFiles(p.dir)}); err != nil {
		return err
	}
	if p.copied = time.Now(); err == nil {
		p.state = now
	}
	return nil
}

func save(ctx context.Context, states StateStore, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return states.Save(ctx, key, data)
}

// forget removes everything that the store has of a deployment's run.
func forget(ctx context.Context, states StateStore, deployment string) error {
	var errs []error
	for _, key := range []string{reportKey(deployment), copyKey(deployment), stopKey(deployment)} {
		errs = append(errs, states.Remove(ctx, key))
	}
	return errors.Join(errs...)
}

// asked reports whether another server wants the run to stop.
func (p *reporter) asked() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	data, err := p.states.Load(ctx, stopKey(p.r.Deployment))
	var run string
	return err == nil && json.Unmarshal(data, &run) == nil && run == p.r.Run
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// runFiles are the files by which the outcome of a run is known.
func runFiles(dir string) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{fileRun, fileEvents, fileStderr, fileState, fileExit} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if name != fileState && len(data) > maxReported {
			data = data[len(data)-maxReported:]
		}
		files[name] = data
	}
	return files
}

// fetch waits for the end of a run of another server and brings its files here. A run that is silent for long has died with its machine: its
// files are what was known of it last, and what it made after that is found by its identity. A cancellation asks the run to stop, and goes
// on waiting.
func (b *batch) fetch(ctx context.Context, rec *applyRecord) error {
	var beat uint64
	since, cancelled := time.Now(), ctx.Done()
	b.emit(event.Event{Time: time.Now(), Type: event.Waiting, Deployment: b.deployment, Task: b.reqs[0].Task, Step: b.reqs[0].Step, Node: b.reqs[0].Node.Name,
		Instance: b.reqs[0].Instance, Message: fmt.Sprintf("the Terraform apply %s on %s, begun by a server that has died, has to end first", rec.ID, rec.Host)})
	for {
		var now runReport
		err := b.load(ctx, reportKey(b.deployment), &now)
		switch {
		case err != nil:
			return fmt.Errorf("cannot read what is known of the Terraform apply %s: %w", rec.ID, err)
		case now.Run == rec.ID && now.Ended:
			return b.unpack(ctx, rec)
		case now.Run == rec.ID && now.Beat != beat:
			beat, since = now.Beat, time.Now()
		case time.Since(since) > reportSilence:
			lives, err := b.declareDead(ctx, rec, beat)
			if err != nil {
				return err
			}
			if !lives {
				return b.unpack(ctx, rec)
			}
			since = time.Now()
		}
		select {
		case <-time.After(reportEvery / 3):
		case <-cancelled:
			if errors.Is(context.Cause(ctx), driver.ErrDetach) {
				return context.Cause(ctx)
			}
			cancelled = nil
			if err := save(context.WithoutCancel(ctx), b.d.opts.States, stopKey(b.deployment), rec.ID); err != nil {
				return fmt.Errorf("cannot ask the Terraform apply %s to stop: %w", rec.ID, err)
			}
		}
	}
}

// declareDead notes that a run has been silent for too long, and reports whether it has spoken meanwhile: then its end is near.
func (b *batch) declareDead(ctx context.Context, rec *applyRecord, beat uint64) (lives bool, err error) {
	rec.Dead = true
	b.doubt()
	if err := b.save(ctx); err != nil {
		return false, err
	}
	var now runReport
	if err := b.load(ctx, reportKey(b.deployment), &now); err != nil {
		return false, fmt.Errorf("cannot read what is known of the Terraform apply %s: %w", rec.ID, err)
	}
	return now.Run == rec.ID && (now.Ended || now.Beat != beat), nil
}

// load decodes a record, and leaves v alone if there is none.
func (b *batch) load(ctx context.Context, key string, v any) error {
	data, err := b.d.opts.States.Load(context.WithoutCancel(ctx), key)
	if err != nil || len(data) == 0 {
		return err
	}
	return json.Unmarshal(data, v)
}

// unpack makes the run's directory as if the run had been here, if anything is known of it. No process of it is.
func (b *batch) unpack(ctx context.Context, rec *applyRecord) error {
	var c runCopy
	if err := b.load(ctx, copyKey(b.deployment), &c); err != nil {
		return fmt.Errorf("cannot read the files of the Terraform apply %s: %w", rec.ID, err)
	}
	if c.Run != rec.ID || c.Files[fileRun] == nil {
		return nil
	}
	if err := errors.Join(os.RemoveAll(b.work), os.MkdirAll(b.work, 0o700)); err != nil {
		return err
	}
	for name, data := range c.Files {
		if name != filepath.Base(name) || name == fileRun {
			continue
		}
		if err := writeFile(filepath.Join(b.work, name), data); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(b.work, fileSupervisor), process{}); err != nil {
		return err
	}
	return writeFile(filepath.Join(b.work, fileRun), c.Files[fileRun]) // last: with it the directory counts
}

// forgetReport removes what the store has of a run that was absorbed. A failure is no harm: the next run's report replaces it.
func (b *batch) forgetReport(ctx context.Context) {
	if b.d.opts.Relay == nil {
		return
	}
	if err := forget(ctx, b.d.opts.States, b.deployment); err != nil {
		b.d.opts.Logger.Warn("cannot remove the report of a finished Terraform apply", "deployment", b.deployment, "err", err)
	}
}

// startReporter reports a run beside it, from before its beginning. done ends that. With an error the run must not begin.
func startReporter(c *command, open OpenStates, kill func()) (done func(), err error) {
	if c.Relay == nil || open == nil {
		return func() {}, nil
	}
	p := &reporter{r: *c.Relay, dir: c.Dir, open: open, told: time.Now()}
	shut := func() {
		if p.close != nil {
			_ = p.close()
		}
	}
	if err := p.begin(); err != nil {
		return func() { p.last(); shut() }, err
	}
	ended, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		defer shut()
		p.run(ended, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) }, kill)
	}()
	return func() { close(ended); <-finished }, nil
}
