package source

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// PyYAML takes {concat:[a]} for a key with a list, and documents rely on it; texts that merely look so stay as they are.
func TestParseBracketAfterColon(t *testing.T) {
	n, list := Parse("a.yaml", []byte("a:\n  - path: {concat:[ '/home/', { get_input: user }, {b:{c: 1}} ]}\nb: 'x:[y]'\n"))
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": []any{map[string]any{"path": map[string]any{"concat": []any{"/home/", map[string]any{"get_input": "user"}, map[string]any{"b": map[string]any{"c": int64(1)}}}}}},
		"b": "x:[y]",
	}
	if diff := cmp.Diff(any(want), n.Any()); diff != "" {
		t.Error(diff)
	}
	if _, list := Parse("a.yaml", []byte("a: {b:[1, 2}\n")); len(list) != 1 {
		t.Errorf("one mistake: %v", list)
	}
}
