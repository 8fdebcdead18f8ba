package engine

import (
	"container/heap"
	"strings"
	"time"
)

// queue holds the steps that may start, those with the longest way behind them first: it keeps the makespan near the critical path.
type queue struct{ steps []*step }

func (q *queue) push(s *step) { heap.Push(q, s) }

func (q *queue) pop() *step {
	if len(q.steps) == 0 {
		return nil
	}
	return heap.Pop(q).(*step)
}

func (q *queue) Len() int { return len(q.steps) }
func (q *queue) Less(i, j int) bool {
	a, b := q.steps[i], q.steps[j]
	if a.height != b.height {
		return a.height > b.height
	}
	return a.index < b.index
}
func (q *queue) Swap(i, j int) { q.steps[i], q.steps[j] = q.steps[j], q.steps[i] }
func (q *queue) Push(x any)    { q.steps = append(q.steps, x.(*step)) }
func (q *queue) Pop() any {
	n := len(q.steps) - 1
	s := q.steps[n]
	q.steps[n] = nil
	q.steps = q.steps[:n]
	return s
}

// slotKey names a limit: "driver ssh", "host vm[0]".
type slotKey string

// slots count what runs under each limit. A step that finds one full waits with it, and is queued again when a place is free; as long as the
// whole deployment's is full nothing is taken from the queue at all.
type slots struct {
	limits Limits
	all    int // of the deployment; at most 0: none
	busy   int
	used   map[slotKey]int
	parked map[slotKey]*queue
}

func newSlots(l Limits, parallel int) slots {
	all := l.Deployment
	if parallel > 0 && (all <= 0 || parallel < all) {
		all = parallel
	}
	return slots{limits: l, all: all, used: map[slotKey]int{}, parked: map[slotKey]*queue{}}
}

func (s *slots) limit(k slotKey) int {
	if name, ok := strings.CutPrefix(string(k), "driver "); ok {
		return s.limits.Drivers[name]
	}
	return s.limits.Host
}

func (s *slots) full() bool { return s.all > 0 && s.busy >= s.all }

func (s *slots) room(k slotKey) bool {
	n := s.limit(k)
	return n <= 0 || s.used[k] < n
}

// take takes a place under every limit, or parks the step with the first that is full and returns its name. woken are steps that may
// have the place that a parked one leaves unused.
func (s *slots) take(st *step, keys []slotKey) (full slotKey, woken []*step) {
	for _, k := range keys {
		if s.room(k) {
			continue
		}
		if s.parked[k] == nil {
			s.parked[k] = &queue{}
		}
		s.parked[k].push(st)
		for _, other := range keys {
			if other != k && s.room(other) {
				woken = append(woken, s.wake(other)...)
			}
		}
		return k, woken
	}
	for _, k := range keys {
		s.used[k]++
	}
	s.busy++
	st.slot = keys
	return "", nil
}

// free gives the places of a step back and returns the steps that may have them.
func (s *slots) free(st *step) (woken []*step) {
	if st.slot == nil {
		return nil
	}
	s.busy--
	for _, k := range st.slot {
		s.used[k]--
		woken = append(woken, s.wake(k)...)
	}
	st.slot = nil
	return woken
}

func (s *slots) wake(k slotKey) []*step {
	q := s.parked[k]
	if q == nil {
		return nil
	}
	st := q.pop()
	if q.Len() == 0 {
		delete(s.parked, k)
	}
	if st == nil {
		return nil
	}
	return []*step{st}
}

// timers hold the steps that wait for their next attempt.
type timers struct {
	at    []timerEntry
	timer *time.Timer
}

type timerEntry struct {
	when time.Time
	step *step
}

func (t *timers) add(when time.Time, s *step) {
	t.at = append(t.at, timerEntry{when, s})
	t.reset()
}

func (t *timers) reset() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if len(t.at) == 0 {
		return
	}
	first := t.at[0].when
	for _, e := range t.at {
		if e.when.Before(first) {
			first = e.when
		}
	}
	t.timer = time.NewTimer(time.Until(first))
}

// wait is ready when an entry is due; nil, which never is, if there is none.
func (t *timers) wait() <-chan time.Time {
	if t.timer == nil {
		return nil
	}
	return t.timer.C
}

// due removes and returns the steps whose time has come.
func (t *timers) due(now time.Time) (out []*step) {
	rest := t.at[:0]
	for _, e := range t.at {
		if e.when.After(now) {
			rest = append(rest, e)
		} else {
			out = append(out, e.step)
		}
	}
	t.at = rest
	t.reset()
	return out
}

// drop removes and returns all.
func (t *timers) drop() (out []*step) {
	for _, e := range t.at {
		out = append(out, e.step)
	}
	t.at = nil
	t.reset()
	return out
}
