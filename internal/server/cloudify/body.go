package cloudify

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"

	"github.com/orch-project/orch/internal/server/jsonbody"
)

// body decodes a JSON object. The type must be JSON's.
func (q *request) body(into any) error {
	data, err := q.rawJSON()
	if err != nil {
		return err
	}
	return decode(data, into)
}

// optionalBody is body for requests that may have none.
func (q *request) optionalBody(into any) error {
	data, err := jsonbody.Read(q.Response(), q.Request(), maxBody)
	if err != nil || jsonbody.Empty(data) {
		return err
	}
	return decode(data, into)
}

// repeatable is the body once more: a list over all tenants is asked for in each of them.
func (q *request) repeatable() (io.ReadCloser, error) {
	data, err := jsonbody.Repeatable(q.Response(), q.Request(), maxBody)
	return io.NopCloser(bytes.NewReader(data)), err
}

func (q *request) rawJSON() ([]byte, error) {
	if t, _, err := mime.ParseMediaType(q.Request().Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, &problem{http.StatusUnsupportedMediaType, "unsupported_content_type_error", "Content type must be application/json"}
	}
	return jsonbody.Read(q.Response(), q.Request(), maxBody)
}

// changes is body for a change of a kind of thing, which must change something; names are those of its fields.
func (q *request) changes(kind string, into any) (names []string, err error) {
	data, err := q.rawJSON()
	if err != nil {
		return nil, err
	}
	var set map[string]json.RawMessage
	if err := decode(data, &set); err != nil {
		return nil, err
	}
	if len(set) == 0 {
		return nil, refused("illegal_action_error", "Update a %s request must include at least one parameter to update", kind)
	}
	return slices.Sorted(maps.Keys(set)), decode(data, into)
}

func decode(data []byte, into any) error { return jsonbody.Decode(data, into) }

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
