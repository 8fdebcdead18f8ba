package sshd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
	"golang.org/x/crypto/ssh"
)

// login is one authenticated connection.
type login struct {
	server *Server
	conn   *ssh.ServerConn
	user   account.User
	groups []uint32
	limits restrictions
	active sync.WaitGroup

	mu       sync.Mutex
	forwards map[string]net.Listener
	agent    *agentSocket
}

func (s *Server) login(conn *ssh.ServerConn) (*login, error) {
	u, db, err := s.user(conn.User())
	if err != nil {
		return nil, err
	}
	l := &login{server: s, conn: conn, user: u, forwards: map[string]net.Listener{}}
	for _, g := range db.GroupIDs(u) {
		l.groups = append(l.groups, uint32(g))
	}
	if conn.Permissions != nil {
		l.limits, _ = conn.Permissions.ExtraData[restrictionsKey{}].(restrictions)
	}
	return l, nil
}

// close releases what the connection held; its sessions' processes live on unless they had a terminal, as with OpenSSH.
func (l *login) close() {
	_ = l.conn.Close()
	l.mu.Lock()
	for _, f := range l.forwards {
		_ = f.Close()
	}
	if l.agent != nil {
		l.agent.close()
	}
	l.mu.Unlock()
	l.active.Wait()
}

// credential makes a child the user. When this process is that user already (a test), nothing is to be switched.
func (l *login) credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(l.user.UID), Gid: uint32(l.user.GID), Groups: l.groups}
}

// environment is what login(1), PAM's pam_env and sshd give a session on Debian.
func (l *login) environment() []string {
	path := "/usr/local/bin:/usr/bin:/bin:/usr/games"
	if l.user.UID == 0 {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := []string{"USER=" + l.user.Name, "LOGNAME=" + l.user.Name, "HOME=" + l.user.Home, "PATH=" + path,
		"SHELL=" + l.shell(), "MAIL=/var/mail/" + l.user.Name}
	data, _ := os.ReadFile(filepath.Join(l.server.root(), "etc/environment"))
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		if ok && !strings.HasPrefix(name, "#") {
			env = append(env, name+"="+strings.Trim(value, `"'`))
		}
	}
	client, server := l.conn.RemoteAddr().String(), l.conn.LocalAddr().String()
	ch, cp, _ := net.SplitHostPort(client)
	sh, sp, _ := net.SplitHostPort(server)
	env = append(env, "SSH_CLIENT="+ch+" "+cp+" "+sp, "SSH_CONNECTION="+ch+" "+cp+" "+sh+" "+sp)
	return append(env, l.limits.env...)
}

func (l *login) shell() string {
	if l.user.Shell == "" {
		return "/bin/sh"
	}
	return l.user.Shell
}

// home is where sessions start.
func (l *login) home() string {
	if fi, err := os.Stat(l.user.Home); err == nil && fi.IsDir() {
		return l.user.Home
	}
	return "/"
}

// acceptEnv tells whether the client may set the variable: sshd_config's AcceptEnv, which Debian ships as "LANG LC_*".
func (s *Server) acceptEnv(name string) bool {
	patterns := []string{"LANG", "LC_*", "COLORTERM", "NO_COLOR"}
	for _, v := range s.directives("AcceptEnv") {
		patterns = append(patterns, strings.Fields(v)...)
	}
	for _, p := range patterns {
		if ok, _ := filepath.Match(p, name); ok {
			return true
		}
	}
	return false
}

// directives are the values of a keyword in sshd_config and its drop-ins, in the order in which sshd reads them: the first
// value of a single-valued keyword counts.
func (s *Server) directives(keyword string) []string {
	dir := filepath.Join(s.root(), "etc/ssh")
	files, _ := filepath.Glob(filepath.Join(dir, "sshd_config.d/*.conf"))
	var values []string
	for _, f := range append(files, filepath.Join(dir, "sshd_config")) {
		data, _ := os.ReadFile(f)
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(strings.ToLower(line), "match ") {
				break // conditional sections are not understood, so not applied
			}
			name, value, _ := strings.Cut(strings.Replace(line, "=", " ", 1), " ")
			if strings.EqualFold(name, keyword) {
				values = append(values, strings.TrimSpace(value))
			}
		}
	}
	return values
}

// Directive is the effective value of a single-valued keyword of sshd_config, or the default.
func (s *Server) Directive(keyword, otherwise string) string {
	if v := s.directives(keyword); len(v) > 0 {
		return v[0]
	}
	return otherwise
}

func itoa(n int) string { return strconv.Itoa(n) }
