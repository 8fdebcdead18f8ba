// Package server offers the Service over HTTP: the native API below /api/v1.
//
// It translates and holds no logic of deployments. Other endpoints (Alien4Cloud's, Cloudify's) live in packages below it. It is the only
// place that knows echo.
//
// A process that has opened the embedded store serves it on a socket below ORCH_HOME, so that `orch status` or `orch logs -f` in a second
// terminal work while the first one deploys: bbolt's file belongs to one process at a time.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
)

// Options of a Server.
type Options struct {
	Service orch.Service
	// Reveal resolves a secret reference of a host, so that a client may log in to it. Nil refuses.
	Reveal func(ctx context.Context, ref string) (secret.Value, error)
	Logger *slog.Logger
	// MaxUpload bounds a request's body in bytes; 0 is 512 MiB.
	MaxUpload int64
	// Root answers every path outside /api/v1, as Alien4Cloud's endpoint does; nil: there are none.
	Root http.Handler
	// TLS configuration of the listener; nil serves plain HTTP.
	TLS *tls.Config
	// Drain is how long running requests may go on when the server is told to stop; streams end at once. 0 ends every request at once.
	Drain time.Duration
}

const defaultMaxUpload = 512 << 20

// Server answers requests.
type Server struct {
	opts Options
	echo *echo.Echo
	stop chan struct{} // closed when streams are to end
}

// New returns a server that is not listening yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = defaultMaxUpload
	}
	s := &Server{opts: o, echo: echo.New(), stop: make(chan struct{})}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.fail
	s.echo.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
		o.Logger.Error("request failed", "path", c.Path(), "error", err, "stack", string(stack))
		return err
	}}))
	for _, r := range s.routes() {
		s.echo.Add(r.method, "/api/v1"+r.path, r.handle)
	}
	if o.Root != nil {
		s.echo.Any("/*", echo.WrapHandler(o.Root))
	}
	return s
}

// Handler for tests and for mounting.
func (s *Server) Handler() http.Handler { return s.echo }

// Limits of connections: a client that sends nothing is dropped, one that uploads slowly is not.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 3 * time.Minute // Alien4Cloud keeps idle connections for two
	stopTimeout   = 2 * time.Second
)

// Serve answers on the listener until ctx ends, then lets running requests finish for a moment, or as long as Drain says. It can be
// called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	base := ctx
	if s.opts.Drain > 0 {
		var cut context.CancelFunc
		base, cut = context.WithCancel(context.WithoutCancel(ctx))
		defer cut()
	}
	srv := &http.Server{Handler: s.echo, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog: slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug)}
	if s.opts.TLS != nil {
		l = tls.NewListener(l, s.opts.TLS)
	}
	failed, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
		case <-failed:
		}
		close(s.stop)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(s.opts.Drain, stopTimeout))
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	}()
	err := srv.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) {
		close(failed)
	} else {
		err = nil
	}
	<-stopped
	return err
}

// streaming is a request's context that also ends when the server is told to stop: streams and waits would use up the time that others
// have to finish.
func (s *Server) streaming(c echo.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.Request().Context())
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// fail writes every error as a problem document.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return // a stream that broke off
	}
	p := orch.ProblemOf(err)
	var known *echo.HTTPError
	if errors.As(err, &known) {
		p = orch.Problem{Type: "about:blank", Kind: orch.KindUser, Status: known.Code, Title: http.StatusText(known.Code), Detail: http.StatusText(known.Code)}
		if known.Code == http.StatusNotFound {
			p.Kind, p.Detail = orch.KindNotFound, "no such path: "+c.Request().URL.Path
		}
	}
	if p.Status >= http.StatusInternalServerError {
		s.opts.Logger.Warn("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	c.Response().Header().Set(echo.HeaderContentType, "application/problem+json")
	if err := c.JSON(p.Status, p); err != nil {
		s.opts.Logger.Debug("cannot write an answer", "error", err)
	}
}
