// Package tools_test tests the scripts that stand between a newcomer and Go.
package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo writes a go command of the given version that prints how it was called.
func fakeGo(t *testing.T, version, toolchain string) (path string) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
case "$1 $2" in
"env GOVERSION") echo ` + version + ` ;;
"env GOTOOLCHAIN") echo ` + toolchain + ` ;;
*) echo "$(pwd) called go $*" ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "sed", "sort", "head", "dirname", "printf", "pwd"} {
		if real, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(real, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestTaskWrapper(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	root, _ = filepath.EvalSymlinks(root)
	runs := root + " called go tool -modfile=tools/task/go.mod task demo KEEP=1\n"
	for name, tt := range map[string]struct {
		version, toolchain string // version "" for no go at all
		want               []string
		code               int
	}{
		"newer":                       {"go1.99.0", "auto", []string{runs}, 0},
		"two-digit minor is newer":    {"go1.100", "local", []string{runs}, 0},
		"development version":         {"devel", "local", []string{runs}, 0},
		"absent":                      {"", "", []string{"Go is not installed, or not on PATH", "https://go.dev/dl/"}, 1},
		"too old to fetch another":    {"go1.19.8", "", []string{"this is Go 1.19.8", "or newer is needed: https://go.dev/dl/"}, 1},
		"old, and fetching forbidden": {"go1.22.1", "local", []string{"GOTOOLCHAIN=local forbids", "GOTOOLCHAIN=auto ./task demo KEEP=1"}, 1},
		"old, and it fetches":         {"go1.22.1", "auto", []string{"Go 1.22.1 fetches Go 1.", runs}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fakeGo(t, tt.version, tt.toolchain)
			if tt.version == "" {
				if err := os.Remove(filepath.Join(path, "go")); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(filepath.Join(root, "task"), "demo", "KEEP=1")
			cmd.Dir = t.TempDir() // any directory will do
			cmd.Env = []string{"PATH=" + path, "HOME=/nonexistent"}
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
		})
	}
}

// Every script must at least be read by the shell it names.
func TestScriptsParse(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"../task", "../.ci/run", "setup.sh", "fuzz.sh", "digest.sh", "demo/demo.sh"} {
		data, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(data), "\n")
		shell := strings.TrimPrefix(first, "#!")
		if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s -n %s: %v\n%s", shell, script, err, out)
		}
		if info, err := os.Stat(script); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s is not executable", script)
		}
	}
}
