package lsp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
)

func (s *server) definition(ctx context.Context, d *openDocument, p position) ([]location, error) {
	t := s.target(ctx, d, p)
	if t == nil || t.pos.IsZero() {
		return nil, ctx.Err()
	}
	if loc := s.location(d, t.pos); loc != nil {
		return []location{*loc}, nil
	}
	return nil, ctx.Err()
}

func (s *server) hover(ctx context.Context, d *openDocument, p position) (*hover, error) {
	t := s.target(ctx, d, p)
	if t == nil || t.text == "" {
		return nil, ctx.Err()
	}
	return &hover{Contents: markup{"markdown", t.text}, Range: &t.at}, nil
}

// location of a place, nil if an editor cannot show its file.
func (s *server) location(d *openDocument, p diag.Pos) *location {
	if p.IsZero() {
		return nil
	}
	file := p.File
	if !filepath.IsAbs(file) {
		if file = s.copyOf(d, p.File); file == "" {
			return nil
		}
	}
	return &location{URI: uriOf(file), Range: s.rangeOf(d, p)}
}

// copyOf writes a document that is part of orch, or of an archive, where an editor can read it.
func (s *server) copyOf(d *openDocument, shown string) string {
	if s.o.Cache == "" || d.analysis == nil {
		return ""
	}
	data, ok := d.analysis.Read(shown)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(data)
	name := strings.NewReplacer("/", "_", "\\", "_", ":", "_", "!", "_").Replace(shown)
	file := filepath.Join(s.o.Cache, hex.EncodeToString(sum[:4])+"-"+name)
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if os.MkdirAll(s.o.Cache, 0o755) != nil || os.WriteFile(file, data, 0o444) != nil {
		return ""
	}
	return file
}
