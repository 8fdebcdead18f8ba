package cloudify

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// api is a version of Cloudify's REST API. Newer ones serve everything that older ones do.
type api int

const (
	v1 api = iota
	v2
	v2_1
	v3
	v3_1
)

var versions = map[string]api{"v1": v1, "v2": v2, "v2.1": v2_1, "v3": v3, "v3.1": v3_1}

// request is a request with who sent it, for which tenant, in which version of the API.
type request struct {
	echo.Context
	*Server
	api    api
	who    orch.Identity
	tenant string
}

// handler answers a request: with a value as JSON and 200, or by itself, returning done.
type handler func(s *Server, q *request) (any, error)

// answered is a value with a status of its own.
type answered struct {
	status int
	value  any
}

// done says that the answer is written already.
var done = answered{}

func created(v any) (any, error) { return answered{http.StatusCreated, v}, nil }

func nothing() (any, error) { return answered{http.StatusNoContent, nil}, nil }

// serve makes an echo handler of a handler.
func (s *Server) serve(v api, need scope, h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		q := &request{Context: c, Server: s, api: v, tenant: s.opts.Tenant}
		if need != anybody {
			if err := q.identify(need); err != nil {
				return err
			}
		}
		res, err := h(s, q)
		if err != nil {
			return err
		}
		switch a, ok := res.(answered); {
		case !ok:
			return c.JSON(http.StatusOK, res)
		case a.status == 0:
			return nil
		case a.value == nil:
			return c.NoContent(a.status)
		default:
			return c.JSON(a.status, a.value)
		}
	}
}

// ctx of the request.
func (q *request) param(name string) string {
	v := q.Param(name)
	if d, err := url.PathUnescape(v); err == nil {
		return d
	}
	return v
}

// flag is a query parameter's truth.
func (q *request) flag(name string) (bool, error) { return parseBool(name, q.QueryParam(name)) }

// user who asks.
func (q *request) user() string { return q.who.User }

// stamp is a time as Cloudify writes it: UTC with milliseconds. Zero is null.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}

// parseBool reads what clients send for booleans: JSON's, Python's, and 1 and 0; empty is false.
func parseBool(name, s string) (bool, error) {
	switch strings.ToLower(s) {
	case "", "false", "no", "0", "off", "none", "null":
		return false, nil
	case "true", "yes", "1", "on":
		return true, nil
	}
	return false, badParameters("Invalid value of %s: %q; it must be true or false", name, s)
}

// plainID reports whether an id may be that of a resource.
func checkID(kind, id string, digitFirst bool) error {
	switch {
	case id == "" || len(id) > 256:
		return badParameters("The %s must have from 1 to 256 characters", kind)
	case strings.Trim(id, idCharacters) != "":
		return badParameters("The %s `%s` contains illegal characters. Only letters, digits and the characters \"-\", \".\" and \"_\" are allowed", kind, id)
	case !digitFirst && !slices.Contains([]byte(letters), id[0]):
		return badParameters("The %s `%s` must begin with a letter", kind, id)
	}
	return nil
}

const (
	letters      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	idCharacters = letters + "0123456789-._"
)
