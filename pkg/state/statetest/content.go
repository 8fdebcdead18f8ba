package statetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing/iotest"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

type thing struct {
	Name string
	Old  string `json:",omitempty"`
}

type thing2 struct{ Name, First string }

func (thing2) SchemaVersion() int { return 2 }

func (*thing2) UpgradeRecord(from int, data json.RawMessage) (json.RawMessage, error) {
	var old thing
	if err := json.Unmarshal(data, &old); err != nil {
		return nil, err
	}
	first, rest, _ := strings.Cut(old.Name, " ")
	return json.Marshal(thing2{Name: rest, First: first})
}

func records(e *env) {
	long := strings.Repeat("compressible ", 100000)
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		return errors.Join(state.Put(tx, e.key("a"), thing{Name: "Ada Lovelace"}), state.Put(tx, e.key("b"), thing{Name: long}))
	}))
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		if v, rev, err := state.Get[thing](tx, e.key("a")); err != nil || v.Name != "Ada Lovelace" || rev == 0 {
			e.Errorf("got %+v, %d, %v", v, rev, err)
		}
		if v, _, err := state.Get[thing2](tx, e.key("a")); err != nil || v.First != "Ada" {
			e.Errorf("upgraded: %+v, %v", v, err)
		}
		if v, ok, err := state.Find[thing](tx, e.key("none")); ok || err != nil {
			e.Errorf("none: %+v, %v", v, err)
		}
		n := 0
		for r, err := range state.List[thing](tx, e.dir) {
			e.must(err)
			n += len(r.Value.Name)
		}
		if n != len(long)+len("Ada Lovelace") {
			e.Errorf("listed %d bytes", n)
		}
		return nil
	}))
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		return errors.Join(state.Put(tx, e.key("a"), thing2{}), tx.Put(e.key("b"), []byte("no record")))
	}))
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		if _, _, err := state.Get[thing](tx, e.key("a")); !errors.Is(err, state.ErrNewer) {
			e.Errorf("newer: %v", err)
		}
		if _, _, err := state.Get[thing](tx, e.key("b")); !errors.Is(err, state.ErrCorrupt) {
			e.Errorf("corrupt: %v", err)
		}
		return nil
	}))
}

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func blobs(e *env) {
	b := state.NewBlobs(e.s)
	text := []byte(strings.Repeat("a line of a log that is longer than a chunk\n", 30000))
	for name, content := range map[string][]byte{
		"empty": {}, "small": []byte("x"), "text": text, "noise": noise(700_000, 1), "zip": append([]byte("PK\x03\x04"), noise(300_000, 2)...),
		"exact": append([]byte("PK\x03\x04"), noise(224*1024-4, 3)...),
	} {
		key := e.key(name)
		info, err := b.Put(e.Context(), key, iotest.OneByteReader(bytes.NewReader(content[:min(len(content), 1000)])))
		e.must(err)
		info, err = b.Put(e.Context(), key, bytes.NewReader(content)) // replaces
		e.must(err)
		sum := sha256.Sum256(content)
		if info.Size != int64(len(content)) || info.SHA256 != hex.EncodeToString(sum[:]) {
			e.Errorf("%s: %+v", name, info)
		}
		got, stat, err := b.ReadAll(e.Context(), key, 0)
		if err != nil || !bytes.Equal(got, content) || stat != info {
			e.Errorf("%s: %d bytes of %d, %v", name, len(got), len(content), err)
		}
		if name == "text" && info.Stored > info.Size/20 {
			e.Errorf("text of %d bytes takes %d", info.Size, info.Stored)
		}
	}
	list, err := b.List(e.Context(), e.dir)
	if err != nil || len(list) != 6 || list[0].Key != e.key("empty") {
		e.Errorf("%+v, %v", list, err)
	}
	if _, _, err := b.ReadAll(e.Context(), e.key("noise"), 1000); !errors.Is(err, state.ErrTooLarge) {
		e.Errorf("beyond the limit: %v", err)
	}
	for _, i := range list {
		e.must(b.Delete(e.Context(), i.Key))
		e.must(b.Delete(e.Context(), i.Key))
		e.must(e.s.View(e.Context(), func(tx state.Tx) error {
			for k := range tx.Keys(state.Prefix("blobdata", i.Upload)) {
				e.Errorf("left over: %s", k)
			}
			return nil
		}))
	}
	if _, _, err := b.Get(e.Context(), e.key("text")); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("deleted: %v", err)
	}
}

// blobReplace: content that was made from what was read takes its place, and only its.
func blobReplace(e *env) {
	b := state.NewBlobs(e.s)
	key := state.Join(e.name, "x")
	large := strings.Repeat("0123456789", 100_000)
	for _, content := range []string{"small", large} {
		old, err := b.Put(e.Context(), key, strings.NewReader(content))
		e.must(err)
		fresh, err := b.Replace(e.Context(), old, strings.NewReader(content+"!"))
		e.must(err)
		if _, err := b.Replace(e.Context(), old, strings.NewReader("late")); !errors.Is(err, state.ErrChanged) {
			e.Errorf("over another's: %v", err)
		}
		got, info, err := b.ReadAll(e.Context(), key, 0)
		if err != nil || string(got) != content+"!" || info.Upload != fresh.Upload {
			e.Errorf("%d bytes, %v", len(got), err)
		}
	}
	gone, err := b.Stat(e.Context(), key)
	e.must(err)
	e.must(b.Delete(e.Context(), key))
	if _, err := b.Replace(e.Context(), gone, strings.NewReader("late")); !errors.Is(err, state.ErrChanged) {
		e.Errorf("over nothing: %v", err)
	}
}

func blobChanges(e *env) {
	b := state.NewBlobs(e.s)
	key := e.key("b")
	old, fresh := noise(600_000, 4), noise(500_000, 5)
	_, err := b.Put(e.Context(), key, bytes.NewReader(old))
	e.must(err)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := b.Put(e.Context(), key, pr)
		done <- err
	}()
	_, _ = pw.Write(fresh[:400_000])
	if got, _, err := b.ReadAll(e.Context(), key, 0); err != nil || !bytes.Equal(got, old) {
		e.Errorf("during the upload: %d bytes, %v", len(got), err)
	}
	r, _, err := b.Get(e.Context(), key)
	e.must(err)
	_, err = io.ReadFull(r, make([]byte, 10))
	e.must(err)
	_, _ = pw.Write(fresh[400_000:])
	pw.Close()
	e.must(<-done)
	if _, err := io.ReadAll(r); !errors.Is(err, state.ErrChanged) {
		e.Errorf("a reader of the old content: %v", err)
	}
	if got, _, err := b.ReadAll(e.Context(), key, 0); err != nil || !bytes.Equal(got, fresh) {
		e.Errorf("after: %d bytes, %v", len(got), err)
	}
	boom := errors.New("boom")
	if _, err := b.Put(e.Context(), key, io.MultiReader(bytes.NewReader(old), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		e.Errorf("got %v", err)
	}
	if got, _, err := b.ReadAll(e.Context(), key, 0); err != nil || !bytes.Equal(got, fresh) {
		e.Errorf("after a failed upload: %d bytes, %v", len(got), err)
	}
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		return errors.Join(state.PutBlobTx(tx, key, []byte("in a transaction")), tx.Put(e.key("with"), nil))
	}))
	if got, _, err := b.ReadAll(e.Context(), key, 0); err != nil || string(got) != "in a transaction" {
		e.Errorf("%q, %v", got, err)
	}
	err = e.s.Update(e.Context(), func(tx state.Tx) error { return state.PutBlobTx(tx, key, old) })
	if !errors.Is(err, state.ErrTooLarge) {
		e.Errorf("a large blob in a transaction: %v", err)
	}
	var wg sync.WaitGroup
	for i := range uint64(4) { // writers and readers at once: always one of the contents
		wg.Go(func() {
			if _, err := b.Put(e.Context(), key, bytes.NewReader(noise(300_000, 100+i))); err != nil {
				e.Error(err)
			}
		})
		wg.Go(func() {
			if _, _, err := b.ReadAll(e.Context(), key, 0); err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
}

func blobSweep(e *env) {
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	b := state.NewBlobs(state.Fenced(e.s, l))
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := b.Put(e.Context(), e.key("b"), pr)
		done <- err
	}()
	_, _ = pw.Write(noise(600_000, 6))
	e.must(e.s.BreakLease(e.Context(), e.name)) // what it has written stays, as after a crash
	pw.Close()
	if err := <-done; !errors.Is(err, state.ErrFenced) {
		e.Fatalf("got %v", err)
	}
	free := state.NewBlobs(e.s)
	if _, err := free.Sweep(e.Context(), time.Hour); err != nil {
		e.Error(err)
	}
	left := func() (n int) {
		e.must(e.s.View(e.Context(), func(tx state.Tx) error {
			for r, err := range state.List[struct {
				Key string `json:"key"`
			}](tx, "blobput/") {
				e.must(err)
				if r.Value.Key != e.key("b") {
					continue
				}
				for range tx.Keys(state.Prefix("blobdata", state.Last(r.Key))) {
					n++
				}
			}
			return nil
		}))
		return n
	}
	if left() == 0 {
		e.Error("a young upload was swept")
	}
	// Other tests' uploads must not be swept, so the age is that of ours: none is older by then than a moment.
	if n, err := free.Sweep(e.Context(), 24*time.Hour); n != 0 || err != nil {
		e.Errorf("%d swept, %v", n, err)
	}
}
