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
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// Options of a Server.
type Options struct {
	Service orch.Service
	// Reveal resolves a secret reference of a host, so that a client may log in to it. Nil refuses.
	Reveal func(ctx context.Context, ref string) (secret.Value, error)
	Logger *slog.Logger
	// MaxUpload bounds a request's body in bytes; 0 is 512 MiB.
	MaxUpload int64
	// Auth says who asks. Nil is for a socket that only its owner can open: everybody is Owner and may do everything.
	Auth Authenticator
	// Owner is the user of a socket.
	Owner string
	// Admit refuses requests of a socket for reasons of its own; nil refuses none.
	Admit func(r *http.Request) error
	// AnyHost also lets requests without credentials in that call the server by a name other than this machine's (--insecure-no-auth).
	AnyHost bool
	// NoAudit keeps no audit log: the Service has no accounts.
	NoAudit bool
	// Operation is what the server offers to who runs it.
	Operation Operation
	// Store keeps the answers to requests with an Idempotency-Key; nil: the header is ignored.
	Store state.Store
	// Mounts answer paths outside of /api/v1.
	Mounts []Mount
	// Rate is how many requests a second a client's address may send, Burst how many at once; 0 does not limit.
	Rate  float64
	Burst int
	// TLS configuration of the listener; nil serves plain HTTP.
	TLS *tls.Config
	// Drain is how long running requests may go on when the server is told to stop. Streams and long polls are answered at once, and until the
	// last request has ended new ones are told to go elsewhere. 0 ends every request at once.
	Drain time.Duration
}

const (
	defaultMaxUpload = 512 << 20
	base             = "/api/v1"
)

// Server answers requests.
type Server struct {
	opts Options
	echo *echo.Echo
	stop chan struct{} // closed when streams are to end
	// drain lets the running requests finish before the listener is closed.
	drain *drain

	replayed *replayed
	handler  http.Handler // echo; tests put something before it
}

// New returns a server that is not listening yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = defaultMaxUpload
	}
	s := &Server{opts: o, echo: echo.New(), stop: make(chan struct{}), drain: newDrain()}
	if o.Store != nil {
		s.replayed = newReplayed(o.Store)
	}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.fail
	s.echo.IPExtractor = echo.ExtractIPDirect()
	s.echo.Pre(s.label, deadlines)
	s.echo.Use(s.measured)
	s.echo.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
		o.Logger.Error("request failed", "path", c.Path(), "error", err, "stack", string(stack))
		return err
	}}))
	if o.Rate > 0 {
		s.echo.Use(s.limited())
	}
	for _, r := range s.routes() {
		s.echo.Add(r.method, base+r.path, s.guarded(r, r.handle))
	}
	for path, methods := range otherMethods(s.routes()) {
		s.echo.Match(methods, base+path, notAllowed(methods))
	}
	// Below the API nothing else is answered, whatever a mount at the root would say.
	s.echo.Any(base+"/*", func(c echo.Context) error { return echo.ErrNotFound })
	s.operationRoutes()
	for _, m := range o.Mounts {
		s.echo.Any(m.Prefix, s.mounted(m))
		s.echo.Any(strings.TrimSuffix(m.Prefix, "/")+"/*", s.mounted(m))
	}
	s.handler = s.echo
	return s
}

// notAllowed answers methods that a path has not with those that it has (RFC 9110, 15.5.6).
func notAllowed(others []string) echo.HandlerFunc {
	have := slices.DeleteFunc(slices.Clone(knownMethods), func(m string) bool { return slices.Contains(others, m) })
	return func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderAllow, strings.Join(have, ", "))
		return &statusError{http.StatusMethodNotAllowed, &orch.Error{Kind: orch.KindUser,
			Msg: fmt.Sprintf("%s is no method of %s", c.Request().Method, c.Request().URL.Path), Hint: "it takes " + strings.Join(have, " and ")}}
	}
}

// knownMethods are those of the routes, and HEAD.
var knownMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// otherMethods are those that a path has no route for.
func otherMethods(routes []route) map[string][]string {
	out := map[string][]string{}
	for _, r := range routes {
		if out[r.path] == nil {
			out[r.path] = slices.Clone(knownMethods)
		}
		out[r.path] = slices.DeleteFunc(out[r.path], func(m string) bool { return m == r.method })
	}
	return out
}

// Handler for tests and for mounting.
func (s *Server) Handler() http.Handler { return s.handler }

// Limits of connections: a client that sends nothing is dropped, one that uploads slowly is not.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 3 * time.Minute // Alien4Cloud keeps idle connections for two
	stopTimeout   = 2 * time.Second
)

// Serve answers on the listener until ctx ends, then lets running requests finish for a moment, or as long as Drain says. It can be
// called once. A load balancer sees first that /readyz says no, then that requests are refused (503, Retry-After, Connection: close), and
// last, when nothing is under way any more, that nobody listens.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	base := ctx
	if s.opts.Drain > 0 {
		var cut context.CancelFunc
		base, cut = context.WithCancel(context.WithoutCancel(ctx))
		defer cut()
	}
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, BaseContext: func(net.Listener) context.Context { return base },
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
		if s.opts.Drain > 0 {
			srv.SetKeepAlivesEnabled(false) // every answer is the last one of its connection
			s.drain.stop()
			s.drain.wait(grace)
		}
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
	p := s.problem(c, err)
	if p.Status >= http.StatusInternalServerError {
		s.opts.Logger.Warn("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "request", p.RequestID, "error", err)
	}
	if c.Request().Method == http.MethodHead {
		err = c.NoContent(p.Status)
	} else {
		c.Response().Header().Set(echo.HeaderContentType, "application/problem+json")
		err = c.JSON(p.Status, p)
	}
	if err != nil {
		s.opts.Logger.Debug("cannot write an answer", "error", err)
	}
}

// problem describes an error, and sets the headers that go with it.
func (s *Server) problem(c echo.Context, err error) orch.Problem {
	p := orch.ProblemOf(err)
	var framework *echo.HTTPError
	var own *statusError
	var form *bodyError
	var known *orch.Error
	switch {
	case errors.As(err, &own):
		p.Status, p.Title = own.status, http.StatusText(own.status)
	case errors.As(err, &framework) && !errors.As(err, &known):
		p = orch.Problem{Type: "about:blank", Kind: orch.KindUser, Status: framework.Code, Title: http.StatusText(framework.Code), Detail: http.StatusText(framework.Code)}
		if framework.Code == http.StatusNotFound {
			p.Kind, p.Detail = orch.KindNotFound, "no such path: "+c.Request().URL.Path
		}
	}
	if errors.As(err, &form) {
		p.Errors = []orch.ProblemPart{{Pointer: form.pointer, Detail: form.detail}}
	}
	p.Instance, p.RequestID = c.Request().URL.Path, c.Response().Header().Get(echo.HeaderXRequestID)
	challenge(c, &p, err)
	return p
}
