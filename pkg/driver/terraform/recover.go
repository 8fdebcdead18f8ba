package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
)

// recover deals with an earlier run that nobody has finished with: it follows one that is still running, and takes over the outcome of one
// that has ended. Requests that were part of it (same operation id) are thereby done.
func (b *batch) recover(ctx context.Context) error {
	var rec applyRecord
	err := readJSON(filepath.Join(b.work, fileRun), &rec)
	mine := b.bundle.Manifest.Apply
	if err == nil && mine != nil && mine.ID != rec.ID && mine.Relayed {
		if _, running := alive(b.work); !running {
			// Another server has finished what is here, and has begun another run.
			if err := endRemains(b.work); err != nil {
				return err
			}
			if err := os.RemoveAll(b.work); err != nil {
				return err
			}
			err = os.ErrNotExist
		}
	}
	if errors.Is(err, os.ErrNotExist) && mine != nil && mine.Relayed {
		if err := b.fetch(ctx, mine); err != nil {
			return err
		}
		err = readJSON(filepath.Join(b.work, fileRun), &rec)
	}
	if errors.Is(err, os.ErrNotExist) {
		if mine != nil {
			// The apply ran elsewhere, or was never started. What it may have made is found by its identity.
			b.doubt()
			b.bundle.Manifest.Apply = nil
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the run in %s: %w", b.work, err)
	}
	if mine == nil || mine.ID != rec.ID {
		if _, running := alive(b.work); !running && mine == nil {
			// Absorbed, but its files were not removed any more. Where others may have gone on since, theirs is the newer state.
			if rec.Relayed {
				return os.RemoveAll(b.work)
			}
			if data, err := os.ReadFile(filepath.Join(b.work, fileState)); err == nil {
				if s, err := parseState(data); err == nil && s.newer(b.bundle.state) {
					b.bundle.state, b.bundle.State = s, data
					b.doubt()
					if err := b.save(ctx); err != nil {
						return err
					}
				}
			}
			return os.RemoveAll(b.work)
		}
	}
	if !exists(filepath.Join(b.work, fileSupervisor)) {
		switch err := begin(b.work, process{}); {
		case err == nil:
			// Killed between preparing and starting: nothing has happened, and nothing will.
			b.bundle.Manifest.Apply = nil
			return os.RemoveAll(b.work)
		case !errors.Is(err, os.ErrExist):
			return fmt.Errorf("cannot tell whether the run in %s has begun: %w", b.work, err)
		}
	}
	t := b.track(b.joined(&rec))
	t.held, t.later = rec.Held, rec.Later
	b.emit(t.event(event.Log, "", func(e *event.Event) {
		e.Level, e.Message = event.Info, "re-attached to the Terraform apply "+rec.ID
	}))
	return b.follow(ctx, t)
}

// joined are the addresses that the batch's requests wait for in a run that has them, too.
func (b *batch) joined(rec *applyRecord) [][]string {
	m := b.bundle.Manifest
	out := make([][]string, len(b.reqs))
	for i, r := range b.reqs {
		if op, ok := rec.Ops[r.ID().String()]; !ok || op != r.OpID || r.OpID == "" {
			continue
		}
		key := plugin.EntryKey(r.ID())
		out[i] = []string{}
		if r.Action == driver.Delete {
			out[i] = append(out[i], m.goneOf(r.ID())...)
		} else if e := m.Entries[key]; e != nil {
			out[i] = m.addresses(append([]string{key}, e.Awaits...)...)
		}
	}
	return out
}
