package source

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/fstest"
)

// A tar's file system is one, small or large; the last of two entries with one name counts.
func TestTarFS(t *testing.T) {
	noise := make([]byte, tarInMemory)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, large := range map[string][]byte{"in memory": noise[:1<<10], "in a file": noise} {
		data := tarOf(t, entryFile{name: "app.yaml", body: "a: 0"}, entryFile{name: "files/noise", body: string(large)}, entryFile{name: "app.yaml", body: "a: 12"}, entryFile{name: "none", body: ""})
		fsys, list := openTar("x", bytes.NewReader(data), int64(len(data)))
		if list.HasErrors() {
			t.Fatal(name, list)
		}
		if len(large) < tarInMemory { // it reads each byte by itself
			if err := fstest.TestFS(fsys, "app.yaml", "files/noise", "none"); err != nil {
				t.Error(name, err)
			}
		}
		if got, err := fs.ReadFile(fsys, "files/noise"); err != nil || !bytes.Equal(got, large) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if got, err := fs.ReadFile(fsys, "app.yaml"); err != nil || string(got) != "a: 12" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		sub, err := fs.Sub(fsys, "files")
		if err != nil {
			t.Fatal(err)
		}
		entries, err := fs.ReadDir(sub, ".")
		if err != nil || len(entries) != 1 {
			t.Fatal(name, entries, err)
		}
		if info, err := entries[0].Info(); err != nil || info.Size() != int64(len(large)) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// What a large tar unpacks to is not held in memory.
func TestLargeTars(t *testing.T) {
	const size = 4 * tarInMemory
	data := tarOf(t, entryFile{name: "app.yaml", body: "a: 0"}, entryFile{name: "large", body: string(make([]byte, size))})
	held := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	fsys, list := openTar("x", bytes.NewReader(data), size)
	if fsys == nil {
		t.Fatal(list)
	}
	if more := held() - before; more > size/2 {
		t.Errorf("%d bytes are held for %d", more, size)
	}
	runtime.KeepAlive(data)
	runtime.KeepAlive(fsys)
}
