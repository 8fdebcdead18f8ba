package machine

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace held by a descriptor of this process: it ends, with all its links, when the process
// does or close is called and no other process lives in it.
type namespace struct {
	fd netns.NsHandle
	nl *netlink.Handle // lives in the namespace
}

// newNamespace makes an empty network namespace with its loopback up.
func newNamespace() (*namespace, error) {
	var n *namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("cannot make a network namespace: %w", err)
		}
		fd, err := netns.Get()
		if err != nil {
			return fmt.Errorf("cannot hold a network namespace: %w", err)
		}
		n = &namespace{fd: fd}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if n.nl, err = netlink.NewHandleAt(n.fd, unix.NETLINK_ROUTE); err != nil {
		_ = n.fd.Close()
		return nil, fmt.Errorf("cannot talk to a network namespace: %w", err)
	}
	if err := n.up("lo"); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// hostNamespace is the one this process runs in.
func hostNamespace() (*namespace, error) {
	fd, err := netns.Get()
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		_ = fd.Close()
		return nil, err
	}
	return &namespace{fd: fd, nl: nl}, nil
}

// dup is a second hold on the namespace, to be closed by itself.
func (n *namespace) dup() (*namespace, error) {
	fd, err := unix.FcntlInt(uintptr(n.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandleAt(netns.NsHandle(fd), unix.NETLINK_ROUTE)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &namespace{fd: netns.NsHandle(fd), nl: nl}, nil
}

func (n *namespace) close() {
	if n == nil {
		return
	}
	n.nl.Close()
	_ = n.fd.Close()
}

// do runs f on a thread that is in the namespace: sockets opened, files of /proc/sys/net written and processes started
// there belong to it. f must not start goroutines that expect the same.
func (n *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.fd); err != nil {
			return fmt.Errorf("cannot enter a network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on an OS thread that may be changed at will: it is brought back to the namespace it came from, or given up.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- err
			return // still locked: the thread ends with the goroutine
		}
		defer home.Close()
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func (n *namespace) up(name string) error {
	l, err := n.nl.LinkByName(name)
	if err == nil {
		err = n.nl.LinkSetUp(l)
	}
	if err != nil {
		return fmt.Errorf("cannot set link %s up: %w", name, err)
	}
	return nil
}

// sysctls writes settings of the namespace, keyed by path below /proc/sys. Those the kernel lacks are left out when they
// start with "-", as in sysctl.conf(5).
func (n *namespace) sysctls(settings ...[2]string) error {
	return n.do(func() error {
		for _, s := range settings {
			name, optional := s[0], false
			if name[0] == '-' {
				name, optional = name[1:], true
			}
			if err := os.WriteFile("/proc/sys/"+name, []byte(s[1]), 0); err != nil && !optional {
				return fmt.Errorf("cannot set %s in a network namespace: %w", name, err)
			}
		}
		return nil
	})
}

// end is one end of a cable.
type end struct {
	ns   *namespace
	name string
	mac  string
	mtu  int
}

// cable joins two namespaces by a veth pair, both ends down.
func cable(a, b end) error {
	la := netlink.NewLinkAttrs()
	la.Name, la.MTU = a.name, a.mtu
	if la.MTU == 0 {
		la.MTU = 1500
	}
	la.Namespace = netlink.NsFd(a.ns.fd)
	v := &netlink.Veth{LinkAttrs: la, PeerName: b.name, PeerNamespace: netlink.NsFd(b.ns.fd), PeerMTU: uint32(la.MTU)}
	var err error
	if a.mac != "" {
		if v.HardwareAddr, err = parseMAC(a.mac); err != nil {
			return err
		}
	}
	if b.mac != "" {
		if v.PeerHardwareAddr, err = parseMAC(b.mac); err != nil {
			return err
		}
	}
	if err := a.ns.nl.LinkAdd(v); err != nil {
		return fmt.Errorf("cannot join %s and %s: %w", a.name, b.name, err)
	}
	return nil
}

// remove deletes a link, and with it the other end of a cable. Nil if absent.
func (n *namespace) remove(name string) error {
	l, err := n.nl.LinkByName(name)
	if err != nil {
		if _, gone := err.(netlink.LinkNotFoundError); gone {
			return nil
		}
		return err
	}
	return n.nl.LinkDel(l)
}
