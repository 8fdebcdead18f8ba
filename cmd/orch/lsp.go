package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/lsp"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca"
)

// languageServer serves an editor with the configured plugins and archives.
func languageServer(ctx context.Context, c *config.Config, stdio cli.Stdio, log *slog.Logger) error {
	_, libraries, list := pluginsOf(c)
	if err := list.Err(); err != nil {
		return err
	}
	cache := ""
	if dir, err := os.UserCacheDir(); err == nil {
		cache = filepath.Join(dir, "orch", "types")
	}
	err := lsp.Serve(ctx, streams{stdio.In, stdio.Out}, lsp.Options{
		Version: version.Version(), Cache: cache, Logger: log,
		Analyze: func(ctx context.Context, file string, overlay source.Overlay, memo *source.Memo) *tosca.Analysis {
			b, list := source.OpenDocument(file, overlay)
			if b == nil {
				return &tosca.Analysis{Findings: list}
			}
			return tosca.Analyze(ctx, tosca.Options{Bundle: b, ImportPath: c.ImportPath, Fetch: fetcher(c), Libraries: libraries, Memo: memo})
		},
	})
	if errors.Is(err, lsp.ErrNoShutdown) {
		return &orch.Error{Kind: orch.KindUser, Err: err}
	}
	return err
}

// streams are stdin and stdout as one connection.
type streams struct {
	io.Reader
	io.Writer
}

// Close ends the reading: a read that waits on stdin cannot be ended otherwise.
func (s streams) Close() error {
	if c, ok := s.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
