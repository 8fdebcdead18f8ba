package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

// patience is how long a test waits for what must happen; it only passes when something is wrong.
const patience = 30 * time.Second

// watcher runs a watch and hands out its changes as "+key=value" and "-key".
type watcher struct {
	e    *env
	got  chan string
	end  chan error
	stop context.CancelFunc
}

func (e *env) watch(from state.Rev) *watcher {
	ctx, cancel := context.WithCancel(e.Context())
	w := &watcher{e: e, got: make(chan string, 1000), end: make(chan error, 1), stop: cancel}
	go func() {
		for c, err := range e.s.Watch(ctx, e.dir, from) {
			if err != nil {
				w.end <- err
				return
			}
			key := strings.TrimPrefix(c.Key, e.dir)
			if c.Deleted {
				w.got <- "-" + key
			} else {
				w.got <- "+" + key + "=" + string(c.Value)
			}
		}
		w.end <- errors.New("the watch ended without an error")
	}()
	e.Cleanup(cancel)
	return w
}

func (w *watcher) want(changes ...string) {
	w.e.Helper()
	for _, want := range changes {
		select {
		case got := <-w.got:
			if got != want {
				w.e.Fatalf("saw %s, want %s", got, want)
			}
		case err := <-w.end:
			w.e.Fatalf("the watch ended: %v; want %s", err, want)
		case <-time.After(patience):
			w.e.Fatalf("nothing seen, want %s", want)
		}
	}
}

func watch(e *env) {
	e.put("a", "1")
	e.put("b", "1")
	w := e.watch(0)
	w.want("+a=1", "+b=1")
	e.put("c", "1")
	w.want("+c=1")
	e.put("a", "2")
	w.want("+a=2")
	e.del("b")
	w.want("-b")
	e.del("c")
	w.want("-c")
	e.put("c", "again")
	w.want("+c=again")
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error { return tx.DeletePrefix(e.dir + "a") }))
	w.want("-a")
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		return errors.Join(tx.Put(strings.TrimSuffix(e.dir, "/")+"x", nil), tx.Put(e.key("end"), nil)) // the first is outside
	}))
	w.want("+end=")
}

func watchFrom(e *env) {
	e.put("a", "1")
	e.put("b", "1")
	a, err := e.get("a")
	e.must(err)
	e.put("c", "1")
	w := e.watch(a.Rev)
	w.want("+b=1", "+c=1")
	e.put("a", "2")
	w.want("+a=2")
	e.del("b") // unchanged since the watch began, but it existed
	w.want("-b")
}

// Several writers change several keys; the last value of every key must be seen by a watch that joins in the middle.
func watchLoad(e *env) {
	const writers, writes = 4, 20
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	var wg, watching sync.WaitGroup
	for n := range 3 {
		watching.Go(func() {
			time.Sleep(time.Duration(n) * 10 * time.Millisecond)
			last := map[string]string{}
			for c, err := range e.s.Watch(ctx, e.dir, 0) {
				if err != nil {
					e.Errorf("seen at the end: %v, %v", last, err)
					return
				}
				last[c.Key] = string(c.Value)
				done := len(last) == writers
				for _, v := range last {
					done = done && v == fmt.Sprint(writes-1)
				}
				if done {
					return
				}
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				e.put(fmt.Sprint(w), fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	watching.Wait()
}

func watchEnds(e *env) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(e.Context())
	got := make(chan error, 1)
	go func() {
		for _, err := range e.s.Watch(ctx, e.dir, 0) {
			got <- err
		}
	}()
	cancel(why)
	select {
	case err := <-got:
		if !errors.Is(err, why) {
			e.Errorf("got %v", err)
		}
	case <-time.After(patience):
		e.Error("the watch goes on")
	}
	e.put("a", "1")
	for c, err := range e.s.Watch(e.Context(), e.dir, 0) { // a caller that stops
		if err != nil || c.Key != e.key("a") {
			e.Errorf("got %+v, %v", c, err)
		}
		break
	}
}
