package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Values are the attributes of an instance and the outputs of its operations, as stored: JSON, in which a secret is {"$sealed": …}.
type Values struct {
	// Attributes by name, "capability.name" for those of capabilities.
	Attributes map[string]json.RawMessage `json:"attributes,omitempty"`
	// Relationships holds attributes of relationships: "relationship" or "relationship[target]" → name → value.
	Relationships map[string]map[string]json.RawMessage `json:"relationships,omitempty"`
	// Outputs of operations: "interface.operation" or "relationship:interface.operation" → name → value.
	Outputs map[string]map[string]json.RawMessage `json:"outputs,omitempty"`
}

const sealedKey = "$sealed"

var errNoCipher = errors.New("a secret value cannot be stored: no encryption key is configured")

// Encode turns a value into what is stored; secrets are sealed.
func Encode(v any, c Cipher) (json.RawMessage, error) {
	sealed, err := seal(v, c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sealed)
}

// maxStored bounds one attribute or output: all of an instance share one record of the store.
const maxStored = 32 * 1024

func encodeSmall(v any, c Cipher) (json.RawMessage, error) {
	raw, err := Encode(v, c)
	if err == nil && len(raw) > maxStored {
		return nil, &placedError{err: fmt.Errorf("it has %d bytes, more than %d", len(raw), maxStored), hint: "write it to a file, and publish only where it is"}
	}
	return raw, err
}

func seal(v any, c Cipher) (any, error) {
	var failed error
	sealed := topology.MapLeaves(v, func(leaf any) any {
		switch t := leaf.(type) {
		case secret.Value:
			if c == nil {
				failed = errNoCipher
				return nil
			}
			b, err := c.Seal([]byte(t.Reveal()))
			if err != nil {
				failed = fmt.Errorf("cannot encrypt a value: %w", err)
			}
			return map[string]any{sealedKey: b}
		case float64:
			if math.IsNaN(t) || math.IsInf(t, 0) {
				failed = fmt.Errorf("%v cannot be stored", t)
			}
		}
		return leaf
	})
	return sealed, failed
}

// Decode is the inverse of Encode: integers are int64, secrets secret.Value.
func Decode(raw json.RawMessage, c Cipher) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("cannot read a stored value: %w", err)
	}
	return open(v, c)
}

func open(v any, c Cipher) (any, error) {
	switch t := v.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return i, nil
		}
		return t.Float64()
	case []any:
		for i, x := range t {
			var err error
			if t[i], err = open(x, c); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if s, ok := t[sealedKey].(string); ok && len(t) == 1 {
			return unseal(s, c)
		}
		for k, x := range t {
			var err error
			if t[k], err = open(x, c); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func unseal(s string, c Cipher) (any, error) {
	if c == nil {
		return nil, errNoCipher
	}
	var b []byte
	if err := json.Unmarshal([]byte(`"`+s+`"`), &b); err != nil {
		return nil, fmt.Errorf("cannot read a sealed value: %w", err)
	}
	plain, err := c.Open(b)
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt a value: %w", err)
	}
	return secret.New(string(plain)), nil
}

// EncodeMap and DecodeMap do the same for inputs.
func EncodeMap(m map[string]any, c Cipher) ([]byte, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return Encode(m, c)
}

// DecodeMap reads what EncodeMap wrote.
func DecodeMap(raw []byte, c Cipher) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	v, err := Decode(raw, c)
	m, _ := v.(map[string]any)
	return m, err
}
