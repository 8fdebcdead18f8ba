package mem_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
)

// What a crash leaves of an upload is removed when it is old, and an upload that took too long fails whole.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Options{})
		b := state.NewBlobs(s)
		pr, pw := io.Pipe()
		done := make(chan error)
		go func() {
			_, err := b.Put(t.Context(), "b", pr)
			done <- err
		}()
		noise := "PK\x03\x04" + strings.Repeat("incompressible by its name", 20000)
		if _, err := io.WriteString(pw, noise); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if n, err := b.Sweep(t.Context(), 3*time.Hour); n != 0 || err != nil {
			t.Errorf("too young: %d, %v", n, err)
		}
		if n, err := b.Sweep(t.Context(), time.Hour); n != 1 || err != nil {
			t.Errorf("old: %d, %v", n, err)
		}
		pw.Close()
		if err := <-done; err == nil {
			t.Error("an upload whose parts were swept away succeeds")
		}
		if err := s.View(t.Context(), func(tx state.Tx) error {
			for k := range tx.Keys("blob") {
				t.Errorf("left over: %s", k)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestRetentionByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := state.NewEventLog(mem.New(mem.Options{}))
		for range 300 {
			time.Sleep(time.Minute)
			if _, err := l.Append(t.Context(), "d", event.Event{Type: event.Log}); err != nil {
				t.Fatal(err)
			}
		}
		first, err := l.Truncate(t.Context(), "d", state.Retention{Age: 2 * time.Hour})
		if err != nil || first < 100 || first > 181 {
			t.Errorf("first %d, %v", first, err)
		}
	})
}

// A thousand readers that wait share one watch, and end without leaving anything behind.
func TestManyReaders(t *testing.T) {
	s := mem.New(mem.Options{})
	l := state.NewEventLog(s)
	const readers = 1000
	before := runtime.NumGoroutine()
	results := make(chan error, readers)
	for range readers {
		go func() {
			p, err := l.PollIndex(t.Context(), state.EventFilter{Types: []event.Type{event.StepStatus}}, 0, 0, time.Minute)
			if err == nil && (len(p.Events) != 1 || p.Events[0].Index != 3) {
				err = fmt.Errorf("got %+v", p)
			}
			results <- err
		}()
	}
	for _, e := range []event.Event{{Type: event.Log}, {Type: event.Log}, {Type: event.StepStatus}} {
		time.Sleep(time.Millisecond)
		if _, err := l.Append(t.Context(), "d", e); err != nil {
			t.Fatal(err)
		}
	}
	for range readers {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, there were %d", n, before)
	}
}

func TestFollowEndsWithTheStore(t *testing.T) {
	s := mem.New(mem.Options{})
	l := state.NewEventLog(s)
	got := make(chan error)
	go func() {
		var last error
		for _, err := range l.Follow(t.Context(), state.EventFilter{Deployment: "d"}, 0) {
			last = err
		}
		got <- last
	}()
	time.Sleep(5 * time.Millisecond)
	s.Close()
	if err := <-got; !errors.Is(err, state.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	l := state.NewEventLog(mem.New(mem.Options{}))
	e := event.Event{Type: event.Log, Node: "app", Message: strings.Repeat("output ", 15), Time: time.Now()}
	for b.Loop() {
		if _, err := l.Append(b.Context(), "d", e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	l := state.NewEventLog(mem.New(mem.Options{}))
	e := event.Event{Type: event.Log, Node: "app", Message: strings.Repeat("output ", 15), Time: time.Now()}
	for range 200 {
		es := make([]event.Event, 100)
		for i := range es {
			es[i] = e
		}
		if _, err := l.Append(b.Context(), "d", es...); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if p, err := l.Read(b.Context(), state.EventFilter{Deployment: "d"}, 19000, 0); err != nil || len(p.Events) != 1000 {
			b.Fatal(len(p.Events), err)
		}
	}
}
