package a4c

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestInputs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		json string
		want any
		bad  bool
	}{
		{`"ping"`, "ping", false},
		{`5`, int64(5), false},
		{`1.5`, 1.5, false},
		{`true`, true, false},
		{`["a", 1]`, []any{"a", int64(1)}, false},
		{`{"host": "h", "port": 1}`, map[string]any{"host": "h", "port": int64(1)}, false},
		{`{"value": "ping"}`, "ping", false},
		{`{"value": "ping", "definition": false}`, "ping", false},
		{`{"type": 0, "value": "ping"}`, "ping", false},
		{`{"type": 2, "value": [1]}`, []any{int64(1)}, false},
		{`{"type": 3, "value": {"a": 1}}`, map[string]any{"a": int64(1)}, false},
		{`{"type": 1, "value": "get_property: [SELF, x]"}`, nil, true},
		{`{"value": 1, "unit": "GB"}`, map[string]any{"value": int64(1), "unit": "GB"}, false},
	} {
		var raw any
		if err := decode([]byte(c.json), &raw); err != nil {
			t.Fatal(err)
		}
		got, err := inputs(map[string]any{"x": raw})
		if (err != nil) != c.bad || !c.bad && !cmp.Equal(got["x"], c.want) {
			t.Errorf("%s: %#v, %v; want %#v", c.json, got["x"], err, c.want)
		}
	}
}

// Whatever a client sends is decoded or refused, and what was decoded can be sent on.
func FuzzInputs(f *testing.F) {
	for _, s := range []string{`{"inputs":{"a":{"type":0,"value":"x"}}}`, `{"inputs":{"a":[1,{"value":2}]}}`, `{"inputs":null}`, `{"inputs":{"a":1e400}}`, `{}{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var b customBody
		if decode(data, &b) != nil {
			return
		}
		in, err := inputs(b.Inputs)
		if err != nil {
			return
		}
		if _, err := json.Marshal(in); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	})
}
