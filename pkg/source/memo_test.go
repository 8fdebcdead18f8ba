package source

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// long is a document that is large enough to be cut.
func long(n int) []byte {
	var b strings.Builder
	b.WriteString("# a comment\nversion: x\nmetadata:\n  a: 1\n\ntemplate:\n  description: >\n    folded\n  text\n  nodes:\n")
	for i := range n {
		fmt.Fprintf(&b, "    # node %d\n    node_%d:\n      type: T\n      list:\n      - a\n      - { b: [ 1, 2,\n          3 ] }\n      text: |\n        one\n          two\n\n", i, i)
	}
	b.WriteString("  outputs: { a: b }\n")
	return []byte(strings.Replace(b.String(), "\n  text\n", "\n", 1))
}

func same(t *testing.T, what string, m *Memo, name string, data []byte) {
	t.Helper()
	want, wantList := Parse(name, data)
	got, gotList := m.Parse(name, data)
	if !reflect.DeepEqual(want, got) { // cmp needs minutes for such trees
		t.Fatalf("%s: another tree", what)
	}
	if len(wantList)+len(gotList) > 0 && !reflect.DeepEqual(wantList, gotList) {
		t.Fatalf("%s: other findings: %v, not %v", what, gotList, wantList)
	}
}

func TestMemoParsesWhatParseParses(t *testing.T) {
	doc := long(200)
	if _, _, chunks, ok := parseChunks("x", doc, nil); !ok || len(chunks) < 200 {
		t.Fatalf("the document is not cut: %v, %d parts", ok, len(chunks))
	}
	m := &Memo{}
	same(t, "first", m, "x", doc)
	same(t, "again", m, "x", doc)
	for _, edit := range []struct{ from, to string }{
		{"node_77:", "node_seventy:"}, {"      type: T\n", "      type: T\n      more: 1\n"}, {"node_5:", "node_6:"}, {"version: x", "version: {"},
		{"- a\n", "- &a a\n"}, {"metadata:", "metadata:\tx"}, {"one\n", "\"unclosed\n"}, {"type: T", "type: \"T"}, {"outputs:", "  outputs:"}, {"text: |", "text:"},
		{"# node 3\n", ""}, {"nodes:", "nodes: # here"}, {"nodes:", "nodes: x"}, {"    node_9:", "  node_9:"}, {"template:", "? template\n:"}, {"[ 1, 2,\n          3 ]", "[ 1, 2,\n    3 ]"},
	} {
		for _, n := range []int{1, -1} {
			same(t, edit.from+" → "+edit.to, m, "x", bytes.Replace(doc, []byte(edit.from), []byte(edit.to), n))
			same(t, "back", m, "x", doc)
		}
	}
}

// Random edits: whatever is typed, the memory changes nothing.
func TestMemoUnderRandomEdits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	doc := long(60)
	m := &Memo{}
	typed := []string{"x", "\n", ": ", "- ", "{", "}", "\"", "  ", "#", "|\n", "&", "a: b\n", "\n    c:\n"}
	for range 300 {
		at := r.IntN(len(doc))
		if r.IntN(2) == 0 {
			to := min(len(doc), at+1+r.IntN(30))
			doc = append(bytes.Clone(doc[:at]), doc[to:]...)
		} else {
			doc = append(append(bytes.Clone(doc[:at]), typed[r.IntN(len(typed))]...), doc[at:]...)
		}
		same(t, "random", m, "x", doc)
		if _, list := Parse("x", doc); list.HasErrors() || len(doc) < 9000 {
			doc = long(60) // from a sound document again
		}
	}
}

func TestMemoOverTheCorpus(t *testing.T) {
	m := &Memo{}
	n := 0
	_ = filepath.WalkDir("../../../shared/corpus", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !IsYAML(p) {
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil || len(data) < 4*cutAbove {
			return nil
		}
		same(t, p, m, p, data)
		n++
		return nil
	})
	if n == 0 {
		t.Skip("the corpus is not here")
	}
	t.Logf("%d documents", n)
}

func BenchmarkMemo(b *testing.B) {
	doc := long(1000)
	m := &Memo{}
	m.Parse("x", doc)
	i := 0
	for b.Loop() {
		i++
		m.Parse("x", bytes.Replace(doc, []byte("type: T"), fmt.Appendf(nil, "type: T%d", i), 1))
	}
}
