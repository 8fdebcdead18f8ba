// Package consul is a state.Store in Consul's key/value store, shared by any number of orch servers.
//
// Below the prefix (default "orch/"):
//
//	kv/<key>             the keys of the store
//	lease/<key>          who has, or had last, the lease: locked with the session of the holder's process
//	beat/<session>       written every few seconds by a process that holds leases; when it stops, others destroy the session
//	lane/<process>-<n>   the last transaction of a process's writer, to find out after a lost reply whether it was done
//
// Updates are optimistic: what fn has got is checked in the transaction that writes. Small transactions that are ready at the same time
// travel together.
package consul

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// Store is a connection to Consul.
type Store struct {
	opts      Options
	client    *api.Client
	transport *transport
	root      string // "orch/"
	name      string // for messages: without the token
	process   string // random; part of the keys of this process

	ctx   context.Context // ends when the store is closed
	close context.CancelCauseFunc
	tasks sync.WaitGroup

	writer writer
	hot    hotKeys
	live   liveness
	waits  chan struct{} // slots of blocking queries for leases
}

var _ state.Store = (*Store)(nil)

// Open connects, and fails with *state.UnavailableError if Consul does not answer within the patience of the options or refuses the token.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	root := opts.Prefix + "/"
	for segment := range strings.SplitSeq(opts.Prefix, "/") {
		if state.Join(segment) != segment {
			return nil, fmt.Errorf("%q cannot be the prefix of a store: want letters, digits, _, - and . between slashes", opts.Prefix)
		}
	}
	client, t, err := newClient(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, client: client, transport: t, root: root, process: rand.Text()[:16]}
	s.name = "consul://" + strings.Join(opts.Addresses, ",") + "/" + opts.Prefix
	s.ctx, s.close = context.WithCancelCause(context.Background())
	s.live.init()
	s.waits = make(chan struct{}, maxWaits)
	s.writer.init()
	err = s.retry(ctx, func(ctx context.Context) error {
		_, _, err := s.client.KV().Get(s.root+"schema", s.read(ctx))
		return err
	})
	if err != nil {
		s.close(state.ErrClosed)
		t.base.CloseIdleConnections()
		return nil, err
	}
	return s, nil
}

// read are the options of reads, write those of writes. Every read is consistent: by default Consul's leader answers from what it has applied, and one that was
// just elected has not yet applied all that the one before it has confirmed, for as long as it takes to reach a second server. What was
// accepted would be gone for seconds, and who reads the event log would miss what it has passed.
func (s *Store) read(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func (s *Store) write(ctx context.Context) *api.WriteOptions {
	return (&api.WriteOptions{}).WithContext(ctx)
}

func (s *Store) kv(key string) string { return s.root + "kv/" + key }

// during returns a context that also ends, with ErrClosed, when the store is closed.
func (s *Store) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if s.ctx.Err() != nil {
		cancel(context.Cause(s.ctx)) // AfterFunc would do it a moment later
	}
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	return ctx, func() { stop(); cancel(context.Canceled) }
}

// View implements state.Store.
func (s *Store) View(ctx context.Context, fn func(state.Tx) error) error {
	ctx, cancel := s.during(ctx)
	defer cancel()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fn(&tx{s: s, ctx: ctx})
}

// Close implements state.Store: it gives back all leases and ends what is under way.
func (s *Store) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	s.live.close(s)
	s.close(state.ErrClosed)
	s.tasks.Wait()
	s.writer.sweepOwn(s)
	s.transport.base.CloseIdleConnections()
	return nil
}
