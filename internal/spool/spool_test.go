package spool

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/iotest"
)

// What is read is there whole and from anywhere, whether it lies in memory or in a file, which nobody finds.
func TestRead(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, n := range []int{0, 1, 99, 100, 101, 100_000} {
		want := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		data, size, err := Read(iotest.HalfReader(bytes.NewReader(want)), 100)
		if err != nil || size != int64(n) {
			t.Fatalf("%d bytes: %d, %v", n, size, err)
		}
		if _, file := data.(*os.File); file != (n > 100) {
			t.Errorf("%d bytes: %T", n, data)
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
			t.Errorf("%d bytes: %v, %v", n, left, err)
		}
		runtime.GC()
		if got, err := io.ReadAll(data); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		end := make([]byte, 1)
		if _, err := data.ReadAt(end, size-1); n > 0 && (err != nil || end[0] != want[n-1]) {
			t.Errorf("%d bytes: the last is %q, %v", n, end, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	if data, _, err := Read(io.MultiReader(bytes.NewReader(make([]byte, 200)), iotest.ErrReader(io.ErrNoProgress)), 100); data != nil || err != io.ErrNoProgress {
		t.Errorf("%v, %v", data, err)
	}
	t.Setenv("TMPDIR", "/nowhere")
	if data, _, err := Read(bytes.NewReader(make([]byte, 200)), 100); data != nil || err == nil {
		t.Errorf("%v, %v", data, err)
	}
}
