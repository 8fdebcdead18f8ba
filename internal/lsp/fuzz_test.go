package lsp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

// FuzzMessages sends a client's bytes after a sound beginning: the server ends with the connection, whatever comes.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"textDocument/hover","params":{"textDocument":{"uri":"file:///tmp/x/a.yaml"},"position":{"line":1,"character":3}}}`,
		`{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///tmp/x/a.yaml","version":2},"contentChanges":[{"range":{"start":{"line":-1,"character":9},"end":{"line":0,"character":0}},"text":"x"}]}}`,
		`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///../../a%00","text":"a: ["}}}`,
		`{"jsonrpc":"2.0","id":{},"method":"shutdown"}`, `[]`, `{"id":1,"result":{}}`, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":null}}`,
	} {
		f.Add([]byte(s), true)
	}
	f.Add([]byte("Content-Length: 2\r\n\r\n{}"), false)
	f.Fuzz(func(t *testing.T, data []byte, framed bool) {
		defer bounded.Input(t)()
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- Serve(context.Background(), far, Options{Analyze: analyze}) }()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		go func() {
			send := func(s string) { _, _ = fmt.Fprintf(near, "Content-Length: %d\r\n\r\n%s", len(s), s) }
			send(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}`)
			send(`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///tmp/x/a.yaml","version":1,"text":"tosca_definitions_version: tosca_2_0\n"}}}`)
			if framed {
				send(string(data))
			} else {
				_, _ = near.Write(data)
			}
			_ = near.Close()
		}()
		<-done
	})
}

// FuzzTyping asks for everything at a place of any text.
func FuzzTyping(f *testing.F) {
	f.Add(app, 10, 5)
	f.Add(types, 4, 20)
	f.Add("tosca_definitions_version: cloudify_dsl_1_3\nnode_templates:\n  a: { type: [, x: {get_property: [ SELF, ", 2, 41)
	f.Add("a:\n- - b: \"x\n  ? c\n", 1, 4)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, s string, line, char int) {
		defer bounded.Input(t)()
		srv := &server{o: Options{Analyze: analyze}, lock: make(chan struct{}, 1)}
		srv.work.open, srv.work.published = map[string]*openDocument{}, map[string]string{}
		u := uriOf(filepath.Join(dir, "a.yaml"))
		srv.work.didOpen(textDocumentItem{URI: u, Text: s})
		d, p := srv.work.open[u], position{line, char}
		ctx := context.Background()
		h, _ := srv.hover(ctx, d, p)
		l, _ := srv.definition(ctx, d, p)
		c, _ := srv.completion(ctx, d, p)
		y, _ := srv.symbols(ctx, d, p)
		for _, v := range []any{h, l, c, y} {
			if _, err := json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		for _, it := range c.Items {
			if r := it.TextEdit.Range; after(r.Start, r.End) || r.Start.Line != r.End.Line {
				t.Fatalf("an edit's range is wrong: %+v", r)
			}
		}
	})
}
