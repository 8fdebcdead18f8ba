package cloudify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// feeds keep the translated events of the deployments that are being watched: clients ask every second for what comes after an offset, and
// counting from the beginning each time would read everything again. What is kept is only a copy; it is made anew when it was let go of.
type feeds struct {
	engine Engine
	mu     sync.Mutex
	byName map[string]*feed
	// marks are places in the index of all events, by time.
	marks []mark
}

type feed struct {
	mu    sync.Mutex
	after uint64
	tr    *translator
	docs  []eventDocument
	used  time.Time
}

type mark struct {
	index uint64
	at    time.Time
}

const (
	maxFeeds  = 24
	maxEvents = 200_000 // of one deployment, in memory
	pageSize  = 1000
	// skew is how far the clocks of several servers may be apart.
	skew = time.Minute
)

func newFeeds(e Engine) *feeds { return &feeds{engine: e, byName: map[string]*feed{}} }

func (f *feeds) forget(deployment string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byName, deployment)
}

// open returns the feed of a deployment, letting go of the one that was used longest ago where there are too many.
func (f *feeds) open(deployment string) *feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byName[deployment]
	if x == nil {
		if len(f.byName) >= maxFeeds {
			oldest := ""
			for name, y := range f.byName {
				if oldest == "" || y.used.Before(f.byName[oldest].used) {
					oldest = name
				}
			}
			delete(f.byName, oldest)
		}
		x = &feed{tr: newTranslator(deployment)}
		f.byName[deployment] = x
	}
	x.used = time.Now()
	return x
}

// of returns all documents of a deployment; they must not be changed.
func (f *feeds) of(ctx context.Context, deployment string) ([]eventDocument, error) {
	x := f.open(deployment)
	x.mu.Lock()
	defer x.mu.Unlock()
	last, err := f.engine.LastIndex(ctx) // what comes while this reads is for the next time
	if err != nil {
		return nil, err
	}
	for {
		page, err := f.engine.Page(ctx, orch.Filter{Deployment: deployment, After: x.after}, pageSize, 0)
		if errors.Is(err, orch.ErrNotFound) {
			f.forget(deployment)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			x.docs = append(x.docs, x.tr.translate(e)...)
		}
		on := page.Last > x.after
		x.after = max(x.after, page.Last) // also of a page with nothing in it: others have said much in between
		if !on || x.after >= last {
			break
		}
	}
	docs := x.docs[:len(x.docs):len(x.docs)]
	if len(x.docs) > maxEvents {
		f.forget(deployment)
	}
	return docs, nil
}

// since returns the deployments that have events from a time on, so that a question about a span of time need not read those of all times.
func (f *feeds) since(ctx context.Context, from time.Time) (map[string]bool, error) {
	f.mu.Lock()
	after := uint64(0)
	for _, m := range f.marks {
		if m.at.Add(skew).Before(from) {
			after = m.index
		}
	}
	f.mu.Unlock()
	out := map[string]bool{}
	last, err := f.engine.LastIndex(ctx)
	if err != nil {
		return nil, err
	}
	for after < last {
		page, err := f.engine.Page(ctx, orch.Filter{After: after}, pageSize, 0)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			if !e.Time.Add(skew).Before(from) {
				out[e.Deployment] = true
			}
		}
		if page.Last <= after {
			break
		}
		after = page.Last // also of a page with nothing in it: of what is deleted, only places in the index are left
		if n := len(page.Events); n > 0 {
			f.remember(mark{after, page.Events[n-1].Time})
		}
	}
	return out, nil
}

// remember keeps marks in the order of the index. Times of one server go up with it.
func (f *feeds) remember(m mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.marks); n == 0 || m.index >= f.marks[n-1].index+pageSize/2 {
		f.marks = append(f.marks, m)
	}
}
