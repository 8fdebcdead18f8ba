package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stuckAfter is how long the tests of a package may print nothing, begin nothing and end nothing: the longest test says nothing for a minute and
// a half, and machines may be several times slower. GOTEST_STUCK sets another limit.
const stuckAfter = 10 * time.Minute

// watchdog ends test binaries that are stuck, as SIGQUIT does: with the stacks of all goroutines. go test's own limit is one for the whole
// package, so that it must be long, and a test that hangs would hold everybody for as long.
type watchdog struct {
	report *report
	goTest int // process id of `go test`, whose children the test binaries are
	after  time.Duration
	stderr io.Writer
	quit   map[string]time.Time // package → when its binary was sent SIGQUIT
}

// run until the context ends.
func (w *watchdog) run(ctx context.Context) {
	w.quit = map[string]time.Time{}
	t := time.NewTicker(max(w.after/30, 100*time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, pkg := range w.report.stuck(w.after) {
			w.end(ctx, pkg)
		}
	}
}

// end the test binary of the package: SIGQUIT, and SIGKILL to one that does not heed it for a minute.
func (w *watchdog) end(ctx context.Context, pkg string) {
	sig := syscall.SIGQUIT
	if at, ok := w.quit[pkg]; ok {
		if time.Since(at) < time.Minute {
			return
		}
		sig = syscall.SIGKILL
	}
	pid, err := w.find(ctx, pkg)
	if err != nil {
		fmt.Fprintf(w.stderr, "gotest: %s is stuck, and cannot be ended: %v\n", pkg, err)
	} else if pid != 0 {
		_ = syscall.Kill(pid, sig)
	}
	w.quit[pkg] = time.Now()
}

// find the process of a package's tests: the child of go test that runs in the package's directory; 0 when there is none (any more).
func (w *watchdog) find(ctx context.Context, pkg string) (int, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		return 0, err
	}
	dir, err := filepath.EvalSymlinks(strings.TrimSpace(string(out)))
	if err != nil {
		return 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, name := range all {
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(name), "cwd"))
		if cwd != dir || parent(name) != w.goTest {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if args := strings.Split(string(cmdline), "\x00"); strings.HasSuffix(args[0], ".test") && slices.ContainsFunc(args, isTestFlag) {
			return strconv.Atoi(filepath.Base(filepath.Dir(name)))
		}
	}
	return 0, nil
}

func isTestFlag(s string) bool { return strings.HasPrefix(s, "-test.") }

// parent is the parent's process id in a /proc/PID/stat, 0 when it is gone. The name before it, in parentheses, may contain anything.
func parent(stat string) int {
	data, _ := os.ReadFile(stat)
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	if f := strings.Fields(rest); len(f) > 1 {
		n, _ := strconv.Atoi(f[1])
		return n
	}
	return 0
}

// stuck packages: those of which nothing was heard for so long.
func (r *report) stuck(after time.Duration) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name, p := range r.packages {
		if time.Since(p.heard) >= after {
			p.stuck = time.Since(p.heard)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
