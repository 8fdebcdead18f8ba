package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/oklog/ulid/v2"
	"golang.org/x/time/rate"

	"github.com/orch-project/orch/pkg/orch"
)

func itoa(n int) string { return strconv.Itoa(n) }

// label gives every answer an id and the headers that keep browsers from doing anything with it.
func (s *Server) label(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, ulid.Make().String())
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "private, no-cache") // kept by the client only, and asked again with its tag
		if c.Request().TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

var errLimited = errors.New("too many requests from this address")

// limited bounds the requests of an address. Behind one address many long polls may end at once, so the burst is large.
func (s *Server) limited() echo.MiddlewareFunc {
	store := middleware.NewRateLimiterMemoryStoreWithConfig(middleware.RateLimiterMemoryStoreConfig{Rate: rate.Limit(s.opts.Rate), Burst: s.opts.Burst, ExpiresIn: 3 * time.Minute})
	return middleware.RateLimiterWithConfig(middleware.RateLimiterConfig{
		Store:               store,
		IdentifierExtractor: func(c echo.Context) (string, error) { return c.RealIP(), nil },
		DenyHandler: func(c echo.Context, _ string, _ error) error {
			c.Response().Header().Set(echo.HeaderRetryAfter, "1")
			return &statusError{http.StatusTooManyRequests, &orch.Error{Kind: orch.KindConflict, Err: errLimited, Hint: "wait a second and ask again"}}
		},
	})
}

// Times of connections. A body has to keep coming; so does the reader of an answer. Streams may be silent for as long as they like.
const (
	bodyGrace = 60 * time.Second // before its average speed counts
	bodyRate  = 1024             // bytes a second
)

// Tests have less time.
var (
	bodyPause  = 30 * time.Second // between two pieces of a body
	writePause = 60 * time.Second // for a piece of the answer to be taken
)

// errSlow is a body that takes too long, for the endpoints a deadline that has passed.
var errSlow error = slow{}

type slow struct{}

func (slow) Error() string        { return "the body comes too slowly" }
func (slow) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// deadlines ends connections whose client trickles its body or does not read its answer.
func deadlines(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		w := c.Response().Writer
		control := http.NewResponseController(w)
		// The limit of the answer before, on the same connection, is none of this one, which may have no body to set it anew.
		_ = control.SetWriteDeadline(time.Time{})
		c.Response().Writer = &pacedWriter{w, control}
		if b := c.Request().Body; b != nil && b != http.NoBody {
			_ = control.SetReadDeadline(time.Now().Add(bodyPause)) // also for who refuses without reading: the server reads on to find the next request
			c.Request().Body = &pacedBody{ReadCloser: b, control: control, begun: time.Now()}
		}
		return next(c)
	}
}

type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	begun   time.Time
	n       int64
	ended   bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.ended {
		return b.ReadCloser.Read(p)
	}
	_ = b.control.SetReadDeadline(time.Now().Add(bodyPause)) // not every writer can; the limits of size hold all the same
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if err != nil {
		b.ended = true
		if err == io.EOF { // nothing more has to come in time
			_ = b.control.SetReadDeadline(time.Time{})
		}
		return n, err
	}
	if took := time.Since(b.begun); took > bodyGrace && float64(b.n) < bodyRate*took.Seconds() {
		b.ended = true
		return n, fmt.Errorf("%w: %d bytes in %s", errSlow, b.n, took.Round(time.Second))
	}
	return n, nil
}

type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writePause))
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
