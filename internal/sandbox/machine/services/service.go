package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/child"
)

// service is a unit that was started at least once.
//
//	inactive ─▶ activating ─▶ active ─▶ deactivating ─▶ inactive
//	                └──────────┴─▶ failed ─▶ (Restart=) activating
type service struct {
	m    *Manager
	name string

	op sync.Mutex // one start or stop at a time

	mu      sync.Mutex // guards what follows
	unit    *unit
	state   string // as in "systemctl is-active"
	result  string
	main    *child.Process
	mainPID int
	since   time.Time
	wanted  bool // not stopped by anybody
	starts  []time.Time
}

// defaultTimeout is systemd's DefaultTimeoutStartSec and DefaultTimeoutStopSec.
const defaultTimeout = 90 * time.Second

func (s *service) get() (state string, pid int, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.mainPID, s.since
}

func (s *service) set(state, result string, main *child.Process, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.result, s.main, s.mainPID = state, result, main, pid
	s.since = time.Now()
}

// start brings the service up and returns when it is, as its type defines.
func (s *service) start(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	if st, _, _ := s.get(); st == "active" {
		return nil
	}
	u, err := loadUnit("/", s.name)
	if err != nil {
		return err
	}
	if u.masked {
		return fmt.Errorf("unit %s is masked", s.name)
	}
	s.mu.Lock()
	s.unit, s.wanted = u, true
	s.mu.Unlock()
	return s.startLocked(ctx, u)
}

func (s *service) startLocked(ctx context.Context, u *unit) error {
	s.set("activating", "", nil, 0)
	ctx, cancel := context.WithTimeout(ctx, duration(u.get("Service", "TimeoutStartSec", u.get("Service", "TimeoutSec", "")), defaultTimeout))
	defer cancel()
	err := s.launch(ctx, u)
	if err != nil {
		s.logf("%s: %v", s.name, err)
		s.set("failed", "exit-code", nil, 0)
	}
	return err
}

// launch runs ExecStartPre, ExecStart and ExecStartPost.
func (s *service) launch(ctx context.Context, u *unit) error {
	env, err := s.environment(u)
	if err != nil {
		return err
	}
	if err := s.directories(u); err != nil {
		return err
	}
	for _, l := range u.all("Service", "ExecStartPre") {
		if err := s.runLine(ctx, u, env, l); err != nil {
			return fmt.Errorf("ExecStartPre: %w", err)
		}
	}
	kind := u.get("Service", "Type", "")
	lines := u.all("Service", "ExecStart")
	if kind == "" {
		kind = "simple"
		if len(lines) == 0 {
			kind = "oneshot"
		}
	}
	switch kind {
	case "oneshot":
		for _, l := range lines {
			if err := s.runLine(ctx, u, env, l); err != nil {
				return err
			}
		}
		if truth(u.get("Service", "RemainAfterExit", "no")) {
			s.set("active", "success", nil, 0)
		} else {
			s.set("inactive", "success", nil, 0)
		}
	case "forking":
		if err := s.startForking(ctx, u, env); err != nil {
			return err
		}
	default:
		if err := s.startMain(ctx, u, env, kind); err != nil {
			return err
		}
	}
	for _, l := range u.all("Service", "ExecStartPost") {
		if err := s.runLine(ctx, u, env, l); err != nil {
			return fmt.Errorf("ExecStartPost: %w", err)
		}
	}
	return nil
}

// startMain starts the process that is the service. With type notify it waits for READY=1 (sd_notify(3)).
func (s *service) startMain(ctx context.Context, u *unit, env map[string]string, kind string) error {
	lines := u.all("Service", "ExecStart")
	if len(lines) == 0 {
		return errors.New("no ExecStart")
	}
	var ready <-chan struct{}
	if kind == "notify" || kind == "notify-reload" {
		n, err := listenNotify(s.name)
		if err != nil {
			return err
		}
		defer n.close()
		env["NOTIFY_SOCKET"] = n.path
		ready = n.ready
	}
	p, err := s.process(u, env, lines[0])
	if err != nil {
		return err
	}
	s.set("activating", "", p, p.Pid)
	if ready == nil {
		// A program that cannot run at all ends at once; telling so now saves its user a look at the log.
		t := time.NewTimer(100 * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.Done():
		}
	} else {
		select {
		case <-ready:
		case <-p.Done():
		case <-ctx.Done():
			_ = p.Signal(syscall.SIGKILL)
			return errors.New("start operation timed out")
		}
	}
	select {
	case <-p.Done():
		if code := child.ExitCode(p.Wait()); code != 0 {
			go s.ended(p, u)
			return fmt.Errorf("main process exited, code=exited, status=%d", code)
		}
	default:
	}
	s.set("active", "success", p, p.Pid)
	go s.ended(p, u)
	return nil
}

// startForking waits for the first process to end and takes the service's process from PIDFile.
func (s *service) startForking(ctx context.Context, u *unit, env map[string]string) error {
	for _, l := range u.all("Service", "ExecStart") {
		if err := s.runLine(ctx, u, env, l); err != nil {
			return err
		}
	}
	pid := 0
	if f := u.get("Service", "PIDFile", ""); f != "" {
		if !filepath.IsAbs(f) {
			f = filepath.Join("/run", f)
		}
		for ctx.Err() == nil {
			if pid = readPID(f); pid > 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if pid == 0 {
			return fmt.Errorf("no PID in %s", f)
		}
	}
	s.set("active", "success", nil, pid)
	return nil
}

func readPID(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

// ended waits for the main process and restarts it if the unit says so.
func (s *service) ended(p *child.Process, u *unit) {
	status := p.Wait()
	code := child.ExitCode(status)
	s.mu.Lock()
	if s.main != p && s.main != nil || s.state == "deactivating" {
		s.mu.Unlock()
		return
	}
	s.main, s.mainPID, s.since = nil, 0, time.Now()
	s.state, s.result = "inactive", "success"
	if code != 0 && status.Signal() != syscall.SIGTERM {
		s.state, s.result = "failed", "exit-code"
	}
	again := s.wanted && restarts(u.get("Service", "Restart", "no"), code != 0)
	if again {
		again = s.withinLimit()
		if again {
			s.state = "activating"
		}
	}
	s.mu.Unlock()
	s.logf("%s: main process exited, status=%d", s.name, code)
	if !again {
		return
	}
	time.Sleep(duration(u.get("Service", "RestartSec", ""), 100*time.Millisecond))
	s.op.Lock()
	defer s.op.Unlock()
	s.mu.Lock()
	wanted := s.wanted && s.main == nil
	s.mu.Unlock()
	if wanted {
		_ = s.startLocked(context.Background(), u)
	}
}

func restarts(policy string, failed bool) bool {
	switch policy {
	case "always":
		return true
	case "on-failure", "on-abnormal", "on-abort", "on-watchdog":
		return failed
	case "on-success":
		return !failed
	}
	return false
}

// withinLimit is systemd's default start limit: five starts in ten seconds. The lock is held.
func (s *service) withinLimit() bool {
	now := time.Now()
	recent := s.starts[:0]
	for _, t := range s.starts {
		if now.Sub(t) < 10*time.Second {
			recent = append(recent, t)
		}
	}
	s.starts = append(recent, now)
	if len(s.starts) > 5 {
		s.state, s.result = "failed", "start-limit-hit"
		return false
	}
	return true
}

// stop ends the service: ExecStop, then KillSignal, then SIGKILL for what is left after the timeout.
func (s *service) stop(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	s.mu.Lock()
	u, state, main, pid := s.unit, s.state, s.main, s.mainPID
	s.wanted = false
	if state == "inactive" || state == "failed" || u == nil {
		if state == "failed" {
			s.state = "inactive"
		}
		s.mu.Unlock()
		return nil
	}
	s.state = "deactivating"
	s.mu.Unlock()
	timeout := duration(u.get("Service", "TimeoutStopSec", u.get("Service", "TimeoutSec", "")), defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	env, err := s.environment(u)
	if err == nil {
		env["MAINPID"] = strconv.Itoa(pid)
		for _, l := range u.all("Service", "ExecStop") {
			if err := s.runLine(ctx, u, env, l); err != nil {
				s.logf("%s: ExecStop: %v", s.name, err)
			}
		}
	}
	family := descendants(pid)
	sig := signalByName(u.get("Service", "KillSignal", "SIGTERM"))
	if main != nil {
		_ = main.Signal(sig)
	} else if pid > 0 {
		_ = syscall.Kill(pid, sig)
	}
	if u.get("Service", "KillMode", "control-group") == "control-group" {
		for _, p := range family {
			_ = syscall.Kill(p, sig)
		}
	}
	all := append([]int{pid}, family...)
	for pid > 0 && anyAlive(all) {
		if ctx.Err() != nil {
			for _, p := range all {
				_ = syscall.Kill(p, syscall.SIGKILL)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, l := range u.all("Service", "ExecStopPost") {
		_ = s.runLine(context.Background(), u, env, l)
	}
	if !truth(u.get("Service", "RuntimeDirectoryPreserve", "no")) {
		for _, d := range u.words("Service", "RuntimeDirectory") {
			_ = os.RemoveAll(filepath.Join("/run", d))
		}
	}
	s.set("inactive", "success", nil, 0)
	return nil
}

// reload runs ExecReload, or says that there is none.
func (s *service) reload(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	state, pid, _ := s.get()
	if state != "active" {
		return errors.New("unit is not active")
	}
	u, err := loadUnit("/", s.name)
	if err != nil {
		return err
	}
	lines := u.all("Service", "ExecReload")
	if len(lines) == 0 {
		return errors.New("job type reload is not applicable")
	}
	env, err := s.environment(u)
	if err != nil {
		return err
	}
	env["MAINPID"] = strconv.Itoa(pid)
	for _, l := range lines {
		if err := s.runLine(ctx, u, env, l); err != nil {
			return err
		}
	}
	return nil
}
