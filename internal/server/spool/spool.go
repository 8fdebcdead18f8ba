// Package spool reads bodies of requests whole: small ones into memory, large ones into files without a name.
package spool

import (
	"bytes"
	"io"
	"os"
)

// Data can be read from anywhere, by several readers.
type Data interface {
	io.ReadSeeker
	io.ReaderAt
}

// Read reads everything, of which up to `memory` bytes stay in memory. A file has no name any more and is there as long as somebody has the
// Data: what a request began may read it after the request has ended. Errors are those of r, and of the file system.
func Read(r io.Reader, memory int64) (data Data, size int64, err error) {
	head, err := io.ReadAll(io.LimitReader(r, memory))
	if err != nil || int64(len(head)) < memory {
		return bytes.NewReader(head), int64(len(head)), err
	}
	f, err := os.CreateTemp("", "orch-body-*")
	if err != nil {
		return nil, 0, err
	}
	if err = os.Remove(f.Name()); err == nil {
		size, err = io.Copy(f, io.MultiReader(bytes.NewReader(head), r))
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}
