package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/orch-project/orch/pkg/state"
)

// Options of Open. The zero value works.
type Options struct {
	// Wait is how long to wait for another process that has the file open; default 2 s, negative not at all.
	Wait time.Duration
	// Command and Address are shown to other processes that find the file in use: what this process is, and where it can be reached.
	Command string
	Address string
	// NoSync leaves writing to the disk to the operating system: a crash of the machine may lose or damage the file. For tests.
	NoSync bool
}

// schema is the layout of the file; Open refuses a newer one.
const schema = 1

var (
	bucketKV     = []byte("kv")     // key → revision (8 bytes, big endian), value
	bucketLeases = []byte("leases") // lease key → generation (8 bytes)
	bucketMeta   = []byte("meta")   // "schema", "rev" → 8 bytes
	keySchema    = []byte("schema")
	keyRev       = []byte("rev")
)

// Open opens the file, making it (mode 0600) and its directory (mode 0700) where they do not exist.
//
// Errors: *LockedError when another process has it open; state.ErrCorrupt when it is no store or damaged; state.ErrNewer; and
// *state.UnavailableError with a hint when the file system refuses.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, unavailable(path, err)
	}
	if opts.Wait == 0 {
		opts.Wait = 2 * time.Second
	}
	db, err := openDB(ctx, path, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, path: path}
	s.leases.Next = s.nextGeneration
	if err := s.prepare(); err != nil {
		db.Close()
		return nil, explain(path, err)
	}
	s.unmark = markHolder(path, opts)
	return s, nil
}

// openDB locks and maps the file. bbolt sleeps while it waits for the lock, so waiting is done here in turns that notice ctx.
func openDB(ctx context.Context, path string, opts Options) (*bbolt.DB, error) {
	deadline := time.Now().Add(opts.Wait)
	for {
		db, err := tryOpen(path, opts)
		if err == nil {
			return db, nil
		}
		if !errors.Is(err, berrors.ErrTimeout) {
			return nil, explain(path, err)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("cannot open the store %s: %w", path, context.Cause(ctx))
		}
		if !time.Now().Before(deadline) {
			return nil, lockedError(path)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// tryOpen turns bbolt's panics, and faults on pages that a cut file does not have, into errors, and closes the file after them.
func tryOpen(path string, opts Options) (db *bbolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damage(r)
		}
		if err != nil && file != nil {
			// After a panic bbolt's mapping keeps the file open, and with it the lock.
			_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
			file.Close()
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      time.Nanosecond, // once
		FreelistType: bbolt.FreelistMapType,
		NoSync:       opts.NoSync,
		NoStatistics: true,
		// Room to grow without remapping, which has to wait for readers. It is address space, not memory.
		InitialMmapSize: mmapSize,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		},
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = 1 << 20 // grow by so much, not by 16 MiB: most stores are small
	if err := checkSize(db, file); err != nil {
		db.Close()
		return nil, err
	}
	if fi, err := file.Stat(); err == nil && fi.Mode().Perm()&0o077 != 0 {
		_ = file.Chmod(0o600) // it holds (encrypted) secrets; where we may not, it is its owner's decision
	}
	return db, nil
}

// checkSize finds a file that was cut: reading beyond its end would end the process.
func checkSize(db *bbolt.DB, file *os.File) error {
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > fi.Size() {
			return fmt.Errorf("%w: it has %d bytes and should have %d", state.ErrCorrupt, fi.Size(), tx.Size())
		}
		return nil
	})
}

// prepare makes the buckets of a new file and checks the layout of an old one.
func (s *Store) prepare() error {
	return guard(func() error {
		var found uint64
		if err := s.db.View(func(tx *bbolt.Tx) error {
			if b := tx.Bucket(bucketMeta); b != nil {
				found = number(b.Get(keySchema))
			} else if name, _ := tx.Cursor().First(); name != nil {
				return fmt.Errorf("%w: it is a database of another program", state.ErrCorrupt)
			}
			return nil
		}); err != nil {
			return err
		}
		switch {
		case found > schema:
			return fmt.Errorf("%w (layout %d, this version knows %d)", state.ErrNewer, found, schema)
		case found == schema:
			return nil
		}
		return s.db.Update(func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{bucketKV, bucketLeases, bucketMeta} {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			return tx.Bucket(bucketMeta).Put(keySchema, bytes8(schema))
		})
	})
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func bytes8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// guard runs what touches the file's pages and turns the panics and faults of damaged ones into ErrCorrupt.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damage(r)
		}
	}()
	return fn()
}

// damage is the error for a panic of bbolt.
func damage(r any) error {
	if _, ok := r.(runtime.Error); ok {
		return fmt.Errorf("%w: a page is missing or makes no sense", state.ErrCorrupt)
	}
	return fmt.Errorf("%w: %v", state.ErrCorrupt, r)
}

// explain adds what to do to an error of the file system or of bbolt.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch),
		errors.Is(err, berrors.ErrInvalidMapping):
		err = fmt.Errorf("%w: %w", state.ErrCorrupt, err)
		fallthrough
	case errors.Is(err, state.ErrCorrupt):
		return fmt.Errorf("cannot use the store %s: %w: restore it from a backup, or move the file away to begin with an empty store", path, err)
	case errors.Is(err, state.ErrNewer):
		return fmt.Errorf("cannot use the store %s: %w: use that version, or another store", path, err)
	case errors.Is(err, berrors.ErrDatabaseNotOpen), errors.Is(err, berrors.ErrTxClosed):
		return state.ErrClosed
	}
	return unavailable(path, err)
}

func unavailable(path string, err error) error {
	e := &state.UnavailableError{Store: path, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, berrors.ErrMaxSizeReached):
		e.Hint = "free space on that file system and run the command again; what was stored before is intact"
	case errors.Is(err, syscall.EROFS):
		e.Hint = "the file system is read-only; choose another place with ORCH_STORE=/path/to/file"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = fmt.Sprintf("user %d may not read and write it; correct its owner and mode, or choose another place with ORCH_STORE=/path/to/file", os.Getuid())
	case errors.Is(err, syscall.EISDIR):
		e.Hint = "it is a directory; give the path of a file"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		e.Hint = "a part of the path is a file, not a directory"
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP):
		e.Hint = "the file system cannot lock files; choose a place on a local disk"
	case errors.Is(err, syscall.EIO):
		e.Hint = "the disk reports errors; look at the system's log"
	}
	return e
}
