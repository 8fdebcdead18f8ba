// Package spool keeps content that comes as a stream, whole: little of it in memory, much of it in files without a name.
package spool

import (
	"bufio"
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
	w := NewWriter(memory)
	if _, err = io.Copy(w, r); err == nil {
		data, err = w.Data()
	}
	if err != nil {
		w.Discard()
		return nil, 0, err
	}
	return data, w.Size(), nil
}

// Buffer is how much is worth reading from a file, or writing to it, at once.
const Buffer = 64 << 10

// Writer takes content piece by piece.
type Writer struct {
	memory int64
	head   bytes.Buffer
	file   *os.File
	to     *bufio.Writer // the file's: who packs an archive writes 4 KiB at a time
	size   int64
}

// NewWriter returns a Writer that holds up to `memory` bytes in memory.
func NewWriter(memory int64) *Writer { return &Writer{memory: memory} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.file == nil && w.size+int64(len(p)) > w.memory {
		if err := w.spill(); err != nil {
			return 0, err
		}
	}
	if w.file != nil {
		n, err = w.to.Write(p)
	} else {
		n, err = w.head.Write(p)
	}
	w.size += int64(n)
	return n, err
}

// spill puts what was in memory into a file.
func (w *Writer) spill() error {
	f, err := os.CreateTemp("", "orch-body-*")
	if err != nil {
		return err
	}
	w.file, w.to = f, bufio.NewWriterSize(f, Buffer)
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	_, err = w.to.Write(w.head.Bytes())
	w.head = bytes.Buffer{}
	return err
}

// Size is how many bytes were written.
func (w *Writer) Size() int64 { return w.size }

// Data is what was written, from its beginning. Nothing may be written any more.
func (w *Writer) Data() (Data, error) {
	if w.file == nil {
		return bytes.NewReader(w.head.Bytes()), nil
	}
	err := w.to.Flush()
	if err == nil {
		_, err = w.file.Seek(0, io.SeekStart)
	}
	return w.file, err
}

// Discard gives back what a Writer has of whose Data nobody has need.
func (w *Writer) Discard() {
	if w.file != nil {
		_ = w.file.Close()
	}
}
