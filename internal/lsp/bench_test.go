package lsp

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
	"go.uber.org/zap"

	"github.com/orch-project/orch/internal/orchtest/generated"
)

// received hands findings to the benchmark as they come.
type received struct {
	protocol.Client
	ch chan *protocol.PublishDiagnosticsParams
}

func (r received) PublishDiagnostics(_ context.Context, p *protocol.PublishDiagnosticsParams) error {
	r.ch <- p
	return nil
}

// BenchmarkEdit is the time from an edit of one line of a document of 1,000 nodes to its new findings, through the protocol.
func BenchmarkEdit(b *testing.B) {
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), far, Options{Analyze: analyze}) }()
	ctx, stop := context.WithCancel(context.Background())
	ch := make(chan *protocol.PublishDiagnosticsParams, 16)
	_, conn, server := protocol.NewClient(ctx, received{ch: ch}, jsonrpc2.NewStream(near), zap.NewNop())
	defer func() {
		_ = conn.Close()
		<-conn.Done()
		<-done
		stop()
	}()
	if _, err := server.Initialize(ctx, &protocol.InitializeParams{}); err != nil {
		b.Fatal(err)
	}
	text := string(generated.Topology(1000))
	const right, wrong = "workers: 4", "workers: 0"
	line := uint32(strings.Count(text[:strings.Index(text, "app_120:")], "\n") + 4)
	if at := newText(text).line(int(line)); !strings.Contains(at, right) {
		b.Fatalf("the line is %q", at)
	}
	u := uri.File(filepath.Join(b.TempDir(), "app.yaml"))
	if err := server.DidOpen(ctx, &protocol.DidOpenTextDocumentParams{TextDocument: protocol.TextDocumentItem{URI: u, Version: 1, Text: text}}); err != nil {
		b.Fatal(err)
	}
	if p := <-ch; len(p.Diagnostics) > 0 {
		b.Fatalf("%+v", p.Diagnostics[0])
	}
	col := uint32(strings.Index(newText(text).line(int(line)), right))
	version := int32(1)
	for b.Loop() {
		version++
		word := wrong
		if version%2 == 1 {
			word = right
		}
		err := server.DidChange(ctx, &protocol.DidChangeTextDocumentParams{
			TextDocument:   protocol.VersionedTextDocumentIdentifier{TextDocumentIdentifier: protocol.TextDocumentIdentifier{URI: u}, Version: version},
			ContentChanges: []protocol.TextDocumentContentChangeEvent{{Range: protocol.Range{Start: protocol.Position{Line: line, Character: col}, End: protocol.Position{Line: line, Character: col + uint32(len(right))}}, Text: word}},
		})
		if err != nil {
			b.Fatal(err)
		}
		if p := <-ch; (len(p.Diagnostics) == 0) != (word == right) {
			b.Fatalf("%s: %+v", word, p.Diagnostics)
		}
	}
}
