package a4c

import (
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/server/jsonbody"
)

// body decodes a JSON object. Unknown fields are ignored, as Yorc does.
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
	if err != nil || jsonbody.Empty(data) {
		return err
	}
	return decode(data, into)
}

func read(c echo.Context) ([]byte, error) {
	data, err := jsonbody.Read(c.Response(), c.Request(), maxBody)
	return data, bodyError(err)
}

func decode(data []byte, into any) error { return bodyError(jsonbody.Decode(data, into)) }

func bodyError(err error) error {
	var invalid *jsonbody.Invalid
	if errors.As(err, &invalid) {
		return badRequest("The request body cannot be read: " + invalid.Err.Error())
	}
	return err
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
		return jsonbody.Plain(v), nil
	}
	if fmt.Sprint(m["type"]) == "1" {
		return nil, errFunction
	}
	return jsonbody.Plain(m["value"]), nil
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
