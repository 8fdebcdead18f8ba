// Command gotest runs `go test` and keeps its output readable: go's own line per package, failures in full, at the end every skipped
// test with its reason, what each failed test complained of in a few lines, and one line "N passed, N failed, N skipped". Its exit code is
// go test's. Tests of which nothing is heard for 10 minutes are ended, and what their goroutines wait for is shown.
//
//	go run ./tools/gotest -race ./...
//
// All arguments go to `go test`. Go's cache of test results works as always.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	// Ctrl-C reaches go test too, as it is in our process group; it ends its tests, and what they printed is still to be shown.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(stderr, "gotest: cannot run go test: %v\n", err)
		return 2
	}
	r := newReport(stdout, modulePath())
	stopBeat := r.heartbeat(time.Minute)
	watched, stopWatch := context.WithCancel(ctx)
	defer stopWatch()
	go (&watchdog{report: r, goTest: cmd.Process.Pid, after: limit(), stderr: stderr}).run(watched)
	readErr := r.read(out)
	err = cmd.Wait()
	stopBeat()
	r.finish(time.Since(begin))
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "gotest: interrupted")
		return 130
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	case err != nil || readErr != nil:
		fmt.Fprintf(stderr, "gotest: cannot read go test's output: %v\n", errors.Join(err, readErr))
		return 2
	}
	return r.exitCode()
}

// modulePath is the import path of the module in this directory.
func modulePath() string {
	out, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		return "" // go test says why
	}
	name, _, _ := strings.Cut(string(out), "\n")
	return name
}

// limit of the watchdog.
func limit() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("GOTEST_STUCK")); err == nil && d > 0 {
		return d
	}
	return stuckAfter
}
