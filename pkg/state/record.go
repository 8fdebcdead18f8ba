package state

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync"
)

// Versioned is implemented by record types that change over time: the version of what they write now. Types without it have version 1.
type Versioned interface{ SchemaVersion() int }

// Upgrader is implemented, on the pointer, by record types that can read what older versions wrote.
type Upgrader interface {
	// UpgradeRecord turns the JSON of an older version into that of the present one.
	UpgradeRecord(from int, data json.RawMessage) (json.RawMessage, error)
}

// Record is a typed value with its key and revision.
type Record[T any] struct {
	Key   string
	Value T
	Rev   Rev
}

// stored is the JSON around every record.
type stored struct {
	Schema int             `json:"v"`
	Data   json.RawMessage `json:"d"`
}

const (
	gzipRecords = 4 * 1024 // bytes of JSON above which a record is compressed
	maxRecord   = 64 << 20 // bytes of JSON that a record may unpack to
)

func schemaOf(v any) int {
	if s, ok := v.(Versioned); ok {
		return s.SchemaVersion()
	}
	return 1
}

// Put stores v as JSON, compressed where that pays. It must fit into MaxValue then; Blobs take what does not.
func Put[T any](tx Tx, key string, v T) error {
	b, err := EncodeRecord(v)
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", key, err)
	}
	return tx.Put(key, b)
}

// Get returns the record under key, or ErrNotFound; ErrNewer if a newer version of orch wrote it; ErrCorrupt if it is not readable.
func Get[T any](tx Tx, key string) (T, Rev, error) {
	var v T
	e, err := tx.Get(key)
	if err != nil {
		return v, 0, err
	}
	v, err = DecodeRecord[T](e.Value)
	if err != nil {
		return v, 0, fmt.Errorf("cannot read %s: %w", key, err)
	}
	return v, e.Rev, nil
}

// Find is Get that returns false, and no error, for what does not exist.
func Find[T any](tx Tx, key string) (T, bool, error) {
	v, _, err := Get[T](tx, key)
	if errors.Is(err, ErrNotFound) {
		return v, false, nil
	}
	return v, err == nil, err
}

// List yields the records below prefix in the order of their keys. One that cannot be read is yielded with its error, and the
// caller may go on to the next.
func List[T any](tx Tx, prefix string) iter.Seq2[Record[T], error] {
	return func(yield func(Record[T], error) bool) {
		for e, err := range tx.List(prefix) {
			if err != nil {
				yield(Record[T]{}, err)
				return
			}
			v, err := DecodeRecord[T](e.Value)
			if err != nil {
				err = fmt.Errorf("cannot read %s: %w", e.Key, err)
			}
			if !yield(Record[T]{e.Key, v, e.Rev}, err) {
				return
			}
		}
	}
}

// EncodeRecord returns the stored form of a record.
func EncodeRecord[T any](v T) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	// As json.Marshal(stored{…}) would, which reads all of data again.
	b := make([]byte, 0, len(data)+20)
	b = append(strconv.AppendInt(append(b, `{"v":`...), int64(schemaOf(v)), 10), `,"d":`...)
	b = append(append(b, data...), '}')
	if len(b) < gzipRecords {
		return b, nil
	}
	return pack(b), nil
}

// DecodeRecord reads what EncodeRecord returned, perhaps that of an older version of T.
func DecodeRecord[T any](b []byte) (T, error) {
	var v T
	b, err := unpack(b, maxRecord)
	if err != nil {
		return v, err
	}
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return v, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	now := schemaOf(v)
	switch {
	case s.Schema > now:
		return v, fmt.Errorf("%w (schema %d, this version knows %d)", ErrNewer, s.Schema, now)
	case s.Schema < 1 || s.Data == nil:
		return v, fmt.Errorf("%w: no record", ErrCorrupt)
	case s.Schema < now:
		u, ok := any(&v).(Upgrader)
		if !ok {
			break // fields were only added
		}
		if s.Data, err = u.UpgradeRecord(s.Schema, s.Data); err != nil {
			return v, fmt.Errorf("cannot upgrade from schema %d: %w", s.Schema, err)
		}
	}
	if err := json.Unmarshal(s.Data, &v); err != nil {
		var zero T
		return zero, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return v, nil
}

// Rewrite changes the JSON of the record under key, whatever its type, and keeps its version. change returns nil for what stays. It reports
// whether there was a change.
func Rewrite(tx Tx, key string, change func(data json.RawMessage) (json.RawMessage, error)) (bool, error) {
	e, err := tx.Get(key)
	if err != nil {
		return false, err
	}
	b, err := unpack(e.Value, maxRecord)
	if err != nil {
		return false, fmt.Errorf("cannot read %s: %w", key, err)
	}
	var s stored
	if err := json.Unmarshal(b, &s); err != nil || s.Data == nil {
		return false, nil // no record: a part of a blob, or of a log
	}
	fresh, err := change(s.Data)
	if err != nil || fresh == nil {
		return false, err
	}
	s.Data = fresh
	if b, err = json.Marshal(s); err != nil {
		return false, fmt.Errorf("cannot encode %s: %w", key, err)
	}
	if len(b) >= gzipRecords {
		b = pack(b)
	}
	return true, tx.Put(key, b)
}

// CheckRecord reports a value that is no record that can be read. What it means is not looked at.
func CheckRecord(value []byte) error {
	b, err := unpack(value, maxRecord)
	if err != nil {
		return err
	}
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if s.Schema < 1 || s.Data == nil {
		return fmt.Errorf("%w: no record", ErrCorrupt)
	}
	return nil
}

// pack compresses; unpack recognizes by the first byte whether that was done, which for JSON is never gzip's 0x1f.
func pack(b []byte) []byte {
	var buf bytes.Buffer
	w := packers.Get().(*gzip.Writer)
	w.Reset(&buf)
	_, _ = w.Write(b) // a Buffer does not fail
	_ = w.Close()
	packers.Put(w)
	return buf.Bytes()
}

// packers keeps compressors, which are large to make.
var packers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}

func unpack(b []byte, limit int64) ([]byte, error) {
	if len(b) == 0 || b[0] != 0x1f {
		return b, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case int64(len(out)) > limit:
		return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrCorrupt, limit)
	}
	return out, nil
}
