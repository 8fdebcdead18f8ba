package machine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
)

// server is one machine.
//
//	Boot ─▶ running ─▶ stopped ─▶ running …  (Stop, poweroff / Start)
//	          └────── Destroy ──────┘
//
// Its network namespace, like the hardware state of a real one, is made anew at each start; its files stay.
type server struct {
	host *host
	dir  string
	op   chan struct{} // a lock of one lifecycle operation at a time, that a context can give up waiting for

	// Guarded by host.mu.
	spec    Server
	ports   []Port
	links   map[string]string // port → link in the namespace
	ns      *namespace        // nil when stopped
	filter  *filterTable
	guest   *guestProcess
	fault   SSHFault
	broken  NetworkFault
	volumes []*volume
}

// shutdownGrace is what services get to end at a stop or soft reboot.
const shutdownGrace = 20 * time.Second

// begin takes the server's operation lock.
func (s *server) begin(ctx context.Context) error {
	select {
	case s.op <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *server) end() { <-s.op }

func (s *server) snapshot() (Server, []Port) {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return s.spec, slices.Clone(s.ports)
}

func (h *host) server(id string) (*server, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.servers[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("server %s: %w", id, ErrNotFound)
}

// serverByAddress finds who has the address on the network.
func (h *host) serverByAddress(network string, a netip.Addr) *server {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		for _, p := range s.ports {
			if p.NetworkID == network && slices.ContainsFunc(p.Addresses, func(x netip.Prefix) bool { return x.Addr() == a }) {
				return s
			}
		}
	}
	return nil
}

func (h *host) Boot(ctx context.Context, want Server) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return errors.New("the sandbox is closing")
	}
	if old := h.servers[want.ID]; old != nil {
		same := reflect.DeepEqual(old.spec, want)
		h.mu.Unlock()
		if same {
			return nil
		}
		return fmt.Errorf("server %s exists already", want.ID)
	}
	s := &server{host: h, dir: filepath.Join(h.Dir, "servers", want.ID), op: make(chan struct{}, 1), spec: want,
		ports: slices.Clone(want.Ports), links: map[string]string{}}
	s.op <- struct{}{}
	h.servers[want.ID] = s
	h.mu.Unlock()
	defer s.end()
	err := s.makeFiles()
	if err == nil {
		err = s.start(ctx, want.BootDelay)
	}
	if err != nil {
		s.halt()
		h.mu.Lock()
		delete(h.servers, want.ID)
		h.mu.Unlock()
		_ = os.RemoveAll(s.dir)
		return fmt.Errorf("cannot boot server %s: %w", want.ID, err)
	}
	return nil
}

func (s *server) makeFiles() error {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "root"), 0o755); err != nil {
		return err
	}
	for _, l := range s.host.image.layers(s.dir) {
		for _, d := range []string{l.Upper, l.Work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// start makes the network namespace, plugs the ports and starts init. The operation lock is held.
func (s *server) start(ctx context.Context, delay time.Duration) error {
	h := s.host
	ns, err := newNamespace()
	if err != nil {
		return err
	}
	filter, err := newFilterTable(ns)
	if err != nil {
		ns.close()
		return err
	}
	h.mu.Lock()
	s.ns, s.filter = ns, filter
	s.links = map[string]string{}
	ports := slices.Clone(s.ports)
	h.mu.Unlock()
	if err := ns.sysctls([2]string{"-net/ipv6/conf/all/accept_dad", "0"}, [2]string{"-net/ipv6/conf/default/accept_dad", "0"},
		[2]string{"-net/ipv6/conf/default/accept_ra", "0"}, [2]string{"-net/ipv4/ping_group_range", everyGroup()}); err != nil {
		return err
	}
	for _, p := range ports {
		if err := s.plug(p); err != nil {
			return err
		}
	}
	console, err := os.OpenFile(s.consolePath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	var guest *guestProcess
	ready := make(chan struct{})
	guest, err = h.startGuest(ns, console, s.limitMemory, func(op string) {
		<-ready
		s.insideAsked(guest, op)
	})
	if err != nil {
		close(ready)
		return err
	}
	close(ready)
	h.mu.Lock()
	s.guest = guest
	cfg := s.config(delay)
	h.mu.Unlock()
	if err := guest.tell(spec.Message{Op: spec.OpConfig, Config: &cfg}); err != nil {
		return err
	}
	select {
	case err = <-guest.running:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	go s.watch(guest)
	return nil
}

// config is what init gets to know. host.mu is held.
func (s *server) config(delay time.Duration) spec.Config {
	c := spec.Config{ID: s.spec.ID, Hostname: s.spec.Hostname, User: s.spec.User, PublicKeys: s.spec.PublicKeys,
		UserData: s.spec.UserData, AdminPass: s.spec.AdminPass, Delay: delay, Fault: spec.Fault(s.fault),
		Root: spec.Root{Layers: s.host.image.layers(s.dir), Merged: filepath.Join(s.dir, "root"), UserXattr: s.host.image.userXattr}}
	for _, p := range s.ports {
		i := spec.Interface{Name: s.links[p.ID], MAC: p.MAC}
		for _, a := range p.Addresses {
			i.Addresses = append(i.Addresses, a.String())
		}
		if p.Gateway.IsValid() {
			i.Gateway = p.Gateway.String()
		}
		c.Interfaces = append(c.Interfaces, i)
		for _, d := range p.DNS {
			if name := d.String(); !slices.Contains(c.DNS, name) {
				c.DNS = append(c.DNS, name)
			}
		}
	}
	if len(c.DNS) == 0 {
		c.DNS = []string{metadata.String()}
	}
	for _, v := range s.volumes {
		c.Devices = append(c.Devices, v.device())
	}
	if s.spec.ConfigDrive {
		s.host.mu.Unlock()
		c.ConfigDrive = s.host.metadataTree(s)
		s.host.mu.Lock()
	}
	return c
}

// insideAsked notes what somebody in the server asked for: watch acts on it when init has ended.
func (s *server) insideAsked(g *guestProcess, op string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = op
}

// watch waits for init's end. An end that nobody outside asked for is a reboot or poweroff from inside, or a crash.
func (s *server) watch(g *guestProcess) {
	<-g.exited
	h := s.host
	if s.begin(context.Background()) != nil {
		return
	}
	h.mu.Lock()
	mine := s.guest == g && h.servers[s.spec.ID] == s && !h.closed
	h.mu.Unlock()
	if !mine {
		s.end()
		return
	}
	g.mu.Lock()
	reboot := g.asked == spec.OpReboot
	g.mu.Unlock()
	// reboot(2) in a pid namespace ends its init with SIGHUP for a restart and SIGINT for a halt.
	if ws, ok := g.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGHUP {
		reboot = true
	}
	s.halt()
	if reboot {
		err := s.start(context.Background(), 0)
		if err == nil {
			s.end()
			return
		}
		h.log.Error("cannot start a server again", "server", s.spec.ID, "error", err)
		s.halt()
	}
	s.end()
	if h.Stopped != nil {
		h.Stopped(s.spec.ID)
	}
}

// halt ends what runs and drops the network namespace. Files stay. The operation lock is held.
func (s *server) halt() {
	h := s.host
	h.mu.Lock()
	g, ns, filter := s.guest, s.ns, s.filter
	var links []string
	for id := range s.links {
		links = append(links, portLink(id))
	}
	s.guest, s.ns, s.filter, s.links = nil, nil, nil, map[string]string{}
	h.mu.Unlock()
	if g != nil {
		g.kill()
		s.dropCgroup()
	}
	for _, l := range links {
		_ = h.fabric.ns.remove(l) // at once; the namespace's own end comes later
	}
	if filter != nil {
		filter.close()
	}
	ns.close()
}

// shutdown lets the services end in order, then ends the rest.
func (s *server) shutdown(ctx context.Context) {
	s.host.mu.Lock()
	g := s.guest
	s.host.mu.Unlock()
	if g != nil && g.tell(spec.Message{Op: spec.OpShutdown}) == nil {
		timer := time.NewTimer(shutdownGrace)
		defer timer.Stop()
		select {
		case <-g.exited:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

func (h *host) Stop(ctx context.Context, id string) error {
	return h.operate(ctx, id, func(s *server) error {
		s.shutdown(ctx)
		s.halt()
		return nil
	})
}

func (h *host) Start(ctx context.Context, id string) error {
	return h.operate(ctx, id, func(s *server) error {
		if s.isRunning() {
			return nil
		}
		if err := s.start(ctx, 0); err != nil {
			s.halt()
			return fmt.Errorf("cannot start server %s: %w", id, err)
		}
		return nil
	})
}

func (h *host) Reboot(ctx context.Context, id string, hard bool) error {
	return h.operate(ctx, id, func(s *server) error {
		if !hard {
			s.shutdown(ctx)
		}
		s.halt()
		if err := s.start(ctx, 0); err != nil {
			s.halt()
			return fmt.Errorf("cannot reboot server %s: %w", id, err)
		}
		return nil
	})
}

func (h *host) Destroy(ctx context.Context, id string) error {
	s, err := h.server(id)
	if err != nil {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	s.halt()
	h.mu.Lock()
	volumes := s.volumes
	s.volumes = nil
	for _, v := range volumes {
		delete(h.volumes, v.id)
	}
	delete(h.servers, id)
	h.mu.Unlock()
	var errs []error
	for _, v := range volumes {
		errs = append(errs, v.close())
	}
	if err := os.RemoveAll(s.dir); err != nil {
		errs = append(errs, fmt.Errorf("cannot remove the files of server %s: %w", id, err))
	}
	return errors.Join(errs...)
}

func (h *host) operate(ctx context.Context, id string, f func(*server) error) error {
	s, err := h.server(id)
	if err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	if _, err := h.server(id); err != nil {
		return err // destroyed while we waited
	}
	return f(s)
}

func (s *server) isRunning() bool {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return s.guest != nil
}

func (h *host) InjectSSH(ctx context.Context, id string, f SSHFault) error {
	return h.operate(ctx, id, func(s *server) error {
		h.mu.Lock()
		s.fault = f
		g := s.guest
		h.mu.Unlock()
		if g == nil {
			return nil
		}
		wire := spec.Fault(f)
		if err := g.ask(spec.Message{Op: spec.OpFault, Fault: &wire}); err != nil {
			return fmt.Errorf("cannot inject a fault into server %s: %w", id, err)
		}
		return nil
	})
}
