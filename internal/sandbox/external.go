package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// candidates for external networks are the /24 of 172.24.0.0/14, where devstack has its own and hardly anybody else any.
var candidates = netip.MustParsePrefix("172.24.0.0/14")

// chooseExternal takes the network of floating addresses. Only with machines it is one of this machine, which no other sandbox
// and no interface may have; a lock file per network, released by the kernel when the holder dies, keeps sandboxes apart.
func (s *Sandbox) chooseExternal(o *Options) error {
	if o.Machines != nil && o.Machines.External.IsValid() && !o.External.IsValid() {
		o.External = o.Machines.External
	}
	if o.External.IsValid() {
		if !o.External.Addr().Is4() || o.External.Bits() > 29 {
			return fmt.Errorf("cannot use %s for floating addresses: an IPv4 prefix of at most 29 bits is needed", o.External)
		}
		s.External = o.External.Masked()
		return nil
	}
	if o.Machines == nil {
		s.External = netip.MustParsePrefix("172.24.4.0/24")
		return nil
	}
	used, err := localPrefixes()
	if err != nil {
		return err
	}
	used = append(used, o.Machines.Taken...)
	base := candidates.Addr().As4()
	for i := range 1 << 10 {
		third := 8 + i // 172.24.4.0/24 is left to devstack and its like
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{base[0], base[1] + byte(third>>8)%4, byte(third), 0}), 24)
		if overlapsAny(p, used) {
			continue
		}
		if o.outside != nil { // the network is in a namespace that nobody else has
			s.External = p
			return nil
		}
		release, err := lockNetwork(p)
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return err
		}
		s.cleanup = append(s.cleanup, release)
		s.External = p
		return nil
	}
	return fmt.Errorf("cannot find a free network for floating addresses in %s: give one", candidates)
}

// localPrefixes are the networks of this machine's interfaces.
func localPrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("cannot list this machine's addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

func overlapsAny(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if u.Overlaps(p) {
			return true
		}
	}
	return false
}

var errLocked = errors.New("another sandbox has it")

// lockNetwork keeps the network for this process. The lock is held by an open file, so a killed holder releases it.
func lockNetwork(p netip.Prefix) (release func() error, err error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("orch-sandbox-networks-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of network locks: %w", err)
	}
	return lockFile(filepath.Join(dir, p.Addr().String()))
}

// lockFile takes an exclusive lock, or returns errLocked when another has it.
func lockFile(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return f.Close, nil
}

// dying is how long the children of a killed sandbox may take to end: they share its open lock until they do.
const dying = 10 * time.Second

// lockSoon is lockFile that waits for what is about to let go.
func lockSoon(path string) (release func() error, err error) {
	for end := time.Now().Add(dying); ; time.Sleep(20 * time.Millisecond) {
		if release, err = lockFile(path); !errors.Is(err, errLocked) || time.Now().After(end) {
			return release, err
		}
	}
}
