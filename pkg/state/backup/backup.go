// Package backup writes a whole store to a stream, reads it back, copies one store to another, and checks a store.
//
// It owns the form of the stream and the checks that hold for every store. It must not know what records mean; it works on any state.Store,
// so that it also moves a store from a file to Consul and back. A backup holds no master key: secrets and Terraform states in it stay
// encrypted.
//
// The stream:
//
//	"orch store backup 1\n"
//	gzip of:  header, a line of JSON
//	          entries in the order of their keys: uvarint length of the key, key, uvarint length of the value, value
//	          0, uvarint count of entries, SHA-256 of everything before
package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

const magic = "orch store backup 1\n"

// Header begins a backup.
type Header struct {
	Schema int       `json:"schema"` // of the store
	Made   time.Time `json:"made"`
	By     string    `json:"by,omitempty"` // version of orch
}

// Summary of a backup or a store.
type Summary struct {
	Header
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`  // of keys and values
	SHA256  string `json:"sha256"` // of header and entries
}

// ErrDamaged means that a stream is no backup, or not a whole one.
var ErrDamaged = errors.New("the backup is damaged")

// Write writes a backup of what the store holds at one moment.
func Write(ctx context.Context, s state.Store, w io.Writer, by string) (Summary, error) {
	sum := Summary{Header: Header{Made: time.Now().UTC(), By: by}}
	var err error
	if sum.Schema, err = state.SchemaOf(ctx, s); err != nil {
		return sum, err
	}
	if _, err := io.WriteString(w, magic); err != nil {
		return sum, fmt.Errorf("cannot write the backup: %w", err)
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return sum, err
	}
	out := &writer{w: bufio.NewWriterSize(z, 64<<10), sum: sha256.New()}
	head, err := json.Marshal(sum.Header)
	if err != nil {
		return sum, err
	}
	out.write(append(head, '\n'))
	if err := entries(ctx, s, func(key string, value []byte) error {
		out.bytes([]byte(key))
		out.bytes(value)
		sum.Entries++
		sum.Bytes += int64(len(key) + len(value))
		return out.err
	}); err != nil {
		return sum, fmt.Errorf("cannot write the backup: %w", err)
	}
	out.number(0)
	out.number(uint64(sum.Entries))
	digest := out.sum.Sum(nil)
	out.write(digest)
	sum.SHA256 = hex.EncodeToString(digest)
	if err := errors.Join(out.err, out.w.Flush(), z.Close()); err != nil {
		return sum, fmt.Errorf("cannot write the backup: %w", err)
	}
	return sum, nil
}

// entries visits everything that the store holds at one moment: on a file by one transaction, on Consul by one list.
func entries(ctx context.Context, s state.Store, visit func(key string, value []byte) error) error {
	begun := false
	return s.View(ctx, func(tx state.Tx) error {
		if begun {
			return errors.New("the store has begun the reading anew")
		}
		begun = true
		for e, err := range tx.List("") {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			if err := visit(e.Key, e.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

type writer struct {
	w   *bufio.Writer
	sum hash.Hash
	err error
}

func (w *writer) write(b []byte) {
	if w.err == nil {
		_, _ = w.sum.Write(b)
		_, w.err = w.w.Write(b)
	}
}

func (w *writer) number(n uint64) { w.write(binary.AppendUvarint(nil, n)) }

func (w *writer) bytes(b []byte) {
	w.number(uint64(len(b)))
	w.write(b)
}

// Read reads a backup and calls visit for each entry. Only after it has returned without an error everything was genuine and complete: what
// visit has done before may have to be thrown away. visit may be nil, to verify.
func Read(r io.Reader, visit func(key string, value []byte) error) (Summary, error) {
	sum, err := read(r, visit)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		err = fmt.Errorf("%w: it is cut or was changed: %w", ErrDamaged, err)
	}
	return sum, err
}

func read(r io.Reader, visit func(key string, value []byte) error) (sum Summary, err error) {
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(r, begin); err != nil || string(begin) != magic {
		return sum, fmt.Errorf("%w: it does not begin as a backup of orch does", ErrDamaged)
	}
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return sum, err
	}
	in := &reader{r: bufio.NewReaderSize(z, 64<<10), sum: sha256.New()}
	head, err := in.line()
	if err != nil {
		return sum, err
	}
	if err := json.Unmarshal(head, &sum.Header); err != nil {
		return sum, fmt.Errorf("%w: its header is not readable", ErrDamaged)
	}
	last := ""
	for {
		key, err := in.bytes(state.MaxKey)
		if err != nil {
			return sum, err
		}
		if len(key) == 0 {
			break
		}
		if string(key) <= last || state.CheckKey(string(key)) != nil {
			return sum, fmt.Errorf("%w: the key %.80q is out of order or cannot be", ErrDamaged, key)
		}
		last = string(key)
		value, err := in.bytes(state.MaxValue)
		if err != nil {
			return sum, err
		}
		sum.Entries++
		sum.Bytes += int64(len(key) + len(value))
		if visit != nil {
			if err := visit(last, value); err != nil {
				return sum, err
			}
		}
	}
	return sum, in.end(&sum)
}

type reader struct {
	r   *bufio.Reader
	sum hash.Hash
}

// maxHeader bounds the header in bytes.
const maxHeader = 4096

func (r *reader) line() ([]byte, error) {
	b, err := r.r.ReadSlice('\n')
	if err != nil || len(b) > maxHeader {
		return nil, fmt.Errorf("%w: no header", ErrDamaged)
	}
	_, _ = r.sum.Write(b)
	return bytes.Clone(b), nil
}

// ReadByte sums what ReadUvarint reads.
func (r *reader) ReadByte() (byte, error) {
	b, err := r.r.ReadByte()
	if err == nil {
		_, _ = r.sum.Write([]byte{b})
	}
	return b, err
}

func (r *reader) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, cut(err)
	}
	if n > limit {
		return nil, fmt.Errorf("%w: an entry has %d bytes, more than the %d that can be", ErrDamaged, n, limit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, cut(err)
	}
	_, _ = r.sum.Write(b)
	return b, nil
}

// end compares count and checksum, and reads on to gzip's own.
func (r *reader) end(sum *Summary) error {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return cut(err)
	}
	want := r.sum.Sum(nil)
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r.r, got); err != nil {
		return cut(err)
	}
	if n != uint64(sum.Entries) || !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	sum.SHA256 = hex.EncodeToString(got)
	switch _, err := r.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	case err != io.EOF:
		return err
	}
	return nil
}

func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
