package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/applet"
	"github.com/orch-project/orch/internal/sandbox/machine/cloudinit"
	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"github.com/orch-project/orch/internal/sandbox/machine/sshd"
)

// Run is this program inside a server, by the name it was called. It never returns.
func Run(args []string) {
	name := filepath.Base(args[0])
	code := 127
	switch name {
	case "init":
		if os.Getpid() == 1 {
			initialize()
		}
		code = askServices(name, args[1:])
	case sshd.SFTPName:
		code = sshd.ServeSFTP()
	case "cloud-init":
		code = cloudinit.Command(args[1:], os.Stdout, os.Stderr)
	case "sudo", "sudoedit":
		code = applet.Sudo(args[1:])
	case "reboot", "poweroff", "halt", "shutdown":
		code = askPower(name, args[1:])
	case "systemctl", "service", "journalctl", "runlevel", "telinit":
		code = askServices(name, args[1:])
	default:
		fmt.Fprintf(os.Stderr, "%s: not a command of the sandbox's servers\n", name)
	}
	os.Exit(code)
}

// end stops everything in order and leaves. The host does what op says, or what it had asked for.
func (m *machine) end(op string) {
	m.ending.Do(func() {
		if op != "" {
			m.say(spec.Message{Op: op})
		}
		m.stopServices()
		_ = syscall.Kill(-1, syscall.SIGTERM)
		_ = syscall.Kill(-1, syscall.SIGHUP) // interactive shells ignore SIGTERM
		for range 50 {
			if !othersAlive() {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		_ = syscall.Kill(-1, syscall.SIGKILL)
		fmt.Fprintln(m.console, "reboot: System halted")
		os.Exit(0)
	})
}

// othersAlive tells whether any process but this one is left in the namespace.
func othersAlive() bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if n := e.Name(); n[0] >= '1' && n[0] <= '9' && n != "1" {
			return true
		}
	}
	return false
}
