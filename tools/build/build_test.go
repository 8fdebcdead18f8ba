package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orch-project/orch/internal/toolcache"
)

// fixture is a tool of this test's own, that builds without the network: its module replaces what it pins by a directory.
func fixture(t *testing.T) (*builder, tool, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tools/hello/go.mod"), "module example.org/tools/hello\n\ngo 1.26\n\ntool example.org/hello\n\n"+
		"require example.org/hello v1.2.3\n\nreplace example.org/hello => ../../src\n")
	write(t, filepath.Join(dir, "src/go.mod"), "module example.org/hello\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "src/main.go"), "package main\n\nvar Version = \"1.2.3\"\n\nfunc main() { println(\"hello\", Version) }\n")
	out := &bytes.Buffer{}
	b := &builder{modules: filepath.Join(dir, "tools"), cache: filepath.Join(dir, "cache"), say: &progress{w: &lockedWriter{w: out}, width: 80}}
	return b, tool{name: "hello", module: "example.org/hello", pkg: "example.org/hello", check: []string{}, cold: "1 second"}, out
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBuildOnceAndAgainWhenTheRecipeChanges(t *testing.T) {
	t.Parallel()
	b, hello, out := fixture(t)
	exe, err := b.build(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	if want := toolcache.Executable(b.cache, "hello", "1.2.3"); exe != want {
		t.Errorf("built %s, want %s", exe, want)
	}
	if !strings.Contains(out.String(), "building hello 1.2.3 (from source, once; about 1 second)") || !strings.Contains(out.String(), "done after") {
		t.Errorf("progress was:\n%s", out)
	}
	first := stat(t, exe)

	out.Reset()
	if _, err := b.build(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, stat(t, exe)) || out.Len() > 0 {
		t.Errorf("built again although nothing changed:\n%s", out)
	}

	write(t, filepath.Join(b.modules, "hello/go.sum"), "example.org/other v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	if _, err := b.build(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if os.SameFile(first, stat(t, exe)) {
		t.Error("not built again although go.sum changed")
	}
}

func TestConcurrentCallsBuildOnce(t *testing.T) {
	t.Parallel()
	b, hello, out := fixture(t)
	var wg sync.WaitGroup
	for range 4 {
		// A builder each, as each process has its own.
		own := &builder{modules: b.modules, cache: b.cache, say: &progress{w: b.say.w, width: 80}}
		wg.Go(func() {
			if _, err := own.build(t.Context(), hello); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(out.String(), "done after"); n != 1 {
		t.Errorf("built %d times:\n%s", n, out)
	}
}

func TestFailedBuildLeavesWhatWasThereAndSaysWhy(t *testing.T) {
	t.Parallel()
	b, hello, _ := fixture(t)
	source := filepath.Join(b.modules, "../src/main.go")
	exe, err := b.build(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	before := stat(t, exe)
	write(t, source, "package main\n\nfunc main() { undefinedThing() }\n")
	write(t, filepath.Join(b.modules, "hello/go.sum"), "\n")
	_, err = b.build(t.Context(), hello)
	if err == nil || !strings.Contains(err.Error(), "cannot build hello 1.2.3") || !strings.Contains(err.Error(), "undefined: undefinedThing") ||
		!strings.Contains(err.Error(), "build.log") {
		t.Errorf("error was: %v", err)
	}
	if !os.SameFile(before, stat(t, exe)) {
		t.Error("the old executable is gone")
	}
	if _, err := os.Stat(exe + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("temporary file is left: %v", err)
	}
}

func TestWrongVersionIsNotPutInPlace(t *testing.T) {
	t.Parallel()
	b, hello, _ := fixture(t)
	write(t, filepath.Join(b.modules, "../src/main.go"), "package main\n\nfunc main() { println(\"hello 0.0.1\") }\n")
	exe, err := b.build(t.Context(), hello)
	if err == nil || !strings.Contains(err.Error(), `says it is "hello 0.0.1", not 1.2.3`) {
		t.Errorf("built %q, error %v", exe, err)
	}
	if _, err := os.Stat(toolcache.Executable(b.cache, "hello", "1.2.3")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("executable was put in place: %v", err)
	}
}

func TestCancelledBuildIsDoneByTheNextCall(t *testing.T) {
	t.Parallel()
	b, hello, _ := fixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.build(ctx, hello); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if _, err := b.build(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
}

func TestProviderIsMirroredForBothRegistries(t *testing.T) {
	t.Parallel()
	b, hello, _ := fixture(t)
	hello.provider = "acme/hello"
	exe, err := b.build(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, registry := range toolcache.Registries {
		p := toolcache.Provider(b.cache, registry, "acme/hello", "1.2.3")
		places = append(places, p)
		if !os.SameFile(stat(t, exe), stat(t, p)) {
			t.Errorf("%s is not the executable", p)
		}
		if entries, _ := os.ReadDir(filepath.Dir(p)); len(entries) != 1 {
			t.Errorf("%s holds %d files; Terraform takes all of them as the provider", filepath.Dir(p), len(entries))
		}
	}
	if err := os.RemoveAll(filepath.Dir(places[1])); err != nil {
		t.Fatal(err)
	}
	if _, err := b.build(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	stat(t, places[1]) // laid out again without a build
}

func TestCopiedProviderCountsAsTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, from, "provider")
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
	if !same(from, to) || stat(t, to).Mode().Perm()&0o111 == 0 {
		t.Errorf("copy differs: %v", stat(t, to))
	}
	write(t, from, "another provider")
	if same(from, to) {
		t.Error("a new executable counts as mirrored")
	}
}

func TestEveryToolHasAPinnedVersion(t *testing.T) {
	t.Parallel()
	root, err := checkout()
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{modules: filepath.Join(root, "tools")}
	for _, tool := range tools {
		if v, err := b.version(tool); err != nil || v == "" {
			t.Errorf("%s: %q, %v", tool.name, v, err)
		}
	}
	if _, err := find("consull"); err == nil || !strings.Contains(err.Error(), "known are consul, tofu") {
		t.Errorf("unknown tool: %v", err)
	}
}

func TestCleanRemovesToolsAndLeavesOtherProviders(t *testing.T) {
	t.Parallel()
	b := &builder{cache: t.TempDir(), say: &progress{w: &bytes.Buffer{}, width: 80}}
	tofu := toolcache.Executable(b.cache, "tofu", "1.0.0")
	other := toolcache.Provider(b.cache, toolcache.Registries[0], "acme/hello", "1.0.0")
	ours := toolcache.Provider(b.cache, toolcache.Registries[0], "terraform-provider-openstack/openstack", "1.0.0")
	for _, path := range []string{tofu, other, ours, toolcache.Executable(b.cache, "terraform-provider-openstack", "1.0.0")} {
		write(t, path, "")
	}
	if err := b.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{tofu: false, ours: false, other: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want there: %v", path, err, want)
		}
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
