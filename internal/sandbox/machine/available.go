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
func Available() error { return available(true) }

// AvailableToUser is Available for a Host with a Base, asked in the user namespace.
func AvailableToUser() error { return available(false) }

// available does not look at this machine's own root file system when servers do not start from it.
func available(own bool) error {
	if os.Geteuid() != 0 {
		return errors.New("root is needed: run it with sudo, or as root of a container or virtual machine (docker or podman run --privileged)")
	}
	var st unix.Stat_t
	if err := unix.Stat("/", &st); own && err == nil && st.Uid != 0 {
		return errors.New("the root file system does not belong to root in this user namespace, so servers cannot start from it: " +
			"run it as root outside of the namespace, or in a container whose files belong to its own root")
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
		result <- tryNamespaces(own)
	}()
	return <-result
}

func tryNamespaces(own bool) error {
	for _, n := range []struct {
		flag int
		name string
	}{{unix.CLONE_NEWNS, "mount"}, {unix.CLONE_NEWNET, "network"}, {unix.CLONE_NEWUTS, "UTS"}, {unix.CLONE_NEWIPC, "IPC"}} {
		if err := unix.Unshare(n.flag); err != nil {
			return fmt.Errorf("cannot make a %s namespace (in a container, run it with --privileged): %w", n.name, err)
		}
	}
	if !own || !inUserNamespace() {
		return nil
	}
	// The kernel lets nobody look below the mounts that a user namespace was given with its root.
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("this user namespace shares its root file system with the machine, so servers cannot start from it: "+
			"run it as root outside of the namespace, or in a container with a root file system of its own: %w", err)
	}
	return unix.Close(fd)
}
