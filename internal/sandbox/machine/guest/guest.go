// Package guest is the inside of a sandbox's server: process 1 of its pid namespace. It assembles the root file system,
// applies cloud-init, serves SSH, starts services and reaps what is orphaned.
//
// It knows of the host only the control connection (package spec) and makes no namespace or link itself.
//
//	host ──fork──▶ Setup: mounts, pivot_root ──exec──▶ Run: hostname, control, cloud-init, SSH, services
package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/sys/unix"
)

// The names under which the host starts the two stages, and where the binary lies in the image.
const (
	SetupName = "orch-machine-setup"
	InitName  = "/sbin/init"
	Agent     = "/usr/lib/orch-machine/agent"
)

// The descriptors that the stages inherit.
const (
	controlFD = 3 // the control connection
	configFD  = 4 // a memory file with the configuration, from Setup to Run
)

// Setup is the first stage, still on the host's file system. It never returns.
func Setup() {
	runtime.LockOSThread() // capabilities belong to threads; exec takes this one's
	if err := setup(); err != nil {
		// The host reads it from the control connection; the console gets it too.
		fmt.Fprintln(os.Stderr, "orch-machine:", err)
		line, _ := json.Marshal(spec.Message{Op: spec.OpFailed, Error: err.Error()})
		_, _ = unix.Write(controlFD, append(line, '\n'))
		os.Exit(1)
	}
}

func setup() error {
	// The host's death must be the server's. The control connection's end is the second line of defence.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	control := os.NewFile(controlFD, "control")
	defer runtime.KeepAlive(control) // its collection would close the descriptor, which the next stage needs
	line, err := bufio.NewReader(control).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("cannot read the server's configuration: %w", err)
	}
	var m spec.Message
	if err := json.Unmarshal(line, &m); err != nil || m.Config == nil {
		return errors.Join(errors.New("the server's configuration is malformed"), err)
	}
	if err := assemble(m.Config.Root); err != nil {
		return err
	}
	if err := keepConfig(line); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	env := []string{"PATH=" + DefaultPath, "HOME=/", "TERM=linux", "LANG=C.UTF-8", "container=orch"}
	for _, fd := range []int{controlFD, configFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	if err := syscall.Exec(Agent, []string{InitName}, env); err != nil {
		return fmt.Errorf("cannot start init: %w", err)
	}
	return nil
}

// DefaultPath is root's search path on Debian.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// keepConfig leaves the configuration to the next stage in memory, at descriptor configFD.
func keepConfig(line []byte) error {
	fd, err := unix.MemfdCreate("config", 0)
	if err != nil {
		return err
	}
	if _, err := unix.Pwrite(fd, line, 0); err != nil {
		return err
	}
	if fd == configFD {
		return nil
	}
	if err := unix.Dup3(fd, configFD, 0); err != nil {
		return err
	}
	return unix.Close(fd)
}

// forbidden is what a machine's root may do to the kernel that a tenant's must not.
var forbidden = []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_TIME, unix.CAP_SYSLOG, unix.CAP_MAC_ADMIN,
	unix.CAP_MAC_OVERRIDE, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND, unix.CAP_AUDIT_CONTROL}

func dropCapabilities() error {
	for _, c := range forbidden {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cannot drop capability %d: %w", c, err)
		}
	}
	return nil
}
