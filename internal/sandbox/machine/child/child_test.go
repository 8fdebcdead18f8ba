package child

import (
	"os"
	"syscall"
	"testing"
)

func TestStart(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 128 + int(syscall.SIGTERM)} {
		p, err := Start(Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Files: []*os.File{nil, nil, nil}})
		if err != nil {
			t.Fatal(err)
		}
		if got := ExitCode(p.Wait()); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
		if err := p.Signal(syscall.SIGTERM); err != os.ErrProcessDone {
			t.Errorf("signal after the end: %v", err)
		}
	}
	if _, err := Start(Command{Path: "/nonexistent"}); err == nil {
		t.Error("a missing program was started")
	}
}
