// Package state owns what orch remembers: the Store contract (transactions, watches, leases with a fencing generation), and
// what is built on it for every implementation alike — typed records, blobs, and the event log.
//
// It must not know Consul, bbolt or any file: implementations live in mem, bolt and consul, which all pass statetest; package
// open chooses one by URL. It does not know deployments or tasks either: their records belong to the engine.
//
// How to use it:
//
//	err := store.Update(ctx, func(tx state.Tx) error {
//		tx.Fence(lease)                                   // ErrFenced if another server has taken over
//		task, _, err := state.Get[Task](tx, state.Join("deployments", name, "task"))
//		if err != nil {
//			return err
//		}
//		task.Status = "done"
//		return state.Put(tx, state.Join("deployments", name, "task"), task)
//	})
//
// Keys are paths of escaped segments made by Join; their limits and those of a transaction are the smallest of all
// implementations (MaxKey, MaxValue, MaxOps, MaxTxBytes), so that what works on bbolt works on Consul.
package state

import (
	"context"
	"iter"
)

// The limits of every implementation. They leave room below Consul's own: 512 KiB for a value, 64 operations and 512 KiB of
// JSON (values in base64) for a transaction.
const (
	MaxKey     = 1024       // bytes of a key, after escaping
	MaxValue   = 256 * 1024 // bytes of a value; larger content belongs into Blobs
	MaxOps     = 60         // distinct keys got or written, prefixes deleted and leases fenced in one Update
	MaxTxBytes = 320 * 1024 // keys and values written in one Update
)

// Rev orders the changes of a store: it grows with every change, over all keys. It is opaque otherwise, and not comparable
// between two stores.
type Rev uint64

// Entry is a key with its value and the revision that wrote it. Rev is 0 while the Update that writes it is not committed.
// The value belongs to the store: do not modify it.
type Entry struct {
	Key   string
	Value []byte
	Rev   Rev
}

// Change is what Watch yields: the entry as it now is, or, when Deleted, its key.
type Change struct {
	Entry
	Deleted bool
}

// Tx reads, and in an Update writes. It is valid only inside the function it was given to, and not safe for concurrent use.
type Tx interface {
	// Get returns an entry, or ErrNotFound. In an Update it makes the commit depend on this key (present or absent) being unchanged.
	Get(key string) (Entry, error)
	// List yields the entries whose key begins with prefix in the order of their keys. The caller's own writes are included.
	// Implementations need not notice that a concurrent transaction adds or changes a listed key: Get what a decision depends on.
	List(prefix string) iter.Seq2[Entry, error]
	// Keys is List without the values, much cheaper where these are large.
	Keys(prefix string) iter.Seq2[string, error]
	// Range yields the entries with from <= key < to in the order of their keys. Consul reads them one by one: keep it short there.
	Range(from, to string) iter.Seq2[Entry, error]

	// Put writes; ErrTooLarge above the limits, ErrReadOnly in a View.
	Put(key string, value []byte) error
	// Delete removes; removing what does not exist is no error.
	Delete(key string) error
	// DeletePrefix removes every key that begins with prefix, which must not be empty, in one operation however many they are.
	DeletePrefix(prefix string) error
	// Fence makes the Update fail with ErrFenced unless the lease is still held when it commits.
	Fence(l *Lease)
}

// Store keeps small values under keys. It is safe for concurrent use, by several processes where the implementation allows it.
type Store interface {
	// View reads. On bolt and mem all reads of one View see the same moment; on Consul each call does.
	// fn must not call the store again.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn and commits what it wrote: all of it or nothing, and only if no key that fn has got was changed meanwhile.
	// On a conflict fn runs again, so it must be quick, free of side effects, and must not call the store; an error of fn is returned
	// as it is and nothing is written. Errors: ErrFenced, *TooLargeError, ErrConflict (after many attempts), ErrClosed, *UnavailableError.
	Update(ctx context.Context, fn func(Tx) error) error
	// Watch yields the entries below prefix that changed after from (0: all that exist), then every change as it happens, until
	// ctx is done or the caller stops. It is level-triggered: of several changes to one key only the last may be seen, but that one is.
	// Deletions are yielded for keys that existed when the watch began or appeared later; those before are not known.
	// The last pair carries the error that ended it: the cause of ctx, or ErrClosed.
	Watch(ctx context.Context, prefix string, from Rev) iter.Seq2[Change, error]
	// Lease takes the right to act on key, which is a name of its own and not a key of the store.
	// It returns a *HeldError (which is ErrHeld) when another has it and opts.Wait has passed.
	Lease(ctx context.Context, key string, opts LeaseOptions) (*Lease, error)
	// Holders returns who holds the leases whose key begins with prefix, by key.
	Holders(ctx context.Context, prefix string) ([]Holder, error)
	// BreakLease ends whoever's lease on key as if its holder had died: the operator's last resort, and the tests'. No lease is no error.
	BreakLease(ctx context.Context, key string) error
	// Close releases the leases of this process and ends its watches. Later calls return ErrClosed.
	Close() error
}
