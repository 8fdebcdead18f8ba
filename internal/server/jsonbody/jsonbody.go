// Package jsonbody reads the JSON bodies that clients of other orchestrators send. Unknown fields are left out, as clients of several versions
// send different ones; numbers keep their digits until somebody needs them. Each endpoint says in its own words what is wrong.
package jsonbody

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/orch-project/orch/pkg/source"
)

// Invalid is a body that cannot be read: it breaks off, is no JSON, or is not of the form that it should have.
type Invalid struct{ Err error }

func (e *Invalid) Error() string { return fmt.Sprintf("the request's body cannot be read: %v", e.Err) }
func (e *Invalid) Unwrap() error { return e.Err }

// Read is the body of a request, of at most limit bytes: a larger one is *http.MaxBytesError.
func Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return data, nil
	case errors.As(err, &large):
		return nil, err
	}
	return nil, &Invalid{err}
}

// Repeatable is Read for a body that is read once more.
func Repeatable(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := Read(w, r, limit)
	r.Body = io.NopCloser(bytes.NewReader(data))
	return data, err
}

// Empty reports whether nothing was sent.
func Empty(data []byte) bool { return len(bytes.TrimSpace(data)) == 0 }

// Decode reads one JSON value. What a field's own decoding refuses with is in the error's chain.
func Decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return &Invalid{worded(err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &Invalid{errors.New("text after the JSON value")}
	}
	return nil
}

// worded says what is wrong without the names of our own types.
func worded(err error) error {
	var typed *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case !errors.As(err, &typed):
		return err
	case typed.Field == "":
		return fmt.Errorf("JSON of the kind %q does not belong here", typed.Value)
	}
	return fmt.Errorf("%s: JSON of the kind %q does not belong here", typed.Field, typed.Value)
}

// Plain turns a decoded value into a plain one, in place (see source.Numbers).
func Plain(v any) any { return source.Numbers(v) }

// PlainMap is Plain for every value of a map.
func PlainMap(m map[string]any) map[string]any {
	for k := range m {
		m[k] = Plain(m[k])
	}
	return m
}
