// Package sshtest is an SSH server for tests: in this process, on a loopback port, running commands as this user in a home directory of its
// own. It can misbehave: cut connections after so many bytes, be silent, refuse logins, limit sessions, change its host key.
//
// It is no server for anything else: whoever logs in runs commands on this machine.
package sshtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Options of a server. The zero value lets "tester" in with the client key that Start makes.
type Options struct {
	User     string
	Password string // also lets in by password
	// Keyboard asks for the password by keyboard-interactive instead.
	Keyboard bool
	// NoKey refuses all public keys.
	NoKey bool
	// MaxSessions refuses more sessions of a connection, as sshd does; 0 is 10.
	MaxSessions int
	NoSFTP      bool
	// Forward lets clients connect onwards (a bastion).
	Forward bool
	// Env of the commands besides HOME, USER and PATH; PathPrefix goes in front of PATH.
	Env        []string
	PathPrefix string
	// Banner before the login.
	Banner string
	// Shell runs command lines; "" is /bin/sh.
	Shell string
}

// Server is a running one.
type Server struct {
	Home string
	Port int
	// Key is the client's private key in PEM.
	Key string

	o        Options
	t        testing.TB
	signer   atomic.Pointer[ssh.Signer]
	client   ssh.PublicKey
	wg       sync.WaitGroup
	children sync.WaitGroup // commands, also those that outlive their connection
	silent   atomic.Bool
	refusals atomic.Int64 // logins still to be refused
	budget   atomic.Int64 // bytes to the client until the connection is cut; 0 is no limit

	Logins, Sessions, Cuts atomic.Int64
	Forwards               atomic.Int64 // connections onwards that were asked for
	WindowChanges          chan [2]uint32
	Commands               func(line string) // told of each command line

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
}

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.User == "" {
		o.User = "tester"
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 10
	}
	if o.Shell == "" {
		o.Shell = "/bin/sh"
	}
	s := &Server{Home: t.TempDir(), o: o, t: t, conns: map[net.Conn]bool{}, WindowChanges: make(chan [2]uint32, 16)}
	s.NewHostKey()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "test")
	if err != nil {
		t.Fatal(err)
	}
	s.Key = string(pem.EncodeToMemory(block))
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	s.client = signer.PublicKey()
	s.listen("127.0.0.1:0")
	t.Cleanup(s.end)
	return s
}

// NewHostKey changes the host's key.
func (s *Server) NewHostKey() {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		s.t.Fatal(err)
	}
	s.signer.Store(&signer)
}

// HostKey is the public key as an authorized_keys line.
func (s *Server) HostKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey((*s.signer.Load()).PublicKey())))
}

// Host is how to reach the server, with its key pinned and the key reference "key".
func (s *Server) Host() driver.Host {
	return driver.Host{Instance: topology.Instance{Node: "server", Index: "0"}, Addresses: []string{"127.0.0.1"}, Port: s.Port, User: s.o.User,
		KeyRef: "key", HostKeys: []string{s.HostKey()}}
}

// Silent makes the server accept connections and say nothing.
func (s *Server) Silent(on bool) { s.silent.Store(on) }

// RefuseLogins refuses the next n logins.
func (s *Server) RefuseLogins(n int) { s.refusals.Store(int64(n)) }

// CutAfter cuts the connection that sends the n-th byte from now on to a client, in the middle of a packet or wherever it falls. Once.
func (s *Server) CutAfter(n int64) { s.budget.Store(n) }

// Drop cuts all connections.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Down closes the port and cuts all connections; Up opens the port again.
func (s *Server) Down() {
	s.mu.Lock()
	s.ln.Close()
	s.mu.Unlock()
	s.Drop()
}

// Up opens the port that Down closed.
func (s *Server) Up() { s.listen("127.0.0.1:" + strconv.Itoa(s.Port)) }

// Stop ends the server, but none of the processes that clients left behind.
func (s *Server) Stop() {
	s.Down()
	s.wg.Wait()
}

// end stops the server with all that clients left behind: nothing may write to the home while it is removed.
func (s *Server) end() {
	s.Stop()
	home := []byte("HOME=" + s.Home + "\x00")
	for again := true; again; time.Sleep(time.Millisecond) {
		again = false
		all, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range all {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if env, err := os.ReadFile(name); err == nil && bytes.Contains(append([]byte{0}, env...), append([]byte{0}, home...)) {
				again = syscall.Kill(pid, syscall.SIGKILL) == nil || again
			}
		}
	}
	s.children.Wait()
}

// Connections that are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) listen(addr string) {
	var ln net.Listener
	var err error
	for range 50 {
		if ln, err = net.Listen("tcp", addr); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.ln, s.Port = ln, ln.Addr().(*net.TCPAddr).Port
	s.mu.Unlock()
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.wg.Go(func() {
				s.serve(&cutConn{Conn: c, s: s})
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
}

// cutConn counts what goes to the client.
type cutConn struct {
	net.Conn
	s *Server
}

func (c *cutConn) Write(p []byte) (int, error) {
	for {
		left := c.s.budget.Load()
		switch {
		case left == 0:
			return c.Conn.Write(p)
		case left > int64(len(p)):
			if c.s.budget.CompareAndSwap(left, left-int64(len(p))) {
				return c.Conn.Write(p)
			}
		default:
			if c.s.budget.CompareAndSwap(left, 0) {
				c.s.Cuts.Add(1)
				n, _ := c.Conn.Write(p[:left-1])
				c.Close()
				return n, net.ErrClosed
			}
		}
	}
}

func (s *Server) config() *ssh.ServerConfig {
	refuse := func(user string) error {
		if s.refusals.Load() > 0 {
			return fmt.Errorf("not yet")
		}
		if user != s.o.User {
			return fmt.Errorf("unknown user")
		}
		return nil
	}
	cfg := &ssh.ServerConfig{MaxAuthTries: 6}
	if s.o.Banner != "" {
		cfg.BannerCallback = func(ssh.ConnMetadata) string { return s.o.Banner }
	}
	if !s.o.NoKey {
		cfg.PublicKeyCallback = func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if err := refuse(m.User()); err != nil {
				return nil, err
			}
			if string(key.Marshal()) != string(s.client.Marshal()) {
				return nil, fmt.Errorf("unknown key")
			}
			return nil, nil
		}
	}
	check := func(m ssh.ConnMetadata, password string) (*ssh.Permissions, error) {
		if err := refuse(m.User()); err != nil {
			return nil, err
		}
		if password != s.o.Password {
			return nil, fmt.Errorf("wrong password")
		}
		return nil, nil
	}
	switch {
	case s.o.Password == "":
	case s.o.Keyboard:
		cfg.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			a, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(a) != 1 {
				return nil, fmt.Errorf("no answer")
			}
			return check(m, a[0])
		}
	default:
		cfg.PasswordCallback = func(m ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return check(m, string(p)) }
	}
	cfg.AddHostKey(*s.signer.Load())
	return cfg
}

func (s *Server) serve(nc net.Conn) {
	if s.silent.Load() {
		b := make([]byte, 1)
		for {
			if _, err := nc.Read(b); err != nil {
				return
			}
		}
	}
	sc, channels, requests, err := ssh.NewServerConn(nc, s.config())
	if err != nil {
		if s.refusals.Load() > 0 {
			s.refusals.Add(-1)
		}
		return
	}
	s.Logins.Add(1)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer sc.Close()
	wg.Go(func() { ssh.DiscardRequests(requests) })
	open := 0
	var mu sync.Mutex
	for nch := range channels {
		switch {
		case nch.ChannelType() == "direct-tcpip" && s.o.Forward:
			s.Forwards.Add(1)
			wg.Go(func() { forward(nch) })
		case nch.ChannelType() == "direct-tcpip":
			s.Forwards.Add(1)
			_ = nch.Reject(ssh.Prohibited, "open failed")
		case nch.ChannelType() != "session":
			_ = nch.Reject(ssh.UnknownChannelType, "unknown channel type")
		default:
			mu.Lock()
			full := open >= s.o.MaxSessions
			if !full {
				open++
			}
			mu.Unlock()
			if full {
				_ = nch.Reject(ssh.ConnectionFailed, "open failed")
				continue
			}
			s.Sessions.Add(1)
			wg.Go(func() {
				s.session(nch)
				mu.Lock()
				open--
				mu.Unlock()
			})
		}
	}
}

func forward(nch ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(nch.ExtraData(), &to); err != nil {
		_ = nch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	c, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = nch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, reqs, err := nch.Accept()
	if err != nil {
		c.Close()
		return
	}
	go ssh.DiscardRequests(reqs)
	both(ch, c)
}

func (s *Server) session(nch ssh.NewChannel) {
	ch, reqs, err := nch.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer running.Wait()
	defer cancel()
	for r := range reqs {
		ok := true
		switch r.Type {
		case "exec", "shell":
			var p struct{ Line string }
			_ = ssh.Unmarshal(r.Payload, &p)
			if s.Commands != nil {
				s.Commands(p.Line)
			}
			running.Go(func() { s.run(ctx, ch, p.Line) })
		case "subsystem":
			if ok = !s.o.NoSFTP && strings.HasSuffix(string(r.Payload), "sftp"); ok {
				running.Go(func() {
					defer ch.Close()
					if srv, err := sftp.NewServer(ch, sftp.WithServerWorkingDirectory(s.Home)); err == nil {
						_ = srv.Serve()
					}
				})
			}
		case "window-change":
			var w struct{ Columns, Rows, Width, Height uint32 }
			if ssh.Unmarshal(r.Payload, &w) == nil {
				s.WindowChanges <- [2]uint32{w.Columns, w.Rows}
			}
		case "pty-req", "env":
		default:
			ok = false
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
}

// run runs a command as sshd does without a terminal: when the client goes away the pipes are closed, and nothing is killed.
func (s *Server) run(ctx context.Context, ch ssh.Channel, line string) {
	defer ch.Close()
	path := os.Getenv("PATH")
	if s.o.PathPrefix != "" {
		path = s.o.PathPrefix + ":" + path
	}
	cmd := exec.Command(s.o.Shell, "-c", line)
	if line == "" {
		cmd = exec.Command(s.o.Shell)
	}
	cmd.Dir = s.Home
	cmd.Env = append([]string{"HOME=" + s.Home, "USER=" + s.o.User, "PATH=" + path, "LANG=C.UTF-8"}, s.o.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err1 := cmd.StdinPipe()
	outR, outW, err2 := os.Pipe()
	errR, errW, err3 := os.Pipe()
	if err1 != nil || err2 != nil || err3 != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = outW, errW
	err := cmd.Start()
	outW.Close()
	errW.Close()
	// The client is gone: close our ends, which is all that a server does.
	stop := context.AfterFunc(ctx, func() { outR.Close(); errR.Close(); stdin.Close() })
	defer stop()
	if err != nil {
		outR.Close()
		errR.Close()
		exitStatus(ch, 255)
		return
	}
	var copies sync.WaitGroup
	go func() { pump(stdin, ch); stdin.Close() }()
	copies.Go(func() { pump(ch, outR); outR.Close() })
	copies.Go(func() { pump(ch.Stderr(), errR); errR.Close() })
	ended := make(chan error, 1)
	s.children.Go(func() { ended <- cmd.Wait() })
	select {
	case <-ended:
	case <-ctx.Done():
		// Somebody must wait for it, but the server's end does not depend on it.
		return
	}
	// Output that background processes hold open does not keep the session, as with sshd without a terminal.
	done := make(chan struct{})
	go func() { copies.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(500 * time.Millisecond):
	}
	code := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	exitStatus(ch, code)
}

func exitStatus(ch ssh.Channel, code int) {
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}
