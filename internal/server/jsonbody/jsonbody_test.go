package jsonbody

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		json string
		want any
		bad  bool
	}{
		{`{"a": 1, "b": [1.5, {"c": 2}], "d": "x", "e": null}`, map[string]any{"a": int64(1), "b": []any{1.5, map[string]any{"c": int64(2)}}, "d": "x", "e": nil}, false},
		{`9007199254740993`, int64(9007199254740993), false},
		{`1e400`, "1e400", false},
		{"{}\n ", map[string]any{}, false},
		{`{} {}`, nil, true},
		{`{}]`, nil, true},
		{`{"a":`, nil, true},
		{``, nil, true},
	} {
		var v any
		err := Decode([]byte(c.json), &v)
		var invalid *Invalid
		if c.bad != errors.As(err, &invalid) || !c.bad && err != nil {
			t.Errorf("%s: %v", c.json, err)
		}
		if !c.bad {
			if diff := cmp.Diff(c.want, Plain(v)); diff != "" {
				t.Errorf("%s: %s", c.json, diff)
			}
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	request := func(body string) *http.Request {
		return httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
	}
	r := request("  {}")
	for range 2 {
		if data, err := Repeatable(w, r, 10); err != nil || string(data) != "  {}" || Empty(data) {
			t.Errorf("%q, %v", data, err)
		}
	}
	var large *http.MaxBytesError
	if _, err := Read(w, request("more than four"), 4); !errors.As(err, &large) || large.Limit != 4 {
		t.Errorf("too large: %v", err)
	}
	broken := httptest.NewRequest(http.MethodPut, "/", iotest.ErrReader(errors.New("gone")))
	var invalid *Invalid
	if _, err := Read(w, broken, 4); !errors.As(err, &invalid) {
		t.Errorf("broken: %v", err)
	}
	if !Empty([]byte(" \n")) {
		t.Error("blanks are something")
	}
}

// What is wrong is said without names of orch's own types.
func TestWords(t *testing.T) {
	var into struct {
		A map[string]any `json:"a"`
		B struct {
			C string `json:"c"`
		} `json:"b"`
	}
	for body, want := range map[string]string{"": "it is empty", "[]": `JSON of the kind "array" does not belong here`, `{"a":3}`: `a: JSON of the kind "number" does not belong here`,
		`{"b":{"c":[]}}`: `b.c: JSON of the kind "array" does not belong here`, "{} {}": "text after the JSON value"} {
		var invalid *Invalid
		if err := Decode([]byte(body), &into); !errors.As(err, &invalid) || invalid.Err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// Whatever is sent is decoded or refused, and what was decoded can be stored and sent on.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":{"type":0,"value":"x"}}`, `[1,{"value":2e3}]`, `null`, `{"a":1e400}`, `{}{}`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var v any
		if Decode(data, &v) != nil {
			return
		}
		first, err := json.Marshal(Plain(v))
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var again any
		if err := Decode(first, &again); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if second, err := json.Marshal(Plain(again)); err != nil || string(second) != string(first) {
			t.Errorf("%s, then %s, %v", first, second, err)
		}
	})
}
