package machine

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// layer writes the differences of an image to its base as an overlayfs layer: files, whiteouts (character device 0/0) and
// opaque directories (an extended attribute); see Documentation/filesystems/overlayfs.rst.
type layer struct {
	base, dir string
	userXattr bool
	whiteout  string // the first one made; the others are links to it
	dirs      map[string]string
}

// parents makes the directories above a path, with the modes and owners of the base's.
func (l *layer) parents(path string) error {
	dir := filepath.Dir(path)
	if dir == "/" || dir == "." {
		return nil
	}
	if _, err := os.Lstat(l.dir + dir); err == nil {
		return nil
	}
	if err := l.parents(dir); err != nil {
		return err
	}
	mode, uid, gid := os.FileMode(0o755), 0, 0
	if fi, err := os.Stat(l.base + dir); err == nil {
		mode = fi.Mode().Perm() | fi.Mode()&(os.ModeSetgid|os.ModeSticky)
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	}
	return l.mkdir(dir, mode, uid, gid)
}

func (l *layer) mkdir(path string, mode os.FileMode, uid, gid int) error {
	if err := os.Mkdir(l.dir+path, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	_ = os.Chown(l.dir+path, uid, gid) // in a user namespace without that id the owner is root
	return os.Chmod(l.dir+path, mode)
}

// real resolves symbolic links in the directory part, because a layer must not put a directory where the base has a link
// ("/bin" on merged systems).
func (l *layer) real(path string) string {
	dir, name := filepath.Split(filepath.Clean("/" + path))
	return filepath.Join(l.realDir(filepath.Clean(dir)), name)
}

// realDir resolves a directory, remembering the answers: packages list hundreds of thousands of paths.
func (l *layer) realDir(dir string) string {
	if dir == "/" {
		return dir
	}
	if known, ok := l.dirs[dir]; ok {
		return known
	}
	if l.dirs == nil {
		l.dirs = map[string]string{}
	}
	l.dirs[dir] = dir // stops a cycle of links
	next := filepath.Join(l.realDir(filepath.Dir(dir)), filepath.Base(dir))
	if to, err := os.Readlink(l.base + next); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(next), to)
		}
		next = l.realDir(filepath.Clean(to))
	}
	l.dirs[dir] = next
	return next
}

// hide makes a file or directory of the base invisible. What the base lacks needs no hiding.
func (l *layer) hide(path string) error {
	path = l.real(path)
	if _, err := os.Lstat(filepath.Join(l.base, path)); err != nil {
		return nil
	}
	if err := l.parents(path); err != nil {
		return err
	}
	if l.whiteout != "" && os.Link(l.whiteout, l.dir+path) == nil {
		return nil
	}
	if err := unix.Mknod(l.dir+path, unix.S_IFCHR, 0); err != nil {
		if err == unix.EEXIST {
			return nil
		}
		return fmt.Errorf("cannot hide %s: %w", path, err)
	}
	l.whiteout = l.dir + path
	return nil
}

// empty makes a directory that shows nothing of the base's, keeping the base's mode and owner when it has it.
func (l *layer) empty(path string, mode os.FileMode) error {
	path = l.real(path)
	if fi, err := os.Lstat(filepath.Join(l.base, path)); err == nil && !fi.IsDir() {
		return nil // a link somewhere: what it leads to is treated by itself
	}
	if err := l.parents(path + "/x"); err != nil {
		return err
	}
	if mode != 0 {
		if err := os.Chmod(l.dir+path, mode); err != nil {
			return err
		}
	}
	name := "trusted.overlay.opaque"
	if l.userXattr {
		name = "user.overlay.opaque"
	}
	if unix.Setxattr(l.dir+path, name, []byte("y"), 0) == nil {
		return nil
	}
	// Before Linux 6.6 tmpfs has no user attributes: hide the entries one by one.
	entries, err := os.ReadDir(l.base + path)
	if err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
		return fmt.Errorf("cannot empty %s: %w", path, err)
	}
	for _, e := range entries {
		if err := l.hide(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) write(path string, data []byte, mode os.FileMode) error {
	path = l.real(path)
	if err := l.parents(path); err != nil {
		return err
	}
	_ = os.Remove(l.dir + path)
	if err := os.WriteFile(l.dir+path, data, mode); err != nil {
		return err
	}
	return os.Chmod(l.dir+path, mode)
}

func (l *layer) symlink(to, path string) error {
	path = l.real(path)
	if err := l.parents(path); err != nil {
		return err
	}
	_ = os.Remove(l.dir + path)
	return os.Symlink(to, l.dir+path)
}

// copy puts a file of this machine into the layer.
func (l *layer) copy(from, path string, mode os.FileMode) error {
	path = l.real(path)
	if err := l.parents(path); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(l.dir+path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Chmod(l.dir+path, mode)
}

// exists tells whether the image will show the path (the base's, unless hidden as a file of its own).
func (l *layer) exists(path string) bool {
	path = l.real(path)
	if fi, err := os.Lstat(l.dir + path); err == nil {
		return fi.Mode()&os.ModeCharDevice == 0
	}
	_, err := os.Lstat(filepath.Join(l.base, path))
	return err == nil
}
