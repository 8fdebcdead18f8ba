package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/driver"
)

// Runner runs jobs on a machine. It may be used for many jobs, one after the other or at once.
type Runner struct {
	Machine Machine
	// Dir of the journal on the host; "" is /var/lib/orch for root, ~/.orch for others.
	Dir string
	// Retention of ended operations and unused files on the host; 0 is seven days, negative is for ever.
	Retention time.Duration
	// Grace between TERM and KILL; 0 is ten seconds.
	Grace time.Duration
	// Reconnect is how long a lost connection may stay lost; 0 is ten minutes.
	Reconnect time.Duration
	// Own: the machine is this one, and the journal is this user's. What an operation has printed is redacted in it when the operation has ended; on
	// other hosts, which were given the secrets, it stays as it is.
	Own bool
	// Sweep asks for the removal of old entries; the first job of a process on a host should.
	Sweep bool

	base string // as the host said
}

// Sink receives what a job says while it runs. Its functions are called from one goroutine at a time.
type Sink struct {
	// Output is a line of the script, redacted; the stream is "stdout" or "stderr".
	Output func(stream, line string)
	// Note is a remark of orch itself.
	Note func(text string)
	// Waiting says what keeps the job from going on.
	Waiting func(text string)
	// Going says that what it waited for has come.
	Going func(text string)
}

// Outcome of a job that ended by itself.
type Outcome struct {
	ExitCode int
	Outputs  map[string]string
	// Stderr are the last lines, redacted; Stdout likewise.
	Stdout, Stderr []string
	// Note is "ok", "setup" (the files could not be laid out), "exports" (outputs could not be recorded), "cancelled".
	Note string
	// Recorded: the job had ended before; this is what the journal says.
	Recorded bool
	// Context is what scripts have written by Cloudify's ctx.
	Context []byte
}

// Errors of a Runner besides those of its Machine.
var (
	// ErrInterrupted: the job was begun, is not running any more and left no result, as after a reboot of the host.
	ErrInterrupted = driver.ErrInterrupted
	// ErrTimeout: the job was ended because its time was over.
	ErrTimeout = errors.New("timed out")
)

// Run runs the job, or attaches to it, or returns its recorded result. When ctx ends, the job's processes are ended too, unless the cause
// is driver.ErrDetach.
func (r *Runner) Run(ctx context.Context, j *Job, redact Redactor, sink Sink) (*Outcome, error) {
	run := *r
	s := newSession(&run, j, redact, sink)
	defer s.finish()
	if j.Ephemeral {
		defer func() { run.forget(context.WithoutCancel(ctx), j.ID) }()
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.deadline(cancel, 0)
	defer s.stopTimer()
	s.onElapsed = func(d time.Duration) { s.deadline(cancel, d) }

	err := s.untilDone(work)
	if work.Err() == nil || err == nil {
		var f *journalError
		if errors.As(err, &f) && f.kind == "launch" {
			_, _ = s.end(ctx, time.Minute) // it must not start later either
		}
		out, err := s.outcome(err)
		if r.Own && out != nil {
			run.scrub(j.ID, redact)
		}
		return out, err
	}
	return nil, s.abandon(context.WithoutCancel(ctx), context.Cause(work))
}

// forget removes what the journal has of an operation. What cannot be removed now goes with the next sweep.
func (r *Runner) forget(ctx context.Context, op string) {
	if r.base == "" {
		return // it was never reached
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, _ = r.Machine.Exec(ctx, Command{Args: []string{"rm", "-rf", "--", r.base + "/ops/" + op}})
}

// maxScrubbed is how much of a stream is redacted; a longer one is removed.
const maxScrubbed = 64 << 20

// scrub redacts what an operation that has ended has printed, for whoever reads the journal later. A stream that cannot be redacted is removed.
func (r *Runner) scrub(op string, redact Redactor) {
	for _, stream := range []string{"stdout", "stderr"} {
		file := filepath.Join(r.base, "ops", op, stream)
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		raw, clean := []byte(nil), ""
		if info.Size() <= maxScrubbed {
			if raw, err = os.ReadFile(file); err == nil {
				clean = redact.String(string(raw))
			}
		}
		if err == nil && info.Size() <= maxScrubbed && clean == string(raw) {
			continue
		}
		// Another process may be reading the file: it keeps what it has open.
		if err := os.WriteFile(file+".clean", []byte(clean), 0o600); err != nil || os.Rename(file+".clean", file) != nil {
			_ = os.Remove(file)
		}
	}
}

// abandon ends the job after its context has ended.
func (s *session) abandon(ctx context.Context, cause error) error {
	if errors.Is(cause, driver.ErrDetach) {
		return cause
	}
	if s.reached && !s.launched && !s.attached {
		return cause // the host was there and had not heard of it
	}
	patience := cmp.Or(s.Grace, 10*time.Second) + time.Minute
	if !s.reached {
		// Whether an earlier orch launched it is not known. A host that cannot be reached must not make the cancellation hang.
		patience = 5 * time.Second
	}
	left, err := s.end(ctx, patience)
	switch {
	case err != nil && !s.reached:
		return cause
	case err != nil:
		return fmt.Errorf("%w; its processes on %s could not be ended: %w", cause, s.Machine.Address(), err)
	case left != "":
		return fmt.Errorf("%w; these processes did not end: %s", cause, left)
	}
	return cause
}

// session is one Run.
type session struct {
	*Runner
	job    *Job
	redact Redactor
	sink   Sink

	out, err     lines
	stdout, serr tail
	offOut       int64
	offErr       int64
	last         answer
	reached      bool // the host has said what it knows of the job
	launched     bool // a launch may have reached the host
	attached     bool
	recorded     bool
	progress     atomic.Bool
	heardAt      atomic.Int64 // when the host last said something, in ns
	waiting      atomic.Bool  // it was said that it waits
	saying       sync.Mutex   // of sink
	onElapsed    func(time.Duration)

	mu    sync.Mutex
	timer *time.Timer
}

func newSession(r *Runner, j *Job, redact Redactor, sink Sink) *session {
	s := &session{Runner: r, job: j, redact: redact, sink: sink}
	s.out = lines{redact: redact, emit: func(l string) { s.stdout.add(l); s.say("stdout", l) }}
	s.err = lines{redact: redact, emit: func(l string) { s.serr.add(l); s.say("stderr", l) }}
	return s
}

func (s *session) say(stream, line string) {
	s.saying.Lock()
	defer s.saying.Unlock()
	if s.sink.Output != nil {
		s.sink.Output(stream, line)
	}
}

func (s *session) finish() { s.out.end(); s.err.end() }

// deadline sets the timer of the job, of whose time some may have passed already.
func (s *session) deadline(cancel context.CancelCauseFunc, spent time.Duration) {
	if s.job.Timeout <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	err := fmt.Errorf("%w after %s", ErrTimeout, s.job.Timeout)
	s.timer = time.AfterFunc(max(s.job.Timeout-spent, 0), func() { cancel(err) })
}

func (s *session) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// untilDone repeats attempts over lost connections. Time without any progress is bounded by Reconnect.
func (s *session) untilDone(ctx context.Context) error {
	pause, since := 100*time.Millisecond, time.Now()
	for {
		s.progress.Store(false)
		err := s.attempt(ctx)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrLost) {
			return err
		}
		if s.progress.Load() {
			pause, since = 100*time.Millisecond, time.Now()
		}
		if limit := cmp.Or(s.Reconnect, 10*time.Minute); time.Since(since) > limit {
			return fmt.Errorf("no connection for %s: %w", limit, err)
		}
		s.wait(fmt.Sprintf("connection to %s lost, reconnecting (%v)", s.Machine.Address(), err))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(pause*2, 10*time.Second)
	}
}

// hush is how long a host may be silent before that is said; its heartbeats come every ten seconds.
const hush = 20 * time.Second

func (s *session) wait(text string) {
	s.saying.Lock()
	defer s.saying.Unlock()
	s.waiting.Store(true)
	if s.sink.Waiting != nil {
		s.sink.Waiting(text)
	}
}

// watch says when the host is silent for longer than its heartbeats allow, until stop is called.
func (s *session) watch() (stop func()) {
	s.heardAt.Store(time.Now().UnixNano())
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			last := time.Unix(0, s.heardAt.Load())
			select {
			case <-over:
				return
			case <-time.After(max(time.Until(last.Add(hush)), hush/4)):
			}
			if silent := time.Since(time.Unix(0, s.heardAt.Load())); silent >= hush {
				s.wait(fmt.Sprintf("waiting for a sign of life from %s, %s", s.Machine.Address(), silent.Round(time.Second)))
			}
		}
	}()
	return func() { close(over); <-ended }
}

// heard ends a wait for the host.
func (s *session) heard() {
	s.heardAt.Store(time.Now().UnixNano())
	s.progress.Store(true)
	if !s.waiting.Load() {
		return
	}
	s.saying.Lock()
	defer s.saying.Unlock()
	if s.waiting.Swap(false) && s.sink.Going != nil {
		s.sink.Going(s.Machine.Address() + " answers again")
	}
}

// attempt asks what the host knows of the job, and starts, follows or reads it.
func (s *session) attempt(ctx context.Context) error {
	a, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	s.reached = true
	s.heard()
	if a.state != "new" {
		s.recorded = s.recorded || (a.state != "running" && !s.launched)
		s.note(a)
		return s.follow(ctx, "follow", nil)
	}
	if err := s.upload(ctx, s.job, a.missing, a.tools["tar"]); err != nil {
		return err
	}
	env, err := environment(s.job.settings, s.job.vars)
	if err != nil {
		return err
	}
	spec := s.job.spec()
	s.launched = true
	return s.follow(ctx, "launch", strings.NewReader(spec+env), strconv.Itoa(len(spec)))
}

// note says once that the job was found and not begun.
func (s *session) note(a *answer) {
	if s.attached || s.launched {
		return
	}
	s.attached = true
	if s.sink.Note == nil {
		return
	}
	s.saying.Lock()
	defer s.saying.Unlock()
	switch a.state {
	case "running":
		s.sink.Note(fmt.Sprintf("re-attached: the operation has been running on %s for %s; its output from the beginning:", s.Machine.Address(), a.elapsed))
	case "done":
		s.sink.Note(fmt.Sprintf("the operation had already ended on %s; its recorded output:", s.Machine.Address()))
	}
}

// prepare is the first command of an attempt: facts, missing files, state. A host without tar gets files one by one.
func (s *session) prepare(ctx context.Context) (*answer, error) {
	days := "0"
	if s.Sweep && s.Retention >= 0 {
		days = strconv.Itoa(max(1, int(cmp.Or(s.Retention, 7*24*time.Hour)/(24*time.Hour))))
	}
	for {
		a := &answer{}
		if err := s.call(ctx, a, "prepare", s.job.ID, digestList(s.job), days); err != nil {
			return nil, err
		}
		s.base, s.Sweep = a.base, false
		if !a.tools["tar"] && a.state == "new" && hasTree(s.job) {
			s.job = s.job.withoutTar()
			continue
		}
		return a, nil
	}
}

func hasTree(j *Job) bool {
	for _, u := range j.units {
		if u.kind == "tree" {
			return true
		}
	}
	return false
}

// follow reads the job's output from where we are to its end.
func (s *session) follow(ctx context.Context, verb string, input io.Reader, args ...string) error {
	if verb == "follow" {
		args = []string{strconv.FormatInt(s.offOut, 10), strconv.FormatInt(s.offErr, 10)}
	}
	defer s.watch()()
	a := answer{
		onState: func(_ string, d time.Duration) { s.onElapsed(d) },
		onBeat:  func() { s.heard() },
		onData: func(kind byte, p []byte) {
			s.heard()
			if kind == 'O' {
				s.offOut += int64(len(p))
				s.out.write(p)
			} else {
				s.offErr += int64(len(p))
				s.err.write(p)
			}
		},
	}
	// A repeated launch starts at the beginning: nothing had been read, or this attempt would have found the job.
	err := s.call(ctx, &a, verb, s.job.ID, input, args...)
	if f := a.fail; f != nil && f.kind == "cut" {
		return fmt.Errorf("%s: %w", f.text, ErrLost)
	}
	s.last = a
	return err
}

// outcome makes the result of what the journal said.
func (s *session) outcome(err error) (*Outcome, error) {
	if err != nil {
		return nil, err
	}
	s.finish()
	a := &s.last
	if a.interrupted {
		if a.note != "" {
			return nil, fmt.Errorf("%w (its shell is gone, these processes of it are not: %s)", ErrInterrupted, a.note)
		}
		return nil, ErrInterrupted
	}
	o := &Outcome{Context: a.context, ExitCode: a.rc, Outputs: map[string]string{}, Stdout: s.stdout.last(), Stderr: s.serr.last(), Note: a.note, Recorded: s.recorded}
	if a.rc != 0 {
		return o, nil
	}
	if a.tooBig != "" {
		return o, fmt.Errorf("the outputs are too big: %s", a.tooBig)
	}
	if err := parseExports(a.exports, o.Outputs); err != nil {
		return o, err
	}
	if err := parseOutputs(a.outputs, o.Outputs); err != nil {
		return o, err
	}
	return o, nil
}

// end ends the job's processes. It returns those that did not end.
func (s *session) end(ctx context.Context, patience time.Duration) (left string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	grace := strconv.Itoa(int((cmp.Or(s.Grace, 10*time.Second) + time.Second - 1) / time.Second))
	for {
		var a answer
		err := s.call(ctx, &a, "end_job", s.job.ID, nil, grace)
		if err == nil {
			s.drain(ctx)
			return strings.TrimSpace(a.note), nil
		}
		if !errors.Is(err, ErrLost) || ctx.Err() != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// drain fetches the last output of a job that was ended, so that the user sees how it went.
func (s *session) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = s.follow(ctx, "follow", nil)
}
