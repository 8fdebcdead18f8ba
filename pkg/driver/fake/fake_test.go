package fake

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

func req(id, node, op string) *driver.Request {
	return &driver.Request{OpID: id, Step: node + "_" + op, Attempt: 1, Node: &topology.Node{Name: node}, Instance: "0", Operation: &topology.Operation{Name: op}}
}

func TestDurationsAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Driver{World: &World{}, Script: Table{"create": {Duration: 3 * time.Second}, "b_start": {Duration: time.Hour}}.Behave}
		start := time.Now()
		for _, r := range []*driver.Request{req("1", "a", "create"), req("2", "b", "start"), req("3", "b", "stop")} {
			if _, err := d.Run(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != time.Hour+3*time.Second {
			t.Error(got)
		}
		if got := d.World.Order(); !slices.Equal(got, []string{"a[0].create", "b[0].start", "b[0].stop"}) {
			t.Error(got)
		}
	})
}

func TestFailuresByAttempt(t *testing.T) {
	boom := errors.New("boom")
	d := &Driver{World: &World{}, Script: Table{"a_create#1": {Err: boom}, "a_create": {Result: driver.Result{Changed: true}}}.Behave}
	first, second := req("1", "a", "create"), req("2", "a", "create")
	second.Attempt = 2
	if _, err := d.Run(t.Context(), first, nil); !errors.Is(err, boom) {
		t.Error(err)
	}
	if res, err := d.Run(t.Context(), second, nil); err != nil || !res.Changed {
		t.Error(res, err)
	}
	// The first one's outcome is recorded under its OpID.
	if _, err := d.Run(t.Context(), first, nil); !errors.Is(err, boom) || d.World.Begun("a[0].create") != 2 {
		t.Error(err, d.World.Order())
	}
}

func TestCancelDetachAndReattach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &World{}
		d := &Driver{World: w, Script: Table{"create": {Duration: time.Minute, Stubborn: 5 * time.Second}}.Behave}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(driver.ErrDetach) })
		r := req("1", "a", "create")
		if _, err := d.Run(ctx, r, nil); !errors.Is(err, driver.ErrDetach) || w.Active() != 1 {
			t.Error(err, w.Active())
		}
		start := time.Now()
		if _, err := (&Driver{World: w}).Run(t.Context(), r, nil); err != nil || time.Since(start) != 59*time.Second || w.Begun("a[0].create") != 1 {
			t.Error(err, time.Since(start), w.Order())
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start = time.Now()
		if _, err := d.Run(ctx, req("2", "a", "create"), nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 6*time.Second {
			t.Error(err, time.Since(start))
		}
		if w.Active() != 0 {
			t.Error("it still runs")
		}
	})
}

func TestCrashPoints(t *testing.T) {
	for _, p := range []Point{BeforeBegin, AfterBegin, BeforeReply} {
		synctest.Test(t, func(t *testing.T) {
			w := &World{}
			var at []Point
			d := &Driver{World: w, Script: Table{"create": {Duration: time.Second, Crash: p}}.Behave, OnCrash: func(_ *driver.Request, p Point) { at = append(at, p) }}
			r := req("1", "a", "create")
			if _, err := d.Run(t.Context(), r, nil); !errors.Is(err, ErrCrash) || !d.Crashed() {
				t.Error(err)
			}
			if _, err := d.Run(t.Context(), req("2", "b", "create"), nil); !errors.Is(err, ErrCrash) || len(at) != 1 || at[0] != p {
				t.Error(err, at)
			}
			// orch, started again.
			if _, err := (&Driver{World: w}).Run(t.Context(), r, nil); err != nil || w.Begun("a[0].create") != 1 {
				t.Error(p, err, w.Order())
			}
		})
	}
}

func TestLostRepliesAndReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &World{}
		d := &Driver{World: w, Script: Table{"create": {Duration: time.Second, Lost: 2}, "start": {Hang: true}}.Behave}
		r := req("1", "a", "create")
		for range 2 {
			var e *driver.Error
			if _, err := d.Run(t.Context(), r, nil); !errors.As(err, &e) || !e.Retryable || !errors.Is(err, ErrLost) {
				t.Error(err)
			}
		}
		if _, err := d.Run(t.Context(), r, nil); err != nil || w.Begun("a[0].create") != 1 {
			t.Error(err)
		}
		time.AfterFunc(time.Second, w.Reboot)
		for range 2 {
			if _, err := d.Run(t.Context(), req("2", "a", "start"), nil); !errors.Is(err, ErrInterrupted) {
				t.Error(err)
			}
		}
	})
}

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		b := &Batch{Driver: Driver{World: &World{}, Script: Table{"a_create": {Duration: 2 * time.Second}, "b_create": {Duration: time.Second, Err: boom}}.Behave}}
		var mu sync.Mutex
		var order []int
		errs := map[int]error{}
		err := b.RunBatch(t.Context(), []*driver.Request{req("1", "a", "create"), req("2", "b", "create")}, nil, func(i int, _ driver.Result, err error) {
			mu.Lock()
			defer mu.Unlock()
			order, errs[i] = append(order, i), err
		})
		if err != nil || !slices.Equal(order, []int{1, 0}) || !errors.Is(errs[1], boom) || errs[0] != nil || b.World.Most() != 2 || !slices.Equal(b.Sizes(), []int{2}) {
			t.Error(err, order, errs)
		}
		b.Fail = func([]*driver.Request) error { return boom }
		if err := b.RunBatch(t.Context(), nil, nil, nil); !errors.Is(err, boom) {
			t.Error(err)
		}
	})
}
