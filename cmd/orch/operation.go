package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/metrics"
	"github.com/orch-project/orch/internal/server"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/backup"
)

// operation is what a server offers to who runs it.
func operation(svc *service, count *metrics.Metrics, level *slog.LevelVar) server.Operation {
	return server.Operation{Metrics: count.Handler(), Request: count.Request, InFlight: count.InFlight, Level: level, Backup: svc.backup,
		Ready: func(ctx context.Context) error {
			_, err := state.SchemaOf(ctx, svc.store)
			return err
		}}
}

// backup of the store that this process has.
func (s *service) backup(ctx context.Context, w io.Writer) error {
	_, err := backup.Write(ctx, s.store, w, version.Version())
	return storeToolError(err)
}

// serveMetrics answers on a listener of its own until the returned function is called.
func serveMetrics(s *server.Server, l net.Listener, log *slog.Logger) func() {
	srv := &http.Server{Handler: s.OperationHandler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := srv.Serve(l); err != nil && err != http.ErrServerClosed {
			log.Error("the listener for metrics ended", "error", err)
		}
	}()
	return func() { _ = srv.Close(); <-ended }
}

// uploadAge is how long an upload may be under way before what there is of it counts as left by a crash.
const uploadAge = 24 * time.Hour

// purgedAge is how long the event is kept that a deployment was purged.
const purgedAge = 30 * time.Minute

// prune removes what is too old, now and from time to time. Of several servers one does it.
func (s *service) prune(ctx context.Context, keep config.Retention, log *slog.Logger) {
	for {
		if err := s.pruneOnce(ctx, keep); err != nil && ctx.Err() == nil {
			log.Warn("cannot remove everything that is too old", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(keep.Every):
		}
	}
}

func (s *service) pruneOnce(ctx context.Context, keep config.Retention) error {
	lease, err := s.store.Lease(ctx, "retention", state.LeaseOptions{})
	if err != nil {
		return held(err)
	}
	defer lease.Release(context.WithoutCancel(ctx))
	ctx, cancel := lease.Context(ctx)
	defer cancel()
	if err := state.Prune(ctx, s.store, state.Retention{Events: keep.Events, Age: keep.EventAge}); err != nil {
		return err
	}
	if err := orch.PrunePurged(ctx, s.store, time.Now().Add(-purgedAge)); err != nil {
		return err
	}
	if _, err := state.NewBlobs(s.store).Sweep(ctx, uploadAge); err != nil {
		return err
	}
	if keep.SecretAge > 0 {
		return s.secrets.PruneReads(ctx, time.Now().Add(-keep.SecretAge))
	}
	return nil
}

// held is no error: another server has the lease.
func held(err error) error {
	if errors.Is(err, state.ErrHeld) {
		return nil
	}
	return err
}
