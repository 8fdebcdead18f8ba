package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/child"
)

// Manager runs the services of one server. The zero value works.
type Manager struct {
	// Builtin are units that this program itself embodies ("ssh"); they are always active.
	Builtin []string

	mu       sync.Mutex
	services map[string]*service
	stopping atomic.Bool // for good
}

func (m *Manager) service(name string) *service {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.services == nil {
		m.services = map[string]*service{}
	}
	s := m.services[name]
	if s == nil {
		s = &service{m: m, name: name, state: "inactive"}
		m.services[name] = s
	}
	return s
}

// kind tells how a unit is run here.
func (m *Manager) kind(name string) (kind, canonical string) {
	stem := strings.TrimSuffix(name, ".service")
	if slices.Contains(m.Builtin, stem) {
		return "builtin", name
	}
	script := filepath.Join("/etc/init.d", stem)
	path, found := findUnit("/", name)
	fi, err := os.Stat(script)
	hasScript := err == nil && fi.Mode()&0o111 != 0 && strings.HasSuffix(name, ".service")
	// A package with both is run by its script, which needs no systemd; what an administrator wrote goes first.
	if hasScript && !strings.HasPrefix(path, "/etc/systemd/system/") {
		return "script", stem
	}
	if found {
		if u, err := loadUnit("/", name); err == nil && u.name != name {
			return m.kind(u.name)
		}
		return strings.TrimPrefix(filepath.Ext(name), "."), name
	}
	if hasScript {
		return "script", stem
	}
	return "", name
}

// script runs an init script's action; its output goes to the unit's log.
func (m *Manager) script(ctx context.Context, name, action string) (int, error) {
	log, err := openLog(name + ".service")
	if err != nil {
		return 1, err
	}
	defer log.Close()
	p, err := child.Start(child.Command{Path: "/etc/init.d/" + name, Args: []string{"/etc/init.d/" + name, action}, Dir: "/",
		Env:   []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/", "TERM=dumb", "SYSTEMCTL_SKIP_REDIRECT=1"},
		Files: []*os.File{nil, log, log}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return 1, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		_ = p.Signal(syscall.SIGKILL)
		<-p.Done()
		return 1, errors.New("timed out")
	}
	return child.ExitCode(p.Wait()), nil
}

const scriptTimeout = 5 * time.Minute

// Do performs start, stop, restart, try-restart, reload, reload-or-restart or force-reload on one unit.
func (m *Manager) Do(ctx context.Context, action, name string) error {
	kind, canonical := m.kind(name)
	switch kind {
	case "":
		return fmt.Errorf("unit %s: %w", name, errNoUnit)
	case "builtin":
		return nil
	case "script":
		return m.doScript(ctx, action, canonical)
	case "service":
		return m.doService(ctx, action, canonical)
	case "target":
		if action == "start" || action == "restart" {
			return m.startTarget(ctx, canonical)
		}
		return nil
	}
	return fmt.Errorf("units of type %s are not supported in the sandbox's servers", kind)
}

func (m *Manager) doScript(ctx context.Context, action, name string) error {
	ctx, cancel := context.WithTimeout(ctx, scriptTimeout)
	defer cancel()
	if u, err := loadUnit("/", name+".service"); err == nil && u.masked && action != "stop" {
		return fmt.Errorf("unit %s.service is masked", name)
	}
	switch action {
	case "reload-or-restart", "reload-or-try-restart":
		action = "force-reload"
	case "try-restart", "condrestart":
		if code, _ := m.script(ctx, name, "status"); code != 0 {
			return nil
		}
		action = "restart"
	}
	code, err := m.script(ctx, name, action)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("control process exited, code=exited, status=%d", code)
	}
	return nil
}

func (m *Manager) doService(ctx context.Context, action, name string) error {
	s := m.service(name)
	active := func() bool { st, _, _ := s.get(); return st == "active" }
	switch action {
	case "start":
		return m.startWithNeeds(ctx, name)
	case "stop":
		return s.stop(ctx)
	case "try-restart", "condrestart":
		if !active() {
			return nil
		}
		fallthrough
	case "restart":
		if err := s.stop(ctx); err != nil {
			return err
		}
		return m.startWithNeeds(ctx, name)
	case "reload":
		return s.reload(ctx)
	case "reload-or-restart", "force-reload", "reload-or-try-restart":
		u, err := loadUnit("/", name)
		if err != nil {
			return err
		}
		if active() && len(u.all("Service", "ExecReload")) > 0 {
			return s.reload(ctx)
		}
		if !active() && action == "reload-or-try-restart" {
			return nil
		}
		return m.doService(ctx, "restart", name)
	}
	return fmt.Errorf("unknown action %s", action)
}

// startWithNeeds starts what the unit requires first (Requires=, and Wants= as far as possible).
func (m *Manager) startWithNeeds(ctx context.Context, name string) error {
	u, err := loadUnit("/", name)
	if err != nil {
		return err
	}
	if d := ctx.Value(depthKey{}); d == nil || d.(int) < 8 {
		depth, _ := d.(int)
		sub := context.WithValue(ctx, depthKey{}, depth+1)
		for _, need := range append(u.words("Unit", "Requires"), u.words("Unit", "BindsTo")...) {
			if strings.HasSuffix(need, ".service") && need != name {
				if err := m.Do(sub, "start", need); err != nil {
					return fmt.Errorf("dependency failed: %w", err)
				}
			}
		}
		for _, want := range u.words("Unit", "Wants") {
			if strings.HasSuffix(want, ".service") && want != name {
				_ = m.Do(sub, "start", want)
			}
		}
	}
	return m.service(u.name).start(ctx)
}

type depthKey struct{}

func (m *Manager) startTarget(ctx context.Context, name string) error {
	links, _ := filepath.Glob("/etc/systemd/system/" + name + ".wants/*.service")
	var errs []error
	for _, l := range links {
		errs = append(errs, m.Do(ctx, "start", filepath.Base(l)))
	}
	return errors.Join(errs...)
}

// state is what is-active says.
func (m *Manager) state(ctx context.Context, name string) string {
	kind, canonical := m.kind(name)
	switch kind {
	case "builtin", "target":
		return "active"
	case "script":
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if code, err := m.script(ctx, canonical, "status"); err == nil && code == 0 {
			return "active"
		}
		return "inactive"
	case "service":
		s := m.service(canonical)
		st, pid, _ := s.get()
		if st == "active" && pid > 0 && syscall.Kill(pid, 0) != nil {
			s.set("inactive", "success", nil, 0) // a forking service that has ended unobserved
			return "inactive"
		}
		return st
	}
	return "inactive"
}

// StartEnabled starts what is enabled: units wanted by the default targets and scripts linked for runlevel 5, ordered by After=
// and by the links' numbers.
func (m *Manager) StartEnabled(ctx context.Context, report func(string)) {
	var names []string
	add := func(n string) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	scripts, _ := filepath.Glob("/etc/rc5.d/S*")
	sort.Strings(scripts)
	for _, s := range scripts {
		add(strings.TrimLeft(filepath.Base(s)[1:], "0123456789") + ".service")
	}
	for _, t := range []string{"basic", "multi-user", "default", "graphical", "network-online", "cloud-init"} {
		links, _ := filepath.Glob("/etc/systemd/system/" + t + ".target.wants/*.service")
		for _, l := range links {
			add(filepath.Base(l))
		}
	}
	m.order(names)
	for _, n := range names {
		if k, _ := m.kind(n); k == "" || k == "builtin" {
			continue
		}
		if err := m.Do(ctx, "start", n); err != nil {
			report("[FAILED] Failed to start " + n + ": " + err.Error())
			continue
		}
		report("[  OK  ] Started " + n)
	}
}

// order sorts units so that each comes after those it names in After=.
func (m *Manager) order(names []string) {
	after := map[string][]string{}
	for _, n := range names {
		if u, err := loadUnit("/", n); err == nil {
			after[n] = u.words("Unit", "After")
		}
	}
	var out []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(n string) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, a := range after[n] {
			if slices.Contains(names, a) {
				visit(a)
			}
		}
		out = append(out, n)
	}
	for _, n := range names {
		visit(n)
	}
	copy(names, out)
}

// StopAll ends everything at a shutdown: scripts in the order of their links, units all at once.
func (m *Manager) StopAll(ctx context.Context) {
	m.stopping.Store(true)
	var all sync.WaitGroup
	m.mu.Lock()
	for _, s := range m.services {
		all.Go(func() { _ = s.stop(ctx) })
	}
	m.mu.Unlock()
	scripts, _ := filepath.Glob("/etc/rc5.d/S*")
	for _, s := range scripts {
		name := strings.TrimLeft(filepath.Base(s)[1:], "0123456789")
		if k, canonical := m.kind(name + ".service"); k == "script" {
			all.Go(func() { _, _ = m.script(ctx, canonical, "stop") })
		}
	}
	all.Wait()
}
