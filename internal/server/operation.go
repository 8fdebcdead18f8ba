package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// Operation is what a server offers to who runs it. Zero fields are left out.
type Operation struct {
	// Metrics answers /metrics; Request and InFlight are told of every request. Route is a pattern of ours, never a path.
	Metrics  http.Handler
	Request  func(method, route string, code int, took time.Duration, stream bool)
	InFlight func(delta float64)
	// Ready reports why the server cannot work now: its store is out of reach.
	Ready func(ctx context.Context) error
	// Backup writes a backup of the store.
	Backup func(ctx context.Context, w io.Writer) error
	// Level of the log, which can be changed.
	Level *slog.LevelVar
}

// readyTimeout bounds looking whether the store answers.
const readyTimeout = 3 * time.Second

// operationRoutes answer beside the API. /healthz and /readyz say nothing that would be worth hiding; /metrics needs a viewer.
func (s *Server) operationRoutes() {
	add := func(path string, needs orch.Role, handle echo.HandlerFunc) {
		s.echo.GET(path, s.guarded(route{http.MethodGet, path, needs, 0, handle}, handle))
	}
	// Who looks after the server is answered to the end.
	s.watched(s.echo)
	if s.opts.Operation.Metrics != nil {
		add("/metrics", orch.Viewer, echo.WrapHandler(s.opts.Operation.Metrics))
	}
}

// OperationHandler answers /metrics, /healthz and /readyz to whoever asks: for a listener of its own.
func (s *Server) OperationHandler() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	s.watched(e)
	if s.opts.Operation.Metrics != nil {
		e.GET("/metrics", echo.WrapHandler(s.opts.Operation.Metrics))
	}
	return e
}

// watched answers load balancers, of which many ask with HEAD.
func (s *Server) watched(e *echo.Echo) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
		e.Add(method, "/readyz", s.ready)
	}
}

// ready is what load balancers ask: no for a server that is about to stop, or whose store cannot be used.
func (s *Server) ready(c echo.Context) error {
	select {
	case <-s.stop:
		return c.String(http.StatusServiceUnavailable, "stopping\n")
	default:
	}
	if s.opts.Operation.Ready == nil {
		return c.String(http.StatusOK, "ok\n")
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if err := s.opts.Operation.Ready(ctx); err != nil {
		s.opts.Logger.Warn("not ready", "error", err)
		return c.String(http.StatusServiceUnavailable, "the store cannot be used\n")
	}
	return c.String(http.StatusOK, "ok\n")
}

// measured tells Operation of every request.
func (s *Server) measured(next echo.HandlerFunc) echo.HandlerFunc {
	o := s.opts.Operation
	if o.Request == nil {
		return next
	}
	return func(c echo.Context) error {
		begun := time.Now()
		if o.InFlight != nil {
			o.InFlight(1)
			defer o.InFlight(-1)
		}
		err := next(c)
		if err != nil {
			c.Error(err) // so that the status is known; it is answered once
		}
		path := c.Path()
		if path == "" {
			path = "none"
		}
		stream := strings.HasSuffix(path, "/wait") || strings.HasSuffix(path, "/events") ||
			strings.HasPrefix(c.Response().Header().Get(echo.HeaderContentType), "text/event-stream")
		o.Request(c.Request().Method, path, c.Response().Status, time.Since(begun), stream)
		return nil
	}
}

// backup streams the store. An error after the beginning breaks the connection off, and what came has no end that a reader would accept.
func (s *Server) backup(c echo.Context) error {
	if s.opts.Operation.Backup == nil {
		return &orch.Error{Kind: orch.KindConflict, Msg: "this process cannot back up its store"}
	}
	ctx, cancel := s.streaming(c)
	defer cancel()
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, echo.MIMEOctetStream)
	h.Set("Content-Disposition", `attachment; filename="orch.backup"`)
	h.Set("Cache-Control", "no-store")
	return s.opts.Operation.Backup(ctx, c.Response())
}

func (s *Server) logLevel(c echo.Context) error {
	if s.opts.Operation.Level == nil {
		return &orch.Error{Kind: orch.KindConflict, Msg: "the log level of this process is fixed"}
	}
	return c.JSON(http.StatusOK, orch.LogLevel{Level: strings.ToLower(s.opts.Operation.Level.Level().String())})
}

func (s *Server) setLogLevel(c echo.Context) error {
	var want orch.LogLevel
	if err := decodeJSON(c, &want); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(want.Level)); err != nil || strings.ContainsAny(want.Level, "+-") {
		return &orch.Error{Kind: orch.KindUser, Msg: "the level is one of debug, info, warn and error"}
	}
	if s.opts.Operation.Level == nil {
		return &orch.Error{Kind: orch.KindConflict, Msg: "the log level of this process is fixed"}
	}
	s.opts.Operation.Level.Set(level)
	s.opts.Logger.Info("the log level is changed", "level", strings.ToLower(level.String()))
	return s.logLevel(c)
}
