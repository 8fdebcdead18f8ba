// Package statetest is the contract of state.Store as tests, which every implementation runs. Each test works below a key of its own, so
// that they can share a server and run in parallel.
package statetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

// Open returns a store for a test, and closes it when the test ends. Called again for the same test it may return another handle of
// the same data, or the same one.
type Open func(t *testing.T) state.Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*env)
	}{
		{"reads what was written", readWrite},
		{"lists in order", listOrder},
		{"a transaction sees its own writes", ownWrites},
		{"an update is all or nothing", allOrNothing},
		{"a panic of fn leaves nothing behind", panics},
		{"concurrent counters lose nothing", counters},
		{"of many creators one wins", creators},
		{"a view does not write", readOnly},
		{"limits are the same everywhere", limits},
		{"odd keys are kept apart", oddKeys},
		{"a prefix is deleted at once", deletePrefix},
		{"revisions grow", revisions},
		{"a watch yields what exists and what changes", watch},
		{"a watch begins after a revision", watchFrom},
		{"a watch misses nothing under load", watchLoad},
		{"a watch ends with its context", watchEnds},
		{"a cancelled context stops an update", cancelled},
		{"a lease is held by one", leaseHeld},
		{"a lease is waited for", leaseWait},
		{"a broken lease is lost and fenced", leaseBroken},
		{"leases of one key exclude each other", leaseExclusion},
		{"a fenced store does not write after the loss", fencedStore},
		{"a closed store refuses", closed},
		{"records are typed and versioned", records},
		{"blobs are kept whole", blobs},
		{"a blob changes at once", blobChanges},
		{"a blob is replaced in place of what was read", blobReplace},
		{"unfinished uploads are swept", blobSweep},
		{"events are numbered densely", eventsDense},
		{"events are read from anywhere", eventsRead},
		{"events are followed by several readers", eventsFollow},
		{"events of all deployments have one order", eventsIndex},
		{"old events are truncated", eventsTruncate},
		{"a million-line log stays a few keys", eventsKeys},
		{"a dropped log begins anew", eventsDrop},
		{"an ended log keeps its last append", eventsEnd},
		{"a poll returns in time", eventsPoll},
		{"an appender gathers and keeps order", eventsAppender},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			c.test(newEnv(t, open))
		})
	}
}

// env is what a test works with.
type env struct {
	*testing.T
	open Open
	s    state.Store
	dir  string // the prefix of its keys
	name string // a name of its own, for deployments and leases
}

var count atomic.Int64

func newEnv(t *testing.T, open Open) *env {
	name := fmt.Sprintf("t%d-%d", time.Now().UnixNano(), count.Add(1))
	return &env{T: t, open: open, s: open(t), dir: state.Prefix(name), name: name}
}

func (e *env) key(segments ...string) string { return e.dir + state.Join(segments...) }

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) put(key, value string) {
	e.Helper()
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error { return tx.Put(e.key(key), []byte(value)) }))
}

func (e *env) del(key string) {
	e.Helper()
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error { return tx.Delete(e.key(key)) }))
}

func (e *env) get(key string) (state.Entry, error) {
	var got state.Entry
	err := e.s.View(e.Context(), func(tx state.Tx) (err error) {
		got, err = tx.Get(e.key(key))
		return err
	})
	return got, err
}

// all returns "key=value …" of what the test has stored.
func (e *env) all() string {
	e.Helper()
	var out []string
	e.must(e.s.View(e.Context(), func(tx state.Tx) error {
		out = nil
		for en, err := range tx.List(e.dir) {
			if err != nil {
				return err
			}
			out = append(out, strings.TrimPrefix(en.Key, e.dir)+"="+string(en.Value))
		}
		return nil
	}))
	return strings.Join(out, " ")
}

func (e *env) wantAll(want string) {
	e.Helper()
	if got := e.all(); got != want {
		e.Errorf("stored is %q, want %q", got, want)
	}
}
