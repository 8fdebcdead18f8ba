package source

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/pkg/diag"
)

// Stdin is what a document on standard input is called, as an argument, and StdinFile its file in positions.
const (
	Stdin     = "-"
	StdinFile = "stdin.yaml"
)

// maxStdin bounds what is read from standard input, in bytes, as archives of a server are.
const maxStdin = 512 << 20

// OpenStdin opens what comes on standard input: an archive, or one document. What a document names beside it is looked for in the working
// directory.
func OpenStdin(r io.Reader) (*Bundle, diag.List) {
	var list diag.List
	data, err := io.ReadAll(io.LimitReader(r, maxStdin+1))
	switch {
	case err != nil:
		list.Errorf(CodeRead, diag.Pos{File: Stdin}, "cannot read standard input: %s", reason(err))
	case len(data) > maxStdin:
		list.Errorf(CodeRead, diag.Pos{File: Stdin}, "standard input has more than %d bytes", maxStdin)
	case len(bytes.TrimSpace(data)) == 0:
		list.Errorf(CodeRead, diag.Pos{File: Stdin}, "there is nothing on standard input").Hint = "pipe a document or an archive into the command, or name its file"
	}
	if list.HasErrors() {
		return nil, list
	}
	if archive := bytes.NewReader(data); sniff(archive) != "" {
		return OpenReader(Stdin, archive, int64(len(data)))
	}
	dir, err := os.Getwd()
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: Stdin}, "cannot use the working directory: %s", reason(err))
		return nil, list
	}
	file := filepath.Join(dir, StdinFile)
	b, list := OpenDocument(file, func(name string) ([]byte, bool) { return data, name == file })
	if b != nil && b.Single {
		b.Name = StdinFile
	}
	return b, list
}
