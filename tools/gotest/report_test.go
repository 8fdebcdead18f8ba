package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module writes a module with the given files and runs gotest in it, for real.
func module(t *testing.T, files map[string]string) (code int, stdout string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.org/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOTEST_BE_MAIN=1", "GOWORK=off", "GOFLAGS=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if _, ok := err.(*exec.ExitError); !ok {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func TestMain(m *testing.M) {
	if os.Getenv("GOTEST_BE_MAIN") != "" {
		os.Unsetenv("GOTEST_BE_MAIN")
		main()
	}
	os.Exit(m.Run())
}

func contains(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(text) {
			t.Errorf("nothing matches %q in:\n%s", p, text)
		}
	}
}

func TestGreenIsShort(t *testing.T) {
	t.Parallel()
	code, out := module(t, map[string]string{
		"a/a_test.go": "package a\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Log(\"chatter\"); t.Run(\"sub\", func(t *testing.T) {}) }\n",
		"b/b.go":      "package b\n",
	})
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, `^ok  \texample.org/m/a\t`, `^2 passed, 0 failed, 0 skipped in .* \(2 packages, 0 of them`)
	if strings.Contains(out, "chatter") || strings.Contains(out, "no test files") {
		t.Errorf("passing tests should be silent:\n%s", out)
	}
}

func TestFailureIsShownInFullAndSkipsWithTheirReason(t *testing.T) {
	t.Parallel()
	code, out := module(t, map[string]string{
		"a/a_test.go": `package a
import "testing"
func TestGood(t *testing.T) { t.Log("chatter") }
func TestBad(t *testing.T) { t.Log("before"); t.Run("sub", func(t *testing.T) { t.Error("it broke") }) }
func TestNot(t *testing.T) { t.Skip("needs root: run as root") }
func TestSilent(t *testing.T) { t.SkipNow() }
`})
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, `a_test.go:4: before`, `a_test.go:4: it broke`, `^FAIL\texample.org/m/a`,
		`^skipped:\n(.*\n)*  needs root: run as root\n    example.org/m/a TestNot$`, `^  no reason given\n    example.org/m/a TestSilent$`,
		`^failed:\n  example.org/m/a TestBad\n      a_test.go:4: before\n  example.org/m/a TestBad/sub\n      a_test.go:4: it broke$`, `^1 passed, 2 failed, 2 skipped`)
	if strings.Contains(out, "chatter") {
		t.Errorf("output of a passing test is shown:\n%s", out)
	}
}

func TestPanicAndBuildFailureAndTestMainAreFailures(t *testing.T) {
	t.Parallel()
	code, out := module(t, map[string]string{
		"a/a_test.go": "package a\nimport \"testing\"\nfunc TestA(t *testing.T) { panic(\"help\") }\n",
		"b/b_test.go": "package b\nimport \"testing\"\nfunc TestB(t *testing.T) { undefinedThing() }\n",
		"c/c_test.go": "package c\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { println(\"cannot start\"); os.Exit(3) }\n",
		"d/d_test.go": "package d\nimport \"testing\"\nfunc TestD(t *testing.T) {}\n",
	})
	if code == 0 {
		t.Error("exit code 0")
	}
	contains(t, out, `panic: help`, `undefined: undefinedThing`, `cannot start`, `^ok  \texample.org/m/d`,
		`^  example.org/m/a TestA`, `^  example.org/m/b \(does not build\)$`, `^  example.org/m/c \(outside of a test\)$`, `^1 passed, 3 failed, 0 skipped`)
}

func TestMistypedPackageIsNotGreen(t *testing.T) {
	t.Parallel()
	code, out := module(t, map[string]string{"d/d_test.go": "package d\nimport \"testing\"\nfunc TestD(t *testing.T) { t.Log() }\nimport \"os\"\n"})
	if code == 0 {
		t.Errorf("exit code 0:\n%s", out)
	}
}

func TestHeartbeatNamesWhatRuns(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := newReport(&out)
	r.line(`{"Action":"run","Package":"example.org/slow","Test":"TestSlow"}` + "\n")
	if got := r.running(); got != "still running: example.org/slow (0s)" {
		t.Errorf("got %q", got)
	}
	r.line("go: downloading something\n")
	r.finish(time.Second)
	contains(t, out.String(), `^go: downloading something$`, `^0 passed, 0 failed, 0 skipped in 1s`)
}
