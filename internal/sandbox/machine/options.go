package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Options say where a Host keeps its files and which addresses it uses.
type Options struct {
	// Dir holds the servers' files and volumes; it is made with mode 0700 and belongs to one Host at a time. What a killed
	// predecessor left in it is removed, volumes included. Required.
	Dir string
	// External is the external network, an IPv4 prefix that this machine has no route to. This machine gets its first
	// address. The zero value is DefaultExternal.
	External netip.Prefix
	// Image is a root file system that servers start from; empty is this machine's own, reduced to its base packages.
	Image string
	// Base is the copy of this machine's root file system (see CopyBase) that servers start from in a user namespace of an ordinary
	// user, where this machine's own cannot be used. This process must then have a network namespace of its own, see Front, and Dial
	// lead out of it.
	Base string
	// Taken are networks to which there must be no routes to servers, besides those that this process's network namespace knows.
	Taken []netip.Prefix
	// Dial is the servers' way out; nil dials from this machine.
	Dial Dialer
	// Stopped is called after a server has ended by itself (somebody ran poweroff in it, or its init was killed).
	Stopped func(serverID string)
	Logger  *slog.Logger
}

// DefaultExternal is the external network of Options' zero value.
var DefaultExternal = netip.MustParsePrefix("172.31.240.0/24")

// host implements Host.
type host struct {
	Options
	log    *slog.Logger
	dial   Dialer
	lock   *os.File
	base   *base // of Options.Base
	fabric *fabric
	out    *forwarder
	names  *dnsServer
	front  *Front // nil without base
	image  *image
	spawn  *spawner

	routerMu sync.Mutex
	routers  map[string]*router

	mu      sync.Mutex // guards the maps and the fields of servers marked so
	servers map[string]*server
	volumes map[string]*volume
	closed  bool
}

var _ Host = (*host)(nil)

// New prepares the fabric: the external network with this machine's end, and the way out. The Host must be closed; when the
// process is killed instead, everything but the files in Dir goes with it.
func New(ctx context.Context, o Options) (Host, error) {
	if o.Dir == "" {
		return nil, errors.New("cannot start the sandbox's machines: no directory given")
	}
	if err := available(o.Base == ""); err != nil {
		return nil, fmt.Errorf("cannot run servers on this machine: %w", err)
	}
	if !o.External.IsValid() {
		o.External = DefaultExternal
	}
	if !o.External.Addr().Is4() || o.External.Bits() > 29 {
		return nil, fmt.Errorf("cannot use %s as the external network: an IPv4 prefix of at most 29 bits is needed", o.External)
	}
	h := &host{Options: o, log: o.Logger, dial: o.Dial, routers: map[string]*router{}, servers: map[string]*server{}, volumes: map[string]*volume{}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.dial == nil {
		h.dial = (&net.Dialer{}).DialContext
	}
	if err := h.open(ctx); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

func (h *host) open(ctx context.Context) error {
	dir, err := filepath.Abs(h.Dir)
	if err != nil {
		return err
	}
	h.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the sandbox's directory: %w", err)
	}
	// Images hold a setuid program; nobody else may reach it.
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("cannot protect the sandbox's directory: %w", err)
	}
	if h.lock, err = lockDir(dir); err != nil {
		return err
	}
	if err := h.sweep(); err != nil {
		return err
	}
	if h.Base != "" {
		if h.base, err = holdBase(h.Base); err != nil {
			return err
		}
	}
	if h.fabric, err = newFabric(h.External, shortName("orch-", dir), h.Taken); err != nil {
		return err
	}
	l, err := h.fabric.listen("tcp4", fmt.Sprintf("0.0.0.0:%d", forwardPort), extLink)
	if err != nil {
		return err
	}
	h.out = startForwarder(l, h.dial, h.log, h.notOutside)
	if h.names, err = h.serveNames(fmt.Sprintf("0.0.0.0:%d", dnsPort), extLink); err != nil {
		return err
	}
	if h.base != nil {
		if h.front, err = h.openFront(); err != nil {
			return err
		}
	}
	if h.spawn, err = startSpawner(); err != nil {
		return err
	}
	return h.spawn.do(func() (err error) {
		h.image, err = h.prepareImage(ctx)
		return err
	})
}

// notOutside keeps servers from this machine's loopback services and from the metadata service of the cloud that this
// machine itself may run on.
func (h *host) notOutside(a netip.Addr) bool {
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || h.External.Masked().Contains(a)
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot use %s: another sandbox runs there", dir)
	}
	return f, nil
}

// sweep removes what a predecessor left in the directory.
func (h *host) sweep() error {
	for _, d := range []string{"servers", "volumes"} {
		if err := os.RemoveAll(filepath.Join(h.Dir, d)); err != nil {
			return fmt.Errorf("cannot remove what an earlier sandbox left: %w", err)
		}
		if err := os.Mkdir(filepath.Join(h.Dir, d), 0o700); err != nil {
			return err
		}
	}
	sweepCgroups(h.cgroupPrefix())
	return nil
}

// Close ends all servers and removes all networks and files.
func (h *host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	var ids []string
	for id := range h.servers {
		ids = append(ids, id)
	}
	h.mu.Unlock()
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { errs[i] = h.Destroy(context.Background(), id) })
	}
	all.Wait()
	for id := range h.routers {
		errs = append(errs, h.DeleteRouter(context.Background(), id))
	}
	errs = append(errs, h.detachAll())
	h.release()
	for _, d := range []string{"servers", "volumes", "image", "lock"} {
		errs = append(errs, os.RemoveAll(filepath.Join(h.Dir, d)))
	}
	return errors.Join(errs...)
}

// release lets go of everything but servers and routers.
func (h *host) release() {
	if h.out != nil {
		h.out.close()
	}
	if h.names != nil {
		h.names.close()
	}
	h.front.close()
	if h.fabric != nil {
		h.fabric.close()
	}
	if h.spawn != nil {
		h.spawn.close()
	}
	if h.lock != nil {
		_ = h.lock.Close()
	}
	h.base.close()
}
