package state

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Get opens a blob for reading; ErrNotFound if there is none. Chunks are read as they are needed, under ctx. If the blob is replaced or
// deleted before the end the reader fails with ErrChanged; if its content is not what was stored, with ErrCorrupt, instead of io.EOF.
func (b *Blobs) Get(ctx context.Context, key string) (io.ReadCloser, BlobInfo, error) {
	info, err := b.Stat(ctx, key)
	if err != nil {
		return nil, info, err
	}
	var r io.Reader = &chunkReader{ctx: ctx, store: b.store, info: info}
	if info.Encoding == "gzip" {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, info, fmt.Errorf("cannot read %s: %w", key, damaged(err))
		}
		r = z
	}
	return &blobReader{r: r, info: info, sum: sha256.New()}, info, nil
}

// ReadAll returns the content of a blob that fits into memory: up to limit bytes (at most 0: 64 MiB), else *TooLargeError.
// It begins again if the blob is replaced meanwhile.
func (b *Blobs) ReadAll(ctx context.Context, key string, limit int64) ([]byte, BlobInfo, error) {
	if limit <= 0 {
		limit = 64 << 20
	}
	for {
		content, info, err := b.readAll(ctx, key, limit)
		if !errors.Is(err, ErrChanged) || ctx.Err() != nil {
			return content, info, err
		}
	}
}

// Verify reads a blob to its end: ErrCorrupt, or ErrNotFound for what belongs to it, if it is not what was stored.
func (b *Blobs) Verify(ctx context.Context, key string) error {
	r, _, err := b.Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func (b *Blobs) readAll(ctx context.Context, key string, limit int64) ([]byte, BlobInfo, error) {
	r, info, err := b.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	defer r.Close()
	if info.Size > limit {
		return nil, info, &TooLargeError{What: "value", Key: key, Size: int(info.Size), Limit: int(limit)}
	}
	var buf bytes.Buffer
	_, err = buf.ReadFrom(r)
	return buf.Bytes(), info, err
}

// damaged marks an error of the decoder; those of the store pass.
func damaged(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// blobReader checks size and sum at the end.
type blobReader struct {
	r    io.Reader
	info BlobInfo
	sum  hash.Hash
	size int64
	err  error
}

func (r *blobReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.size += int64(n)
	r.sum.Write(p[:n])
	switch {
	case err == nil && r.size > r.info.Size, err == io.EOF && (r.size != r.info.Size || hex.EncodeToString(r.sum.Sum(nil)) != r.info.SHA256):
		err = fmt.Errorf("cannot read %s: %w: it is not what was stored", r.info.Key, ErrCorrupt)
	case err != nil && err != io.EOF:
		err = fmt.Errorf("cannot read %s: %w", r.info.Key, damaged(err))
	}
	r.err = err
	return n, err
}

func (r *blobReader) Close() error {
	r.err = errors.New("the blob is closed")
	return nil
}

// chunkReader gives the chunks one after another.
type chunkReader struct {
	ctx   context.Context // of the Get that made it; a Reader has no other way
	store Store
	info  BlobInfo
	next  int
	rest  []byte
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next >= r.info.Chunks {
			return 0, io.EOF
		}
		if err := r.store.View(r.ctx, r.load); err != nil {
			return 0, err
		}
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *chunkReader) load(tx Tx) error {
	e, err := tx.Get(chunkPrefix(r.info.Upload) + Num(uint64(r.next)))
	if errors.Is(err, ErrNotFound) {
		now, ok, err := Find[BlobInfo](tx, blobKey(r.info.Key))
		if err == nil && ok && now.Upload == r.info.Upload {
			return fmt.Errorf("%w: chunk %d of %d is missing", ErrCorrupt, r.next+1, r.info.Chunks)
		}
		return ErrChanged
	}
	if err != nil {
		return err
	}
	if len(e.Value) == 0 {
		return fmt.Errorf("%w: chunk %d of %d is empty", ErrCorrupt, r.next+1, r.info.Chunks)
	}
	r.rest = e.Value
	return nil
}
