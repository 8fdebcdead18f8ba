package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/backup"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/consul"
	"github.com/orch-project/orch/pkg/state/mem"
)

// filled returns a store with records, a blob of several chunks, a sealed log and odd keys.
func filled(t *testing.T) state.Store {
	t.Helper()
	s := mem.New(mem.Options{})
	t.Cleanup(func() { s.Close() })
	fill(t, s)
	return s
}

func fill(t *testing.T, s state.Store) {
	t.Helper()
	ctx := t.Context()
	if _, err := state.Migrate(ctx, s, "v1"); err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		if err := s.Update(ctx, func(tx state.Tx) error {
			return state.Put(tx, state.Join("deployments", fmt.Sprint("d/ä ", i)), map[string]string{"x": strings.Repeat("y", i*50)})
		}); err != nil {
			t.Fatal(err)
		}
	}
	content := make([]byte, 700_000)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	if _, err := state.NewBlobs(s).Put(ctx, state.Join("bundle", "b"), bytes.NewReader(append([]byte("PK\x03\x04"), content...))); err != nil {
		t.Fatal(err)
	}
	l := state.NewEventLog(s)
	for i := range 300 {
		if _, err := l.Append(ctx, "shop", event.Event{Type: event.Log, Message: fmt.Sprint(strings.Repeat("x", 500), i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func dump(t *testing.T, s state.Store) string {
	t.Helper()
	var b strings.Builder
	if err := s.View(t.Context(), func(tx state.Tx) error {
		for e, err := range tx.List("") {
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s=%x\n", e.Key, e.Value)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func written(t *testing.T, s state.Store) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := backup.Write(t.Context(), s, &out, "v1"); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What was written comes back, from every store into every other.
func TestThereAndBack(t *testing.T) {
	stores := map[string]func(t *testing.T) state.Store{
		"mem": func(t *testing.T) state.Store { return mem.New(mem.Options{}) },
		"bolt": func(t *testing.T) state.Store {
			s, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
	if !testing.Short() {
		cluster, n := tools.StartConsul(t, 1), 0
		stores["consul"] = func(t *testing.T) state.Store {
			n++
			s, err := consul.Open(t.Context(), consul.Options{Addresses: []string{cluster.Addr()}, Prefix: fmt.Sprint("backup-", n)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	for from, open := range stores {
		a := open(t)
		fill(t, a)
		data, want := written(t, a), dump(t, a)
		for to, open := range stores {
			t.Run(from+" to "+to, func(t *testing.T) {
				b := open(t)
				defer b.Close()
				sum, err := backup.Restore(t.Context(), b, bytes.NewReader(data), backup.Options{})
				if err != nil || sum.Schema != state.Schema || sum.Entries == 0 {
					t.Fatalf("%+v, %v", sum, err)
				}
				if dump(t, b) != want {
					t.Error("the content differs")
				}
				if r, err := backup.Check(t.Context(), b); err != nil || !r.Sound() || r.Events != 300 || r.Blobs != 1 || r.Logs != 1 || r.Records < 150 {
					t.Errorf("%+v, %v", r, err)
				}
				c := open(t)
				defer c.Close()
				if _, err := backup.Copy(t.Context(), b, c, backup.Options{}); err != nil || dump(t, c) != want {
					t.Errorf("copied: %v", err)
				}
			})
		}
		a.Close()
	}
}

func TestAFilledStoreIsNotOverwrittenUnlessToldTo(t *testing.T) {
	s, other := filled(t), filled(t)
	data := written(t, s)
	if err := other.Update(t.Context(), func(tx state.Tx) error { return state.Put(tx, "zzz/only-here", "x") }); err != nil {
		t.Fatal(err)
	}
	before := dump(t, other)
	if _, err := backup.Restore(t.Context(), other, bytes.NewReader(data), backup.Options{}); !errors.Is(err, backup.ErrNotEmpty) || dump(t, other) != before {
		t.Errorf("got %v", err)
	}
	lease, err := other.Lease(t.Context(), "deployment/x", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), other, bytes.NewReader(data), backup.Options{Overwrite: true}); !errors.Is(err, state.ErrHeld) || dump(t, other) != before {
		t.Errorf("in use: %v", err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), other, bytes.NewReader(data), backup.Options{Overwrite: true}); err != nil || dump(t, other) != dump(t, s) {
		t.Errorf("overwritten: %v", err)
	}
}

// A damaged backup is refused before anything is written, wherever the damage is.
func TestDamage(t *testing.T) {
	data := written(t, filled(t))
	for name, bad := range map[string][]byte{
		"empty": {}, "something else": []byte("PK\x03\x04 not a backup at all, but long enough"), "cut": data[:len(data)/2], "without its end": data[:len(data)-9],
		"one bit": flip(data, len(data)/3), "one bit at the end": flip(data, len(data)-5), "its beginning only": data[:25],
	} {
		s := mem.New(mem.Options{})
		if _, err := backup.Restore(t.Context(), s, bytes.NewReader(bad), backup.Options{}); !errors.Is(err, backup.ErrDamaged) && !strings.Contains(fmt.Sprint(err), "flate") {
			t.Errorf("%s: %v", name, err)
		}
		if d := dump(t, s); d != "" {
			t.Errorf("%s: written: %.200s", name, d)
		}
		s.Close()
	}
}

func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 4
	return out
}

// The store of an interrupted restore says so, until a restore has ended.
func TestInterruptedRestore(t *testing.T) {
	data := written(t, filled(t))
	s := mem.New(mem.Options{})
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := backup.Restore(ctx, cutOff{s, cancel}, bytes.NewReader(data), backup.Options{}); err == nil {
		t.Fatal("it was not interrupted")
	}
	if _, err := state.SchemaOf(t.Context(), s); !errors.Is(err, state.ErrRestoring) {
		t.Errorf("got %v", err)
	}
	if r, err := backup.Check(t.Context(), s); err != nil || r.Sound() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := backup.Restore(t.Context(), s, bytes.NewReader(data), backup.Options{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if v, err := state.SchemaOf(t.Context(), s); v != state.Schema || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}

// cutOff ends the context after the first batch.
type cutOff struct {
	state.Store
	cancel func()
}

func (c cutOff) Update(ctx context.Context, fn func(state.Tx) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	batch := false
	err := c.Store.Update(ctx, func(tx state.Tx) error {
		err := fn(tx)
		for range tx.Keys("deployments/") {
			batch = true
		}
		return err
	})
	if batch {
		c.cancel()
	}
	return err
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(tx state.Tx) error
		key    string
	}{
		"a record": {func(tx state.Tx) error { return tx.Put("deployments/x", []byte("{")) }, "deployments/x"},
		"a blob":   {func(tx state.Tx) error { return firstBelow(tx, "blobdata/", tx.Delete) }, "blob/bundle/b"},
		"a blob's": {func(tx state.Tx) error {
			return firstBelow(tx, "blobdata/", func(k string) error { return tx.Put(k, []byte("PK\x03\x04")) })
		}, "blob/bundle/b"},
		"a log":       {func(tx state.Tx) error { return firstBelow(tx, "events/shop/c/", tx.Delete) }, "events/shop"},
		"a log's end": {func(tx state.Tx) error { return lastBelow(tx, "events/shop/t/", tx.Delete) }, "events/shop"},
	} {
		s := filled(t)
		if err := s.Update(t.Context(), c.break_); err != nil {
			t.Fatal(err)
		}
		r, err := backup.Check(t.Context(), s)
		if err != nil || r.Sound() || len(r.Findings) == 0 || r.Findings[0].Key != c.key {
			t.Errorf("%s: %+v, %v", name, r.Findings, err)
		}
	}
	s := filled(t)
	if err := s.Update(t.Context(), func(tx state.Tx) error { return tx.Put("blobdata/lost/0", []byte("x")) }); err != nil {
		t.Fatal(err)
	}
	if r, err := backup.Check(t.Context(), s); err != nil || !r.Sound() || len(r.Findings) != 1 {
		t.Errorf("lost space: %+v, %v", r, err)
	}
}

func firstBelow(tx state.Tx, prefix string, do func(string) error) error {
	for k, err := range tx.Keys(prefix) {
		return errors.Join(err, do(k))
	}
	return errors.New("nothing below " + prefix)
}

func lastBelow(tx state.Tx, prefix string, do func(string) error) error {
	last := ""
	for k, err := range tx.Keys(prefix) {
		if err != nil {
			return err
		}
		last = k
	}
	return do(last)
}

func TestNewerSchema(t *testing.T) {
	s := filled(t)
	if err := s.Update(t.Context(), func(tx state.Tx) error { return state.Put(tx, state.SchemaKey, map[string]int{"version": 99}) }); err != nil {
		t.Fatal(err)
	}
	to := mem.New(mem.Options{})
	defer to.Close()
	if _, err := backup.Restore(t.Context(), to, bytes.NewReader(written(t, s)), backup.Options{}); !errors.Is(err, state.ErrNewer) {
		t.Errorf("got %v", err)
	}
	if _, err := backup.Copy(t.Context(), s, to, backup.Options{}); !errors.Is(err, state.ErrNewer) {
		t.Errorf("got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	s := mem.New(mem.Options{})
	defer s.Close()
	var out bytes.Buffer
	if _, err := backup.Write(context.Background(), s, &out, ""); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		n := 0
		sum, err := backup.Read(bytes.NewReader(data), func(string, []byte) error { n++; return nil })
		if err == nil && n != sum.Entries {
			t.Errorf("%d entries, %+v", n, sum)
		}
	})
}
