package a4c

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// body decodes a JSON object. Unknown fields are ignored, as Yorc does: clients of several versions send different ones.
func body(c echo.Context, into any) error {
	data, err := read(c)
	if err != nil {
		return err
	}
	return decode(data, into)
}

// optionalBody is body where there may be none.
func optionalBody(c echo.Context, into any) error {
	data, err := read(c)
	if err != nil || len(bytes.TrimSpace(data)) == 0 {
		return err
	}
	return decode(data, into)
}

func read(c echo.Context) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	if err != nil {
		return nil, bodyError(err)
	}
	return data, nil
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("text after the JSON value")
	}
	if err != nil {
		return badRequest("The request body cannot be read: " + err.Error())
	}
	return nil
}

func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return badRequest("The request body cannot be read: " + err.Error())
}

// inputs are those of commands and workflows. Alien4Cloud and Yorc's own clients write a value in three ways:
//
//	"ping", 5, [..], {..}          the value itself
//	{"value": x, …}                a bean with the value in it
//	{"type": 0, "value": "ping"}   Yorc's assignment: 0 literal, 1 function, 2 list, 3 map
func inputs(raw map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for name, v := range raw {
		x, err := inputValue(v)
		if err != nil {
			return nil, badRequest(fmt.Sprintf("Invalid input %q: %s", name, err))
		}
		out[name] = x
	}
	return out, nil
}

var errFunction = errors.New("functions are not evaluated in the inputs of a command; send the value")

func inputValue(v any) (any, error) {
	m, ok := v.(map[string]any)
	if !ok || !isBean(m) {
		return number(v), nil
	}
	if fmt.Sprint(m["type"]) == "1" {
		return nil, errFunction
	}
	return number(m["value"]), nil
}

// isBean tells a value's envelope from a map that happens to have the key "value": beans have nothing but keys of parameter definitions.
func isBean(m map[string]any) bool {
	if _, ok := m["value"]; !ok {
		return false
	}
	for k := range m {
		switch k {
		case "value", "type", "definition", "description", "required", "entrySchema", "entry_schema", "constraints", "default", "password":
		default:
			return false
		}
	}
	return true
}

// number turns decoded JSON into plain values: whole numbers stay whole.
func number(v any) any {
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
			t[i] = number(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = number(t[k])
		}
	}
	return v
}
