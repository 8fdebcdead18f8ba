package orch

import (
	"context"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// controlRecord is a command to the process that runs a task.
type controlRecord struct {
	Task string    `json:"task"`
	Verb string    `json:"verb"`
	At   time.Time `json:"at"`
	User string    `json:"user,omitempty"`
}

// ask is the record that tells of requests and commands; every one is another.
type ask struct {
	At time.Time `json:"at"`
}

// askTx tells the process that holds a deployment that something was left for it, in the transaction that leaves it.
func askTx(tx state.Tx, name string) error { return state.Put(tx, askKey(name), ask{now()}) }

// listen begins, once, to watch for what other processes ask of the deployments held here: one watch for all of them, because each is a
// connection to Consul, of which a client may have only some. The caller has locked Local.mu.
func (l *Local) listen() {
	if l.listens {
		return
	}
	l.listens = true
	l.tasks.Go(func() {
		for l.life.Err() == nil {
			for c, err := range l.store.Watch(l.life, askPrefix, 0) {
				if err != nil {
					if l.life.Err() == nil {
						l.log.Warn("cannot see what other processes ask for; trying again", "error", err)
					}
					break
				}
				if !c.Deleted {
					l.tell(state.Last(c.Key))
				}
			}
			select {
			case <-time.After(askAgain):
			case <-l.life.Done():
			}
		}
	})
}

// askAgain is the pause after the store has refused to be watched or read.
const askAgain = 5 * time.Second

// tell wakes who answers for a deployment, if it is held here.
func (l *Local) tell(name string) {
	l.mu.Lock()
	h := l.holdings[name]
	l.mu.Unlock()
	if h == nil {
		return // who takes it will look
	}
	select {
	case h.asked <- struct{}{}:
	default:
	}
}

// answer does what other processes ask for: begins requests from the queue, and passes on commands. It looks at the beginning, and whenever told.
func (l *Local) answer(ctx context.Context, h *holding) {
	seen := map[string]state.Rev{} // by key: what was dealt with
	for {
		if err := l.answerNew(ctx, h, seen); err != nil && ctx.Err() == nil {
			l.log.Warn("cannot read what other processes ask for", "deployment", h.name, "error", err)
			select {
			case <-time.After(askAgain):
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-h.asked:
		case <-ctx.Done():
			return
		}
	}
}

func (l *Local) answerNew(ctx context.Context, h *holding, seen map[string]state.Rev) error {
	var commands []state.Record[controlRecord]
	var requests []state.Record[queued]
	err := l.store.View(ctx, func(tx state.Tx) (err error) {
		if commands, err = records[controlRecord](tx, controlPrefix(h.name)); err == nil {
			requests, err = records[queued](tx, queuePrefix(h.name))
		}
		return err
	})
	if err != nil {
		return err
	}
	isNew := func(key string, rev state.Rev) bool {
		was, known := seen[key]
		seen[key] = rev
		return !known || was != rev
	}
	for _, c := range commands {
		if isNew(c.Key, c.Rev) {
			if r := l.runningTask(h.name, c.Value.Task); r != nil {
				r.command(engine.Command(c.Value.Verb))
			}
		}
	}
	begin := false
	for _, q := range requests {
		begin = isNew(q.Key, q.Rev) || begin
	}
	if begin && l.use(h) {
		l.dispatch(ctx, h)
		l.letGo(h)
	}
	return nil
}

// records lists what is below prefix, without what this version of orch cannot read.
func records[T any](tx state.Tx, prefix string) (out []state.Record[T], err error) {
	for r, err := range state.List[T](tx, prefix) {
		if err != nil && r.Key == "" {
			return nil, err
		}
		if err != nil {
			continue
		}
		out = append(out, r)
	}
	return out, nil
}
