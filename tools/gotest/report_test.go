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
func module(t *testing.T, files map[string]string, args ...string) (code int, stdout string) {
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
	cmd := exec.Command(os.Args[0], append(args, "./...")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOTEST_BE_MAIN=1", "GOWORK=off", "GOFLAGS=", "GOTEST_STUCK="+stuck[t.Name()])
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if _, ok := err.(*exec.ExitError); !ok {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// stuck is what some tests take for "nothing was heard for long".
var stuck = map[string]string{"TestHangIsEndedAndExplained": "3s"}

// end is the part of the output where the failures stand.
func end(out string) string { return out[strings.LastIndex(out, "\nfailed:\n")+1:] }

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
		`^  example.org/m/a TestA`, `^      panic: help`, `^        m?/?a/a_test.go:3 a.TestA$`, `^      b/b_test.go:3:28: undefined: undefinedThing$`, `^      cannot start$`, `^  example.org/m/b \(does not build\)$`, `^  example.org/m/c \(outside of a test\)$`, `^1 passed, 3 failed, 0 skipped`)
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
	r := newReport(&out, "example.org")
	r.line(`{"Action":"run","Package":"example.org/slow","Test":"TestSlow"}` + "\n")
	if got := r.running(); got != "still running: example.org/slow (0s)" {
		t.Errorf("got %q", got)
	}
	r.line("go: downloading something\n")
	r.finish(time.Second)
	contains(t, out.String(), `^go: downloading something$`, `^0 passed, 0 failed, 0 skipped in 1s`)
}

// A test that hangs must not hold the run until go test's limit, and the end of the report must show where it hangs.
func TestHangIsEndedAndExplained(t *testing.T) {
	t.Parallel()
	code, out := module(t, map[string]string{
		"a/a_test.go": `package a
import "testing"
func TestFirst(t *testing.T) {}
func TestHangs(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Log("asks"); wait(make(chan int)) }) }
func wait(c chan int) {
	for range 5 { go hold(c) }
	<-c
}
func hold(c chan int) { <-c }
`,
		"b/b_test.go": "package b\nimport \"testing\"\nfunc TestB(t *testing.T) {}\n",
	})
	if code == 0 {
		t.Error("exit code 0")
	}
	contains(t, end(out), `^  example.org/m/a TestHangs/sub \(did not end\)\n      ran for \d+s; nothing was heard of the package for \d+s, so it was ended\n      a_test.go:4: asks\n`,
		`^      SIGQUIT: quit\n      goroutine \d+ \[chan receive\]\n        \S+a_test.go:7 a.wait\n        \S+a_test.go:4 a.TestHangs.func1\n`,
		`^      goroutine \d+ \[chan receive\] and 4 more like it\n        \S+a_test.go:9 a.hold\n`, `^2 passed, 1 failed`)
	if strings.Contains(out, "runtime.gopark") || strings.Contains(out, "rax ") {
		t.Errorf("a full dump:\n%s", out)
	}
}

// A log that was cut to its end must still say what failed first, however much the tests print.
func TestEndIsShort(t *testing.T) {
	t.Parallel()
	_, out := module(t, map[string]string{
		"b/b_test.go": "package b\nimport \"testing\"\nfunc TestB(t *testing.T) { for i := range 60 { t.Run(\"n\", func(t *testing.T) { t.Error(\"cause of\", i) }) } }\n",
		"a/a_test.go": `package a
import ( "strings"; "testing")
func TestLong(t *testing.T) {
	t.Log("console")
	t.Errorf("want the page, got:\n%s", strings.Repeat("line\n", 80)+"last line")
	for i := range 100 { t.Errorf("more %d %s", i, strings.Repeat("x", 9000)) }
}
func TestScript(t *testing.T) { t.Error("script log\n> exec orch\n[stdout]\n"+strings.Repeat("chatter\n", 50)+"FAIL: testdata/x.txtar:12: no match") }
`})
	last := end(out)
	contains(t, last, `^      a_test.go:5: want the page, got:$`, `^ +last line$`, `^      a_test.go:6: more 99 x+ …$`, `^      b_test.go:3: cause of 9$`, `^  … and \d+ more, named above$`, `^ +FAIL: testdata/x.txtar:12: no match$`)
	if n := strings.Count(last, "\n"); n > 190 {
		t.Errorf("the end has %d lines:\n%s", n, last)
	}
}

func TestCrashes(t *testing.T) {
	t.Parallel()
	race := `WARNING: DATA RACE
Write at 0x00c000012345 by goroutine 8:
  example.org/m/a.(*T).set()
      /src/a/a.go:10 +0x44
  example.org/other.Call()
      /other/o.go:1 +0x1

Previous read at 0x00c000012345 by goroutine 7:
  example.org/m/a.get[...]()
      /src/a/a.go:20 +0x44

Goroutine 8 (running) created at:
  example.org/m/a.TestRace()
      /src/a/a_test.go:5 +0x4
`
	nested := `panic: first
	line two of it [recovered, repanicked]

goroutine 9 [running]:
testing.tRunner.func1.2({0x1, 0x2})
	/go/src/testing/testing.go:1632 +0x230
panic({0x1?, 0x2?})
	/go/src/runtime/panic.go:785 +0x132
example.org/m/a.(*T).set(0xc000010000)
	/src/a/a.go:10 +0x44
example.org/m/a.TestA.func1(...)
	/src/a/a_test.go:5
created by testing.(*T).Run in goroutine 1
	/go/src/testing/testing.go:1742 +0x390
`
	for text, want := range map[string]string{
		race:                       "DATA RACE|Write by goroutine 8|  a/a.go:10 a.(*T).set|Previous read by goroutine 7|  a/a.go:20 a.get[...]",
		nested:                     "panic: first|  line two of it [recovered, repanicked]|goroutine 9 [running]|  a/a.go:10 a.(*T).set|  a/a_test.go:5 a.TestA.func1",
		"all is well\nno panic: x": "",
	} {
		if got := strings.Join(crash(strings.Split(text, "\n"), "example.org/m"), "|"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
