package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
)

// tagged stands for encryption with a named key.
type tagged string

func (k tagged) Seal(b []byte) ([]byte, error) { return append([]byte(k+":"), b...), nil }
func (k tagged) Open(b []byte) ([]byte, error) {
	if plain, ok := bytes.CutPrefix(b, []byte(k+":")); ok {
		return plain, nil
	}
	return nil, errors.New("another key")
}

// Every sealed value is found, at whatever alignment of base64, and everything else stays as it is.
func TestReseal(t *testing.T) {
	store := mem.New(mem.Options{})
	defer store.Close()
	type rec struct {
		Pad    string                     `json:"pad"`
		Inputs []byte                     `json:"inputs"`
		Values map[string]json.RawMessage `json:"values"`
		Big    json.Number                `json:"big"`
		Whole  []byte                     `json:"whole"`
		Plain  string                     `json:"plain"`
	}
	old, fresh := tagged("age-encryption.org/v1 old"), tagged("age-encryption.org/v1 new")
	want := 0
	for i := range 6 {
		in := map[string]any{"x": fmt.Sprint("pads"[:i%4]), "list": []any{secret.New("s3cret"), 1.5}, "deep": map[string]any{"k": secret.New("other")}}
		inputs, err := EncodeMap(in, old)
		if err != nil {
			t.Fatal(err)
		}
		value, err := Encode(secret.New("attribute"), old)
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := old.Seal([]byte("a location"))
		r := rec{Whole: whole, Pad: "pads"[:i%4], Inputs: inputs, Values: map[string]json.RawMessage{"a": value, "n": json.RawMessage("12345678901234567890")}, Big: "9007199254740993", Plain: "$sealed is a word"}
		if err := store.Update(t.Context(), func(tx state.Tx) error { return state.Put(tx, state.Join("d", fmt.Sprint("r", i)), r) }); err != nil {
			t.Fatal(err)
		}
		want += 4
	}
	if err := store.Update(t.Context(), func(tx state.Tx) error { return tx.Put("odd", []byte("no record")) }); err != nil {
		t.Fatal(err)
	}
	reseal := func(b []byte) ([]byte, bool, error) {
		if _, err := fresh.Open(b); err == nil {
			return b, false, nil
		}
		plain, err := old.Open(b)
		if err != nil {
			return nil, false, err
		}
		b, err = fresh.Seal(plain)
		return b, true, err
	}
	for round, want := range []int{want, 0} {
		if n, err := Reseal(t.Context(), store, reseal); n != want || err != nil {
			t.Errorf("round %d: %d changed, want %d, %v", round, n, want, err)
		}
	}
	if err := store.View(t.Context(), func(tx state.Tx) error {
		for r, err := range state.List[rec](tx, "d/") {
			if err != nil {
				return err
			}
			in, err := DecodeMap(r.Value.Inputs, fresh)
			if err != nil {
				return err
			}
			if v, ok := in["deep"].(map[string]any)["k"].(secret.Value); !ok || v.Reveal() != "other" {
				t.Errorf("%v", in)
			}
			if v, err := Decode(r.Value.Values["a"], fresh); err != nil || v.(secret.Value).Reveal() != "attribute" {
				t.Errorf("%v, %v", v, err)
			}
			if v, err := fresh.Open(r.Value.Whole); err != nil || string(v) != "a location" {
				t.Errorf("%q, %v", v, err)
			}
			got := []string{string(r.Value.Values["n"]), string(r.Value.Big), r.Value.Plain}
			if d := cmp.Diff([]string{"12345678901234567890", "9007199254740993", "$sealed is a word"}, got); d != "" {
				t.Error(d)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if _, err := Reseal(t.Context(), store, func([]byte) ([]byte, bool, error) { return nil, false, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
