// Package secret keeps values that must not be seen: masked values, references to them, redaction of streams, encryption at rest.
//
// It knows neither stores nor topologies; pkg/state/secrets keeps secrets in a store with the help of this package.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Mask is what a secret looks like wherever it could be seen.
const Mask = "****"

// Value is a secret in memory. Every way of printing or encoding it shows Mask; only Reveal returns it.
type Value struct{ v string }

// New wraps a secret.
func New(v string) Value { return Value{v} }

// Reveal returns the secret itself. Callers must not log, store or put it into arguments.
func (v Value) Reveal() string { return v.v }

// IsZero reports whether the secret is empty.
func (v Value) IsZero() bool { return v.v == "" }

// Equal compares in constant time.
func (v Value) Equal(w Value) bool { return subtle.ConstantTimeCompare([]byte(v.v), []byte(w.v)) == 1 }

func (Value) String() string               { return Mask }
func (Value) GoString() string             { return Mask }
func (Value) MarshalText() ([]byte, error) { return []byte(Mask), nil }
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Mask + `"`), nil }
func (Value) LogValue() slog.Value         { return slog.StringValue(Mask) }

// Format masks for every verb: without it %d would print the field.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Mask)) }
