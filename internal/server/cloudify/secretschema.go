package cloudify

import (
	"context"
	"encoding/json"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// schemaRecord is the JSON Schema that the values of a secret must follow. Only Cloudify's clients give secrets one.
type schemaRecord struct {
	Key    string          `json:"key"`
	Schema json.RawMessage `json:"schema"`
	// Created is when the secret was: one that has taken its name since has no schema.
	Created time.Time `json:"created"`
}

func (r schemaRecord) of(i orch.SecretInfo) json.RawMessage {
	if len(r.Schema) == 0 || !r.Created.Equal(i.Created) {
		return json.RawMessage("null")
	}
	return r.Schema
}

// schemaOf is a secret's schema, or null.
func (s *Server) schemaOf(ctx context.Context, i orch.SecretInfo) (json.RawMessage, error) {
	r, _, err := s.shelf.schemas.get(ctx, s.opts.Tenant, i.Name)
	return r.of(i), err
}

// follows refuses a value that breaks a schema, without showing it.
func follows(schema json.RawMessage, value any) error {
	if len(schema) == 0 || string(schema) == "null" {
		return nil
	}
	if _, err := topology.CompileJSONSchema(string(schema)); err != nil {
		return badParameters("The schema cannot be used: %v", err)
	}
	raw, err := json.Marshal(value)
	if err == nil {
		err = topology.CheckJSONSchema(string(schema), raw)
	}
	if err != nil {
		return badParameters("Error validating secret value: %v", err)
	}
	return nil
}
