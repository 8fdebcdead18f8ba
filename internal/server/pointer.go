package server

import (
	"encoding/json"
	"reflect"
	"strings"
)

// pointer is the JSON pointer of a path.
func pointer(path ...string) string {
	var b strings.Builder
	for _, p := range path {
		if p != "" {
			b.WriteByte('/')
			b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
		}
	}
	return b.String()
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// unknownField finds a member of a JSON object that the Go type has no field for, as encoding/json would match them.
func unknownField(raw json.RawMessage, t reflect.Type, at string) (string, bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return "", false
	}
	switch t.Kind() {
	case reflect.Struct:
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return "", false // its type is wrong, which is told elsewhere
		}
		known := fields(t)
		for name, value := range members {
			f, ok := known[strings.ToLower(name)]
			if !ok {
				return at + pointer(name), true
			}
			if p, ok := unknownField(value, f, at+pointer(name)); ok {
				return p, true
			}
		}
	case reflect.Slice, reflect.Array:
		var items []json.RawMessage
		if t.Elem().Kind() == reflect.Uint8 || json.Unmarshal(raw, &items) != nil {
			return "", false
		}
		for i, item := range items {
			if p, ok := unknownField(item, t.Elem(), at+pointer(itoa(i))); ok {
				return p, true
			}
		}
	case reflect.Map:
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return "", false
		}
		for name, value := range members {
			if p, ok := unknownField(value, t.Elem(), at+pointer(name)); ok {
				return p, true
			}
		}
	}
	return "", false
}

// twice finds a member that a JSON object has twice: which of them counts is not for chance to say. The text is known to be JSON.
func twice(d *json.Decoder, at string) (string, bool) {
	t, err := d.Token()
	if err != nil {
		return "", false
	}
	switch t {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			name, err := d.Token()
			text, ok := name.(string)
			if err != nil || !ok {
				return "", false
			}
			if seen[text] {
				return at + pointer(text), true
			}
			seen[text] = true
			if p, ok := twice(d, at+pointer(text)); ok {
				return p, true
			}
		}
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if p, ok := twice(d, at+pointer(itoa(i))); ok {
				return p, true
			}
		}
	default:
		return "", false
	}
	_, _ = d.Token() // the end of the object or list
	return "", false
}

// fields of a struct by their lower-case JSON names, those of embedded structs included.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			inner := f.Type
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				for n, ft := range fields(inner) {
					if _, ok := out[n]; !ok {
						out[n] = ft
					}
				}
			}
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		out[strings.ToLower(name)] = f.Type
	}
	return out
}
