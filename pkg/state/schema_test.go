package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
)

func put(t *testing.T, s state.Store, key string, v any) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx state.Tx) error { return state.Put(tx, key, v) }); err != nil {
		t.Fatal(err)
	}
}

func TestMigration(t *testing.T) {
	ctx := t.Context()
	runs := 0
	fail := errors.New("power cut")
	step := state.Migration{To: 2, Do: func(context.Context) error {
		runs++
		if runs == 1 {
			return fail
		}
		return nil
	}}
	empty := mem.New(mem.Options{})
	defer empty.Close()
	if from, err := state.Migrate(ctx, empty, "v1", step); from != 0 || err != nil || runs != 0 {
		t.Errorf("an empty store: from %d, %v, %d steps", from, err, runs)
	}
	old := mem.New(mem.Options{})
	defer old.Close()
	put(t, old, "deployments/shop", "x")
	if _, err := state.Migrate(ctx, old, "v1", step); !errors.Is(err, fail) {
		t.Errorf("got %v", err)
	}
	if v, err := state.SchemaOf(ctx, old); v != 1 || err != nil {
		t.Errorf("after a failure: %d, %v", v, err)
	}
	for _, from := range []int{1, state.Schema} {
		if got, err := state.Migrate(ctx, old, "v1", step); got != from || err != nil {
			t.Errorf("from %d, want %d, %v", got, from, err)
		}
	}
	if runs != 2 {
		t.Errorf("%d runs", runs)
	}
	put(t, old, state.SchemaKey, map[string]int{"version": state.Schema + 1})
	var newer *state.NewerError
	if _, err := state.Migrate(ctx, old, "v1", step); !errors.As(err, &newer) || newer.Has != state.Schema+1 || !errors.Is(err, state.ErrNewer) {
		t.Errorf("a newer store: %v", err)
	}
}

func TestPrune(t *testing.T) {
	s := mem.New(mem.Options{})
	defer s.Close()
	l := state.NewEventLog(s)
	for _, d := range []string{"a", "b/c"} {
		for i := range 400 {
			e := event.Event{Type: event.Log, Message: fmt.Sprint(strings.Repeat("x", 600), i)}
			if d == "a" {
				e.Time = time.Now().Add(-48 * time.Hour)
			}
			if _, err := l.Append(t.Context(), d, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := func(d string) uint64 {
		page, err := l.Read(t.Context(), state.EventFilter{Deployment: d}, 0, 1)
		if err != nil || len(page.Events) == 0 {
			t.Fatal(page, err)
		}
		return page.Events[0].Seq
	}
	if err := state.Prune(t.Context(), s, state.Retention{}); err != nil || first("a") != 1 {
		t.Errorf("everything is kept: %v", err)
	}
	if err := state.Prune(t.Context(), s, state.Retention{Age: 24 * time.Hour, Events: 10}); err != nil {
		t.Fatal(err)
	}
	if a, b := first("a"), first("b/c"); a == 1 || a > 391 || b != 1 {
		t.Errorf("first events are %d and %d", a, b)
	}
}
