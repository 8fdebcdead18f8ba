package main

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/server"
	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/topology"
)

// shared is the Service on a store file that belongs to one process at a time.
//
//	nobody has it ──Apply, Control──▶ this process keeps it, and serves it on a socket until it ends
//	nobody has it ──any other call──▶ this process has it for the time of the call
//	another process serves it ──▶ every call goes to that process
//
// So `orch status` and `orch logs -f` work beside a running `orch deploy`, and none of them gets in the way of the next command.
type shared struct {
	cfg    *config.Config
	socket string
	tenant string
	log    *slog.Logger
	level  *slog.LevelVar // of log, where it can be changed
	open   func(ctx context.Context) (*service, error)

	mu     sync.Mutex
	remote *client.Client
	asleep error // why the process that serves answers nothing
	// foreign: the user was told that the socket is another user's.
	foreign sync.Once
	kept    *service
	stop    func() // ends serving
	left    bool   // what runs is not waited for
	// held are the secrets of hosts that were asked for: a session needs them when the store is no longer open.
	held heldSecrets
	dial dialFunc
}

// patience is how long a call waits for another process's short use of the file; poll is the pace of asking again.
const (
	patience = 15 * time.Second
	poll     = 50 * time.Millisecond
)

// opened is the service in this process, as the tenant sees it.
type opened struct {
	orch.Service
	all *service
}

func (s *shared) opened(svc *service) opened {
	return opened{asOwner(svc, s.tenant, s.log), svc}
}

func newShared(c *config.Config, tenant string, log *slog.Logger, get func(ctx context.Context) (*service, error)) *shared {
	return &shared{cfg: c, socket: socketPath(c), tenant: tenant, log: log, open: get, held: heldSecrets{}}
}

// realPath is one name for a file that may not exist yet, however it is reached.
func realPath(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
		return filepath.Join(dir, filepath.Base(file))
	}
	return file
}

// need of a call: what it does with a configuration, and whether the process goes on working after it.
type need int

const (
	look   need = iota // answered from the store, whoever has it
	act                // done with a configuration, for the time of the call
	steer              // about what runs already; whoever has the store then stays
	stay               // begins work, with a configuration
	seal               // stores something encrypted
	enlist             // stores hosts of a pool
	place              // stores a location
)

// acts reports whether a configuration matters, and which aspect of it.
func (n need) acts() (aspect, bool) {
	switch n {
	case seal:
		return sealing, true
	case enlist:
		return pooling, true
	case place:
		return locating, true
	}
	return whole, n == act || n == stay
}

func (n need) keeps() bool { return n == steer || n == stay }

// use calls fn with the service of whoever has the store: a process that serves it, or this one, which then keeps and serves it if there is
// need. A process that serves is told the configuration to act with, and refuses one that is not its own.
func (s *shared) use(ctx context.Context, n need, fn func(svc orch.Service) error) error {
	s.mu.Lock()
	if s.kept != nil {
		kept := s.kept
		s.mu.Unlock()
		return fn(s.opened(kept))
	}
	svc, done, err := s.acquire(ctx, n.keeps())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	c, remote := svc.(*client.Client)
	if of, acts := n.acts(); remote && acts {
		svc = c.WithHeader(actingHeader, actingOf(ctx, s.cfg).header(of))
	}
	err = fn(svc)
	done()
	if remote && !n.keeps() && interrupted(err) && s.gone(ctx) {
		return s.use(ctx, n, fn) // the process that served ended meanwhile: ask whoever has the store now
	}
	return err
}

// interrupted reports whether a call to another process failed for no reason of its own.
func interrupted(err error) bool {
	var known *orch.Error
	return err != nil && (!errors.As(err, &known) || known.Kind == orch.KindInternal || client.Unreachable(err))
}

// gone waits a little for the process that served to have ended, if that is what it is doing.
func (s *shared) gone(ctx context.Context) bool {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(poll) {
		s.mu.Lock()
		c := s.serving(ctx)
		s.mu.Unlock()
		if c == nil {
			return true
		}
	}
	return false
}

// acquire finds the process that serves, or opens the store. The caller holds mu.
func (s *shared) acquire(ctx context.Context, keep bool) (orch.Service, func(), error) {
	deadline := time.Now().Add(patience)
	for {
		if c := s.serving(ctx); c != nil {
			return c, func() {}, s.asleep
		}
		l, err := s.open(ctx)
		if err == nil {
			if err := tenantKnown(ctx, l, s.tenant); err != nil {
				return nil, nil, errors.Join(err, l.Close())
			}
		}
		switch {
		case err == nil && keep:
			s.keep(l)
			return s.opened(l), func() {}, nil
		case err == nil:
			return s.opened(l), func() {
				if err := l.Close(); err != nil {
					s.log.Warn("cannot close the store", "error", err)
				}
			}, nil
		case !locked(err) || time.Now().After(deadline):
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// serving returns a client of the process that serves the store, nil if there is none.
func (s *shared) serving(ctx context.Context) *client.Client {
	if err := checkSocket(s.socket); err != nil {
		s.foreign.Do(func() { s.log.Warn("a socket is not used, whoever serves on it", "error", err) })
		s.remote = nil
		return nil
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", s.socket)
	if err != nil {
		s.remote = nil
		return nil
	}
	s.asleep = asleep(conn)
	_ = conn.Close()
	if s.remote == nil {
		s.remote = client.NewUnix(s.socket).WithAccess(client.Access{Tenant: s.tenant})
	}
	return s.remote
}

// LogLevel asks the process that serves the store.
func (s *shared) LogLevel(ctx context.Context, level string) (string, error) {
	s.mu.Lock()
	c, asleep := s.serving(ctx), s.asleep
	s.mu.Unlock()
	if c != nil && asleep != nil {
		return "", asleep
	}
	if c == nil {
		return "", &orch.Error{Kind: orch.KindNotFound, Msg: "no server has the store now", Hint: "start one with: orch server"}
	}
	return c.LogLevel(ctx, level)
}

// locked reports whether another process has the file.
func locked(err error) bool {
	var l *bolt.LockedError
	return errors.As(err, &l)
}

// keep serves the open store on the socket. Who holds the store's lock owns the socket's path: what lies there is a dead process's.
func (s *shared) keep(l *service) {
	s.kept = l
	var listener net.Listener
	err := makeRoom(s.socket)
	if err == nil {
		listener, err = net.Listen("unix", s.socket)
	}
	if err == nil {
		err = os.Chmod(s.socket, 0o600)
	}
	if err != nil {
		s.log.Warn("other commands cannot look at this deployment meanwhile", "error", err)
		s.stop = func() {}
		return
	}
	var admit func(*http.Request) error
	if !s.cfg.Shared { // what a server does, it does with its own configuration, whoever asks
		admit = (&holder{s.cfg, time.Now(), actingOf(context.Background(), s.cfg)}).admit
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.New(server.Options{Service: l, Reveal: l.reveal, Store: l.store, Logger: s.log, Owner: userName(), Admit: admit, Operation: server.Operation{Level: s.level, Backup: l.backup}}).Serve(ctx, listener); err != nil {
			s.log.Warn("the socket ended", "error", err)
		}
	}()
	s.stop = func() { cancel(); <-ended }
}

// Finish waits for tasks that other terminals started here, and tells what they are whenever that has changed. Where ctx ends before, Close leaves
// them to whoever has the store next.
func (s *shared) Finish(ctx context.Context, tell func([]orch.Task)) {
	s.mu.Lock()
	svc := s.kept
	s.mu.Unlock()
	if svc == nil {
		return
	}
	idle := make(chan error, 1)
	go func() { idle <- svc.Idle(ctx) }()
	tick := time.NewTicker(finishPace)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case err := <-idle:
			s.left = err != nil
			return
		case <-tick.C:
		}
		works := svc.Working()
		names := ""
		for _, t := range works {
			names += " " + t.ID
		}
		if names != said && names != "" {
			tell(works)
		}
		said = names
	}
}

// finishPace is how often it is looked at what a command waits for at its end; a task that ends by then is not worth a word.
const finishPace = 200 * time.Millisecond

// Close lets the store go, after what still runs here unless Finish was told not to wait for it.
func (s *shared) Close() error {
	if s.left {
		return s.leave()
	}
	return s.end(func(svc *service) error { return svc.Idle(context.Background()) })
}

// leave lets the store go at once: what runs is left to whoever has it next. A server does that, which goes on when it is started again.
func (s *shared) leave() error { return s.end(func(*service) error { return nil }) }

func (s *shared) end(wait func(*service) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.remote != nil {
		_ = s.remote.Close()
	}
	if s.kept == nil {
		return nil
	}
	idle := wait(s.kept)
	s.stop()
	err := errors.Join(idle, s.kept.Close())
	s.kept = nil
	return err
}

func ask[T any](ctx context.Context, s *shared, n need, fn func(orch.Service) (T, error)) (out T, err error) {
	err = s.use(ctx, n, func(svc orch.Service) (err error) {
		out, err = fn(svc)
		return err
	})
	return out, err
}

func (s *shared) Plan(ctx context.Context, req orch.Request) (p *plan.Plan, list diag.List, err error) {
	err = s.use(ctx, act, func(svc orch.Service) (err error) {
		p, list, err = svc.Plan(ctx, req)
		return err
	})
	return p, list, err
}

func (s *shared) Apply(ctx context.Context, req orch.Request) (orch.Task, error) {
	return ask(ctx, s, stay, func(svc orch.Service) (orch.Task, error) { return svc.Apply(ctx, req) })
}

func (s *shared) Wait(ctx context.Context, deployment, task string) (orch.Task, error) {
	return ask(ctx, s, look, func(svc orch.Service) (orch.Task, error) { return svc.Wait(ctx, deployment, task) })
}

// Control starts work when it resumes a task: then this process must stay.
func (s *shared) Control(ctx context.Context, c orch.Control) error {
	n := stay
	switch c.Verb {
	case "cancel", "force", "detach", "settle", "reopen":
		n = steer
	}
	return s.use(ctx, n, func(svc orch.Service) error { return svc.Control(ctx, c) })
}

func (s *shared) Deployments(ctx context.Context) ([]orch.Deployment, error) {
	return ask(ctx, s, look, func(svc orch.Service) ([]orch.Deployment, error) { return svc.Deployments(ctx) })
}

func (s *shared) Deployment(ctx context.Context, name string) (*orch.Detail, error) {
	return ask(ctx, s, look, func(svc orch.Service) (*orch.Detail, error) { return svc.Deployment(ctx, name) })
}

func (s *shared) Outputs(ctx context.Context, name string, reveal bool) ([]orch.Output, error) {
	return ask(ctx, s, look, func(svc orch.Service) ([]orch.Output, error) { return svc.Outputs(ctx, name, reveal) })
}

func (s *shared) Tasks(ctx context.Context, deployment string) ([]orch.Task, error) {
	return ask(ctx, s, look, func(svc orch.Service) ([]orch.Task, error) { return svc.Tasks(ctx, deployment) })
}

func (s *shared) Steps(ctx context.Context, deployment, task string) ([]orch.StepStatus, error) {
	return ask(ctx, s, look, func(svc orch.Service) ([]orch.StepStatus, error) { return svc.Steps(ctx, deployment, task) })
}

// Host also fetches the secrets that a session on it needs.
func (s *shared) Host(ctx context.Context, deployment string, in topology.Instance) (*driver.Host, error) {
	return ask(ctx, s, look, func(svc orch.Service) (*driver.Host, error) {
		if c, ok := svc.(*client.Client); ok {
			access, err := c.HostAccess(ctx, deployment, in)
			for ref, v := range access.Secrets {
				s.held[ref] = secret.New(v)
			}
			return access.Host, err
		}
		h, err := svc.Host(ctx, deployment, in)
		if err != nil {
			return nil, err
		}
		return h, s.held.fetch(ctx, h, svc.(opened).all.reveal)
	})
}

// Events of a store that nobody serves are read in turns, so that following them does not keep others from deploying.
func (s *shared) Events(ctx context.Context, f orch.Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for alone := 0; ; {
			more, following := true, false
			err := s.use(ctx, look, func(svc orch.Service) error {
				once := f
				_, remote := svc.(*client.Client)
				following = f.Follow && !remote && s.kept == nil
				if following {
					once.Follow, once.UntilTask = false, ""
					over, err := ended(ctx, svc, f)
					if alone++; err == nil && worked(ctx, svc, f) {
						alone = 0
					}
					if err != nil || over || alone > aloneAfter {
						following = false // this turn reads what is left
						if err != nil {
							return err
						}
					}
				}
				for e, err := range svc.Events(ctx, once) {
					if err != nil {
						return err
					}
					f.After, f.Last = e.Seq, 0
					if f.Deployment == "" {
						f.After = e.Index // a stream over all deployments is numbered over all of them
					}
					if more = yield(e, nil); !more {
						return nil
					}
				}
				return nil
			})
			if err != nil && more {
				yield(event.Event{}, err)
				return
			}
			if !more || !following {
				return
			}
			select {
			case <-ctx.Done():
				yield(event.Event{}, context.Cause(ctx))
				return
			case <-time.After(time.Second):
			}
		}
	}
}

var _ orch.Service = (*shared)(nil)

// worked reports whether somebody works on the deployment whose task is followed. Nobody for several turns means that the process which did has died;
// Wait says so.
func worked(ctx context.Context, svc orch.Service, f orch.Filter) bool {
	if f.UntilTask == "" {
		return true
	}
	d, err := svc.Deployment(ctx, f.Deployment)
	return err != nil || d.Owner != ""
}

// aloneAfter is how many turns, a second apart, must find nobody.
const aloneAfter = 8

// ended reports whether the task that ends the following has ended, waits for a word, or is gone.
func ended(ctx context.Context, svc orch.Service, f orch.Filter) (bool, error) {
	if f.UntilTask == "" {
		return false, nil
	}
	tasks, err := svc.Tasks(ctx, f.Deployment)
	if errors.Is(err, orch.ErrNotFound) {
		return true, nil
	}
	for _, t := range tasks {
		if t.ID == f.UntilTask {
			return !t.Ended.IsZero() || t.Status == "paused", err
		}
	}
	return true, err
}
