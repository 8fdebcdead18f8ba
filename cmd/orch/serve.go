package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/metrics"
	"github.com/orch-project/orch/internal/server"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/orch"
)

// recoverPace is how often a server looks for tasks that a dead process has left. A lease ends within state.DefaultTTL after a death: this is
// what comes on top of it until the work goes on. A look costs two lists, however many deployments there are.
const recoverPace = 2 * time.Second

// serve keeps the store and answers until ctx ends: native API, Alien4Cloud's and Cloudify's endpoints on the listener, and, where the store is a file,
// the socket by which commands on this machine reach it.
func serve(ctx context.Context, c *config.Config, log *slog.Logger, o cli.ServeOptions, ready func()) (err error) {
	if err := os.MkdirAll(c.Home, 0o700); err != nil {
		return &orch.Error{Kind: orch.KindStore, Msg: "cannot use the home directory", Err: err, Hint: "set ORCH_HOME to a directory that can be written"}
	}
	c.Shared = true
	count := metrics.New(version.Version(), version.Commit())
	svc, release, err := hold(ctx, c, log, o.Level, count)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := release(); err == nil {
			err = cerr
		}
	}()
	if err := firstAdmin(ctx, c, svc, log); err != nil {
		return err
	}
	who, err := authenticator(c, svc, o)
	if err != nil {
		return err
	}
	cfy := &clouds{svc: svc, log: log, fetch: archives(c)}
	s := server.New(server.Options{Service: svc, Reveal: svc.reveal, Store: svc.store, Auth: who, AnyHost: o.NoAuth, Logger: log,
		Mounts: mounts(ctx, svc, cfy, log), TLS: o.TLS, Drain: o.Drain, Rate: float64(c.Auth.Rate), Burst: c.Auth.Burst,
		Operation: operation(svc, count, o.Level)})
	if o.Metrics != nil {
		defer serveMetrics(s, o.Metrics, log)()
	}
	recovering, enough := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { takeOver(recovering, svc, log) })
	background.Go(func() { svc.KeepPolicies(recovering) })
	background.Go(func() { cfy.keepTimes(recovering) })
	background.Go(func() { svc.prune(recovering, c.Retention, log) })
	ready()
	err = s.Serve(ctx, o.Listener)
	enough()
	background.Wait()
	return err
}

// hold opens the store for as long as the server runs.
func hold(ctx context.Context, c *config.Config, log *slog.Logger, level *slog.LevelVar, count *metrics.Metrics) (*service, func() error, error) {
	open := func(ctx context.Context) (*service, error) { return openService(ctx, c, log, count) }
	if !ownedByOneProcess(c.Store) {
		svc, err := open(ctx)
		if err != nil {
			return nil, nil, err
		}
		return svc, svc.Close, nil
	}
	s := newShared(c, "", log, open)
	s.level = level
	s.mu.Lock()
	_, _, err := s.acquire(ctx, true)
	svc := s.kept
	s.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	if svc == nil {
		return nil, nil, &orch.Error{Kind: orch.KindConflict, Msg: "another orch process works on " + c.Store,
			Hint: "wait until it has ended, or use another store with --store"}
	}
	return svc, s.leave, nil
}

// takeOver goes on with the tasks of dead processes, now and from time to time.
func takeOver(ctx context.Context, svc *service, log *slog.Logger) {
	said := ""
	for {
		taken, err := svc.Recover(ctx)
		for _, t := range taken {
			log.Info("going on with a task that its process has left", "deployment", t.Deployment, "task", t.ID)
		}
		if err != nil && ctx.Err() == nil && err.Error() != said { // once, not every few seconds
			log.Warn("cannot go on with every task", "error", err)
		}
		if said = ""; err != nil {
			said = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recoverPace):
		}
	}
}
