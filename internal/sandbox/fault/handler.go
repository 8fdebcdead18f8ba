package fault

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxPeek is how much of a body rules look at; longer ones (image data) are passed on unread.
const maxPeek = 1 << 20

// forever is longer than any client waits.
const forever = 24 * time.Hour

// Reply writes an error in a service's own format. quota asks for its refusal of the resource (a fitting one when empty).
type Reply struct {
	Error func(w http.ResponseWriter, r *http.Request, status int, message string)
	Quota func(w http.ResponseWriter, r *http.Request, resource string)
}

// Handler is a service's handler under the rules. done ends requests that hang.
func (s *Set) Handler(service string, next http.Handler, reply Reply, done <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := peek(r)
		if err != nil {
			reply.Error(w, r, http.StatusBadRequest, "cannot read the request body")
			return
		}
		rule := s.Hit(Request{Service: service, Method: r.Method, Path: r.URL.RequestURI(), Body: body})
		if rule == nil {
			next.ServeHTTP(w, r)
			return
		}
		switch rule.Do {
		case Answer:
			rule.answer(w, r, reply)
		case Quota:
			reply.Quota(w, r, rule.Resource)
		case Limit:
			w.Header().Set("Retry-After", strconv.Itoa(max(rule.RetryAfter, 1)))
			reply.Error(w, r, http.StatusTooManyRequests, "This request was rate-limited.")
		case Hang:
			patience := time.Duration(rule.Delay)
			if patience == 0 {
				patience = forever
			}
			wait(r, patience, done)
			panic(http.ErrAbortHandler)
		case Lose:
			next.ServeHTTP(&discard{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		case Drop:
			panic(http.ErrAbortHandler)
		case Delay:
			if wait(r, time.Duration(rule.Delay), done) {
				next.ServeHTTP(w, r)
			}
		}
	})
}

func (r *Rule) answer(w http.ResponseWriter, req *http.Request, reply Reply) {
	status := r.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	if r.Raw != "" {
		w.Header().Set("Content-Type", http.DetectContentType([]byte(r.Raw)))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, r.Raw)
		return
	}
	message := r.Message
	if message == "" {
		message = "Injected by the sandbox."
	}
	reply.Error(w, req, status, message)
}

// wait reports whether the time passed with the client still there.
func wait(r *http.Request, d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-done:
	}
	return false
}

// peek reads the body and puts it back.
func peek(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, maxPeek))
	if err != nil {
		return nil, err
	}
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), rest}
	return head, nil
}

// discard takes a reply that nobody shall see.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
