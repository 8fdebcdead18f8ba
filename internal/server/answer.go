package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// answer writes JSON with an entity tag, or only that it has not changed.
func answer(c echo.Context, v any, err error) error {
	if err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	return tagged(c, `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`, func() error {
		return c.JSONBlob(http.StatusOK, append(body, '\n'))
	})
}

// tagged answers with an entity tag, or 304 if the client has that already.
func tagged(c echo.Context, tag string, write func() error) error {
	c.Response().Header().Set("ETag", tag)
	if c.Request().Method != http.MethodGet {
		return write()
	}
	if header := c.Request().Header.Get("If-None-Match"); header != "" && matchesTag(header, tag) {
		return c.NoContent(http.StatusNotModified)
	}
	return write()
}

// matchesTag looks for a tag in a list of If-Match or If-None-Match, by weak comparison.
func matchesTag(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		t = strings.TrimPrefix(strings.TrimSpace(t), "W/")
		if t == "*" || t == tag {
			return true
		}
	}
	return false
}

// unchanged enforces If-Match: current is the tag of what is there now, asked only where the client cares.
func unchanged(c echo.Context, current func() (string, error)) error {
	header := ifMatch(c)
	if header == "" {
		return nil
	}
	tag, err := current()
	if err != nil {
		return err
	}
	if !matchesTag(header, tag) {
		return &statusError{http.StatusPreconditionFailed, &orch.Error{Kind: orch.KindConflict, Msg: "it has been changed meanwhile: it is " + tag + " now", Hint: "read it again"}}
	}
	return nil
}

// ifMatch are the tags of all If-Match headers; "" there is none.
func ifMatch(c echo.Context) string { return strings.Join(c.Request().Header.Values("If-Match"), ",") }

// digests are the tags of If-Match without their quotes, for changes that compare them where they are made; none: whatever is there is meant.
func digests(c echo.Context) (out []string) {
	for t := range strings.SplitSeq(ifMatch(c), ",") {
		t = strings.Trim(strings.TrimPrefix(strings.TrimSpace(t), "W/"), `"`)
		if t == "*" {
			return nil
		}
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// statusError answers with a status other than that of the error's kind.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func badParam(name, value, want string) error {
	return &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("%s: %.80q is not %s", name, value, want)}
}

func boolParam(c echo.Context, name string) (bool, error) {
	text := c.QueryParam(name)
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, badParam(name, text, "true or false")
	}
	return v, nil
}

func intParam(c echo.Context, name string) (int, error) {
	text := c.QueryParam(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badParam(name, text, "a number")
	}
	return n, nil
}
