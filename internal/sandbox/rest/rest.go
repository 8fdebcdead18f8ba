// Package rest is the HTTP side that the sandbox's services share: routes in a table, tokens, microversions, bodies,
// lists with filters, sorting and pages, and errors. It knows no resource of any service.
package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
)

// maxBody bounds request bodies; OpenStack's own limit is 112 KiB, image uploads are read as streams.
const maxBody = 4 << 20

// Call is one authenticated request.
type Call struct {
	*http.Request
	// Token is nil on public routes.
	Token *cloud.Token
	// Body is the JSON document; nil when there was none.
	Body []byte
	// Version is the negotiated microversion; zero where the service has none.
	Version Version
	// Base is the URL of the service's root as the client sees it, without a trailing slash.
	Base string
	// Query are the parsed parameters.
	Query url.Values
	// RequestID is the one of the reply, "req-…".
	RequestID string
}

// Project is the id of the token's project.
func (c *Call) Project() string { return c.Token.ProjectID }

// Admin reports whether the caller may act on other projects.
func (c *Call) Admin() bool { return c.Token != nil && c.Token.Admin() }

// Decode reads the body into v. Errors are fit for a 400.
func (c *Call) Decode(v any) error {
	if err := json.Unmarshal(c.Body, v); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return Bad("Invalid input for field/attribute %s. Value: %s. %s is not of type '%s'", last(typ.Field), typ.Value, typ.Value, typ.Type)
		}
		return Bad("Malformed request body")
	}
	return nil
}

func last(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }

// Object returns the member of the body with that name as a raw document, or nil.
func (c *Call) Object(name string) json.RawMessage {
	var outer map[string]json.RawMessage
	if json.Unmarshal(c.Body, &outer) != nil {
		return nil
	}
	return outer[name]
}

// Reply is what a handler answers. A nil Body sends none.
type Reply struct {
	Status int
	Body   any
	Header http.Header
}

// With adds a header.
func (r Reply) With(name, value string) Reply {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(name, value)
	return r
}

// OK is a 200 with a document.
func OK(body any) (Reply, error) { return Reply{Status: http.StatusOK, Body: body}, nil }

// Created is a 201 with a document.
func Created(body any) (Reply, error) { return Reply{Status: http.StatusCreated, Body: body}, nil }

// Accepted is a 202; body may be nil.
func Accepted(body any) (Reply, error) { return Reply{Status: http.StatusAccepted, Body: body}, nil }

// Empty is a 204.
func Empty() (Reply, error) { return Reply{Status: http.StatusNoContent}, nil }

// Handler answers a call; it runs with the cloud's lock held unless its route says otherwise.
type Handler func(*Call) (Reply, error)

// Route is one line of a service's API table.
type Route struct {
	Method, Path string // Path with {wildcards}, below the service's root
	Handler      Handler
	// Admin is policy's name when only administrators may call it.
	Admin string
	// Public needs no token.
	Public bool
	// Unlocked handlers take the cloud's lock themselves.
	Unlocked bool
	// Stream handlers read Request.Body themselves.
	Stream bool
}

// Service is one API below a path prefix.
type Service struct {
	Cloud *cloud.Cloud
	// Name is the project's: keystone, nova …
	Name   string
	Prefix string // e.g. "/compute"
	// Errors writes an error in the service's own format.
	Errors func(w http.ResponseWriter, c *Call, err *Error)
	// Versions is the range of microversions, nil for none.
	Versions *Range
	// Clean brings a path below the prefix into the form of the table, e.g. removes the project id.
	Clean func(path string) string
	// Forbidden words the refusal of an admin-only route.
	Forbidden func(c *Call, policy string) *Error

	mux *http.ServeMux
}

// Serve builds the service's handler from its table.
func (s *Service) Serve(routes []Route) http.Handler {
	s.mux = http.NewServeMux()
	for _, r := range routes {
		s.mux.Handle(r.Method+" "+r.Path, s.handler(r))
	}
	return http.HandlerFunc(s.ServeHTTP)
}

// ServeHTTP answers requests whose path still has the prefix.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := "req-" + cloud.UUID()
	w.Header().Set("X-Openstack-Request-Id", id)
	if s.Name == "nova" || s.Name == "cinder" {
		w.Header().Set("X-Compute-Request-Id", id)
	}
	inner := r.Clone(r.Context())
	path := strings.TrimPrefix(r.URL.Path, s.Prefix)
	if s.Clean != nil {
		path = s.Clean(path)
	}
	if len(path) > 1 {
		path = strings.TrimRight(path, "/")
	}
	if path == "" {
		path = "/"
	}
	inner.URL.Path, inner.URL.RawPath = path, ""
	h, pattern := s.mux.Handler(inner)
	call := s.call(inner, id)
	switch {
	case pattern != "":
		// The mux fills in the path's wildcards only when it serves itself.
		s.mux.ServeHTTP(w, inner)
	case isMethodError(h, inner):
		s.Errors(w, call, &Error{Status: http.StatusMethodNotAllowed, Message: "The method " + r.Method + " is not allowed for this resource."})
	default:
		if _, err := s.token(inner); err != nil && s.Name != "keystone" {
			s.unauthorized(w, inner)
			return
		}
		s.Errors(w, call, &Error{Status: http.StatusNotFound, Message: "The resource could not be found."})
	}
}

// isMethodError tells the mux's 405 from its 404 by asking it.
func isMethodError(h http.Handler, r *http.Request) bool {
	rec := &probe{header: http.Header{}}
	h.ServeHTTP(rec, r)
	return rec.status == http.StatusMethodNotAllowed
}

type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

func (s *Service) call(r *http.Request, id string) *Call {
	scheme := "http"
	if p := r.Header.Get("X-Forwarded-Proto"); p != "" {
		scheme = p
	}
	return &Call{Request: r, Base: scheme + "://" + r.Host + s.Prefix, Query: r.URL.Query(), RequestID: id}
}

func (s *Service) handler(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := s.call(r, w.Header().Get("X-Openstack-Request-Id"))
		reply, err := s.answer(w, call, route)
		if err == nil {
			write(w, r, reply)
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Status: http.StatusInternalServerError, Message: err.Error()}
		}
		if e.Status == http.StatusUnauthorized && e.Type == typeNoToken {
			s.unauthorized(w, r)
			return
		}
		s.Errors(w, call, e)
	})
}

func (s *Service) answer(w http.ResponseWriter, call *Call, route Route) (Reply, error) {
	if s.Versions != nil {
		v, err := s.Versions.Negotiate(call.Request, w.Header())
		if err != nil {
			return Reply{}, err
		}
		call.Version = v
	}
	if !route.Public {
		token, err := s.token(call.Request)
		if err != nil {
			return Reply{}, err
		}
		call.Token = token
		if route.Admin != "" && !token.Admin() {
			return Reply{}, s.Forbidden(call, route.Admin)
		}
	}
	if !route.Stream {
		body, err := io.ReadAll(io.LimitReader(call.Request.Body, maxBody+1))
		if err != nil {
			return Reply{}, Bad("cannot read the request body: %v", err)
		}
		if len(body) > maxBody {
			return Reply{}, &Error{Status: http.StatusRequestEntityTooLarge, Message: "Request is too large."}
		}
		call.Body = bytes.TrimSpace(body)
		if len(call.Body) > 0 && !json.Valid(call.Body) {
			return Reply{}, Bad("Malformed request body")
		}
	}
	if !route.Unlocked {
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
	}
	return route.Handler(call)
}

const typeNoToken = "no token"

// token validates X-Auth-Token.
func (s *Service) token(r *http.Request) (*cloud.Token, error) {
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	t := s.Cloud.Tokens.Get(r.Header.Get("X-Auth-Token"))
	if t == nil || !s.Cloud.Now().Before(t.Expires) || t.User.Disabled {
		return nil, &Error{Status: http.StatusUnauthorized, Type: typeNoToken}
	}
	return t, nil
}

// unauthorized is keystonemiddleware's reply, the same for all services.
func (s *Service) unauthorized(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Keystone uri="http://%s/identity"`, r.Host))
	write(w, r, Reply{Status: http.StatusUnauthorized, Body: map[string]any{"error": map[string]any{
		"code": http.StatusUnauthorized, "title": "Unauthorized",
		"message": "The request you have made requires authentication.",
	}}})
}

func write(w http.ResponseWriter, r *http.Request, reply Reply) {
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if reply.Body == nil || r.Method == http.MethodHead && reply.Status != http.StatusOK {
		if reply.Status != http.StatusNoContent && w.Header().Get("Content-Length") == "" {
			w.Header().Set("Content-Length", "0")
		}
		w.WriteHeader(reply.Status)
		return
	}
	if raw, ok := reply.Body.(Raw); ok {
		w.Header().Set("Content-Type", raw.Type)
		w.WriteHeader(reply.Status)
		_, _ = w.Write(raw.Data)
		return
	}
	WriteJSON(w, reply.Status, reply.Body)
}

// Raw is a body that is not a JSON document.
type Raw struct {
	Type string
	Data []byte
}

// WriteJSON sends a document.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}
