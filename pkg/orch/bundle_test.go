package orch

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"
)

// A bundle with a large file is packed into a file, so that an archive of 100 MB does not take some 600 MB of memory; its digest is that of the zip.
func TestLargeBundleIsPackedIntoAFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for size, file := range map[int]bool{1 << 10: false, contentInMemory + 1<<20: true} {
		content := make([]byte, size)
		for i, x := 0, uint32(1); i < size; i++ { // nothing that could be compressed
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			content[i] = byte(x)
		}
		r := recordReads(fstest.MapFS{"large.bin": {Data: content, Mode: 0o644}})
		f, err := r.Open("large.bin")
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		data, digest, err := pack([]*recorder{r})
		if err != nil {
			t.Fatal(err)
		}
		if _, is := data.(*os.File); is != file {
			t.Errorf("%d bytes: in a file: %v", size, is)
		}
		raw, err := io.ReadAll(data)
		if sum := sha256.Sum256(raw); err != nil || hex.EncodeToString(sum[:16]) != digest {
			t.Errorf("%d bytes: the digest is another one, %v", size, err)
		}
		z, err := zip.NewReader(data, int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fs.ReadFile(z, "0/large.bin"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes became %d, %v", size, len(got), err)
		}
	}
}
