package statetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/orch-project/orch/pkg/state"
)

func readWrite(e *env) {
	if _, err := e.get("a"); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("before: %v", err)
	}
	e.put("a", "1")
	e.put("empty", "")
	got, err := e.get("a")
	if err != nil || got.Key != e.key("a") || string(got.Value) != "1" || got.Rev == 0 {
		e.Errorf("got %+v, %v", got, err)
	}
	if got, err := e.get("empty"); err != nil || len(got.Value) != 0 {
		e.Errorf("got %+v, %v", got, err)
	}
	binary := "\x00\xff\n\"\\ é"
	e.put("a", binary)
	if got, _ := e.get("a"); string(got.Value) != binary {
		e.Errorf("got %q", got.Value)
	}
	e.del("a")
	e.del("a")
	e.wantAll("empty=")
}

func listOrder(e *env) {
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		for _, k := range []string{"b/2", "b", "a", "b/1", "b-", "c", "b/10", "B"} {
			if err := tx.Put(e.dir+k, []byte(k)); err != nil {
				return err
			}
		}
		return nil
	}))
	e.wantAll("B=B a=a b=b b-=b- b/1=b/1 b/10=b/10 b/2=b/2 c=c")
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		var keys, ranged, first []string
		for k, err := range tx.Keys(e.dir + "b/") {
			e.must(err)
			keys = append(keys, strings.TrimPrefix(k, e.dir))
		}
		for en, err := range tx.Range(e.dir+"b", e.dir+"b/2") {
			e.must(err)
			ranged = append(ranged, string(en.Value))
		}
		for en, err := range tx.List(e.dir) {
			e.must(err)
			first = append(first, string(en.Value))
			break
		}
		for k := range tx.Keys(e.dir + "nothing") {
			e.Errorf("unexpected %s", k)
		}
		got := fmt.Sprint(keys, ranged, first)
		if want := "[b/1 b/10 b/2] [b b- b/1 b/10] [B]"; got != want {
			e.Errorf("got %s, want %s", got, want)
		}
		return nil
	}))
}

func ownWrites(e *env) {
	e.put("old", "1")
	e.put("gone", "1")
	e.put("sub/x", "1")
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		e.must(tx.Put(e.key("new"), []byte("2")))
		e.must(tx.Put(e.key("old"), []byte("2")))
		e.must(tx.Delete(e.key("gone")))
		e.must(tx.DeletePrefix(e.dir + "sub"))
		e.must(tx.Put(e.key("sub2"), []byte("after")))
		var seen []string
		for en, err := range tx.List(e.dir) {
			e.must(err)
			seen = append(seen, strings.TrimPrefix(en.Key, e.dir)+"="+string(en.Value))
		}
		if got := strings.Join(seen, " "); got != "new=2 old=2 sub2=after" {
			e.Errorf("the transaction sees %q", got)
		}
		if en, err := tx.Get(e.key("new")); err != nil || string(en.Value) != "2" || en.Rev != 0 {
			e.Errorf("got %+v, %v", en, err)
		}
		for _, k := range []string{"gone", "sub,2Fx"} {
			if _, err := tx.Get(e.key(k)); !errors.Is(err, state.ErrNotFound) {
				e.Errorf("%s: %v", k, err)
			}
		}
		return nil
	}))
	e.wantAll("new=2 old=2 sub2=after")
}

func allOrNothing(e *env) {
	e.put("a", "1")
	e.put("p/x", "1")
	boom := errors.New("boom")
	err := e.s.Update(e.Context(), func(tx state.Tx) error {
		return errors.Join(tx.Put(e.key("a"), []byte("2")), tx.Put(e.key("b"), nil), tx.DeletePrefix(e.dir+"p"), tx.Delete(e.key("a")), boom)
	})
	if !errors.Is(err, boom) {
		e.Errorf("got %v", err)
	}
	e.wantAll("a=1 p,2Fx=1")
}

func panics(e *env) {
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				e.Errorf("recovered %v", r)
			}
		}()
		_ = e.s.Update(e.Context(), func(tx state.Tx) error {
			e.must(tx.Put(e.key("a"), nil))
			panic("boom")
		})
	}()
	e.put("b", "still works")
	e.wantAll("b=still works")
}

func counters(e *env) {
	const workers, each = 8, 12
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := e.s.Update(e.Context(), func(tx state.Tx) error {
					n, _, err := state.Find[int](tx, e.key("n"))
					if err != nil {
						return err
					}
					return state.Put(tx, e.key("n"), n+1)
				}); err != nil {
					e.Error(err)
				}
			}
		})
	}
	wg.Wait()
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		n, _, err := state.Get[int](tx, e.key("n"))
		if err != nil || n != workers*each {
			e.Errorf("counted %d, %v", n, err)
		}
		return nil
	}))
}

func creators(e *env) {
	exists := errors.New("exists")
	var mu sync.Mutex
	var wg sync.WaitGroup
	won := 0
	for i := range 10 {
		wg.Go(func() {
			err := e.s.Update(e.Context(), func(tx state.Tx) error {
				if _, err := tx.Get(e.key("name")); err == nil {
					return exists
				} else if !errors.Is(err, state.ErrNotFound) {
					return err
				}
				return tx.Put(e.key("name"), fmt.Append(nil, i))
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, exists) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		e.Errorf("%d creators won", won)
	}
}

func readOnly(e *env) {
	err := e.s.View(e.Context(), func(tx state.Tx) error {
		for _, err := range []error{tx.Put(e.key("a"), nil), tx.Delete(e.key("a")), tx.DeletePrefix(e.dir)} {
			if !errors.Is(err, state.ErrReadOnly) {
				e.Errorf("got %v", err)
			}
		}
		return nil
	})
	e.must(err)
	e.wantAll("")
}

func limits(e *env) {
	update := func(fn func(state.Tx)) error {
		return e.s.Update(e.Context(), func(tx state.Tx) error { fn(tx); return nil }) // errors of Put are swallowed on purpose
	}
	big := make([]byte, state.MaxValue)
	for i := range big {
		big[i] = byte(i * 7919 >> 3)
	}
	e.must(update(func(tx state.Tx) { e.must(tx.Put(e.key("big"), big)) }))
	if got, err := e.get("big"); err != nil || !slices.Equal(got.Value, big) {
		e.Errorf("the largest value came back with %d bytes, %v", len(got.Value), err)
	}
	e.must(update(func(tx state.Tx) {
		for i := range state.MaxOps {
			e.must(tx.Put(e.key("n", fmt.Sprint(i)), nil))
		}
	}))
	for what, fn := range map[string]func(state.Tx){
		"value": func(tx state.Tx) { _ = tx.Put(e.key("x"), make([]byte, state.MaxValue+1)) },
		"key":   func(tx state.Tx) { _ = tx.Put(e.dir+strings.Repeat("k", state.MaxKey), nil) },
		"bytes": func(tx state.Tx) {
			_ = tx.Put(e.key("x"), make([]byte, state.MaxValue))
			_ = tx.Put(e.key("y"), make([]byte, state.MaxValue))
		},
		"operations": func(tx state.Tx) {
			for i := range state.MaxOps + 7 {
				_ = tx.Put(e.key("x", fmt.Sprint(i)), nil)
			}
		},
	} {
		err := update(fn)
		var tl *state.TooLargeError
		if !errors.Is(err, state.ErrTooLarge) || !errors.As(err, &tl) || tl.What != what || tl.Size <= tl.Limit {
			e.Errorf("%s: %v", what, err)
		}
		if what == "operations" && tl != nil && tl.Size != state.MaxOps+7 {
			e.Errorf("%d operations are reported as %d", state.MaxOps+7, tl.Size)
		}
	}
	for _, key := range []string{"", "a//b", "a/../b", "a b", "ü", "a/"} {
		if err := update(func(tx state.Tx) { _ = tx.Put(key, nil) }); err == nil {
			e.Errorf("the key %q is accepted", key)
		}
	}
	if _, err := e.get("x"); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("something of a refused transaction is stored: %v", err)
	}
}

func oddKeys(e *env) {
	odd := []string{"", ".", "..", "...", "a/b", "a,2Fb", "ä", "a b", "%2F", "a?b=c", "#", "\x00", "\xff\xfe", "..a", "a..b", ".hidden", "x.", "A", "a", strings.Repeat("é", 100)}
	for _, k := range odd {
		e.put(k, "v"+k)
	}
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		n := 0
		for en, err := range tx.List(e.dir) {
			e.must(err)
			n++
			if k := state.Last(en.Key); "v"+k != string(en.Value) {
				e.Errorf("%q holds %q", k, en.Value)
			}
		}
		if n != len(odd) {
			e.Errorf("%d keys of %d", n, len(odd))
		}
		return nil
	}))
	for _, k := range odd {
		if got, err := e.get(k); err != nil || string(got.Value) != "v"+k {
			e.Errorf("%q: %q, %v", k, got.Value, err)
		}
	}
}

func deletePrefix(e *env) {
	for n := range 3 {
		e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
			for i := range 50 {
				e.must(tx.Put(e.key("p", fmt.Sprint(n*50+i)), []byte("v")))
			}
			return nil
		}))
	}
	e.put("pq", "stays")
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		return errors.Join(tx.DeletePrefix(e.dir+"p/"), tx.DeletePrefix(e.dir+"nothing"), tx.Put(e.key("q"), []byte("new")))
	}))
	e.wantAll("pq=stays q=new")
	if err := e.s.Update(e.Context(), func(tx state.Tx) error { return tx.DeletePrefix("") }); err == nil {
		e.Error("the empty prefix is accepted")
	}
}

func revisions(e *env) {
	e.put("a", "1")
	a1, _ := e.get("a")
	e.put("b", "1")
	b1, _ := e.get("b")
	e.put("a", "2")
	a2, _ := e.get("a")
	again, _ := e.get("b")
	if !(a1.Rev < b1.Rev && b1.Rev < a2.Rev) || again.Rev != b1.Rev {
		e.Errorf("revisions %d %d %d %d", a1.Rev, b1.Rev, a2.Rev, again.Rev)
	}
}

func cancelled(e *env) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(e.Context())
	cancel(why)
	for _, err := range []error{
		e.s.Update(ctx, func(tx state.Tx) error { return tx.Put(e.key("a"), nil) }),
		e.s.View(ctx, func(tx state.Tx) error { return nil }),
	} {
		if !errors.Is(err, why) {
			e.Errorf("got %v", err)
		}
	}
	e.wantAll("")
}

func closed(e *env) {
	e.put("a", "1")
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	e.must(e.s.Close())
	e.must(e.s.Close())
	select {
	case <-l.Lost():
	default:
		e.Error("the lease outlives its store")
	}
	_, leaseErr := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	_, getErr := e.get("a")
	_, holdErr := e.s.Holders(e.Context(), "")
	var watchErr error
	for _, err := range e.s.Watch(e.Context(), e.dir, 0) {
		watchErr = err
	}
	for i, err := range []error{leaseErr, getErr, holdErr, watchErr, e.s.Update(e.Context(), func(tx state.Tx) error { return tx.Put(e.key("a"), nil) })} {
		if !errors.Is(err, state.ErrClosed) {
			e.Errorf("%d: %v", i, err)
		}
	}
}
