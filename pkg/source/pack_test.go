package source

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func packedOf(fsys fstest.MapFS) []Packed {
	var out []Packed
	for name := range fsys { // the order of a map must not matter
		out = append(out, Packed{Name: name, FS: fsys, From: name})
	}
	return append(out, Packed{Name: "TOSCA-Metadata/TOSCA.meta", Data: []byte("CSAR-Version: 1.1\nEntry-Definitions: a.yaml\n")})
}

func TestArchivesAreDeterministicAndComeBack(t *testing.T) {
	at := func(when time.Time) fstest.MapFS {
		return fstest.MapFS{
			"a.yaml":      {Data: []byte("a: 1\n"), ModTime: when, Mode: 0o600},
			"b/c/run.sh":  {Data: []byte("#!/bin/sh\n"), ModTime: when, Mode: 0o700},
			"b/empty.txt": {ModTime: when},
		}
	}
	for name, write := range map[string]func(*bytes.Buffer, []Packed) error{
		"x.zip":    func(b *bytes.Buffer, f []Packed) error { return WriteZip(b, f) },
		"x.tar.gz": func(b *bytes.Buffer, f []Packed) error { return WriteTarball(b, f) },
	} {
		var first, second bytes.Buffer
		if err := write(&first, packedOf(at(time.Unix(1e9, 0)))); err != nil {
			t.Fatal(err)
		}
		if err := write(&second, packedOf(at(time.Now()))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: the same files give different bytes", name)
		}
		b, list := OpenReader(name, bytes.NewReader(first.Bytes()), int64(first.Len()))
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new")
		files, list := Unpack(b, dir)
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"TOSCA-Metadata/TOSCA.meta", "a.yaml", "b/c/run.sh", "b/empty.txt"}, files); diff != "" {
			t.Error(diff)
		}
		for p, mode := range map[string]fs.FileMode{"a.yaml": 0o644, "b/c/run.sh": 0o755} {
			if info, err := os.Stat(filepath.Join(dir, p)); err != nil || info.Mode().Perm()&0o111 != mode&0o111 {
				t.Errorf("%s: %v %v", p, info, err)
			}
		}
	}
}

func TestUnpackRefusesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	b, _ := OpenFS("x", fstest.MapFS{"a.yaml": {}}, "a.yaml")
	if _, list := Unpack(b, dir); list.HasErrors() {
		t.Errorf("an empty directory is fine: %v", list)
	}
	if _, list := Unpack(b, dir); !list.HasErrors() {
		t.Error("a directory with files is not overwritten")
	}
	if _, list := Unpack(b, filepath.Join(dir, "a.yaml")); !list.HasErrors() {
		t.Error("a file is no directory")
	}
}

// A failure leaves nothing behind.
func TestUnpackTakesBackWhatItWrote(t *testing.T) {
	parent := t.TempDir()
	long := strings.Repeat("x", 300) // longer than a file name may be
	b, _ := OpenFS("x", fstest.MapFS{"a.yaml": {Data: []byte("a")}, long: {}}, "a.yaml")
	if _, list := Unpack(b, filepath.Join(parent, "new")); !list.HasErrors() {
		t.Fatal("the name is too long for a file system")
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// The directory may hold a link that somebody put there meanwhile: nothing is written through it.
func TestUnpackNeverLeavesTheDirectory(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "b")); err != nil {
		t.Skip(err)
	}
	_, err := unpack(fstest.MapFS{"b/evil.sh": {Data: []byte("x")}}, dir)
	if entries, _ := os.ReadDir(outside); err == nil || len(entries) > 0 {
		t.Errorf("%v, %v", err, entries)
	}
}
