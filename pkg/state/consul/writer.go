package consul

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// The writer sends transactions. Requests that are ready at the same time travel in one, as far as they fit and do not touch the same
// keys; Consul says which of them failed, and the others travel again.
//
// A reply can be lost after the transaction was done, and repeating it then would fail with a conflict on its own changes, or do it twice.
// So each transaction also replaces, by compare-and-set, the marker of the lane it travels on. After a lost reply the lane tries to
// replace the marker from its old state: if that succeeds, the transaction was not done and never can be; if it fails because the marker is
// the transaction's, it was done.
const (
	lanes      = 4
	txnOps     = 64               // Consul's limit
	txnBytes   = 500 * 1024       // of JSON; Consul's limit is 512 KiB
	opBytes    = 120              // of JSON around key and value
	laneMaxAge = 24 * time.Hour   // markers of processes that ended without removing them
	txnTimeout = 30 * time.Second // for one request
)

type writer struct {
	queue chan *request
	once  sync.Once
}

func (w *writer) init() { w.queue = make(chan *request, 1024) }

// request is the commit of one Update.
type request struct {
	ctx  context.Context
	ops  []*api.KVTxnOp
	size int
	done chan outcome // one slot
}

type outcome struct {
	index uint64 // of everything that was written
	err   error
}

func (r *request) fail(err error) { r.done <- outcome{err: err} }

func writes(verb api.KVOp) bool {
	switch verb {
	case api.KVCheckIndex, api.KVCheckNotExists, api.KVCheckSession:
		return false
	}
	return true
}

// commit does the operations, all or nothing, and returns the index of what was written. A *conflictError names keys that have changed.
func (s *Store) commit(ctx context.Context, ops []*api.KVTxnOp) (uint64, error) {
	if !slices.ContainsFunc(ops, func(op *api.KVTxnOp) bool { return writes(op.Verb) }) {
		return 0, s.check(ctx, ops)
	}
	r := &request{ctx: ctx, ops: ops, done: make(chan outcome, 1)}
	for _, op := range ops {
		r.size += opBytes + len(op.Key) + len(op.Session) + (len(op.Value)+2)/3*4
	}
	s.writer.once.Do(func() {
		for n := range lanes {
			l := &lane{s: s, key: fmt.Sprintf("%slane/%s-%d", s.root, s.process, n)}
			s.tasks.Go(l.run)
		}
		s.tasks.Go(s.sweepLanes)
	})
	select {
	case s.writer.queue <- r:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	// Not ctx: once it is on its way its outcome is worth waiting for. The lane gives up when the store is closed or after patience.
	select {
	case o := <-r.done:
		return o.index, o.err
	case <-s.ctx.Done():
		select {
		case o := <-r.done:
			return o.index, o.err
		default:
			return 0, fmt.Errorf("%w while it was writing", state.ErrClosed)
		}
	}
}

// check is a commit without writes. It has no effect, so it is simply repeated until it has an answer.
func (s *Store) check(ctx context.Context, ops []*api.KVTxnOp) error {
	return s.retry(ctx, func(ctx context.Context) error {
		ok, resp, _, err := s.client.Txn().Txn(txnOf(ops), s.read(ctx))
		if err != nil || ok {
			return err
		}
		return errors.Join(errAnswer, s.failure(ops, resp.Errors))
	})
}

func txnOf(ops []*api.KVTxnOp) api.TxnOps {
	out := make(api.TxnOps, len(ops))
	for i, op := range ops {
		out[i] = &api.TxnOp{KV: op}
	}
	return out
}

// failure turns Consul's complaints about operations into one error: ErrFenced, or a conflict.
func (s *Store) failure(ops []*api.KVTxnOp, complaints api.TxnErrors) error {
	var keys []string
	for _, c := range complaints {
		if c.OpIndex < 0 || c.OpIndex >= len(ops) {
			return fmt.Errorf("the transaction is refused by Consul: %s", c.What)
		}
		op := ops[c.OpIndex]
		switch {
		case op.Verb == api.KVCheckSession:
			return fmt.Errorf("%s: %w", strings.TrimPrefix(op.Key, s.root+"lease/"), state.ErrFenced)
		case strings.Contains(c.What, "Permission denied"), strings.Contains(c.What, "ACL"):
			return s.unavailable(&statusError{403, c.What})
		case op.Verb == api.KVSet, op.Verb == api.KVDelete, op.Verb == api.KVDeleteTree:
			return fmt.Errorf("cannot write %s: Consul says: %s", op.Key, c.What)
		}
		keys = append(keys, strings.TrimPrefix(op.Key, s.root+"kv/"))
	}
	return &conflictError{keys}
}

// lane sends one transaction at a time.
type lane struct {
	s     *Store
	key   string
	index uint64 // of the marker; 0 while it does not exist
	wait  *request
}

func (l *lane) run() {
	for {
		batch := l.next()
		if batch == nil {
			return
		}
		for len(batch) > 0 {
			batch = l.send(batch)
		}
	}
}

// next gathers requests that can travel together; nil when the store is closed.
func (l *lane) next() []*request {
	var batch []*request
	ops, size := 1, 2*opBytes // the marker
	var keys []string
	take := func(r *request) bool {
		if r.ctx.Err() != nil {
			r.fail(context.Cause(r.ctx))
			return true
		}
		if len(batch) > 0 && (ops+len(r.ops) > txnOps || size+r.size > txnBytes || touches(r, keys)) {
			l.wait = r
			return false
		}
		batch = append(batch, r)
		ops += len(r.ops)
		size += r.size
		for _, op := range r.ops {
			k := op.Key
			if op.Verb == api.KVDeleteTree {
				k += "*"
			}
			keys = append(keys, k)
		}
		return true
	}
	if r := l.wait; r != nil {
		l.wait = nil
		take(r)
	}
	for {
		if len(batch) == 0 {
			select {
			case r := <-l.s.writer.queue:
				take(r)
			case <-l.s.ctx.Done():
				l.drain()
				return nil
			}
			continue
		}
		select {
		case r := <-l.s.writer.queue:
			if !take(r) {
				return batch
			}
		default:
			return batch
		}
	}
}

func (l *lane) drain() {
	if l.wait != nil {
		l.wait.fail(state.ErrClosed)
	}
	for {
		select {
		case r := <-l.s.writer.queue:
			r.fail(state.ErrClosed)
		default:
			return
		}
	}
}

// touches reports whether a request has a key in common with others. Fences have keys of their own and are only read.
func touches(r *request, keys []string) bool {
	for _, op := range r.ops {
		if op.Verb == api.KVCheckSession {
			continue
		}
		for _, k := range keys {
			prefix, tree := strings.CutSuffix(k, "*")
			if k == op.Key || tree && strings.HasPrefix(op.Key, prefix) || op.Verb == api.KVDeleteTree && strings.HasPrefix(k, op.Key) {
				return true
			}
		}
	}
	return false
}

// send sends a batch and tells the requests their outcomes. It returns those that have to travel again.
func (l *lane) send(batch []*request) []*request {
	nonce := rand.Text()
	ops := []*api.KVTxnOp{l.marker(nonce)}
	owner := []*request{nil}
	for _, r := range batch {
		for _, op := range r.ops {
			ops = append(ops, op)
			owner = append(owner, r)
		}
	}
	complaints, err := l.do(ops, nonce)
	if err != nil {
		for _, r := range batch {
			r.fail(err)
		}
		return nil
	}
	if len(complaints) == 0 {
		for _, r := range batch {
			r.done <- outcome{index: l.index}
		}
		return nil
	}
	failed := make(map[*request]api.TxnErrors)
	for _, c := range complaints {
		if c.OpIndex <= 0 || c.OpIndex >= len(owner) {
			continue
		}
		r := owner[c.OpIndex]
		at := slices.Index(owner, r)
		failed[r] = append(failed[r], &api.TxnError{OpIndex: c.OpIndex - at, What: c.What})
	}
	if len(failed) == 0 { // only the marker: it was swept away while this process slept
		if err := l.refresh(); err != nil {
			for _, r := range batch {
				r.fail(err)
			}
			return nil
		}
	}
	var again []*request
	for _, r := range batch {
		if f := failed[r]; f != nil {
			r.fail(l.s.failure(r.ops, f))
		} else {
			again = append(again, r)
		}
	}
	return again
}

func (l *lane) marker(nonce string) *api.KVTxnOp {
	value := nonce + " " + time.Now().UTC().Format(time.RFC3339)
	return &api.KVTxnOp{Verb: api.KVCAS, Key: l.key, Value: []byte(value), Index: l.index}
}

// do sends a transaction whose first operation is the marker, until it is certain whether it was done. It returns what Consul complains of.
func (l *lane) do(ops []*api.KVTxnOp, nonce string) (api.TxnErrors, error) {
	began := time.Now()
	for n := 0; ; n++ {
		complaints, err := l.once(ops)
		if err == nil {
			return complaints, nil
		}
		if !unsent(err) {
			done, resolveErr := l.resolve(nonce)
			switch {
			case resolveErr != nil:
				return nil, resolveErr
			case done:
				return nil, nil
			}
			ops[0] = l.marker(nonce)
		}
		if !transient(err) || time.Since(began) > l.s.opts.Patience {
			return nil, l.s.unavailable(err)
		}
		if err := pause(l.s.ctx, n); err != nil {
			return nil, err
		}
	}
}

// once sends a transaction and keeps the marker's new index.
func (l *lane) once(ops []*api.KVTxnOp) (api.TxnErrors, error) {
	ctx, cancel := context.WithTimeout(l.s.ctx, txnTimeout)
	defer cancel()
	ok, resp, _, err := l.s.client.Txn().Txn(txnOf(ops), l.s.read(ctx))
	if err != nil {
		return nil, err
	}
	if !ok {
		return resp.Errors, nil
	}
	for _, r := range resp.Results {
		if r.KV != nil && r.KV.Key == l.key {
			l.index = r.KV.ModifyIndex
		}
	}
	return nil, nil
}

// resolve finds out whether the transaction with this nonce was done, and makes sure that it is not done later. It gives up, with the
// outcome unknown, when patience ends.
func (l *lane) resolve(nonce string) (done bool, err error) {
	began := time.Now()
	mine := rand.Text()
	for n := 0; ; n++ {
		complaints, err := l.once([]*api.KVTxnOp{l.marker(mine)})
		if err == nil && len(complaints) == 0 {
			return false, nil
		}
		if err == nil {
			done, known, readErr := l.readMarker(nonce, mine)
			if known {
				return done, nil
			}
			err = readErr
		}
		if l.s.ctx.Err() != nil {
			return false, fmt.Errorf("%w, and it is not known whether the last transaction was done", context.Cause(l.s.ctx))
		}
		if err != nil && !transient(err) || time.Since(began) > l.s.opts.Patience {
			return false, fmt.Errorf("%w, and it is not known whether the last transaction was done", l.s.unavailable(err))
		}
		if err := pause(l.s.ctx, n); err != nil {
			return false, err
		}
	}
}

// readMarker compares the marker with the transaction's nonce and that of resolve.
func (l *lane) readMarker(nonce, mine string) (done, known bool, err error) {
	ctx, cancel := context.WithTimeout(l.s.ctx, txnTimeout)
	defer cancel()
	pair, _, err := l.s.client.KV().Get(l.key, l.s.read(ctx))
	if err != nil || pair == nil {
		if err == nil {
			l.index = 0 // swept away: it begins anew
			err = errors.New("the marker of the writer has disappeared")
		}
		return false, false, err
	}
	found, _, _ := strings.Cut(string(pair.Value), " ")
	switch found {
	case nonce:
		l.index = pair.ModifyIndex
		return true, true, nil
	case mine:
		l.index = pair.ModifyIndex
		return false, true, nil
	}
	return false, false, errors.New("the marker of the writer was changed by another")
}

// refresh reads the marker's index anew.
func (l *lane) refresh() error {
	return l.s.retry(l.s.ctx, func(ctx context.Context) error {
		pair, _, err := l.s.client.KV().Get(l.key, l.s.read(ctx))
		if err != nil {
			return err
		}
		if l.index = 0; pair != nil {
			l.index = pair.ModifyIndex
		}
		return nil
	})
}

// sweepLanes removes the markers of processes that ended long ago.
func (s *Store) sweepLanes() {
	pairs, _, err := s.client.KV().List(s.root+"lane/", s.read(s.ctx))
	if err != nil {
		return // the next process will try again
	}
	for _, p := range pairs {
		_, at, _ := strings.Cut(string(p.Value), " ")
		if when, err := time.Parse(time.RFC3339, at); err == nil && time.Since(when) > laneMaxAge && !strings.HasPrefix(p.Key, s.root+"lane/"+s.process) {
			_, _, _ = s.client.KV().DeleteCAS(p, s.write(s.ctx))
		}
	}
}

// sweepOwn removes this process's markers when it ends in order.
func (w *writer) sweepOwn(s *Store) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	used := true
	w.once.Do(func() { used = false })
	if used {
		_, _ = s.client.KV().DeleteTree(s.root+"lane/"+s.process, s.write(ctx))
	}
}
