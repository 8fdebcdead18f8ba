package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var jsonSchemas sync.Map // text → *jsonschema.Schema or error

// noLoader refuses references: a schema is what the document holds.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not part of the schema", url)
}

// CompileJSONSchema reads the argument of the constraint `schema` (TOSCA 1.3 §3.6.3).
func CompileJSONSchema(text string) (*jsonschema.Schema, error) {
	if got, ok := jsonSchemas.Load(text); ok {
		if s, ok := got.(*jsonschema.Schema); ok {
			return s, nil
		}
		return nil, got.(error)
	}
	s, err := compileJSONSchema(text)
	if err != nil {
		jsonSchemas.Store(text, err)
		return nil, err
	}
	jsonSchemas.Store(text, s)
	return s, nil
}

func compileJSONSchema(text string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("schema.json")
}

// schema checks a text that is JSON, or a structure, against a JSON Schema.
func (k Constraint) schema(v, arg *Value) string {
	text, ok := arg.Lit.(string)
	if !ok || hasCall(v) {
		return ""
	}
	if _, err := CompileJSONSchema(text); err != nil {
		return "" // reported where the constraint is declared
	}
	raw := []byte(text2(v.Lit))
	if v.Kind != LitValue {
		var err error
		if raw, err = json.Marshal(Plain(v)); err != nil {
			return ""
		}
	}
	if !json.Valid(raw) {
		return "must be JSON, but is " + show(v)
	}
	if err := CheckJSONSchema(text, raw); err != nil {
		return "breaks its schema: " + err.Error()
	}
	return ""
}

// CheckJSONSchema says what of a JSON value breaks a JSON Schema, or what of the schema cannot be read.
func CheckJSONSchema(schema string, value []byte) error {
	s, err := CompileJSONSchema(schema)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return err
	}
	err = s.Validate(doc)
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return err
	}
	for len(ve.Causes) > 0 {
		ve = ve.Causes[0]
	}
	lines := strings.Split(ve.Error(), "\n")
	return errors.New(strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "- "))
}
