package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

// digest of entries in their order.
type digest struct{ h hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) add(key string, value []byte) {
	b := binary.AppendUvarint(nil, uint64(len(key)))
	b = append(b, key...)
	b = binary.AppendUvarint(b, uint64(len(value)))
	_, _ = d.h.Write(append(b, value...))
}

func (d digest) text() string { return hex.EncodeToString(d.h.Sum(nil)) }

// Finding is something wrong in a store.
type Finding struct {
	Key  string `json:"key"`
	Text string `json:"text"`
	// Harmless: space that nothing refers to.
	Harmless bool `json:"harmless,omitempty"`
}

// Report of a check.
type Report struct {
	Schema   int       `json:"schema"`
	Entries  int       `json:"entries"`
	Bytes    int64     `json:"bytes"`
	Records  int       `json:"records"`
	Blobs    int       `json:"blobs"`
	Logs     int       `json:"logs"` // of events
	Events   int       `json:"events"`
	Findings []Finding `json:"findings"`
}

// Sound reports whether nothing is wrong that matters.
func (r *Report) Sound() bool {
	for _, f := range r.Findings {
		if !f.Harmless {
			return false
		}
	}
	return true
}

func (r *Report) add(key, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Key: key, Text: fmt.Sprintf(format, args...)})
}

// Check reads everything in a store: that every record can be read, every blob is whole and has the checksum it was stored with, and every log
// of events is dense. What is encrypted is not opened.
func Check(ctx context.Context, s state.Store) (*Report, error) {
	r := &Report{Findings: []Finding{}}
	var err error
	if r.Schema, err = state.SchemaOf(ctx, s); err != nil {
		if !errors.Is(err, state.ErrRestoring) && !errors.Is(err, state.ErrCorrupt) {
			return r, err
		}
		r.add(state.SchemaKey, "%v", err)
	}
	if r.Schema > state.Schema {
		return r, &state.NewerError{Has: r.Schema, Knows: state.Schema}
	}
	chunks := map[string]int{} // of uploads
	if err := r.records(ctx, s, chunks); err != nil {
		return r, err
	}
	if err := r.blobs(ctx, s, chunks); err != nil {
		return r, err
	}
	return r, r.logs(ctx, s)
}

// records looks at every entry by itself. The parts of blobs and logs are looked at as what they are parts of.
func (r *Report) records(ctx context.Context, s state.Store, chunks map[string]int) error {
	return entries(ctx, s, func(key string, value []byte) error {
		r.Entries++
		r.Bytes += int64(len(key) + len(value))
		if err := state.CheckKey(key); err != nil {
			r.add(key, "the key cannot be: %v", err)
			return nil
		}
		switch kind, rest, _ := strings.Cut(key, "/"); kind {
		case "blobdata":
			upload, _, _ := strings.Cut(rest, "/")
			chunks[upload]++
		case "events":
		default:
			r.Records++
			if err := state.CheckRecord(value); err != nil {
				r.add(key, "%v", err)
			}
		}
		return nil
	})
}

func (r *Report) blobs(ctx context.Context, s state.Store, chunks map[string]int) error {
	all := state.NewBlobs(s)
	infos, err := all.List(ctx, "")
	if err != nil {
		return fmt.Errorf("cannot list blobs: %w", err)
	}
	for _, b := range infos {
		r.Blobs++
		delete(chunks, b.Upload)
		if err := all.Verify(ctx, b.Key); err != nil && !errors.Is(err, state.ErrChanged) && !errors.Is(err, state.ErrNotFound) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r.add("blob/"+b.Key, "%v", err)
		}
	}
	for upload := range chunks {
		r.Findings = append(r.Findings, Finding{Key: "blobdata/" + upload, Text: "parts of an upload that did not end, or still goes on", Harmless: true})
	}
	return nil
}

func (r *Report) logs(ctx context.Context, s state.Store) error {
	l := state.NewEventLog(s)
	names, err := l.Deployments(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		r.Logs++
		if err := r.log(ctx, l, name); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r.add("events/"+state.Join(name), "%v", err)
		}
	}
	return nil
}

// log reads all events of a deployment: from the first that is kept their numbers are dense.
func (r *Report) log(ctx context.Context, l *state.EventLog, name string) error {
	after, last, seen := uint64(0), uint64(0), uint64(0)
	for {
		page, err := l.Read(ctx, state.EventFilter{Deployment: name}, after, 0)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if last != 0 && e.Seq != last+1 {
				return fmt.Errorf("after event %d comes %d", last, e.Seq)
			}
			if last = e.Seq; seen == 0 {
				seen = e.Seq
			}
		}
		r.Events += len(page.Events)
		if after = page.Last; !page.More {
			break
		}
	}
	first, err := l.First(ctx, name) // it may have been shortened meanwhile, but never grows at this end
	if err != nil {
		return err
	}
	if seen > first {
		return fmt.Errorf("it begins at event %d, not at %d", seen, first)
	}
	want, err := l.Last(ctx, name)
	if err != nil {
		return err
	}
	if after < want && last < want && last != 0 || last == 0 && first <= want && after < want {
		return fmt.Errorf("it ends at event %d, not at %d", last, want)
	}
	return nil
}
