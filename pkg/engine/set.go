package engine

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// ErrNoInstance is wrapped when an instance is not on record.
var ErrNoInstance = errors.New("there is no such instance")

// SetAttributesTx replaces the attributes of an instance; no task may run on it. A value that is the mask of secrets keeps what it masks:
// whoever read it and writes it back has not seen more.
func SetAttributesTx(tx state.Tx, dep string, in topology.Instance, attributes map[string]any, c Cipher) error {
	if _, err := tx.Get(instanceKey(dep, in)); err != nil {
		if errors.Is(err, state.ErrNotFound) {
			err = fmt.Errorf("%s: %w", in, ErrNoInstance)
		}
		return err
	}
	v, _, err := state.Find[Values](tx, valuesKey(dep, in))
	if err != nil {
		return err
	}
	next := make(map[string]json.RawMessage, len(attributes))
	for name, x := range attributes {
		if old, ok := v.Attributes[name]; ok && x == any(secret.Mask) {
			next[name] = old
			continue
		}
		raw, err := encodeSmall(x, c)
		if err != nil {
			return fmt.Errorf("the attribute %s of %s cannot be kept: %w", name, in, err)
		}
		next[name] = raw
	}
	v.Attributes = next
	return state.Put(tx, valuesKey(dep, in), v)
}
