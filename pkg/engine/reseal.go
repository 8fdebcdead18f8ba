package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

// Reseal encrypts every sealed value in the records of a store anew, and returns how many there were to change: attributes, outputs and
// inputs as Encode stores them, wherever a record keeps them, also in fields of bytes (EncodeMap), and fields of bytes that a Cipher has
// sealed as a whole. Blobs and logs hold none.
func Reseal(ctx context.Context, store state.Store, reseal func(sealed []byte) (fresh []byte, changed bool, err error)) (int, error) {
	var keys []string
	err := store.View(ctx, func(tx state.Tx) error {
		keys = nil
		for key, err := range tx.Keys("") {
			if err != nil {
				return err
			}
			if kind, _, _ := strings.Cut(key, "/"); !unsealed[kind] {
				keys = append(keys, key)
			}
		}
		return nil
	})
	total := 0
	for _, key := range keys {
		if err != nil {
			break
		}
		n := 0
		err = store.Update(ctx, func(tx state.Tx) error {
			r := resealing{reseal: reseal}
			_, err := state.Rewrite(tx, key, r.record)
			if errors.Is(err, state.ErrNotFound) {
				err = nil // removed meanwhile
			}
			n = r.n
			return err
		})
		if err != nil {
			err = fmt.Errorf("the record %s: %w", key, err)
		}
		total += n
	}
	return total, err
}

// unsealed are the kinds of keys below which nothing is sealed this way.
var unsealed = map[string]bool{"blob": true, "blobdata": true, "blobput": true, "events": true, "eventhead": true, "eventindex": true, "eventpos": true,
	"secret": true, "secretname": true, "secretread": true}

type resealing struct {
	reseal func([]byte) ([]byte, bool, error)
	n      int
}

// record changes a record's JSON; nil if nothing changes.
func (r *resealing) record(data json.RawMessage) (json.RawMessage, error) {
	if !mayHold(data) {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, nil // no JSON: nothing of ours
	}
	before := r.n
	v, err := r.value(v)
	if err != nil || r.n == before {
		return nil, err
	}
	return json.Marshal(v)
}

// mayHold looks for the mark of a sealed value, as it is or in the three forms that it has inside of base64.
func mayHold(data []byte) bool {
	for _, mark := range []string{sealedKey, "JHNlYWxlZ", "RzZWFsZW", "kc2VhbGVk", ageMark} {
		if bytes.Contains(data, []byte(mark)) {
			return true
		}
	}
	return false
}

// ageMark begins age's files in base64: "age-encryption.org/v1".
const ageMark = "YWdlLWVuY3J5cHRpb24ub3Jn"

func (r *resealing) value(v any) (any, error) {
	var err error
	switch t := v.(type) {
	case []any:
		for i := range t {
			if t[i], err = r.value(t[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if s, ok := t[sealedKey].(string); ok && len(t) == 1 {
			t[sealedKey], err = r.sealed(s)
			return t, err
		}
		for k := range t {
			if t[k], err = r.value(t[k]); err != nil {
				return nil, err
			}
		}
	case string:
		return r.text(t)
	}
	return v, nil
}

func (r *resealing) sealed(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return s, fmt.Errorf("a sealed value: %w", err)
	}
	fresh, changed, err := r.reseal(b)
	if err != nil || !changed {
		return s, err
	}
	r.n++
	return base64.StdEncoding.EncodeToString(fresh), nil
}

// text is a field of bytes if it is base64 of JSON.
func (r *resealing) text(s string) (any, error) {
	if strings.HasPrefix(s, ageMark) {
		return r.sealed(s)
	}
	if !mayHold([]byte(s)) {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || !json.Valid(b) {
		return s, nil
	}
	fresh, err := r.record(b)
	if err != nil || fresh == nil {
		return s, err
	}
	return base64.StdEncoding.EncodeToString(fresh), nil
}
