package source

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestParseReportsProblems(t *testing.T) {
	deep := strings.Repeat("[", 2000) + strings.Repeat("]", 2000)
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		r := strings.Repeat("*a"+string(rune('0'+i-1))+",", 10)
		bomb += "a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.TrimSuffix(r, ",") + "]\n"
	}
	for name, tc := range map[string]struct {
		in, code, at string
	}{
		"syntax":            {"a: b\n  c: d\n", CodeSyntax, "f:2"},
		"tab":               {"a:\n\tb: c\n", CodeSyntax, "f:2:1"},
		"duplicate":         {"a: 1\nb: 2\na: 3\n", CodeDuplicateKey, "f:3:1"},
		"not utf-8":         {"a: \xff\n", CodeEncoding, "f:1:4"},
		"cycle":             {"a: &x\n  b: *x\n", CodeAlias, "f:2:6"},
		"unknown anchor":    {"a: *nope\n", CodeAlias, "f:1"},
		"bomb":              {bomb, CodeAlias, "f:1:1"},
		"deep":              {deep, CodeTooDeep, "f:1:502"},
		"two documents":     {"a: 1\n---\nb: 2\n", CodeDocuments, "f:2:1"},
		"map as key":        {"{a: b}: c\n", CodeKey, "f:1:1"},
		"too large":         {strings.Repeat("#", MaxDocument+1), CodeTooLarge, "f"},
		"too many values":   {strings.Repeat("[", maxTokens+1), CodeTooLarge, "f"},
		"unclosed quote":    {"a: 'b\nc: d\n", CodeSyntax, "f:"},
		"odd indentation":   {"a:\n  b:\n    c: 1\n   d: 2\n", CodeSyntax, "f:4:4"},
		"odd list":          {"a:\n  - b: 1\n    c: 2\n   d: 3\n", CodeSyntax, "f:4:4"},
		"after a text":      {"a: |\n   x: {\n  y\nb:\n  c: 1\n d: 1\n", CodeSyntax, "f:6:2"},
		"unclosed brace":    {"a:\n  b: { c: [ 1 ], d: { e: 1 }\n  f: 2\n", CodeSyntax, "f:2:6"},
		"unclosed bracket":  {"a: [ 1, 2\nb: '['\n", CodeSyntax, "f:1:4"},
		"wrong bracket":     {"a: [ 1, 2 }\n", CodeSyntax, "f:1:11"},
		"unclosed at end":   {"a:\n  b: { c: 1,\n    d: 2\n", CodeSyntax, "f:2:6"},
		"colon in a text":   {"a: 1\nb: this: is wrong\n", CodeSyntax, "f:2:8"},
		"merge of a scalar": {"a:\n  <<: 1\n", CodeAlias, "f:2:7"},
	} {
		t.Run(name, func(t *testing.T) {
			_, list := Parse("f", []byte(tc.in))
			if len(list) != 1 || list[0].Code != tc.code || !strings.HasPrefix(list[0].Pos.String(), tc.at) {
				t.Errorf("got %v, want one %s at %s", list, tc.code, tc.at)
			}
		})
	}
}

func TestParseKeepsTextAndPlaces(t *testing.T) {
	n, list := Parse("f.yaml", []byte("a: 0777\nb: \"3\"\nc: {d: [1.10, 2016-04-04, ~, yes]}\nbase: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3\n"))
	if list != nil {
		t.Fatal(list)
	}
	if a := n.Get("a"); a.Text != "0777" || a.Tag != "!!int" || a.Pos.String() != "f.yaml:1:4" {
		t.Errorf("a = %+v", a)
	}
	if b := n.Get("b"); !b.Quoted || b.Tag != "!!str" {
		t.Errorf("b = %+v", b)
	}
	d := n.Get("c").Get("d")
	var texts []string
	for _, it := range d.Items {
		texts = append(texts, it.Tag+" "+it.Text)
	}
	if diff := cmp.Diff([]string{"!!float 1.10", "!!timestamp 2016-04-04", "!!null ~", "!!str yes"}, texts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"x": int64(1), "y": int64(3)}, n.Get("m").Any()); diff != "" {
		t.Error(diff)
	}
}

func TestParseEmpty(t *testing.T) {
	for _, in := range []string{"", "# only a comment\n", "---\n", "\xef\xbb\xbf"} {
		n, list := Parse("f", []byte(in))
		if !n.IsNull() || n == nil || list != nil {
			t.Errorf("%q: %v %v", in, n, list)
		}
	}
}

// A document may use the same anchor many times as long as the expansion stays reasonable; conversion is linear.
func TestParseSharesAliases(t *testing.T) {
	n, list := Parse("f", []byte("a: &a {k: v}\nb: [*a, *a, *a]\n"))
	if list != nil {
		t.Fatal(list)
	}
	if b := n.Get("b"); b.Items[0] != b.Items[2] || b.Items[0] != n.Get("a") {
		t.Error("aliases do not share their anchor's node")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "a: &x [*x]", "{a: b, <<: {c: d}}", "- - - a\n  - b", "a: |\n  x\n y", "? [a]\n: b", "!!binary aGk=", "%YAML 1.2\n---\na"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		n, list := Parse("f", data)
		if n == nil && !list.HasErrors() {
			t.Fatal("no node and no error")
		}
		if n != nil {
			if _, err := Marshal(n); err != nil {
				t.Logf("cannot marshal: %v", err)
			}
		}
	})
}
