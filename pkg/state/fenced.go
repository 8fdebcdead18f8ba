package state

import "context"

// Fenced returns the store as seen under a lease: every Update through it fails with ErrFenced once the lease is lost. Blobs and
// event logs made on it are fenced too. Close of the result does nothing.
func Fenced(s Store, l *Lease) Store { return fenced{s, l} }

type fenced struct {
	Store
	lease *Lease
}

func (f fenced) Update(ctx context.Context, fn func(Tx) error) error {
	return f.Store.Update(ctx, func(tx Tx) error {
		tx.Fence(f.lease)
		return fn(tx)
	})
}

func (f fenced) Close() error { return nil }
