package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/orch"
)

// A process that has the store and was stopped by Ctrl-Z does not keep every other command waiting without a word.
func TestAStoppedProcessIsNamed(t *testing.T) {
	if path := os.Getenv("ORCH_TEST_LISTEN"); path != "" {
		if _, err := net.Listen("unix", path); err != nil {
			t.Fatal(err)
		}
		fmt.Println("listens")
		select {}
	}
	home, err := os.MkdirTemp("", "orch") // short, as sockets' paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	s := newShared(&config.Config{Home: home, Store: "bolt:" + filepath.Join(home, "orch.db")}, "", slog.New(slog.DiscardHandler), nil)
	other := exec.Command(os.Args[0], "-test.run", "TestAStoppedProcessIsNamed")
	other.Env = append(os.Environ(), "ORCH_TEST_LISTEN="+s.socket)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "listens\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if c, _, err := s.acquire(t.Context(), false); err != nil || c == nil {
		t.Fatalf("it is not stopped yet: %v", err)
	}
	if err := other.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(other.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v", status, err)
	}
	_, _, err = s.acquire(t.Context(), false)
	var known *orch.Error
	if !errors.As(err, &known) || !strings.Contains(known.Msg, fmt.Sprint("process ", other.Process.Pid)) || !strings.Contains(known.Hint, "kill -CONT") {
		t.Errorf("%v", err)
	}
}
