package machine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
)

// In an ordinary user's namespace servers cannot start from this machine's own root file system: its files belong to ids that the
// namespace has not, and the kernel keeps the mounts of it shut. They start from a copy of the packages of the image:
//
//	DIR/KEY/root         the files; all are the user's, who is root in the namespace
//	DIR/KEY/special.json those that have another owner or a mode that only the owner can give; each image gets them in its layer
//	DIR/KEY/lock         held by the Hosts that use the copy
//
// KEY changes with the installed packages, /etc and the package lists; a copy for another key is removed when nobody uses it.
type base struct {
	dir  string
	lock *os.File
}

const baseFormat = "1"

// special is a file whose owner or mode the user cannot give it.
type special struct {
	Path         string
	Mode         uint32 // the permissions with the set-id and sticky bits
	UID, GID     int
	Capabilities []byte `json:",omitempty"` // the attribute security.capability
}

// left are not copied though packages may have them: hardware is not the servers' affair.
var left = []string{"/usr/lib/modules", "/lib/modules", "/usr/lib/firmware", "/lib/firmware", "/etc/ssl/private", "/proc", "/sys", "/dev"}

// CopyBase brings the copy of this machine's packages in the cache directory up to date, and returns where it is, for Options.Base. Only
// the first time, and when packages or settings of this machine have changed, it takes some seconds; then say is told. Files that the
// user may not read are left out.
func CopyBase(ctx context.Context, cache string, say func(string)) (string, error) {
	key, err := baseKey()
	if err != nil {
		return "", fmt.Errorf("cannot look at this machine's packages: %w", err)
	}
	if cache, err = filepath.Abs(cache); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("cannot make the directory of the servers' files: %w", err)
	}
	if err := os.Chmod(cache, 0o700); err != nil {
		return "", fmt.Errorf("cannot protect the directory of the servers' files: %w", err)
	}
	dir := filepath.Join(cache, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	say("copying this machine's packages for the servers, once")
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", fmt.Errorf("cannot copy this machine's packages: %w", err)
	}
	defer os.RemoveAll(tmp)
	// Held until it has its place: what nobody holds is taken for waste.
	b, err := holdBase(tmp)
	if err != nil {
		return "", err
	}
	defer b.close()
	sweepBases(cache)
	own, err := filepath.EvalSymlinks(cache)
	if err != nil {
		return "", fmt.Errorf("cannot copy this machine's packages: %w", err)
	}
	c := &copier{ctx: ctx, own: own, dir: filepath.Join(tmp, "root"), links: map[[2]uint64]string{}}
	if err := c.run(); err != nil {
		return "", fmt.Errorf("cannot copy this machine's packages to %s: %w", cache, err)
	}
	data, err := json.Marshal(c.special)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tmp, "special.json"), data, 0o600); err != nil {
		return "", fmt.Errorf("cannot copy this machine's packages: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return dir, nil // another was faster
		}
		return "", fmt.Errorf("cannot copy this machine's packages: %w", err)
	}
	return dir, nil
}

// baseKey tells states of this machine's packages, settings and package lists apart.
func baseKey() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, baseFormat)
	add := func(path string, fi fs.FileInfo) {
		fmt.Fprintln(sum, path, fi.Mode(), fi.Size(), fi.ModTime().UnixNano())
	}
	for _, path := range []string{"/var/lib/dpkg/status", "/var/lib/apt/lists", "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/lib/apk/db/installed",
		"/var/lib/pacman/local"} {
		if fi, err := os.Stat(path); err == nil {
			add(path, fi)
		}
	}
	err := filepath.WalkDir("/etc", func(path string, d fs.DirEntry, err error) error {
		if err != nil || slices.Contains(hidden, path) || path == "/etc/mtab" || path == "/etc/adjtime" || path == "/etc/ld.so.cache" {
			return nil
		}
		if slices.Contains(emptied, path) {
			return fs.SkipDir
		}
		if fi, err := d.Info(); err == nil && !fi.IsDir() {
			add(path, fi)
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil))[:16], err
}

// sweepBases removes the copies, and halves of copies, that nobody uses.
func sweepBases(cache string) {
	entries, _ := os.ReadDir(cache)
	for _, e := range entries {
		path := filepath.Join(cache, e.Name())
		f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		_ = f.Close()
	}
}

// holdBase keeps a copy from being removed.
func holdBase(dir string) (*base, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot use the copy of this machine's packages in %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot use the copy of this machine's packages in %s: another process is removing it: %w", dir, err)
	}
	return &base{dir, f}, nil
}

func (b *base) root() string { return filepath.Join(b.dir, "root") }

func (b *base) close() {
	if b != nil {
		_ = b.lock.Close()
	}
}

// apply gives the layer the special files.
func (b *base) apply(l *layer) error {
	data, err := os.ReadFile(filepath.Join(b.dir, "special.json"))
	if err != nil {
		return err
	}
	var all []special
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("the copy in %s is damaged; remove it: %w", b.dir, err)
	}
	for _, s := range all {
		fi, err := os.Lstat(l.base + s.Path)
		if err != nil {
			return fmt.Errorf("the copy in %s is damaged; remove it: %w", b.dir, err)
		}
		mode := fileMode(s.Mode)
		if fi.IsDir() {
			if err := l.parents(s.Path); err != nil {
				return err
			}
			if err := l.mkdir(s.Path, mode, s.UID, s.GID); err != nil {
				return err
			}
			continue
		}
		if err := l.copy(l.base+s.Path, s.Path, mode.Perm()); err != nil {
			return err
		}
		if os.Chown(l.dir+s.Path, s.UID, s.GID) != nil {
			continue // an id beyond those of the namespace
		}
		if err := os.Chmod(l.dir+s.Path, mode); err != nil {
			return err
		}
		if len(s.Capabilities) > 0 {
			_ = unix.Setxattr(l.dir+s.Path, capabilityAttr, s.Capabilities, 0) // a kernel may have no such attributes in memory
		}
	}
	return nil
}

const capabilityAttr = "security.capability"

// fileMode is Go's form of the low bits of a Unix mode.
func fileMode(m uint32) os.FileMode {
	mode := os.FileMode(m & 0o777)
	for bit, flag := range map[uint32]os.FileMode{unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid, unix.S_ISVTX: os.ModeSticky} {
		if m&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// copier copies "/" to dir.
type copier struct {
	ctx     context.Context
	dir     string
	own     string          // the cache, which must not be copied into itself
	gone    map[string]bool // packages' paths that are not in the image
	mounts  map[string]bool // mount points that are no part of the system
	links   map[[2]uint64]string
	special []special
}

func (c *copier) run() error {
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return err
	}
	c.mounts = otherMounts()
	c.gone = map[string]bool{}
	r, err := reduce(&layer{}, "/var/lib/dpkg/status")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		for _, path := range r.hide {
			c.gone[path] = true
		}
	}
	for _, name := range topLevel {
		if _, err := os.Lstat("/" + name); err != nil {
			continue
		}
		if err := c.copy("/" + name); err != nil {
			return err
		}
	}
	return c.secrets()
}

// kept tells whether a path is copied at all.
func (c *copier) kept(path string) bool {
	switch {
	case c.gone[path], slices.Contains(hidden, path), strings.HasPrefix(path, "/etc/ssh/ssh_host_"):
		return false
	case strings.HasPrefix(path, "/usr/local/share/"):
		return strings.HasPrefix(path+"/", "/usr/local/share/ca-certificates/")
	}
	return true
}

// shut tells whether a directory's content is not copied.
func (c *copier) shut(path string) bool {
	local := filepath.Dir(path) == "/usr/local" && path != "/usr/local/share"
	return local || path == c.own || c.mounts[path] || slices.Contains(emptied, path) || slices.Contains(left, path)
}

func (c *copier) copy(path string) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	if !c.kept(path) {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil // it went, or lies where the user may not look
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.directory(path, &st)
	case unix.S_IFREG:
		if strings.HasPrefix(path, "/var/log/") {
			return nil
		}
		return c.file(path, &st)
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		if err != nil {
			return nil
		}
		return os.Symlink(to, c.dir+path)
	}
	return nil
}

func (c *copier) directory(path string, st *unix.Stat_t) error {
	// The user must be able to remove it.
	if err := os.Mkdir(c.dir+path, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(c.dir+path, os.FileMode(st.Mode&0o777|0o700)); err != nil {
		return err
	}
	c.note(path, st, st.Mode&0o700 != 0o700, nil)
	if !c.shut(path) {
		entries, err := os.ReadDir(path)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if err := c.copy(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return c.times(path, st)
}

func (c *copier) file(path string, st *unix.Stat_t) error {
	id := [2]uint64{st.Dev, st.Ino}
	if first, ok := c.links[id]; ok {
		c.note(path, st, false, capabilities(path))
		return os.Link(c.dir+first, c.dir+path)
	}
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(c.dir+path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	// Set-id bits would make it a program of the user's.
	err = errors.Join(err, out.Chmod(os.FileMode(st.Mode&0o777)), out.Close())
	if err != nil {
		return err
	}
	if st.Nlink > 1 {
		c.links[id] = path
	}
	c.note(path, st, false, capabilities(path))
	return c.times(path, st)
}

// note remembers what the copy lacks.
func (c *copier) note(path string, st *unix.Stat_t, other bool, caps []byte) {
	if other || st.Uid != 0 || st.Gid != 0 || st.Mode&(unix.S_ISUID|unix.S_ISGID|unix.S_ISVTX) != 0 || caps != nil {
		c.special = append(c.special, special{path, st.Mode & 0o7777, int(st.Uid), int(st.Gid), caps})
	}
}

// times gives the copy the original's time: Python compiles what has another one again.
func (c *copier) times(path string, st *unix.Stat_t) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, c.dir+path, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func capabilities(path string) []byte {
	var buf [64]byte
	n, err := unix.Getxattr(path, capabilityAttr, buf[:])
	if err != nil || n <= 0 {
		return nil
	}
	return buf[:n]
}

// secrets makes the files that only root may read: they hold passwords, which servers have none of, and the standard's sudoers(5).
func (c *copier) secrets() error {
	db, err := account.Open(c.dir)
	if err != nil {
		return err
	}
	var shadow, gshadow bytes.Buffer
	for _, u := range db.Users {
		fmt.Fprintf(&shadow, "%s:*:19000:0:99999:7:::\n", u.Name)
	}
	for _, g := range db.Groups {
		fmt.Fprintf(&gshadow, "%s:*::%s\n", g.Name, strings.Join(g.Members, ","))
	}
	gid := 0
	if g, ok := db.Group("shadow"); ok {
		gid = g.GID
	}
	for _, f := range []struct {
		path, text string
		mode       uint32
		gid        int
		only       string // where the original has this
	}{
		{"/etc/shadow", shadow.String(), 0o640, gid, "/etc/passwd"}, {"/etc/gshadow", gshadow.String(), 0o640, gid, "/etc/group"},
		{"/etc/sudoers", sudoers, 0o440, 0, "/etc/sudoers"},
	} {
		if _, err := os.Lstat(f.only); err != nil {
			continue
		}
		if _, err := os.Lstat(c.dir + f.path); err == nil {
			continue
		}
		if err := os.WriteFile(c.dir+f.path, []byte(f.text), os.FileMode(f.mode)); err != nil {
			return err
		}
		if f.gid != 0 {
			c.special = append(c.special, special{Path: f.path, Mode: f.mode, GID: f.gid})
		}
	}
	return nil
}

const sudoers = `Defaults	env_reset
Defaults	mail_badpass
Defaults	secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root	ALL=(ALL:ALL) ALL
%sudo	ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
`

// otherMounts are the mount points that hold no part of the operating system.
func otherMounts() map[string]bool {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	system := separateMounts()
	out := map[string]bool{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 4 && fields[4] != "/" && !slices.Contains(system, fields[4]) {
			out[fields[4]] = true
		}
	}
	return out
}
