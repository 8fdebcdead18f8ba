package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/pkg/driver/terraform"
)

// TestMain lets the scripts run this test binary as `orch`: the real main with everything wired.
func TestMain(m *testing.M) {
	// A started copy of this binary may be meant as one of these (see main).
	machine.MaybeInit()
	terraform.MaybeSupervise(nil)
	sandbox.MaybeRunDaemon()
	testscript.Main(m, map[string]func(){"orch": main})
}

// TestCommand runs testdata/*.txtar: the command as a user types it, with what it prints and its exit codes. Nothing of it needs a cloud.
func TestCommand(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: setupScript,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"run": runOrch, "zip": zipFiles, "await": awaitFile, "until": until, "smalldisk": smallDisk, "filldisk": fillDisk,
		},
		Condition:           canMount,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("ORCH_UPDATE_SCRIPTS") != "",
	})
}

// setupScript gives every script homes of its own.
func setupScript(e *testscript.Env) error {
	e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
	e.Setenv("ORCH_HOME", filepath.Join(e.WorkDir, "state"))
	e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
	e.Setenv("GORACE", "atexit_sleep_ms=0") // instead of the second for which a program with the race detector sleeps at its end
	return os.MkdirAll(filepath.Join(e.WorkDir, "home"), 0o700)
}

// runOrch is "run CODE ARGS…": it runs the command and compares its exit code.
func runOrch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: run CODE ARGS...")
	}
	err := ts.Exec("orch", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("orch %s: got exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if text := ts.ReadFile(stream); strings.Contains(text, "goroutine ") || strings.Contains(text, "panic:") {
			ts.Fatalf("orch %s printed a stack trace", strings.Join(args[1:], " "))
		}
	}
}

// zipFiles is "zip ARCHIVE FILE…".
func zipFiles(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	w := zip.NewWriter(f)
	for _, name := range args[1:] {
		part, err := w.Create(name)
		ts.Check(err)
		_, err = part.Write([]byte(ts.ReadFile(name)))
		ts.Check(err)
	}
	ts.Check(w.Close())
}

// awaitFile is "await FILE": it waits until a script that runs in the background has made the file.
func awaitFile(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s was not made within two minutes", args[0])
}

// until is "until TEXT COMMAND…": it repeats the command until it prints the text.
func until(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
	}
	ts.Fatalf("%s did not print %q within two minutes", strings.Join(args[1:], " "), args[0])
}

// smallDisk is "smalldisk DIR SIZE": a file system of that size.
func smallDisk(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// canMount is the condition [mount]; [served] is for scripts of which every command asks a server.
func canMount(name string) (bool, error) {
	if name == "served" {
		return false, nil
	}
	if name != "mount" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	dir, err := os.MkdirTemp("", "orch-mount")
	if err != nil {
		return false, err
	}
	defer os.Remove(dir)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return false, nil
	}
	return true, syscall.Unmount(dir, syscall.MNT_DETACH)
}

// fillDisk is "filldisk DIR": a file that takes all the space that is left.
func fillDisk(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(filepath.Join(ts.MkAbs(args[0]), "filler"))
	ts.Check(err)
	defer f.Close()
	for chunk := make([]byte, 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("cannot fill the disk: %v", err)
	}
}
