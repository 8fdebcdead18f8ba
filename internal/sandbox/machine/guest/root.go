package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/sys/unix"
)

// assemble builds the server's root file system in this process's private mount namespace and enters it.
// Nothing of it is seen outside, and it vanishes with the last process of the namespace.
func assemble(r spec.Root) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	for _, l := range r.Layers {
		if err := mountLayer(r, l); err != nil {
			return err
		}
	}
	steps := []func(string) error{mountProc, mountSys, mountDev, mountRun}
	for _, step := range steps {
		if err := step(r.Merged); err != nil {
			return err
		}
	}
	return enter(r.Merged)
}

func mountLayer(r spec.Root, l spec.Layer) error {
	target := filepath.Join(r.Merged, l.At)
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(l.Lower, ":"), l.Upper, l.Work)
	if r.UserXattr {
		opts += ",userxattr"
	} else {
		// Directories of the image can be renamed; inode numbers need not survive a copy-up.
		opts += ",redirect_dir=on,index=off"
	}
	// A server's files need not survive a crash of this machine, so nothing in it waits for the disk (installing packages
	// would, at every file). The kernel marks such a layer against a second mount, which a reboot of the server is.
	if err := os.RemoveAll(filepath.Join(l.Work, "work/incompat")); err != nil {
		return err
	}
	err := unix.Mount("overlay", target, "overlay", 0, opts+",volatile")
	if errors.Is(err, unix.EINVAL) { // a kernel before 5.10
		err = unix.Mount("overlay", target, "overlay", 0, opts)
	}
	if err != nil {
		return fmt.Errorf("cannot mount the overlay of %s: %w", l.At, err)
	}
	return nil
}

// mountProc shows the server's own processes. What is global to the kernel is read-only or hidden, so that a script which
// tunes "its" machine does not tune the host.
func mountProc(root string) error {
	proc := filepath.Join(root, "proc")
	if err := mountpoint("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	// The network's settings belong to the server's own namespace: they get a mount of their own, which stays writable
	// when the one around it is made read-only.
	sys, net := filepath.Join(proc, "sys"), filepath.Join(proc, "sys/net")
	for _, d := range []string{net, sys} {
		if err := unix.Mount(d, d, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("cannot protect %s: %w", d, err)
		}
	}
	if err := unix.Mount("", sys, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot protect %s: %w", sys, err)
	}
	for _, f := range []string{"sysrq-trigger", "kcore", "kmsg", "timer_list"} {
		if _, err := os.Stat(filepath.Join(proc, f)); err == nil {
			if err := unix.Mount("/dev/null", filepath.Join(proc, f), "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("cannot hide /proc/%s: %w", f, err)
			}
		}
	}
	return nil
}

func mountSys(root string) error {
	return mountpoint("sysfs", filepath.Join(root, "sys"), "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
}

// mountRun gives the volatile directories. /tmp stays on the overlay (large downloads go there) and is emptied at boot.
func mountRun(root string) error {
	if err := mountpoint("tmpfs", filepath.Join(root, "run"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=25%"); err != nil {
		return err
	}
	lock := filepath.Join(root, "run/lock")
	if err := os.Mkdir(lock, 0o755); err != nil {
		return err
	}
	return os.Chmod(lock, 0o1777)
}

// mountDev makes a minimal /dev. Nodes are bound from the host rather than made, which works in user namespaces too.
func mountDev(root string) error {
	dev := filepath.Join(root, "dev")
	if err := mountpoint("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k,nr_inodes=4096"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		path := filepath.Join(dev, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot give the server /dev/%s: %w", name, err)
		}
	}
	for link, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
		"ptmx": "pts/ptmx", "core": "/proc/kcore"} {
		if err := os.Symlink(to, filepath.Join(dev, link)); err != nil {
			return err
		}
	}
	for _, d := range []string{"pts", "shm", "mqueue", "disk"} {
		if err := os.Mkdir(filepath.Join(dev, d), 0o755); err != nil {
			return err
		}
	}
	pts := filepath.Join(dev, "pts")
	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		// Group 5 (tty) is not mapped in a user namespace of a single user.
		if err = unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
			return fmt.Errorf("cannot mount /dev/pts: %w", err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dev, "console"), 0o622); err != nil {
		return fmt.Errorf("cannot make /dev/console: %w", err)
	}
	_ = unix.Mount("mqueue", filepath.Join(dev, "mqueue"), "mqueue", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "") // optional in the kernel
	return mountpoint("tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

func mountpoint(source, target, fstype string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("cannot mount %s on %s: %w", fstype, target, err)
	}
	return nil
}

// enter makes the directory the root and lets go of the host's mounts.
func enter(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("cannot enter the root file system: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot leave the host's file systems: %w", err)
	}
	return os.Chdir("/")
}
