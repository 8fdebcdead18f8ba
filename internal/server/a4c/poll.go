package a4c

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

const (
	indexHeader = "X-Yorc-Index"
	janusHeader = "X-Janus-Index" // what it was called in Janus
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute // well below the plugin's socket timeout of 15
	pollLimit   = 1000             // stored events of one answer
	// firstIndex is where Yorc's clients begin, and mean everything: an index of this API is one of the store and this.
	firstIndex = 1
)

// index is the header only: where a client begins that wants what is new.
func (s *Server) index(c echo.Context) error {
	ctx := c.Request().Context()
	if id := param(c, "id"); id != "" {
		if _, err := s.known(ctx, id); err != nil {
			return err
		}
	}
	last, err := s.opts.Feed.LastIndex(ctx)
	if err != nil {
		return err
	}
	setIndex(c, last)
	return c.NoContent(http.StatusOK)
}

// setIndex tells an index, of the store's events, in the headers.
func setIndex(c echo.Context, index uint64) {
	v := strconv.FormatUint(index+firstIndex, 10)
	c.Response().Header().Set(indexHeader, v)
	c.Response().Header().Set(janusHeader, v)
}

// told are the stored events that have a counterpart for Alien4Cloud; everything has one among the logs.
var told = []event.Type{event.DeploymentStatus, event.TaskStatus, event.StepStatus, event.InstanceState, event.Attribute}

func (s *Server) events(c echo.Context) error {
	if ofJanus(c) {
		return s.janusEvents(c)
	}
	each := translate
	if takesLastEvent(c) {
		each = withoutPurged
	}
	return poll(s, c, told, each, func(entries []eventDocument, last uint64) any {
		return struct {
			Events []eventDocument `json:"events"`
			Last   uint64          `json:"last_index"`
		}{entries, last}
	})
}

// takesLastEvent reports whether a request comes from a plugin (Yorc's up to 3.x, by its HTTP library) that keeps the last event of a deployment
// only for the thread that waits for it, and does not know "purged": coming right after "undeployed" it would be all that the thread sees, which
// then waits for half an hour. Newer plugins take the answer to their purge.
func takesLastEvent(c echo.Context) bool {
	return strings.HasPrefix(c.Request().UserAgent(), "Apache-HttpClient/")
}

func withoutPurged(e event.Event) []eventDocument {
	if e.Type == event.DeploymentStatus && e.Status == event.Purged {
		return nil
	}
	return translate(e)
}

func (s *Server) logs(c echo.Context) error {
	each := narrate
	if ofJanus(c) {
		each = janusLogs
	}
	return poll(s, c, nil, each, func(entries []logDocument, last uint64) any {
		return struct {
			Logs []logDocument `json:"logs"`
			Last uint64        `json:"last_index"`
		}{entries, last}
	})
}

// poll answers with what came after an index, as soon as there is something. An event of orch may be several of Yorc's: they share its index,
// and an answer never ends between them.
func poll[T any](s *Server, c echo.Context, types []event.Type, each func(event.Event) []T, document func([]T, uint64) any) error {
	f, wait, err := pollParameters(c)
	if err != nil {
		return err
	}
	f.Types = types
	if f.Deployment != "" {
		if _, err := s.known(c.Request().Context(), f.Deployment); err != nil {
			return err
		}
	}
	ctx, cancel := s.until(c.Request().Context())
	defer cancel()
	deadline := time.Now().Add(wait)
	entries := []T{}
	for first := true; len(entries) == 0; first = false {
		left := max(time.Until(deadline), 0)
		if !first && left == 0 {
			break
		}
		page, err := s.opts.Feed.Page(ctx, f, pollLimit, left)
		f.After = max(f.After, page.Last)
		if errors.Is(err, context.Canceled) && c.Request().Context().Err() == nil {
			break // told to stop
		}
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			entries = append(entries, each(e)...)
		}
	}
	if len(entries) == 0 {
		// An index beyond the last one is of a store that is no more: its client would wait for ever.
		if last, err := s.opts.Feed.LastIndex(c.Request().Context()); err == nil {
			f.After = min(f.After, last)
		}
	}
	setIndex(c, f.After)
	return answer(c, http.StatusOK, document(entries, f.After+firstIndex))
}

func pollParameters(c echo.Context) (orch.Filter, time.Duration, error) {
	f := orch.Filter{Deployment: param(c, "id")}
	wait, index := defaultWait, uint64(0)
	var err error
	if v := c.QueryParam("index"); v != "" {
		if index, err = strconv.ParseUint(v, 10, 64); err != nil {
			return f, 0, badParameter("index", quote(v)+" is not an index")
		}
	} else if c.QueryParam("wait") != "" {
		index = firstIndex
	}
	if v := c.QueryParam("wait"); v != "" {
		if wait, err = time.ParseDuration(v); err != nil || wait < 0 {
			return f, 0, badParameter("wait", quote(v)+" is not a duration")
		}
	}
	if index == 0 {
		wait = 0 // everything that there is, and nothing to wait for: so clients read without following, and Yorc's first plugins asked for the index
	}
	f.After = index - min(index, firstIndex)
	return f, min(wait, maxWait), nil
}

// until also ends when the server is told to stop.
func (s *Server) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if s.opts.Stop == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-s.opts.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
