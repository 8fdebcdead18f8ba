package child

import (
	"os"
	"os/signal"
	"syscall"
)

func notifyChildren(c chan os.Signal) { signal.Notify(c, syscall.SIGCHLD) }

// ExitCode is the status as a shell would report it: 128 plus the signal for killed processes.
func ExitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
