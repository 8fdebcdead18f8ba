package dag

import (
	"cmp"
	"container/heap"
	"slices"
)

// walker decides what runs when. It is used by one goroutine and does not visit anything itself.
type walker[K cmp.Ordered] struct {
	x    indexed[K]
	opts WalkOptions[K]

	before  []int32 // unfinished predecessors
	skipped []bool
	slots   [][]Slot
	ready   readyHeap[K]
	used    map[string]int
	parked  map[string]*readyHeap[K] // by the key of a full slot
	told    []bool                   // started, or Waiting was told about the node
	fresh   []int32                  // made ready since the last look, for Waiting

	running int
	left    int // neither visited nor skipped nor running
	stopped bool
	failed  []*NodeError[K]
}

func newWalker[K cmp.Ordered](x indexed[K], opts WalkOptions[K]) *walker[K] {
	n := len(x.ids)
	return &walker[K]{
		x: x, opts: opts, before: slices.Clone(x.in), skipped: make([]bool, n), slots: make([][]Slot, n), told: make([]bool, n),
		ready: readyHeap[K]{ids: x.ids, less: opts.Less}, used: make(map[string]int), parked: make(map[string]*readyHeap[K]), left: n,
	}
}

func (w *walker[K]) makeReady(i int32) {
	if w.opts.Slots != nil {
		w.slots[i] = w.opts.Slots(w.x.ids[i])
	}
	heap.Push(&w.ready, i)
	if w.opts.Waiting != nil {
		w.fresh = append(w.fresh, i)
	}
}

// next returns a node that may start now and takes its slots. What cannot start for a full slot is parked with that slot, so that a
// thousand nodes waiting for one host are looked at once and not after every visit.
func (w *walker[K]) next() (int32, bool) {
	for w.ready.Len() > 0 {
		if w.opts.Parallel > 0 && w.running >= w.opts.Parallel {
			for _, i := range w.fresh {
				w.tell(i, "")
			}
			w.fresh = w.fresh[:0]
			return 0, false
		}
		i := heap.Pop(&w.ready).(int32)
		if key, full := w.full(i); full {
			w.park(i, key)
			for _, s := range w.slots[i] { // it may have been woken for a slot that it now leaves to another
				if s.Max > 0 && w.used[s.Key] < s.Max {
					w.unpark(s.Key)
				}
			}
			continue
		}
		for _, s := range w.slots[i] {
			w.used[s.Key]++
		}
		w.left--
		w.told[i] = true
		return i, true
	}
	return 0, false
}

func (w *walker[K]) park(i int32, key string) {
	p := w.parked[key]
	if p == nil {
		p = &readyHeap[K]{ids: w.x.ids, less: w.opts.Less}
		w.parked[key] = p
	}
	heap.Push(p, i)
	w.tell(i, key)
}

func (w *walker[K]) full(i int32) (string, bool) {
	for _, s := range w.slots[i] {
		if s.Max > 0 && w.used[s.Key] >= s.Max {
			return s.Key, true
		}
	}
	return "", false
}

func (w *walker[K]) tell(i int32, key string) {
	if w.opts.Waiting != nil && !w.told[i] {
		w.told[i] = true
		w.opts.Waiting(w.x.ids[i], key)
	}
}

// finish takes the result of a visit: frees its slots, and makes ready or skips what comes after.
func (w *walker[K]) finish(r result) {
	for _, s := range w.slots[r.node] {
		w.used[s.Key]--
		w.unpark(s.Key)
	}
	w.slots[r.node] = nil
	verdict := Continue
	if r.err != nil {
		id := w.x.ids[r.node]
		w.failed = append(w.failed, &NodeError[K]{id, r.err})
		verdict = Skip
		if w.opts.Failed != nil {
			verdict = w.opts.Failed(id, r.err)
		}
	}
	switch verdict {
	case Stop:
		w.stopped = true
	case Continue:
		for _, to := range w.x.after[r.node] {
			if w.before[to]--; w.before[to] == 0 && !w.skipped[to] {
				w.makeReady(to)
			}
		}
	default:
		w.skip(r.node)
	}
}

// unpark moves the first node that waits for the key, and for no other full one, back among the ready.
func (w *walker[K]) unpark(key string) {
	p := w.parked[key]
	for p != nil && p.Len() > 0 {
		i := heap.Pop(p).(int32)
		if other, full := w.full(i); full && other != key {
			w.park(i, other)
			continue
		}
		heap.Push(&w.ready, i)
		return
	}
}

// skip leaves out everything after a failed node.
func (w *walker[K]) skip(failed int32) {
	var out []int32
	todo := []int32{failed}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, to := range w.x.after[i] {
			if !w.skipped[to] {
				w.skipped[to] = true
				w.left--
				out = append(out, to)
				todo = append(todo, to)
			}
		}
	}
	if w.opts.Skipped == nil {
		return
	}
	slices.Sort(out)
	for _, i := range out {
		w.opts.Skipped(w.x.ids[i], w.x.ids[failed])
	}
}

// readyHeap is a container/heap of nodes in the order in which they should start.
type readyHeap[K cmp.Ordered] struct {
	ids   []K
	less  func(a, b K) int
	items []int32
}

func (h *readyHeap[K]) Len() int { return len(h.items) }

func (h *readyHeap[K]) Less(a, b int) bool {
	i, j := h.items[a], h.items[b]
	if h.less != nil {
		if c := h.less(h.ids[i], h.ids[j]); c != 0 {
			return c < 0
		}
	}
	return i < j // ids are ranked
}

func (h *readyHeap[K]) Swap(a, b int) { h.items[a], h.items[b] = h.items[b], h.items[a] }
func (h *readyHeap[K]) Push(v any)    { h.items = append(h.items, v.(int32)) }
func (h *readyHeap[K]) Pop() any {
	last := len(h.items) - 1
	v := h.items[last]
	h.items = h.items[:last]
	return v
}
