package toolcache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestDirOrder(t *testing.T) {
	t.Setenv("HOME", "/home/u")
	for _, tt := range []struct{ orch, xdg, want string }{
		{"/c", "/x", "/c"},
		{"", "/x", "/x/orch"},
		{"", "", "/home/u/.cache/orch"},
	} {
		t.Setenv("ORCH_CACHE", tt.orch)
		t.Setenv("XDG_CACHE_HOME", tt.xdg)
		if got, err := Dir(); err != nil || got != tt.want {
			t.Errorf("ORCH_CACHE=%q XDG_CACHE_HOME=%q: got %q, %v, want %q", tt.orch, tt.xdg, got, err, tt.want)
		}
	}
}

func TestDirWithoutHomeSaysWhatToSet(t *testing.T) {
	for _, name := range []string{"HOME", "ORCH_CACHE", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	if dir, err := Dir(); err == nil {
		t.Errorf("got %q, want an error", dir)
	}
}

func TestFindTakesTheNewestThatIsComplete(t *testing.T) {
	root := t.TempDir()
	t.Setenv("ORCH_CACHE", root)
	put := func(path string, mode fs.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Find("tofu"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("empty cache: got %v, want fs.ErrNotExist", err)
	}
	put(Executable(root, "tofu", "1.9.4"), 0o755)
	put(Executable(root, "tofu", "1.10.10"), 0o755)
	put(Executable(root, "tofu", "1.12.0"), 0o644) // not executable
	if err := os.MkdirAll(filepath.Dir(Executable(root, "tofu", "1.13.0")), 0o755); err != nil {
		t.Fatal(err) // a build that is still running
	}
	put(filepath.Join(root, "tools", "tofu", "lock"), 0o644)
	if got, err := Find("tofu"); err != nil || got != Executable(root, "tofu", "1.10.10") {
		t.Errorf("got %q, %v", got, err)
	}

	source := "terraform-provider-openstack/openstack"
	put(Provider(root, Registries[0], source, "1.15.0"), 0o755)
	if got, err := FindProvider(Registries[0], source); err != nil || filepath.Base(got) != "terraform-provider-openstack_v1.15.0" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := FindProvider(Registries[1], source); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("other registry: got %q, %v, want fs.ErrNotExist", got, err)
	}
}
