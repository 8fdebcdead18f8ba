package state

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// The index is the one order over the events of all deployments (see EventLog). Its records:
type (
	// indexHead is how far it goes.
	indexHead struct {
		Next  uint64 `json:"next"`  // index of the next event
		Chunk uint64 `json:"chunk"` // index of the first event of the chunk being filled
	}
	// indexRange numbers the events From…To of a log as Index, Index+1, …
	indexRange struct {
		Deployment string `json:"d"`
		ID         string `json:"id"` // of the log
		From       uint64 `json:"f"`
		To         uint64 `json:"t"`
		Index      uint64 `json:"i"`
	}
	// indexPos is how far a log is numbered.
	indexPos struct {
		ID   string `json:"id"`
		Last uint64 `json:"last"`
	}
)

const (
	indexChunkRanges = 200
	indexAtOnce      = 40 // logs numbered in one transaction
	indexHeadKey     = "eventindex/head"
	indexPrefix      = "eventindex/c/"
	posPrefix        = "eventpos/"
)

func posKey(deployment string) string { return Join("eventpos", deployment) }

// indexState lets the readers of a process share the work: however many wait for the same news, the logs are looked at, and the news
// are read, once.
type indexState struct {
	begun atomic.Uint64 // runs of number

	mu     sync.Mutex // held while a run is under way
	latest uint64     // the last successful run
	last   uint64     // and its result

	pageMu sync.Mutex // held while a page is read
	after  uint64     // position, limit and
	limit  int
	page   *Page // content of the last page, not filtered
}

// LastIndex numbers what is new and returns the index of the last event; 0 if there never was one.
func (l *EventLog) LastIndex(ctx context.Context) (uint64, error) {
	x := &l.index
	arrived := x.begun.Load()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.latest > arrived { // a run that began after this call has seen all that this one could
		return x.last, nil
	}
	run := x.begun.Add(1)
	last, err := l.number(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot number events: %w", err)
	}
	x.latest, x.last = run, last
	return last, nil
}

// number gives an index to every event that has none.
func (l *EventLog) number(ctx context.Context) (last uint64, err error) {
	for {
		var pending []indexRange
		if err := l.store.View(ctx, func(tx Tx) (err error) {
			if pending, err = unnumbered(tx); err != nil {
				return err
			}
			last, err = lastIndex(tx)
			return err
		}); err != nil || len(pending) == 0 {
			return last, err
		}
		for some := range slices.Chunk(pending, indexAtOnce) {
			if err := l.store.Update(ctx, func(tx Tx) error { return addToIndex(tx, some) }); err != nil {
				return 0, err
			}
		}
	}
}

func lastIndex(tx Tx) (uint64, error) {
	h, ok, err := Find[indexHead](tx, indexHeadKey)
	if !ok {
		return 0, err
	}
	return h.Next - 1, nil
}

// unnumbered returns, by deployment, the ranges of the logs that are not in the index.
func unnumbered(tx Tx) ([]indexRange, error) {
	done := make(map[string]indexPos)
	for r, err := range List[indexPos](tx, posPrefix) {
		if err != nil {
			return nil, err
		}
		done[Last(r.Key)] = r.Value
	}
	var pending []indexRange
	for r, err := range List[logHead](tx, headPrefix) {
		if err != nil {
			return nil, err
		}
		dep, h := Last(r.Key), r.Value
		pos := done[dep]
		if pos.ID != h.ID {
			pos.Last = 0
		}
		if to := h.Next - 1; to > pos.Last {
			pending = append(pending, indexRange{Deployment: dep, ID: h.ID, From: pos.Last + 1, To: to})
		}
	}
	return pending, nil
}

// addToIndex numbers the ranges, less what another server has numbered meanwhile.
func addToIndex(tx Tx, pending []indexRange) error {
	head, ok, err := Find[indexHead](tx, indexHeadKey)
	if err != nil {
		return err
	}
	if !ok {
		head = indexHead{Next: 1, Chunk: 1}
	}
	chunk, _, err := Find[[]indexRange](tx, indexPrefix+Num(head.Chunk))
	if err != nil {
		return err
	}
	if len(chunk) >= indexChunkRanges {
		chunk, head.Chunk = nil, head.Next
	}
	added := false
	for _, r := range pending {
		pos, _, err := Find[indexPos](tx, posKey(r.Deployment))
		if err != nil {
			return err
		}
		if pos.ID == r.ID {
			r.From = max(r.From, pos.Last+1)
		}
		if r.From > r.To {
			continue
		}
		r.Index = head.Next
		head.Next += r.To - r.From + 1
		chunk = append(chunk, r)
		added = true
		if err := Put(tx, posKey(r.Deployment), indexPos{r.ID, r.To}); err != nil {
			return err
		}
	}
	if !added {
		return nil
	}
	return errors.Join(Put(tx, indexPrefix+Num(head.Chunk), chunk), Put(tx, indexHeadKey, head))
}

// ReadIndex returns events of all deployments (or of filter.Deployment) after an index, in the order of their index. It looks at up to limit
// events (at most 0: 1000); Page.Last is the index of the last one, and More says that there are others. Events that are gone, by
// truncation or Drop, are passed over.
func (l *EventLog) ReadIndex(ctx context.Context, filter EventFilter, after uint64, limit int) (Page, error) {
	if limit <= 0 {
		limit = 1000
	}
	last, err := l.LastIndex(ctx)
	if err != nil || last <= after {
		return Page{Last: after}, err
	}
	if filter.Deployment != "" {
		return l.readIndex(ctx, filter, after, last, limit)
	}
	x := &l.index
	x.pageMu.Lock()
	defer x.pageMu.Unlock()
	if x.page == nil || x.after != after || x.limit != limit || x.page.Last < last && !x.page.More {
		page, err := l.readIndex(ctx, EventFilter{}, after, last, limit)
		if err != nil {
			return page, err
		}
		x.after, x.limit, x.page = after, limit, &page
	}
	page := *x.page
	page.Events = nil
	for _, e := range x.page.Events {
		if filter.Accepts(e) {
			page.Events = append(page.Events, e)
		}
	}
	return page, nil
}

func (l *EventLog) readIndex(ctx context.Context, filter EventFilter, after, last uint64, limit int) (Page, error) {
	page := Page{Last: after}
	err := l.store.View(ctx, func(tx Tx) error {
		page = Page{Last: after}
		ranges, more, err := rangesAfter(tx, after, last)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			if err := readRange(tx, r, filter, limit, &page); err != nil || page.More {
				return err
			}
		}
		page.More = more
		return nil
	})
	if err != nil {
		return page, fmt.Errorf("cannot read events: %w", err)
	}
	return page, nil
}

// rangesAfter returns the parts of the index between two positions, and whether there are more than fit into a page.
func rangesAfter(tx Tx, after, last uint64) (ranges []indexRange, more bool, err error) {
	var keys []string
	for k, err := range tx.Keys(indexPrefix) {
		if err != nil {
			return nil, false, err
		}
		keys = append(keys, k)
	}
	at, exact := slices.BinarySearch(keys, indexPrefix+Num(after+1))
	if !exact && at > 0 {
		at--
	}
	for _, k := range keys[min(at, len(keys)):] {
		if len(ranges) > 2*indexChunkRanges {
			return ranges, true, nil
		}
		chunk, _, err := Find[[]indexRange](tx, k)
		if err != nil {
			return nil, false, err
		}
		for _, r := range chunk {
			end := r.Index + r.To - r.From
			if end <= after || r.Index > last {
				continue
			}
			if next := after + 1; r.Index < next {
				r.From += next - r.Index
				r.Index = next
			}
			ranges = append(ranges, r)
		}
	}
	return ranges, false, nil
}

// readRange adds the events of a range to the page.
func readRange(tx Tx, r indexRange, filter EventFilter, limit int, page *Page) error {
	end := r.Index + r.To - r.From
	if filter.Deployment != "" && r.Deployment != filter.Deployment {
		page.Last = end
		return nil
	}
	h, _, err := Find[logHead](tx, headKey(r.Deployment))
	if err != nil {
		return err
	}
	if h.ID != r.ID || h.First > r.To {
		page.Last = end
		return nil
	}
	err = readLog(tx, r.Deployment, r.From-1, func(e event.Event) bool {
		if e.Seq > r.To {
			return false
		}
		if len(page.Events) == limit {
			page.More = true
			return false
		}
		e.Index = r.Index + e.Seq - r.From
		page.Last = e.Index
		if filter.Accepts(e) {
			page.Events = append(page.Events, e)
		}
		return true
	})
	if err == nil && !page.More {
		page.Last = end
	}
	return err
}

// PollIndex is ReadIndex that waits up to wait for something chosen by the filter. Last advances over what was not chosen.
func (l *EventLog) PollIndex(ctx context.Context, filter EventFilter, after uint64, limit int, wait time.Duration) (Page, error) {
	return l.poll(ctx, headPrefix, after, wait, func(after uint64) (Page, error) {
		return l.ReadIndex(ctx, filter, after, limit)
	})
}

// FollowIndex is Follow over all deployments, in the order of the index.
func (l *EventLog) FollowIndex(ctx context.Context, filter EventFilter, after uint64) iter.Seq2[event.Event, error] {
	return l.follow(ctx, headPrefix, after, func(after uint64) (Page, error) {
		return l.ReadIndex(ctx, filter, after, 0)
	})
}

// PruneIndex removes the parts of the index, from its beginning, of which every event is gone.
func (l *EventLog) PruneIndex(ctx context.Context) error {
	for {
		removed := false
		err := l.store.Update(ctx, func(tx Tx) error {
			removed = false
			head, ok, err := Find[indexHead](tx, indexHeadKey)
			if !ok || err != nil {
				return err
			}
			for key, err := range tx.Keys(indexPrefix) {
				if err != nil || key == indexPrefix+Num(head.Chunk) {
					return err
				}
				chunk, _, err := Find[[]indexRange](tx, key)
				if err != nil {
					return err
				}
				for _, r := range chunk {
					// List, not Get: a log in use changes all the time, and what is gone stays gone.
					for h, err := range List[logHead](tx, headKey(r.Deployment)) {
						if err != nil || h.Key == headKey(r.Deployment) && h.Value.ID == r.ID && h.Value.First <= r.To {
							return err
						}
					}
				}
				removed = true
				return tx.Delete(key)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot shorten the index of events: %w", err)
		}
		if !removed {
			return nil
		}
	}
}
