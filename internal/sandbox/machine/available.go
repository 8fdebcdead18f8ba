package machine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Available tells why servers cannot run on this machine, in words that say what to do; nil when they can.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("root is needed for network namespaces and overlay mounts: run as root, or let machine.EnterRootless make a user namespace")
	}
	data, err := os.ReadFile("/proc/filesystems")
	if err == nil && !strings.Contains(string(data), "\toverlay\n") {
		if _, err := os.Stat("/sys/module/overlay"); err != nil {
			return errors.New("the kernel has no overlayfs loaded: run \"modprobe overlay\"")
		}
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: a thread in strange namespaces must end
		result <- tryNamespaces()
	}()
	return <-result
}

func tryNamespaces() error {
	for _, n := range []struct {
		flag int
		name string
	}{{unix.CLONE_NEWNET, "network"}, {unix.CLONE_NEWUTS, "UTS"}, {unix.CLONE_NEWIPC, "IPC"}} {
		if err := unix.Unshare(n.flag); err != nil {
			return fmt.Errorf("cannot make a %s namespace (in a container, run it with --privileged): %w", n.name, err)
		}
	}
	return nil
}
