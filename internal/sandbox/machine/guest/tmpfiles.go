package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
)

// tmpfiles makes the directories that packages expect in /run after a boot: the lines of type "d" and "D" of tmpfiles.d(5)
// that lie there. Files in /etc win over those of the same name in /usr/lib.
func tmpfiles(root string) error {
	byName := map[string]string{}
	for _, dir := range []string{"usr/lib/tmpfiles.d", "run/tmpfiles.d", "etc/tmpfiles.d"} {
		found, _ := filepath.Glob(filepath.Join(root, dir, "*.conf"))
		for _, f := range found {
			byName[filepath.Base(f)] = f
		}
	}
	var names []string
	for n := range byName {
		names = append(names, n)
	}
	sort.Strings(names)
	db, err := account.Open(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		data, err := os.ReadFile(byName[n])
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if err := tmpfilesLine(root, db, strings.Fields(line)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", byName[n], err))
			}
		}
	}
	return errors.Join(errs...)
}

func tmpfilesLine(root string, db *account.DB, f []string) error {
	if len(f) < 2 || f[0][0] != 'd' && f[0][0] != 'D' {
		return nil
	}
	path := f[1]
	if p, ok := strings.CutPrefix(path, "/var/run/"); ok {
		path = "/run/" + p
	}
	if !strings.HasPrefix(path, "/run/") || strings.Contains(path, "%") || strings.HasPrefix(path, "/run/systemd") {
		return nil
	}
	field := func(i int) string {
		if i < len(f) && f[i] != "-" {
			return strings.Trim(f[i], "~:")
		}
		return ""
	}
	mode := os.FileMode(0o755)
	if m, err := strconv.ParseUint(field(2), 8, 32); err == nil {
		mode = os.FileMode(m & 0o777)
		if m&0o1000 != 0 {
			mode |= os.ModeSticky
		}
		if m&0o2000 != 0 {
			mode |= os.ModeSetgid
		}
	}
	uid, gid, err := db.Lookup(field(3), field(4))
	if err != nil {
		return nil // the package's user does not exist, so the package is not really there
	}
	target := filepath.Join(root, path)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chown(target, uid, gid), os.Chmod(target, mode))
}
