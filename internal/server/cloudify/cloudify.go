// Package cloudify is the endpoint that Cloudify's command line (cfy), its REST clients and Alien4Cloud's Cloudify provider talk to:
// Cloudify Manager's REST API below /api/v1 … /api/v3.1.
//
// It translates: blueprints, deployments, executions, node instances and events are computed from what orch has of topologies, tasks and
// events. What only Cloudify has words for – labels, sites, filters, display names, uploaded archives – lies in the store under
// "cloudify/" (shelf.go). It holds no logic of deployments.
package cloudify

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// Engine is what the endpoint needs of the process of the Service besides it.
type Engine interface {
	orch.Feed
	orch.Creator
	orch.Modeller
}

// Options of a Server, which serves one tenant: the server before it finds out who asks for which. Service, Engine and Store must be set.
type Options struct {
	Service orch.Service
	Engine  Engine
	// Store keeps what only Cloudify has words for.
	Store state.Store
	// Tenant that Service and Engine are those of; "" is the default one.
	Tenant string
	// Peer is the endpoint of another tenant, for what is global and for lists over all tenants; nil: there is no other.
	Peer func(tenant string) *Server
	// Fetch reads an archive that a request names by URL; nil refuses them.
	Fetch  func(ctx context.Context, url string) (io.ReadCloser, error)
	Logger *slog.Logger
	// MaxUpload bounds an archive in bytes; 0 is 512 MiB.
	MaxUpload int64
	now       func() time.Time
}

const (
	defaultMaxUpload = 512 << 20
	maxBody          = 8 << 20 // of JSON
)

// Server answers as Cloudify Manager does.
type Server struct {
	opts  Options
	echo  *echo.Echo
	shelf shelf
	// known remembers what ids stand for, and feeds the translated events.
	known *directory
	feeds *feeds
}

// New returns the endpoint.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = defaultMaxUpload
	}
	if o.Tenant == "" {
		o.Tenant = orch.DefaultTenant
	}
	if o.now == nil {
		o.now = func() time.Time { return time.Now().UTC() }
	}
	s := &Server{opts: o, echo: echo.New(), shelf: newShelf(o.Store), known: newDirectory(), feeds: newFeeds(o.Engine)}
	s.echo.HTTPErrorHandler = s.fail
	s.mount()
	return s
}

// Handler of the paths below Prefixes.
func (s *Server) Handler() http.Handler { return s.echo }

// fail writes every error as Cloudify's error document.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError {
		s.opts.Logger.Warn("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	if p.status == http.StatusServiceUnavailable {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	if err := c.JSON(p.status, p.document()); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		s.opts.Logger.Debug("cannot write an answer", "error", err)
	}
}
