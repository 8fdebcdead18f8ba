package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

type entryFile struct {
	name, body string
	mode       fs.FileMode
}

func zipOf(t testing.TB, files ...entryFile) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode | 0o644)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t testing.TB, files ...entryFile) []byte {
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body)), Typeflag: tar.TypeReg}
		if f.mode&fs.ModeSymlink != 0 {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.body, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Close()
	gz.Close()
	return b.Bytes()
}

func openBytes(data []byte) (*Bundle, []string) {
	b, list := OpenReader("a.csar", bytes.NewReader(data), int64(len(data)))
	var codes []string
	for _, d := range list {
		codes = append(codes, d.Code+" "+d.Message)
	}
	return b, codes
}

func TestArchiveEntries(t *testing.T) {
	doc := entryFile{name: "app.yaml", body: "a: 1"}
	meta := func(entry string) entryFile {
		return entryFile{name: "TOSCA-Metadata/TOSCA.meta", body: "TOSCA-Meta-File-Version: 1.0\nCSAR-Version: 1.1\nEntry-Definitions: " + entry + "\n"}
	}
	for name, tc := range map[string]struct {
		files []entryFile
		entry string
		want  string // part of the diagnostic
	}{
		"only document":        {files: []entryFile{doc}, entry: "app.yaml"},
		"named by the meta":    {files: []entryFile{doc, {name: "defs/x.yaml", body: "b: 1"}, meta("defs/x.yaml")}, entry: "defs/x.yaml"},
		"meta names nothing":   {files: []entryFile{doc, meta("ap.yaml")}, want: `Entry-Definitions names ap.yaml`},
		"meta leaves":          {files: []entryFile{doc, meta("../x.yaml")}, want: "leaves the archive"},
		"meta without entry":   {files: []entryFile{doc, {name: "TOSCA.meta", body: "CSAR-Version: 2.0\n"}}, want: "no Entry-Definitions"},
		"meta is no key value": {files: []entryFile{doc, {name: "TOSCA.meta", body: "Entry-Definitions: app.yaml\nnonsense\n"}}, want: "not of the form"},
		"one folder":           {files: []entryFile{{name: "app/x.yaml", body: "a: 1"}, {name: "app/s/y.yaml", body: "b: 1"}, {name: "__MACOSX/app/x.yaml", body: ""}}, entry: "app/x.yaml"},
		"one folder, meta":     {files: []entryFile{{name: "app/TOSCA-Metadata/TOSCA.meta", body: "CSAR-Version: 1.1\nEntry-Definitions: defs/x.yaml\n"}, {name: "app/defs/x.yaml", body: "b: 1"}}, entry: "app/defs/x.yaml"},
		"one folder, leaves":   {files: []entryFile{{name: "app/TOSCA.meta", body: "Entry-Definitions: ../x.yaml\n"}, {name: "app/x.yaml", body: "b: 1"}}, want: "leaves the archive"},
		"blueprint by name":    {files: []entryFile{{name: "app/blueprint.yaml", body: "tosca_definitions_version: x"}, {name: "app/aws.yaml", body: "tosca_definitions_version: x"}}, entry: "app/blueprint.yaml"},
		"the versioned one":    {files: []entryFile{{name: "inputs.yaml", body: "tosca: 1"}, {name: "my.yaml", body: "# x\ntosca_definitions_version: x\n"}}, entry: "my.yaml"},
		"two versioned":        {files: []entryFile{{name: "a.yaml", body: "tosca_definitions_version: x"}, {name: "b.yaml", body: "tosca_definitions_version: x"}}, want: "2 YAML documents"},
		"two documents":        {files: []entryFile{doc, {name: "b.yml", body: "b: 1"}}, want: "2 YAML documents at the root"},
		"no document":          {files: []entryFile{{name: "readme", body: "x"}}, want: "no YAML document"},
		"zip slip":             {files: []entryFile{doc, {name: "../../etc/cron.d/x", body: "x"}}, want: "its path leaves the archive"},
		"backslash slip":       {files: []entryFile{doc, {name: `..\..\x`, body: "x"}}, want: "its path leaves the archive"},
		"absolute":             {files: []entryFile{doc, {name: "/etc/passwd", body: "x"}}, want: "its path is absolute"},
		"drive":                {files: []entryFile{doc, {name: "C:/x", body: "x"}}, want: "its path is absolute"},
		"link":                 {files: []entryFile{doc, {name: "l", body: "/etc/passwd", mode: fs.ModeSymlink}}, want: "it is a symbolic link"},
	} {
		for kind, pack := range map[string]func(testing.TB, ...entryFile) []byte{"zip": zipOf, "tar": tarOf} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				b, codes := openBytes(pack(t, tc.files...))
				all := strings.Join(codes, "\n")
				if tc.want != "" {
					if !strings.Contains(all, tc.want) {
						t.Errorf("got %q, want %q", all, tc.want)
					}
					return
				}
				if len(codes) > 0 || b.Entry != tc.entry {
					t.Errorf("entry %q, diagnostics %q", b.Entry, all)
				}
				if _, err := fs.ReadFile(b.FS, tc.entry); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestOpenInsideOfArchive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.zip")
	data := zipOf(t, entryFile{name: "top/a.yaml", body: "tosca_definitions_version: x"}, entryFile{name: "top/b.yaml", body: "tosca_definitions_version: x"})
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, list := Open(name + "!top/b.yaml")
	if len(list) > 0 || b.Entry != "top/b.yaml" || b.Base != "top" || b.Display(b.Entry) != name+"!top/b.yaml" {
		t.Errorf("%v %v", b, list)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if b, list = Open(name + "!top/c.yaml"); b != nil || len(list) != 1 || list[0].Code != CodeEntry || list[0].Hint != `did you mean "top/b.yaml"?` && list[0].Hint != `did you mean "top/a.yaml"?` {
		t.Errorf("%v %v", b, list)
	}
}

// Of two entries of a zip with one name nobody knows which is meant; of a tar it is the last one.
func TestArchiveEntriesTwice(t *testing.T) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for range 2 {
		if _, err := w.Create("topology.yml"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, list := OpenReader("a.zip", bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if len(list) != 1 || !strings.Contains(list[0].Message, `"topology.yml" twice`) {
		t.Errorf("%v", list)
	}
}

func TestArchiveBombs(t *testing.T) {
	// What an entry claims is enough to refuse it: nothing is unpacked.
	const size = 80 << 20
	var zb, tb bytes.Buffer
	z := zip.NewWriter(&zb)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "bomb", Method: zip.Deflate, UncompressedSize64: size, CompressedSize64: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	gz := gzip.NewWriter(&tb)
	if err := tar.NewWriter(gz).WriteHeader(&tar.Header{Name: "bomb", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	gz.Close()
	for kind, data := range map[string][]byte{"zip": zb.Bytes(), "tar": tb.Bytes()} {
		b, codes := openBytes(data)
		if b != nil || len(codes) != 1 || !strings.Contains(codes[0], "far more than is reasonable") {
			t.Errorf("%s: %v", kind, codes)
		}
	}
}

func TestArchiveDamaged(t *testing.T) {
	good := zipOf(t, entryFile{name: "app.yaml", body: "a: 1"})
	for _, data := range [][]byte{nil, []byte("hello"), good[:len(good)-10], good[:30], {0x1f, 0x8b, 8}, {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3}} {
		if b, codes := openBytes(data); b != nil || len(codes) != 1 || !strings.HasPrefix(codes[0], CodeArchive) {
			t.Errorf("%d bytes: %v", len(data), codes)
		}
	}
}

func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string) string {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write("one/first.yaml", "a: 1")
	write("many/topology.yaml", "a: 1")
	write("many/other.yaml", "a: 1")
	write("outside.yaml", "a: 1")
	zipped := write("app.csar", string(zipOf(t, entryFile{name: "x.yaml", body: "a: 1"})))
	if err := os.Symlink(filepath.Join(dir, "outside.yaml"), filepath.Join(dir, "one", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "one", "first.yaml"): "first.yaml", filepath.Join(dir, "many"): "topology.yaml", zipped: "x.yaml",
	} {
		b, list := Open(path)
		if list != nil || b.Entry != want {
			t.Errorf("%s: %v %v", path, b, list)
			continue
		}
		if _, err := fs.ReadFile(b.FS, b.Entry); err != nil {
			t.Error(err)
		}
		b.Close()
	}
	b, list := Open(filepath.Join(dir, "one"))
	if b == nil || list == nil { // first.yaml and link.yaml are two documents
		t.Errorf("one: %v", list)
	}
	if _, err := fs.ReadFile(b.FS, "link.yaml"); err == nil {
		t.Error("a link out of the directory was followed")
	}
	b.Close()
	if _, list := Open(filepath.Join(dir, "nope")); len(list) != 1 || list[0].Code != CodeRead {
		t.Errorf("nope: %v", list)
	}

	single, _ := Open(filepath.Join(dir, "one", "first.yaml"))
	wide := single.Widen(1)
	if wide == nil || wide.Entry != "one/first.yaml" {
		t.Fatalf("widened to %+v", wide)
	}
	if got, want := wide.Display("outside.yaml"), filepath.Join(dir, "outside.yaml"); got != want {
		t.Errorf("Display = %q, want %q", got, want)
	}
	single.Close()
	wide.Close()
}

func TestDigest(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{"a": "1", "d/b": "2", "d/c": "3"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(names ...string) string {
		d, err := Digest(os.DirFS(dir), names)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := digest("a", "d")
	if digest("d", "a", "a") != before {
		t.Error("the order of names changes the digest")
	}
	if err := os.WriteFile(filepath.Join(dir, "d/c"), []byte("4"), 0o644); err != nil {
		t.Fatal(err)
	}
	if digest("a", "d") == before {
		t.Error("a changed file in a directory does not change the digest")
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(zipOf(f, entryFile{name: "app.yaml", body: "a: 1"}, entryFile{name: "TOSCA.meta", body: "Entry-Definitions: app.yaml"}))
	f.Add(tarOf(f, entryFile{name: "app.yaml", body: "a: 1"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		b, list := OpenReader("f", bytes.NewReader(data), int64(len(data)))
		if b == nil && !list.HasErrors() {
			t.Fatal("neither a bundle nor an error")
		}
		if b != nil {
			_ = fs.WalkDir(b.FS, ".", func(p string, d fs.DirEntry, err error) error {
				if !fs.ValidPath(p) {
					t.Fatalf("invalid path %q", p)
				}
				return err
			})
		}
	})
}
