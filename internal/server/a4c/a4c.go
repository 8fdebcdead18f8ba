// Package a4c is the endpoint that Alien4Cloud's orchestrator plugin for Yorc talks to: Yorc's REST API, at the root of the server.
//
// It only translates: requests into those of the Service, deployments, tasks and events into Yorc's words. It holds no logic of deployments
// and no state but a cache; events and logs are computed from the stored events each time, so that their index is the one of the store and
// goes on over restarts.
package a4c

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// Options of a Server. Service and Feed must be set.
type Options struct {
	Service orch.Service
	Feed    orch.Feed
	// Collector asks for the usage of locations; nil: there are no collectors.
	Collector orch.Collector
	Logger    *slog.Logger
	// MaxUpload bounds an archive in bytes; 0 is 512 MiB.
	MaxUpload int64
	// Stop is closed when the server is told to stop: long polls answer at once. Nil: never.
	Stop <-chan struct{}
}

const (
	defaultMaxUpload = 512 << 20
	maxBody          = 8 << 20 // of JSON
)

// Server answers as Yorc does.
type Server struct {
	opts  Options
	echo  *echo.Echo
	cache cache
}

// New returns the endpoint.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = defaultMaxUpload
	}
	s := &Server{opts: o, echo: echo.New(), cache: cache{entries: map[string]entry{}, now: time.Now}}
	s.echo.HTTPErrorHandler = s.fail
	for _, r := range s.routes() {
		h := r.handle
		if r.accept != "" {
			h = accepting(r.accept, h)
		}
		if r.content != "" {
			h = consuming(r.content, h)
		}
		s.echo.Add(r.method, r.path, h)
	}
	return s
}

// Handler of all paths at the root.
func (s *Server) Handler() http.Handler { return s.echo }

// accepting refuses clients that want something else. No Accept header at all is no wish.
func accepting(want string, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !names(c.Request().Header.Values(echo.HeaderAccept), want) {
			return &problem{http.StatusNotAcceptable, "not_acceptable", "The 'Accept' header must be set to '" + want + "'."}
		}
		return next(c)
	}
}

// consuming refuses bodies of another type. Without a body there is nothing to be of a type: older plugins start workflows so.
func consuming(want string, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		got := c.Request().Header.Get(echo.HeaderContentType)
		if got == "" && c.Request().ContentLength == 0 && want == jsonType {
			return next(c)
		}
		if got == "" || !names([]string{got}, want) {
			return &problem{http.StatusUnsupportedMediaType, "unsupported_media_type", "The 'Content-Type' header must be set to '" + want + "'."}
		}
		return next(c)
	}
}

// fail writes every error as Yorc's error document.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed || c.Request().Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // nobody is there any more: clients end their long polls so
	}
	p := problemOf(err)
	var said *problem // Yorc has a status of servers' failures for some mistakes of clients
	if p.status >= http.StatusInternalServerError && !errors.As(err, &said) {
		s.opts.Logger.Warn("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	if p.status == http.StatusServiceUnavailable {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	if err := answer(c, p.status, p.document()); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		s.opts.Logger.Debug("cannot write an answer", "error", err)
	}
}

// answer writes JSON, indented for ?pretty.
func answer(c echo.Context, status int, v any) error {
	if c.Request().Method == http.MethodHead {
		return c.NoContent(status)
	}
	c.Response().Header().Set(echo.HeaderContentType, jsonType)
	if c.QueryParams().Has("pretty") {
		return c.JSONPretty(status, v, "  ")
	}
	return c.JSON(status, v)
}

const (
	jsonType = "application/json"
	zipType  = "application/zip"
)

// Needs is the role that a request needs: locations and pools of hosts are the server's, and only its admin changes them.
func Needs(r *http.Request) orch.Role {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case read:
		return orch.Viewer
	case strings.HasPrefix(r.URL.Path, "/locations/"), strings.HasPrefix(r.URL.Path, "/hosts_pool/"):
		return orch.ServerAdmin
	}
	return orch.Operator
}
