package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxDocuments bounds what a search for documents returns; more are not one project.
const maxDocuments = 20_000

// versionLine begins a document of any dialect. Only the first bytes of a file are searched for it.
var versionLine = regexp.MustCompile(`(?m)^(\{\s*)?["']?tosca_definitions_version["']?\s*:`)

// versionWithin bytes of a document its version is named.
const versionWithin = 64 << 10

// Documents finds what can be validated on its own below a directory: YAML files that name a tosca_definitions_version, archives, and
// directories with a TOSCA.meta (which are one archive each, and not searched). The paths begin with dir and are sorted;
// dir alone is returned if it is such an archive itself. Hidden directories
// are passed over; links are not followed.
func Documents(dir string) ([]string, error) {
	if closedArchive(dir) {
		return []string{dir}, nil
	}
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir():
			if closedArchive(p) {
				out = append(out, p)
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		case archiveName(p) || IsYAML(p) && namesVersion(p):
			out = append(out, p)
		}
		if len(out) > maxDocuments {
			return fmt.Errorf("there are more than %d documents below %s", maxDocuments, dir)
		}
		return nil
	})
	slices.Sort(out)
	if err != nil {
		return out, fmt.Errorf("cannot search %s: %w", dir, err)
	}
	return out, nil
}

// closedArchive reports a directory that is an unpacked archive: all of it belongs to the document that its TOSCA.meta names.
func closedArchive(dir string) bool {
	for _, p := range []string{"TOSCA-Metadata/TOSCA.meta", "TOSCA.meta"} {
		if info, err := os.Stat(filepath.Join(dir, p)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// IsYAML reports a file name that ends as YAML files do.
func IsYAML(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}

func namesVersion(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return true // validating it says why it cannot be read
	}
	defer f.Close()
	head := make([]byte, versionWithin)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return true
	}
	return versionLine.Match(bytes.TrimPrefix(head[:n], []byte("\xef\xbb\xbf")))
}
