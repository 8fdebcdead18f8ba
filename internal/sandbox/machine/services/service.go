package services

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
	"github.com/orch-project/orch/internal/sandbox/machine/child"
	"golang.org/x/sys/unix"
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

// runLine runs one Exec line to its end; a "-" before it makes failures count for nothing.
func (s *service) runLine(ctx context.Context, u *unit, env map[string]string, line string) error {
	p, err := s.process(u, env, line)
	_, prefix := splitCommand(line)
	if err == nil {
		select {
		case <-p.Done():
		case <-ctx.Done():
			_ = p.Signal(syscall.SIGKILL)
			<-p.Done()
			err = errors.New("timed out")
		}
		if code := child.ExitCode(p.Wait()); err == nil && code != 0 && !success(u, code) {
			err = fmt.Errorf("control process exited, code=exited, status=%d", code)
		}
	}
	if strings.Contains(prefix, "-") {
		return nil
	}
	return err
}

func success(u *unit, code int) bool {
	for _, w := range u.words("Service", "SuccessExitStatus") {
		if n, err := strconv.Atoi(w); err == nil && n == code {
			return true
		}
	}
	return false
}

// process starts one Exec line with the unit's user, directories, limits and output.
func (s *service) process(u *unit, env map[string]string, line string) (*child.Process, error) {
	words, prefix := splitCommand(u.expand(line))
	words = substitute(words, env)
	if len(words) == 0 {
		return nil, errors.New("empty command")
	}
	path := words[0]
	if strings.Contains(prefix, "@") && len(words) > 1 {
		words = words[1:]
	}
	if !filepath.IsAbs(path) {
		found, err := exec.LookPath(path)
		if err != nil {
			return nil, err
		}
		path = found
	}
	out, err := s.output(u)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	sys := &syscall.SysProcAttr{Setsid: true}
	if !strings.ContainsAny(prefix, "+!") {
		if sys.Credential, err = credential(u); err != nil {
			return nil, err
		}
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	dir := u.get("Service", "WorkingDirectory", "/")
	if optional, ok := strings.CutPrefix(dir, "-"); ok {
		if dir = optional; !isDir(dir) {
			dir = "/"
		}
	}
	if dir == "~" {
		dir = env["HOME"]
	}
	if n := u.get("Service", "LimitNOFILE", ""); n != "" {
		path, words = withLimit(path, words, n)
	}
	return child.Start(child.Command{Path: path, Args: words, Env: list, Dir: dir, Files: []*os.File{nil, out, out}, Sys: sys})
}

// withLimit raises the number of open files through a shell, because limits of a child can only be set by itself.
func withLimit(path string, words []string, n string) (string, []string) {
	soft, hard, both := strings.Cut(n, ":")
	if !both {
		hard = soft
	}
	script := fmt.Sprintf("ulimit -Hn %s 2>/dev/null; ulimit -Sn %s 2>/dev/null; exec \"$0\" \"$@\"", number(hard), number(soft))
	return "/bin/sh", append([]string{"sh", "-c", script, path}, words[1:]...)
}

func number(s string) string {
	if _, err := strconv.Atoi(s); err != nil {
		return "unlimited"
	}
	return s
}

func isDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir()
}

// output opens where the unit's words go: StandardOutput's file, or the unit's log, which journalctl shows.
func (s *service) output(u *unit) (*os.File, error) {
	kind, path, _ := strings.Cut(u.get("Service", "StandardOutput", "journal"), ":")
	switch kind {
	case "null":
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	case "append":
		return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	case "file", "truncate":
		return os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	}
	return openLog(s.name)
}

// logDir holds one file for each unit.
const logDir = "/var/log/units"

func openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(logDir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

func (s *service) logf(format string, args ...any) {
	if f, err := openLog(s.name); err == nil {
		_, _ = io.WriteString(f, "systemd: "+fmt.Sprintf(format, args...)+"\n")
		_ = f.Close()
	}
}

// credential is the unit's User, Group and SupplementaryGroups.
func credential(u *unit) (*syscall.Credential, error) {
	user, group := u.get("Service", "User", ""), u.get("Service", "Group", "")
	if user == "" && truth(u.get("Service", "DynamicUser", "no")) {
		user = "nobody"
	}
	if user == "" && group == "" {
		return nil, nil
	}
	db, err := account.Open("/")
	if err != nil {
		return nil, err
	}
	c := &syscall.Credential{}
	if user != "" {
		uid, _, err := db.Lookup(user, "")
		if err != nil {
			return nil, fmt.Errorf("failed to determine user credentials: %w", err)
		}
		c.Uid = uint32(uid)
		if a, ok := db.UserByID(uid); ok {
			c.Gid = uint32(a.GID)
			for _, g := range db.GroupIDs(a) {
				c.Groups = append(c.Groups, uint32(g))
			}
		}
	}
	for i, g := range append([]string{group}, u.words("Service", "SupplementaryGroups")...) {
		if g == "" {
			continue
		}
		_, gid, err := db.Lookup("", g)
		if err != nil {
			return nil, fmt.Errorf("failed to determine group credentials: %w", err)
		}
		if i == 0 {
			c.Gid = uint32(gid)
		}
		c.Groups = append(c.Groups, uint32(gid))
	}
	return c, nil
}

// directories makes RuntimeDirectory= and its kin.
func (s *service) directories(u *unit) error {
	c, err := credential(u)
	if err != nil {
		return err
	}
	for key, base := range map[string]string{"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "CacheDirectory": "/var/cache",
		"LogsDirectory": "/var/log", "ConfigurationDirectory": "/etc"} {
		mode, err := strconv.ParseUint(u.get("Service", key+"Mode", "0755"), 8, 32)
		if err != nil {
			mode = 0o755
		}
		for _, d := range u.words("Service", key) {
			d, _, _ = strings.Cut(d, ":")
			path := filepath.Join(base, d)
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			if c != nil && key != "ConfigurationDirectory" {
				if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
					return err
				}
			}
			if err := os.Chmod(path, os.FileMode(mode)); err != nil {
				return err
			}
		}
	}
	return nil
}

// environment is what the unit's processes get.
func (s *service) environment(u *unit) (map[string]string, error) {
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "INVOCATION_ID": "orch"}
	if user := u.get("Service", "User", ""); user != "" {
		if db, err := account.Open("/"); err == nil {
			if a, ok := db.User(user); ok {
				env["USER"], env["LOGNAME"], env["HOME"], env["SHELL"] = a.Name, a.Name, a.Home, a.Shell
			}
		}
	}
	for _, v := range u.all("Service", "Environment") {
		words, _ := splitCommand(u.expand(v))
		for _, w := range words {
			if k, val, ok := strings.Cut(w, "="); ok {
				env[k] = val
			}
		}
	}
	for _, f := range u.all("Service", "EnvironmentFile") {
		path, optional := strings.CutPrefix(u.expand(f), "-")
		data, err := os.ReadFile(path)
		if err != nil {
			if optional {
				continue
			}
			return nil, fmt.Errorf("failed to load environment files: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			k, val, ok := strings.Cut(line, "=")
			if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
				continue
			}
			val = strings.TrimSpace(val)
			if len(val) > 1 && (val[0] == '"' || val[0] == '\'') && val[len(val)-1] == val[0] {
				val = val[1 : len(val)-1]
			}
			env[strings.TrimSpace(k)] = val
		}
	}
	return env, nil
}

// notify is the socket on which a service tells that it is ready.
type notify struct {
	path  string
	conn  *net.UnixConn
	ready chan struct{}
}

func listenNotify(name string) (*notify, error) {
	dir := "/run/orch-machine/notify"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	_ = os.Remove(path)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o777); err != nil {
		_ = c.Close()
		return nil, err
	}
	n := &notify{path: path, conn: c, ready: make(chan struct{})}
	go func() {
		buf := make([]byte, 4096)
		told := false
		for {
			k, err := c.Read(buf)
			if err != nil {
				return
			}
			if !told && strings.Contains("\n"+string(buf[:k]), "\nREADY=1") {
				told = true
				close(n.ready)
			}
		}
	}()
	return n, nil
}

func (n *notify) close() {
	_ = n.conn.Close()
	_ = os.Remove(n.path)
}

// descendants are the processes below one, from /proc.
func descendants(pid int) []int {
	if pid <= 1 {
		return nil
	}
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		p, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// The command in parentheses may hold anything; the parent is the second field after it.
		rest := string(stat)[strings.LastIndexByte(string(stat), ')')+1:]
		if f := strings.Fields(rest); len(f) > 1 {
			if parent, err := strconv.Atoi(f[1]); err == nil {
				children[parent] = append(children[parent], p)
			}
		}
	}
	var out []int
	queue := []int{pid}
	for len(queue) > 0 {
		next := children[queue[0]]
		queue = append(queue[1:], next...)
		out = append(out, next...)
	}
	return out
}

func anyAlive(pids []int) bool {
	for _, p := range pids {
		if p > 1 && syscall.Kill(p, 0) == nil {
			return true
		}
	}
	return false
}

func signalByName(name string) syscall.Signal {
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if s := unix.SignalNum(name); s != 0 {
		return s
	}
	return syscall.SIGTERM
}

// duration reads systemd.time(7) spans: "5", "1min 30s", "500ms", "infinity".
func duration(s string, otherwise time.Duration) time.Duration {
	if s == "" {
		return otherwise
	}
	if s == "infinity" || s == "0" {
		return 24 * time.Hour
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(n * float64(time.Second))
	}
	s = strings.NewReplacer("minutes", "m", "minute", "m", "min", "m", "seconds", "s", "second", "s", "sec", "s", "hours", "h", "hour", "h", " ", "").Replace(s)
	if d, err := time.ParseDuration(s); err == nil {
		return d
	}
	return otherwise
}
