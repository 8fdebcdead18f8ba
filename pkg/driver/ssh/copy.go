package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/pkg/sftp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
)

// sftp opens an SFTP session on the host's connection. errors.ErrUnsupported: the server has no such subsystem.
func (c *conn) sftp(ctx context.Context) (*sftp.Client, func(), error) {
	s, release, err := c.session(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*sftp.Client, func(), error) {
		s.Close()
		release()
		return nil, nil, err
	}
	w, err := s.StdinPipe()
	if err != nil {
		return fail(err)
	}
	r, err := s.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	if err := s.RequestSubsystem("sftp"); err != nil {
		if c.dead() {
			return fail(fmt.Errorf("%w: %w", script.ErrLost, err))
		}
		return fail(errors.ErrUnsupported)
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	client, err := sftp.NewClientPipe(r, w, sftp.UseConcurrentWrites(false), sftp.MaxConcurrentRequestsPerFile(64))
	if err != nil {
		stop()
		if c.dead() || ctx.Err() != nil {
			return fail(fmt.Errorf("%w: %w", script.ErrLost, err))
		}
		return fail(errors.ErrUnsupported)
	}
	return client, func() {
		stop()
		client.Close()
		s.Close()
		release()
	}, nil
}

// Upload brings a file to its size over SFTP, going on from what is there. As SFTP works with the login's rights, it is unsupported
// where the journal belongs to root.
func (m *remote) Upload(ctx context.Context, name string, size int64, open func(offset int64) (io.ReadCloser, error)) error {
	if m.sudo {
		return errors.ErrUnsupported
	}
	c, release, err := m.pool.acquire(ctx, m.host, forWork, m.report)
	if err != nil {
		return err
	}
	defer release()
	client, done, err := c.sftp(ctx)
	if err != nil {
		return err
	}
	defer done()
	// Writes go out in order (no concurrent ones), so what is there is whole.
	f, err := client.OpenFile(name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return transfer(c, err)
	}
	defer f.Close()
	at := int64(0)
	if info, err := f.Stat(); err == nil && info.Size() <= size {
		at = info.Size()
	} else if err := f.Truncate(0); err != nil {
		return transfer(c, err)
	}
	body, err := open(at)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return transfer(c, err)
	}
	if _, err := io.Copy(f, io.LimitReader(body, size-at)); err != nil {
		return transfer(c, err)
	}
	return transfer(c, f.Close())
}

// transfer tells a lost connection from what the host refuses.
func transfer(c *conn, err error) error {
	var status *sftp.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status), errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the host says: %w (is its disk full?)", err)
	}
	return fmt.Errorf("%w: %w", script.ErrLost, err)
}

// Put copies a local file or directory to the host, as scp -r does: into `to` if that is a directory there, else as `to`.
func (p *Pool) Put(ctx context.Context, h driver.Host, from, to string) error {
	return p.withSFTP(ctx, h, func(c *sftp.Client) error {
		if info, err := c.Stat(to); err == nil && info.IsDir() {
			to = path.Join(to, filepath.Base(from))
		}
		return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(from, name)
			if err != nil {
				return err
			}
			dest := path.Join(to, filepath.ToSlash(rel))
			switch {
			case d.IsDir():
				return c.MkdirAll(dest)
			case !d.Type().IsRegular():
				return nil
			}
			return putFile(c, name, dest)
		})
	})
}

func putFile(c *sftp.Client, from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := c.Create(to)
	if err != nil {
		return fmt.Errorf("cannot create %s on the host: %w", to, err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return fmt.Errorf("cannot write %s on the host: %w", to, err)
	}
	if info, err := src.Stat(); err == nil {
		_ = c.Chmod(to, info.Mode().Perm())
	}
	return dst.Close()
}

// Get copies a file or directory from the host, as scp -r does.
func (p *Pool) Get(ctx context.Context, h driver.Host, from, to string) error {
	return p.withSFTP(ctx, h, func(c *sftp.Client) error {
		if info, err := os.Stat(to); err == nil && info.IsDir() {
			to = filepath.Join(to, path.Base(from))
		}
		w := c.Walk(from)
		for w.Step() {
			if w.Err() != nil {
				return fmt.Errorf("cannot read %s on the host: %w", w.Path(), w.Err())
			}
			rel, err := filepath.Rel(from, w.Path())
			if err != nil || rel != "." && !filepath.IsLocal(rel) {
				return fmt.Errorf("the host names a file outside of %s: %s", from, w.Path())
			}
			dest := filepath.Join(to, rel)
			switch info := w.Stat(); {
			case info.IsDir():
				if err := os.MkdirAll(dest, 0o755); err != nil {
					return err
				}
			case info.Mode().IsRegular():
				if err := getFile(c, w.Path(), dest, info.Mode().Perm()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func getFile(c *sftp.Client, from, to string, mode fs.FileMode) error {
	src, err := c.Open(from)
	if err != nil {
		return fmt.Errorf("cannot read %s on the host: %w", from, err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := src.WriteTo(dst); err != nil {
		dst.Close()
		return fmt.Errorf("cannot copy %s from the host: %w", from, err)
	}
	return dst.Close()
}

func (p *Pool) withSFTP(ctx context.Context, h driver.Host, f func(*sftp.Client) error) error {
	c, release, err := p.acquire(ctx, h, forUser, nil)
	if err != nil {
		return err
	}
	defer release()
	client, done, err := c.sftp(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("cannot copy files: the SSH server of %s has no SFTP", c.address)
	}
	if err != nil {
		return err
	}
	defer done()
	if err := f(client); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}
