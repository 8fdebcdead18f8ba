package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orch-project/orch/internal/server/apitest"
)

// localScripts are those about this machine itself: its store, its processes, its configuration.
var localScripts = []string{"store", "disk", "config"}

// TestCommandOnAServer runs the scripts of TestCommand again, with every command asking a server over HTTP: what it prints and its exit codes
// are the same.
func TestCommandOnAServer(t *testing.T) {
	all, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := slices.DeleteFunc(all, func(f string) bool {
		name := strings.TrimSuffix(filepath.Base(f), ".txtar")
		if testing.Short() && name != "accounts" && name != "secrets" {
			return true
		}
		return slices.Contains(localScripts, name)
	})
	testscript.Run(t, testscript.Params{
		Files: files,
		Setup: setupServed,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"run": runOrch, "zip": zipFiles, "await": awaitFile, "until": until, "smalldisk": smallDisk, "filldisk": fillDisk,
		},
		Condition: func(name string) (bool, error) {
			if name == "served" {
				return true, nil
			}
			return canMount(name)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setupServed gives every script homes of its own, and a server of its own: the command itself, in the script's directory.
func setupServed(e *testscript.Env) error {
	if err := setupScript(e); err != nil {
		return err
	}
	dir, _, _ := strings.Cut(e.Getenv("PATH"), string(os.PathListSeparator))
	cmd := exec.Command(filepath.Join(dir, "orch"), "server", "--listen", "127.0.0.1:0")
	cmd.Dir, cmd.Env = e.WorkDir, e.Vars
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	e.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "orch is listening on ")
	if err != nil || !ok {
		return fmt.Errorf("the server said %q: %v", line, err)
	}
	// What the command asks and what the server answers is as the API's document says.
	var mu sync.Mutex
	var wrong []string
	proxy, err := apitest.Proxy(url, func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	})
	if err != nil {
		return err
	}
	e.Defer(func() {
		proxy.CloseClientConnections()
		proxy.Close()
		if len(wrong) > 0 {
			e.T().Fatal(strings.Join(wrong, "\n"))
		}
	})
	e.Setenv("ORCH_SERVER", proxy.URL)
	return nil
}
