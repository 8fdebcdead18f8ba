package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/pkg/diag"
)

// Unpack writes everything of an archive below dir, which must be empty or not exist yet. Entries have been checked when the archive was
// opened; nothing is written outside of dir whatever they are called. It returns the files' names.
func Unpack(b *Bundle, dir string) ([]string, diag.List) {
	var list diag.List
	pos := diag.Pos{File: b.Name}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		list.Errorf(CodeUnpack, pos, "cannot unpack into %s: the directory is not empty", dir).Hint = "name one that does not exist yet"
		return nil, list
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		list.Errorf(CodeUnpack, pos, "cannot unpack into %s: %s", dir, reason(err))
		return nil, list
	}
	made := !exists(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		list.Errorf(CodeUnpack, pos, "cannot make the directory %s: %s", dir, reason(err))
		return nil, list
	}
	files, err := unpack(b.FS, dir)
	if err != nil {
		list.Errorf(CodeUnpack, pos, "cannot unpack into %s: %s", dir, err)
		removeContents(dir, made)
		return nil, list
	}
	return files, list
}

func exists(p string) bool {
	_, err := os.Lstat(p)
	return err == nil
}

// removeContents takes back what an unpacking that failed has written.
func removeContents(dir string, itself bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(dir, e.Name()))
	}
	if itself {
		_ = os.Remove(dir)
	}
}

func unpack(fsys fs.FS, dir string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open it: %s", reason(err))
	}
	defer root.Close()
	var files []string
	var total int64
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s: %s", p, reason(err))
		case p == ".":
			return nil
		case d.IsDir():
			if err := root.MkdirAll(filepath.FromSlash(p), 0o755); err != nil {
				return fmt.Errorf("%s: %s", p, reason(err))
			}
			return nil
		}
		n, err := unpackFile(fsys, root, p)
		if total += n; err == nil && total > maxArchiveSize {
			err = errors.New("it is larger than an archive may be")
		}
		if err != nil {
			return fmt.Errorf("%s: %s", p, reason(err))
		}
		files = append(files, p)
		return nil
	})
	return files, err
}

func unpackFile(fsys fs.FS, root *os.Root, p string) (int64, error) {
	in, err := fsys.Open(p)
	if err != nil {
		return 0, err //nolint:wrapcheck // the caller names the file
	}
	defer in.Close()
	mode := fs.FileMode(0o644)
	if info, err := in.Stat(); err == nil && info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	out, err := root.OpenFile(filepath.FromSlash(p), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return 0, err //nolint:wrapcheck // the caller names the file
	}
	n, err := io.Copy(out, io.LimitReader(in, maxEntrySize+1))
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil && n > maxEntrySize {
		err = errors.New("it is larger than a file may be")
	}
	return n, err
}
