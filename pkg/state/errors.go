package state

import (
	"errors"
	"fmt"
)

// Sentinels for decisions. Implementations wrap them with what they know.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("too many concurrent changes to the same keys")
	ErrFenced   = errors.New("the lease was lost: another process may have taken over")
	ErrHeld     = errors.New("the lease is held by another")
	ErrReadOnly = errors.New("this transaction only reads")
	ErrClosed   = errors.New("the store is closed")
	ErrTooLarge = errors.New("larger than the store allows")
	ErrCorrupt  = errors.New("the stored data is damaged")
	// ErrChanged is returned by the reader of a blob that was replaced or deleted while it was read.
	ErrChanged = errors.New("the content was replaced while it was read")
	// ErrNewer is returned for a record that a newer version of orch wrote.
	ErrNewer = errors.New("written by a newer version of orch")
)

// TooLargeError says which limit a key, value or transaction exceeds, and by how much. It is ErrTooLarge.
type TooLargeError struct {
	What  string // "key", "value", "operations", "bytes"
	Key   string // of a key or value
	Size  int
	Limit int
}

func (e *TooLargeError) Error() string {
	switch e.What {
	case "operations":
		return fmt.Sprintf("the transaction has %d operations, the store allows %d: write the parts first and the record that makes them visible last", e.Size, e.Limit)
	case "bytes":
		return fmt.Sprintf("the transaction writes %d bytes, the store allows %d: write the parts first and the record that makes them visible last", e.Size, e.Limit)
	}
	return fmt.Sprintf("the %s of %.80q has %d bytes, the store allows %d", e.What, e.Key, e.Size, e.Limit)
}

func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// HeldError says who holds a lease. It is ErrHeld.
type HeldError struct{ Holder Holder }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by %s", e.Holder.Key, e.Holder)
}

func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// UnavailableError means the store cannot be reached or used now; the same call may work later. Hint says what to do.
type UnavailableError struct {
	Store string // where, without credentials
	Hint  string
	Err   error
}

func (e *UnavailableError) Error() string {
	s := fmt.Sprintf("cannot use the store %s: %v", e.Store, e.Err)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

func (e *UnavailableError) Unwrap() error { return e.Err }
