package orch

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/fstest"

	"github.com/orch-project/orch/internal/spool"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// maxBundle bounds what is stored of a bundle, unpacked.
const maxBundle = 1 << 30

// recorder is a file system that remembers which files were read of it: those are the deployment's bundle, and not the home directory
// that its document happens to be in.
type recorder struct {
	fs.FS
	mu   sync.Mutex
	seen map[string]bool
	more fstest.MapFS // files that the bundle has beside those of FS
}

func recordReads(fsys fs.FS) *recorder { return &recorder{FS: fsys, seen: map[string]bool{}} }

// add puts files into the bundle.
func (r *recorder) add(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, data := range files {
		if r.more == nil {
			r.more = fstest.MapFS{}
		}
		r.more[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		r.seen[name] = true
	}
}

// Open implements fs.FS.
func (r *recorder) Open(name string) (fs.File, error) {
	r.mu.Lock()
	more := r.more[name]
	r.mu.Unlock()
	if more != nil {
		return r.more.Open(name)
	}
	f, err := r.FS.Open(name)
	if err == nil {
		if info, serr := f.Stat(); serr == nil && info.Mode().IsRegular() {
			r.mu.Lock()
			r.seen[path.Clean(name)] = true
			r.mu.Unlock()
		}
	}
	return f, err
}

// ReadDir implements fs.ReadDirFS, so that listing does not count as reading.
func (r *recorder) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(r.FS, name) }

// Stat implements fs.StatFS likewise.
func (r *recorder) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

func (r *recorder) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.seen))
	for n := range r.seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// touchArtifacts reads the first byte of every file that the topology's artifacts name, so that the recorders have seen them.
func touchArtifacts(t *topology.Topology) {
	if t.Files == nil {
		return
	}
	for _, name := range t.Resources() {
		if f, err := t.Files.Open(name); err == nil {
			_ = f.Close()
		}
	}
	for _, a := range artifacts(t) {
		if a.File == "" || a.Repository != nil {
			continue
		}
		_ = fs.WalkDir(t.Files, a.File, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // preflight reports what is missing
			}
			if f, err := t.Files.Open(p); err == nil {
				_ = f.Close()
			}
			return nil
		})
	}
}

// artifacts lists every artifact of a topology.
func artifacts(t *topology.Topology) (out []*topology.Artifact) {
	interfaces := func(is []*topology.Interface) {
		for _, i := range is {
			for _, op := range i.Operations {
				if op.Implementation != nil {
					out = append(out, op.Implementation)
				}
				out = append(out, op.Dependencies...)
			}
		}
	}
	for _, n := range t.Nodes {
		out = append(out, n.Artifacts...)
		interfaces(n.Interfaces)
		for _, r := range n.Relationships {
			out = append(out, r.Artifacts...)
			interfaces(r.Interfaces)
		}
	}
	for _, g := range t.Groups {
		interfaces(g.Interfaces)
	}
	for _, f := range topology.OwnFunctions(t) {
		for _, s := range f.Signatures {
			if s.Implementation != nil {
				out = append(append(out, s.Implementation), s.Dependencies...)
			}
		}
	}
	return out
}

// pack makes a zip of what the recorders have seen: "0/…" the bundle, "1/…" and on the import path. It is the same for the same content.
func pack(parts []*recorder) (_ spool.Data, digest string, err error) {
	to, sum := spool.NewWriter(contentInMemory), sha256.New()
	defer func() {
		if err != nil {
			to.Discard()
		}
	}()
	w := zip.NewWriter(io.MultiWriter(to, sum))
	total := int64(0)
	for i, p := range parts {
		for _, name := range p.names() {
			n, err := addFile(w, p, name, strconv.Itoa(i)+"/"+name)
			if err != nil {
				return nil, "", err
			}
			if total += n; total > maxBundle {
				return nil, "", fmt.Errorf("the bundle is larger than %d MiB", maxBundle>>20)
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	data, err := to.Data()
	return data, hex.EncodeToString(sum.Sum(nil)[:16]), err
}

func addFile(w *zip.Writer, fsys fs.FS, name, as string) (int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", name, err)
	}
	defer f.Close()
	h := &zip.FileHeader{Name: as, Method: zip.Deflate}
	if info, err := f.Stat(); err == nil {
		h.SetMode(info.Mode().Perm())
	}
	to, err := w.CreateHeader(h)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(to, f)
	if err != nil {
		return n, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return n, nil
}

// unpack opens a stored bundle.
func (l *Local) unpack(ctx context.Context, rev revision) (Bundle, error) {
	data, size, err := l.stored(ctx, rev.Bundle)
	if err != nil {
		return Bundle{}, fmt.Errorf("cannot read the stored topology: %w", err)
	}
	z, err := zip.NewReader(data, size)
	if err != nil {
		return Bundle{}, fmt.Errorf("cannot read the stored topology: %w: %w", state.ErrCorrupt, err)
	}
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser { return flate.NewReader(bufio.NewReaderSize(r, spool.Buffer)) })
	b := Bundle{Entry: rev.Entry, Name: rev.SourceName, Location: rev.Location}
	for i := range rev.Imports + 1 {
		sub, err := fs.Sub(z, strconv.Itoa(i))
		if err != nil {
			return Bundle{}, fmt.Errorf("cannot read the stored topology: %w", err)
		}
		if i == 0 {
			b.FS = sub
		} else {
			b.ImportPath = append(b.ImportPath, sub)
		}
	}
	return b, nil
}

// stored reads a bundle whole, and again if it is replaced meanwhile.
func (l *Local) stored(ctx context.Context, blob string) (data spool.Data, size int64, err error) {
	for {
		r, _, err := l.blobs.Get(ctx, blob)
		if err != nil {
			return nil, 0, err
		}
		data, size, err = spool.Read(r, contentInMemory)
		_ = r.Close()
		if !errors.Is(err, state.ErrChanged) || ctx.Err() != nil {
			return data, size, err
		}
	}
}

func bundleBlob(deployment, digest string) string { return state.Join("bundle", deployment, digest) }

// validName checks a recorded name: in tenants other than the default one it has the tenant before it.
func validName(name string) bool {
	if tenant, rest, ok := strings.Cut(name, tenantMark); ok {
		return ValidTenant(tenant) && tenant != DefaultTenant && !strings.Contains(rest, tenantMark) && validName(rest)
	}
	return name != "" && len(name) <= 128 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" &&
		!strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "-")
}
