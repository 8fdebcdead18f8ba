package view

import (
	"fmt"
	"io"
	"os"

	"github.com/orch-project/orch/pkg/diag"
)

// maxExcerptFile bounds, in bytes, the files that excerpts are taken from.
const maxExcerptFile = 32 << 20

// Diagnostics prints findings, each with an excerpt of its document and a caret, and how many there are. read returns the content of a
// position's file; nil reads what lies on this machine.
func (p *Printer) Diagnostics(l diag.List, read func(file string) ([]byte, error)) {
	l = l.Sorted()
	if len(l) == 0 {
		return
	}
	if read == nil {
		read = ReadDocument
	}
	_ = diag.WriteText(p.W, l, diag.TextOptions{Source: read, Color: p.Color, Width: p.Width})
	p.Println(l.Summary())
}

// ReadDocument reads a regular file of moderate size: a position may name a directory, a pipe or a huge archive, too.
func ReadDocument(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read a document: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxExcerptFile {
		return nil, fmt.Errorf("%s is no document", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read a document: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxExcerptFile))
}
