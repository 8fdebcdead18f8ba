package state

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"
)

// Blobs keeps content of any size, compressed and in chunks that fit into the store.
//
//	blob/<key>              the manifest: which upload, its size and checksum; written last, so content is visible whole or not at all
//	blobdata/<upload>/<n>   the chunks
//	blobput/<upload>        an upload that has no manifest yet; what a crash leaves of one is removed by Sweep
type Blobs struct{ store Store }

// NewBlobs returns the blobs in a store. Use a Fenced store to write under a lease.
func NewBlobs(s Store) *Blobs { return &Blobs{s} }

// BlobInfo describes a blob.
type BlobInfo struct {
	Key      string    `json:"-"`
	Size     int64     `json:"size"`   // bytes of the content
	SHA256   string    `json:"sha256"` // of the content, hexadecimal
	Modified time.Time `json:"modified"`

	Upload   string `json:"upload"`
	Chunks   int    `json:"chunks"`
	Stored   int64  `json:"stored"`             // bytes in the store
	Encoding string `json:"encoding,omitempty"` // "gzip" or ""
}

// chunkSize leaves room for the manifest in the same transaction: small blobs are written by a single one.
const chunkSize = 224 * 1024

type upload struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
}

func blobKey(key string) string { return "blob/" + key }

func uploadKey(id string) string { return Join("blobput", id) }

func chunkPrefix(id string) string { return Prefix("blobdata", id) }

// Put stores what r gives under a key of Join's, replacing what was there. Until it returns readers see the old content.
func (b *Blobs) Put(ctx context.Context, key string, r io.Reader) (BlobInfo, error) {
	info, err := b.put(ctx, key, "", r)
	if err != nil {
		return BlobInfo{}, fmt.Errorf("cannot store %s: %w", key, err)
	}
	return info, nil
}

// Replace is Put for content that was made from what is there: ErrChanged if that is no longer the upload of old.
func (b *Blobs) Replace(ctx context.Context, old BlobInfo, r io.Reader) (BlobInfo, error) {
	info, err := b.put(ctx, old.Key, old.Upload, r)
	if err != nil {
		return BlobInfo{}, fmt.Errorf("cannot replace %s: %w", old.Key, err)
	}
	return info, nil
}

// put stores content; only in place of an upload if that is given.
func (b *Blobs) put(ctx context.Context, key, over string, r io.Reader) (info BlobInfo, err error) {
	if err := CheckKey(blobKey(key)); err != nil {
		return info, err
	}
	info = BlobInfo{Key: key, Upload: rand.Text(), Modified: time.Now().UTC()}
	src := newPacker(r)
	defer src.Close()
	chunk := make([]byte, chunkSize)
	n, err := io.ReadFull(src, chunk)
	for ; err == nil; n, err = io.ReadFull(src, chunk) {
		if info.Chunks == 0 {
			if err := b.store.Update(ctx, func(tx Tx) error { return Put(tx, uploadKey(info.Upload), upload{key, info.Modified}) }); err != nil {
				return info, err
			}
			defer func() {
				if err != nil {
					b.abandon(context.WithoutCancel(ctx), info.Upload)
				}
			}()
		}
		if err = b.store.Update(ctx, func(tx Tx) error { return tx.Put(chunkPrefix(info.Upload)+Num(uint64(info.Chunks)), chunk) }); err != nil {
			return info, err
		}
		info.Chunks++
		info.Stored += int64(n)
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return info, err
	}
	src.describe(&info)
	last := chunk[:n]
	begun := info.Chunks > 0
	if n > 0 {
		info.Chunks++
		info.Stored += int64(n)
	}
	err = b.store.Update(ctx, func(tx Tx) error {
		if n > 0 {
			if err := tx.Put(chunkPrefix(info.Upload)+Num(uint64(info.Chunks-1)), last); err != nil {
				return err
			}
		}
		if begun {
			if _, err := tx.Get(uploadKey(info.Upload)); err != nil {
				return fmt.Errorf("the upload was swept away: %w", err)
			}
			if err := tx.Delete(uploadKey(info.Upload)); err != nil {
				return err
			}
		}
		return replace(tx, info, over)
	})
	return info, err
}

// replace writes the manifest and removes the chunks of the one before, which must be of the upload over unless that is "".
func replace(tx Tx, info BlobInfo, over string) error {
	old, ok, err := Find[BlobInfo](tx, blobKey(info.Key))
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if over != "" && old.Upload != over {
		return ErrChanged
	}
	if ok {
		if err := tx.DeletePrefix(chunkPrefix(old.Upload)); err != nil {
			return err
		}
	}
	return Put(tx, blobKey(info.Key), info)
}

// abandon removes what a failed upload has written. If it fails too, Sweep will do it.
func (b *Blobs) abandon(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = b.store.Update(ctx, func(tx Tx) error {
		return errors.Join(tx.DeletePrefix(chunkPrefix(id)), tx.Delete(uploadKey(id)))
	})
}

// PutBlobTx stores content inside a transaction, so that it becomes visible together with a record. It counts for 3 operations and its
// compressed size; ErrTooLarge if that is more than a chunk.
func PutBlobTx(tx Tx, key string, content []byte) error {
	info := BlobInfo{Key: key, Upload: rand.Text(), Modified: time.Now().UTC()}
	src := newPacker(bytes.NewReader(content))
	defer src.Close()
	packed, err := io.ReadAll(src)
	if err != nil {
		return fmt.Errorf("cannot store %s: %w", key, err)
	}
	if len(packed) > chunkSize {
		return &TooLargeError{What: "value", Key: key, Size: len(packed), Limit: chunkSize}
	}
	src.describe(&info)
	if len(packed) > 0 {
		info.Chunks, info.Stored = 1, int64(len(packed))
		if err := tx.Put(chunkPrefix(info.Upload)+Num(0), packed); err != nil {
			return err
		}
	}
	return replace(tx, info, "")
}

// Delete removes a blob. Deleting what does not exist is no error.
func (b *Blobs) Delete(ctx context.Context, key string) error {
	return b.store.Update(ctx, func(tx Tx) error { return DeleteBlobTx(tx, key) })
}

// DeleteBlobTx is Delete inside a transaction: 2 operations.
func DeleteBlobTx(tx Tx, key string) error {
	info, ok, err := Find[BlobInfo](tx, blobKey(key))
	if err != nil || !ok {
		return err
	}
	return errors.Join(tx.DeletePrefix(chunkPrefix(info.Upload)), tx.Delete(blobKey(key)))
}

// Stat describes a blob, or returns ErrNotFound.
func (b *Blobs) Stat(ctx context.Context, key string) (info BlobInfo, err error) {
	err = b.store.View(ctx, func(tx Tx) error {
		info, _, err = Get[BlobInfo](tx, blobKey(key))
		return err
	})
	info.Key = key
	return info, err
}

// List describes the blobs whose key begins with prefix, in the order of their keys.
func (b *Blobs) List(ctx context.Context, prefix string) (infos []BlobInfo, err error) {
	err = b.store.View(ctx, func(tx Tx) error {
		infos = nil
		return each(List[BlobInfo](tx, blobKey(prefix)), func(r Record[BlobInfo]) {
			r.Value.Key = r.Key[len("blob/"):]
			infos = append(infos, r.Value)
		})
	})
	return infos, err
}

func each[T any](records iter.Seq2[Record[T], error], do func(Record[T])) error {
	for r, err := range records {
		if err != nil {
			return err
		}
		do(r)
	}
	return nil
}

// Sweep removes uploads that began longer than age ago and never ended, and returns how many. An upload that is still under way then
// fails; a day is a good age.
func (b *Blobs) Sweep(ctx context.Context, age time.Duration) (int, error) {
	var dead []string
	err := b.store.View(ctx, func(tx Tx) error {
		dead = nil
		return each(List[upload](tx, "blobput/"), func(r Record[upload]) {
			if time.Since(r.Value.Since) > age {
				dead = append(dead, Last(r.Key))
			}
		})
	})
	for _, id := range dead {
		if err == nil {
			err = b.store.Update(ctx, func(tx Tx) error {
				if _, err := tx.Get(uploadKey(id)); err != nil {
					return nil // it has ended after all
				}
				return errors.Join(tx.DeletePrefix(chunkPrefix(id)), tx.Delete(uploadKey(id)))
			})
		}
	}
	if err != nil {
		return 0, fmt.Errorf("cannot remove unfinished uploads: %w", err)
	}
	return len(dead), nil
}

// packer reads content and gives what is to be stored: gzip of it, or itself if it is compressed already.
type packer struct {
	io.Reader
	gzip bool
	sum  hash.Hash
	size int64
	pipe *io.PipeReader
}

func newPacker(r io.Reader) *packer {
	p := &packer{sum: sha256.New()}
	buffered := bufio.NewReaderSize(r, 32*1024)
	head, _ := buffered.Peek(6)
	counted := io.TeeReader(buffered, writerFunc(func(b []byte) (int, error) {
		p.size += int64(len(b))
		return p.sum.Write(b)
	}))
	if compressed(head) {
		p.Reader = counted
		return p
	}
	p.gzip = true
	pr, pw := io.Pipe()
	p.Reader, p.pipe = pr, pr
	go func() {
		z, _ := gzip.NewWriterLevel(pw, gzip.BestSpeed)
		_, err := io.Copy(z, counted)
		if err == nil {
			err = z.Close()
		}
		pw.CloseWithError(err) // nil is io.EOF
	}()
	return p
}

// Close ends the compressor if not everything was read. It does not wait for a reader that blocks.
func (p *packer) Close() {
	if p.pipe != nil {
		p.pipe.Close()
	}
}

// describe fills in what is known after everything was read.
func (p *packer) describe(info *BlobInfo) {
	info.Size, info.SHA256 = p.size, hex.EncodeToString(p.sum.Sum(nil))
	if p.gzip {
		info.Encoding = "gzip"
	}
}

// compressed recognizes gzip, zip, xz, zstd, bzip2 and age's files, which would not become smaller.
func compressed(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "PK\x03\x04", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "BZh", "age-en"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
