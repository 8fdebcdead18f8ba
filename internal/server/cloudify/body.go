package cloudify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// body decodes a JSON object, leaving out what is not known: clients of several versions send different fields. The type must be JSON's.
func (q *request) body(into any) error {
	data, err := q.rawJSON()
	if err != nil {
		return err
	}
	return decode(data, into)
}

// optionalBody is body for requests that may have none.
func (q *request) optionalBody(into any) error {
	if q.Request().ContentLength == 0 {
		return nil
	}
	data, err := io.ReadAll(http.MaxBytesReader(q.Response(), q.Request().Body, maxBody))
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	return decode(data, into)
}

// repeatable is the body once more: a list over all tenants is asked for in each of them.
func (q *request) repeatable() (io.ReadCloser, error) {
	r := q.Request()
	data, err := io.ReadAll(http.MaxBytesReader(q.Response(), r.Body, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(data))
	return io.NopCloser(bytes.NewReader(data)), err
}

func (q *request) rawJSON() ([]byte, error) {
	if t, _, err := mime.ParseMediaType(q.Request().Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, &problem{http.StatusUnsupportedMediaType, "unsupported_content_type_error", "Content type must be application/json"}
	}
	return io.ReadAll(http.MaxBytesReader(q.Response(), q.Request().Body, maxBody))
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("text after the JSON value")
	}
	var own *problem
	switch {
	case errors.As(err, &own):
		return own
	case err != nil:
		return badParameters("The request's body cannot be read: %v", err)
	}
	return nil
}

// flag is a boolean in a body, which Cloudify's client also writes as text: "force": "false".
type flag bool

// UnmarshalJSON reads both forms; null is false.
func (f *flag) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch t := v.(type) {
	case nil:
		*f = false
	case bool:
		*f = flag(t)
	case string:
		v, err := parseBool("a boolean", t)
		if err != nil {
			return err
		}
		*f = flag(v)
	case float64:
		*f = t != 0
	default:
		return badParameters("%s is not a boolean", b)
	}
	return nil
}

// values turns decoded JSON into plain values: whole numbers stay whole.
func values(m map[string]any) map[string]any {
	for k := range m {
		m[k] = plain(m[k])
	}
	return m
}

func plain(v any) any {
	switch t := v.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		if f, err := t.Float64(); err == nil {
			return f
		}
		return t.String()
	case []any:
		for i := range t {
			t[i] = plain(t[i])
		}
	case map[string]any:
		values(t)
	}
	return v
}
