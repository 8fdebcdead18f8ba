package statetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
)

func lines(from, n int) []event.Event {
	es := make([]event.Event, n)
	for i := range es {
		es[i] = event.Event{Type: event.Log, Level: event.Info, Node: fmt.Sprint("node", (from+i)%3), Message: fmt.Sprint("line ", from+i), Time: time.Unix(int64(from+i), 0)}
	}
	return es
}

// readAll pages through a log.
func (e *env) readAll(l *state.EventLog, f state.EventFilter, after uint64, limit int) []event.Event {
	e.Helper()
	var all []event.Event
	for {
		p, err := l.Read(e.Context(), f, after, limit)
		e.must(err)
		all = append(all, p.Events...)
		if after = p.Last; !p.More {
			return all
		}
	}
}

func (e *env) wantDense(es []event.Event, from, to uint64) {
	e.Helper()
	if len(es) != int(to-from+1) {
		e.Fatalf("%d events, want %d…%d", len(es), from, to)
	}
	for i, ev := range es {
		if ev.Seq != from+uint64(i) {
			e.Fatalf("event %d has number %d, want %d", i, ev.Seq, from+uint64(i))
		}
	}
}

func eventsDense(e *env) {
	l := state.NewEventLog(e.s)
	if last, err := l.Last(e.Context(), e.name); last != 0 || err != nil {
		e.Errorf("the empty log ends at %d, %v", last, err)
	}
	const writers, batches, size = 4, 8, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				got, err := l.Append(e.Context(), e.name, lines(w*1000+b*size, size)...)
				if err != nil {
					e.Error(err)
					return
				}
				for i := 1; i < len(got); i++ {
					if got[i].Seq != got[i-1].Seq+1 {
						e.Errorf("a batch is torn: %d after %d", got[i].Seq, got[i-1].Seq)
					}
				}
			}
		})
	}
	wg.Wait()
	all := e.readAll(l, state.EventFilter{Deployment: e.name}, 0, 7)
	e.wantDense(all, 1, writers*batches*size)
	seen := map[string]bool{}
	for _, ev := range all {
		seen[ev.Message] = true
		if ev.Deployment != e.name || ev.Time.IsZero() {
			e.Errorf("%+v", ev)
		}
	}
	if len(seen) != len(all) {
		e.Errorf("%d different of %d", len(seen), len(all))
	}
	boom := errors.New("boom")
	err := e.s.Update(e.Context(), func(tx state.Tx) error {
		if _, err := state.AppendTx(tx, e.name, lines(0, 3)...); err != nil {
			return err
		}
		return boom
	})
	if last, _ := l.Last(e.Context(), e.name); !errors.Is(err, boom) || last != writers*batches*size {
		e.Errorf("after a failed transaction: %d, %v", last, err)
	}
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		got, err := state.AppendTx(tx, e.name, lines(0, 2)...)
		if err == nil && got[0].Seq != writers*batches*size+1 {
			e.Errorf("number %d in a transaction", got[0].Seq)
		}
		return err
	}))
}

func eventsRead(e *env) {
	l := state.NewEventLog(e.s)
	const n = 1500 // several sealed chunks and a tail
	for i := 0; i < n; i += 10 {
		_, err := l.Append(e.Context(), e.name, lines(i, 10)...)
		e.must(err)
	}
	f := state.EventFilter{Deployment: e.name}
	for _, after := range []uint64{0, 9, 640, 641, 1279, 1499, 1500, 2000} {
		got := e.readAll(l, f, after, 400)
		if after >= n {
			if len(got) != 0 {
				e.Errorf("after %d: %d events", after, len(got))
			}
			continue
		}
		e.wantDense(got, after+1, n)
	}
	f.Node = "node1"
	p, err := l.Read(e.Context(), f, 100, 10)
	if err != nil || len(p.Events) != 10 || p.Events[0].Message != "line 100" || !p.More {
		e.Errorf("%+v, %v", p, err)
	}
	big := event.Event{Type: event.Log, Message: strings.Repeat("x", 100_000) + "\n" + strings.Repeat("é\x00", 50_000), Value: strings.Repeat("\x01", 100_000)}
	_, err = l.Append(e.Context(), e.name, big)
	e.must(err)
	f = state.EventFilter{Deployment: e.name}
	all := e.readAll(l, f, n, 0)
	var whole strings.Builder
	for _, ev := range all {
		whole.WriteString(ev.Message)
	}
	if whole.String() != big.Message || len(all) < 10 {
		e.Errorf("a long message came back as %d events with %d bytes of %d", len(all), whole.Len(), len(big.Message))
	}
}

func eventsFollow(e *env) {
	l := state.NewEventLog(e.s)
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	const n = 60
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			log := l
			if r == 3 {
				log = state.NewEventLog(e.open(e.T)) // another process
			}
			after := uint64(r)
			want := after + 1
			for ev, err := range log.Follow(ctx, state.EventFilter{Deployment: e.name}, after) {
				if err != nil {
					e.Errorf("reader %d at %d: %v", r, want, err)
					return
				}
				if ev.Seq != want {
					e.Errorf("reader %d got %d, want %d", r, ev.Seq, want)
				}
				if want++; ev.Seq == n {
					return
				}
			}
		})
	}
	for i := range n / 3 {
		_, err := l.Append(e.Context(), e.name, lines(i*3, 3)...)
		e.must(err)
	}
	readers.Wait()
	why := errors.New("interrupted")
	stopped, stop := context.WithCancelCause(e.Context())
	stop(why)
	var last error
	for _, err := range l.Follow(stopped, state.EventFilter{Deployment: e.name}, n) {
		last = err
	}
	if !errors.Is(last, why) {
		e.Errorf("ended with %v", last)
	}
}

func eventsIndex(e *env) {
	start, err := state.NewEventLog(e.s).LastIndex(e.Context())
	e.must(err)
	deps := []string{e.name + "-a", e.name + "-b", e.name + "/c"}
	mine := func(ev event.Event) bool { return slices.Contains(deps, ev.Deployment) }
	const each = 30
	var writers, readers sync.WaitGroup
	for _, d := range deps {
		writers.Go(func() {
			l := state.NewEventLog(e.s)
			for i := range each {
				if _, err := l.Append(e.Context(), d, lines(i, 1)...); err != nil {
					e.Error(err)
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	orders := make([][]string, 3)
	for r := range orders {
		readers.Go(func() {
			l := state.NewEventLog(e.s) // as many servers: they must agree on every number
			last := start
			for ev, err := range l.FollowIndex(ctx, state.EventFilter{Match: mine}, start) {
				if err != nil {
					e.Errorf("reader %d has %d: %v", r, len(orders[r]), err)
					return
				}
				if ev.Index <= last {
					e.Errorf("index %d after %d", ev.Index, last)
				}
				last = ev.Index
				if orders[r] = append(orders[r], fmt.Sprint(ev.Index, " ", ev.Deployment, " ", ev.Seq)); len(orders[r]) == each*len(deps) {
					return
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
	for r := 1; r < len(orders); r++ {
		if d := cmp.Diff(orders[0], orders[r]); d != "" {
			e.Errorf("readers disagree: %s", d)
		}
	}
	l := state.NewEventLog(e.s)
	next := map[string]uint64{}
	var again []string
	for after := start; ; {
		p, err := l.ReadIndex(e.Context(), state.EventFilter{Match: mine}, after, 11)
		e.must(err)
		for _, ev := range p.Events {
			if next[ev.Deployment]++; ev.Seq != next[ev.Deployment] {
				e.Errorf("%s: number %d, want %d", ev.Deployment, ev.Seq, next[ev.Deployment])
			}
			again = append(again, fmt.Sprint(ev.Index, " ", ev.Deployment, " ", ev.Seq))
		}
		if after = p.Last; !p.More {
			break
		}
	}
	if d := cmp.Diff(orders[0], again); d != "" {
		e.Errorf("pages differ from following: %s", d)
	}
	p, err := l.ReadIndex(e.Context(), state.EventFilter{Deployment: deps[2]}, start, 0)
	if err != nil || len(p.Events) != each {
		e.Errorf("of one deployment: %d, %v", len(p.Events), err)
	}
}

func eventsTruncate(e *env) {
	l := state.NewEventLog(e.s)
	for i := 0; i < 1000; i += 5 {
		_, err := l.Append(e.Context(), e.name, lines(i, 5)...)
		e.must(err)
	}
	if first, err := l.Truncate(e.Context(), e.name, state.Retention{}); first != 1 || err != nil {
		e.Errorf("keep everything: %d, %v", first, err)
	}
	if first, err := l.Truncate(e.Context(), e.name, state.Retention{Events: 10, Age: 100 * 365 * 24 * time.Hour}); first != 1 || err != nil {
		e.Errorf("both bounds count: %d, %v", first, err)
	}
	first, err := l.Truncate(e.Context(), e.name, state.Retention{Events: 500})
	if err != nil || first < 2 || first > 501 {
		e.Fatalf("first %d, %v", first, err)
	}
	e.wantDense(e.readAll(l, state.EventFilter{Deployment: e.name}, 0, 100), first, 1000)
	_, err = l.Append(e.Context(), e.name, lines(1000, 1)...)
	e.must(err)
	e.wantDense(e.readAll(l, state.EventFilter{Deployment: e.name}, 999, 0), 1000, 1001)
	all, err := l.ReadIndex(e.Context(), state.EventFilter{Deployment: e.name}, 0, 5000)
	if err != nil {
		e.Error(err)
	}
	e.wantDense(all.Events, first, 1001)
}

func eventsKeys(e *env) {
	l := state.NewEventLog(e.s)
	const n = 6000
	for i := 0; i < n; i += 500 {
		_, err := l.Append(e.Context(), e.name, lines(i, 500)...)
		e.must(err)
	}
	keys, size := 0, 0
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		for en, err := range tx.List(state.Prefix("events", e.name)) {
			e.must(err)
			keys++
			size += len(en.Value)
		}
		return nil
	}))
	if keys > n/200 || size > n*40 {
		e.Errorf("%d events take %d keys and %d bytes", n, keys, size)
	}
	e.wantDense(e.readAll(l, state.EventFilter{Deployment: e.name}, n-100, 0), n-99, n)
}

func eventsDrop(e *env) {
	l := state.NewEventLog(e.s)
	_, err := l.Append(e.Context(), e.name, lines(0, 5)...)
	e.must(err)
	before, err := l.LastIndex(e.Context())
	e.must(err)
	e.must(l.Drop(e.Context(), e.name))
	if got := e.readAll(l, state.EventFilter{Deployment: e.name}, 0, 0); len(got) != 0 {
		e.Errorf("%d events left", len(got))
	}
	got, err := l.Append(e.Context(), e.name, lines(100, 2)...)
	e.must(err)
	e.wantDense(got, 1, 2)
	p, err := l.ReadIndex(e.Context(), state.EventFilter{Deployment: e.name}, 0, 5000)
	e.must(err)
	if len(p.Events) != 2 || p.Events[0].Message != "line 100" || p.Events[0].Index <= before {
		e.Errorf("the index has %+v", p.Events)
	}
	e.must(l.PruneIndex(e.Context()))
}

func eventsEnd(e *env) {
	l := state.NewEventLog(e.s)
	for i := 0; i < 150; i += 2 {
		_, err := l.Append(e.Context(), e.name, lines(i, 2)...)
		e.must(err)
	}
	seen, err := l.ReadIndex(e.Context(), state.EventFilter{Deployment: e.name}, 0, 149)
	e.must(err)
	end := func(name string) error {
		return e.s.Update(e.Context(), func(tx state.Tx) error { return state.EndEventsTx(tx, name, lines(150, 1)...) })
	}
	e.must(end(e.name))
	e.wantDense(e.readAll(l, state.EventFilter{Deployment: e.name}, 0, 0), 149, 151)
	p, err := l.ReadIndex(e.Context(), state.EventFilter{Deployment: e.name}, seen.Last, 0)
	e.must(err)
	e.wantDense(p.Events, 150, 151) // what was read is not read again
	e.must(end(e.name + "-new"))
	e.wantDense(e.readAll(l, state.EventFilter{Deployment: e.name + "-new"}, 0, 0), 1, 1)
	keys := 0
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		for _, err := range tx.Keys(state.Prefix("events", e.name)) {
			e.must(err)
			keys++
		}
		return nil
	}))
	if keys != 2 {
		e.Errorf("%d keys are left", keys)
	}
}

func eventsPoll(e *env) {
	l := state.NewEventLog(e.s)
	f := state.EventFilter{Deployment: e.name, Types: []event.Type{event.StepStatus}}
	p, err := l.Poll(e.Context(), f, 0, 0, 20*time.Millisecond)
	if err != nil || len(p.Events) != 0 || p.Last != 0 {
		e.Errorf("nothing: %+v, %v", p, err)
	}
	_, err = l.Append(e.Context(), e.name, lines(0, 3)...)
	e.must(err)
	p, err = l.Poll(e.Context(), f, 0, 0, 20*time.Millisecond)
	if err != nil || len(p.Events) != 0 || p.Last != 3 {
		e.Errorf("only others: %+v, %v", p, err)
	}
	time.AfterFunc(30*time.Millisecond, func() {
		if _, err := l.Append(context.WithoutCancel(e.Context()), e.name, event.Event{Type: event.StepStatus, Status: "done"}); err != nil {
			e.Error(err)
		}
	})
	p, err = l.Poll(e.Context(), f, 3, 0, patience)
	if err != nil || len(p.Events) != 1 || p.Events[0].Seq != 4 {
		e.Errorf("a new one: %+v, %v", p, err)
	}
	p, err = l.PollIndex(e.Context(), f, 0, 0, patience)
	if err != nil || len(p.Events) != 1 || p.Events[0].Index == 0 {
		e.Errorf("by index: %+v, %v", p, err)
	}
}

func eventsAppender(e *env) {
	lease, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	l := state.NewEventLog(state.Fenced(e.s, lease))
	a := l.Appender(e.Context(), e.name)
	const n = 2000
	for _, ev := range lines(0, n) {
		a.Emit(ev)
	}
	e.must(a.Flush(e.Context()))
	all := e.readAll(l, state.EventFilter{Deployment: e.name}, 0, 0)
	e.wantDense(all, 1, n)
	for i, ev := range all {
		if ev.Message != fmt.Sprint("line ", i) {
			e.Fatalf("event %d is %q", i, ev.Message)
		}
	}
	a.Emit(event.Event{Type: event.Log, Message: "last"})
	e.must(a.Close())
	a.Emit(event.Event{Type: event.Log, Message: "too late"})
	if last, err := l.Last(e.Context(), e.name); last != n+1 || err != nil {
		e.Errorf("the log ends at %d, %v", last, err)
	}
	a = l.Appender(e.Context(), e.name)
	e.must(e.s.BreakLease(e.Context(), e.name))
	a.Emit(event.Event{Type: event.Log, Message: "not ours any more"})
	if err := a.Flush(e.Context()); !errors.Is(err, state.ErrFenced) {
		e.Errorf("without the lease: %v", err)
	}
	if err := a.Close(); !errors.Is(err, state.ErrFenced) {
		e.Errorf("without the lease: %v", err)
	}
}
