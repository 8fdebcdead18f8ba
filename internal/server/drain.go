package server

import (
	"context"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// drain knows which requests are being answered, and lets no more in when the server is told to stop.
//
//	serving ──stop──▶ stopping: /readyz says no, streams and long polls are answered, others are answered 503 ──the last leaves──▶ idle
type drain struct {
	mu       sync.Mutex
	inside   int
	stopping bool
	idle     chan struct{} // closed when stopping and nobody is inside
}

func newDrain() *drain { return &drain{idle: make(chan struct{})} }

// enter reports whether a request may come in; who does calls leave.
func (d *drain) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return false
	}
	d.inside++
	return true
}

func (d *drain) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside--; d.inside == 0 && d.stopping {
		close(d.idle)
	}
}

func (d *drain) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return
	}
	if d.stopping = true; d.inside == 0 {
		close(d.idle)
	}
}

// wait until nobody is inside, or ctx ends.
func (d *drain) wait(ctx context.Context) {
	select {
	case <-d.idle:
	case <-ctx.Done():
	}
}

// errStopping is what a server that is about to end says. It has done nothing, so that whoever asks may ask another server, or the next one.
var errStopping = &statusError{http.StatusServiceUnavailable, &orch.Error{Kind: orch.KindStore, Msg: "this server is stopping",
	Hint: "ask again: another server, or the next one at this address, will answer"}}

// admitting refuses requests that come when the server is stopping. It stands before everything that a request may change.
func (s *Server) admitting(refuse func(c echo.Context, err error) error, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !s.drain.enter() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
			return refuse(c, errStopping)
		}
		defer s.drain.leave()
		return next(c)
	}
}

// interrupted is the error for who waited for something when the server was told to stop.
func (s *Server) interrupted(c echo.Context, err error) error {
	select {
	case <-s.stop:
		if err != nil && c.Request().Context().Err() == nil {
			c.Response().Header().Set(echo.HeaderConnection, "close")
			return errStopping
		}
	default:
	}
	return err
}
