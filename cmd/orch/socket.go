package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/state/open"
)

// socketPath is where whoever has the store file serves it. Each file has a socket of its own in the home directory; a longer path than a socket
// may have goes into a directory of the user's own below the temporary directory, where others can make names as well.
func socketPath(c *config.Config) string {
	name := "orch"
	if file := realPath(open.File(c.Store)); file != realPath(filepath.Join(c.Home, "orch.db")) {
		name += "-" + hash(file)
	}
	path := filepath.Join(c.Home, name+".sock")
	const limit = 100 // sun_path holds 108 bytes
	if len(path) <= limit {
		return path
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("orch-%d", os.Geteuid()), "orch-"+hash(path)+".sock")
}

// checkSocket says why nobody should talk to a socket, or listen on it: it or its directory belongs to another user, who could have put it there to
// be told documents, inputs and secrets. A socket that is not there is not wrong. Root may use those of a directory's owner, but not where
// everybody can make directories.
func checkSocket(path string) error {
	dir, err := owner(filepath.Dir(path))
	if err != nil {
		return absent(err)
	}
	me := uint32(os.Geteuid())
	root := me == 0 && !everybodys(filepath.Dir(filepath.Dir(path)))
	if dir != me && dir != 0 && !root {
		return fmt.Errorf("the directory %s belongs to another user (uid %d)", filepath.Dir(path), dir)
	}
	have, err := owner(path)
	if err != nil {
		return absent(err)
	}
	if have != me && (!root || have != dir) {
		return fmt.Errorf("the socket %s belongs to another user (uid %d)", path, have)
	}
	return nil
}

// everybodys reports whether all users can make names in a directory, as in /tmp.
func everybodys(dir string) bool {
	info, err := os.Stat(dir)
	return err != nil || info.Mode().Perm()&0o002 != 0
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// owner of a file; of a link, not of what it points to.
func owner(path string) (uint32, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Uid, nil
}

// makeRoom makes room for a socket. What lies there is a dead process's.
func makeRoom(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := checkSocket(path); err != nil {
		return err
	}
	return absent(os.Remove(path))
}
