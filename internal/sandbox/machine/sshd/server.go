// Package sshd is the SSH server of the sandbox's servers, on golang.org/x/crypto/ssh: users and keys come from the
// machine's own files, as with OpenSSH. It offers shell, exec, pty, environment, signals, SFTP, agent and TCP forwarding
// (RFC 4251–4254), and can be made to misbehave.
//
// It knows users, files and processes of the system it runs in, and nothing of namespaces, cloud-init or OpenStack.
package sshd

import (
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/crypto/ssh"
)

// Server serves SSH. Its zero value works but has no host key; set the fields before Serve.
type Server struct {
	HostKeys []ssh.Signer
	// PasswordAuth allows password and keyboard-interactive login against shadow(5).
	PasswordAuth func() bool
	// Agent is the path of this program, which runs the SFTP subsystem as the user.
	Agent  string
	Logger *slog.Logger
	// Root is where the user database and home directories are looked up; empty is "/".
	Root string

	mu       sync.Mutex
	fault    spec.Fault
	listen   func() (net.Listener, error)
	listener net.Listener
	conns    map[*faultyConn]struct{}
	closed   bool
	active   sync.WaitGroup
}

// Version is what the server says of itself. Clients choose quirks by it, so it does not claim to be OpenSSH.
const Version = "SSH-2.0-orch_sandbox"

// loginGrace is the time to authenticate (sshd_config LoginGraceTime), against connections that never speak.
const loginGrace = 2 * time.Minute

// Start listens with the given function and serves in the background until Close. The function is called again when a
// refusing server is healed.
func (s *Server) Start(listen func() (net.Listener, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listen = listen
	if s.conns == nil {
		s.conns = map[*faultyConn]struct{}{}
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s.open()
}

// open makes the listener unless the fault wants the port closed. The lock is held.
func (s *Server) open() error {
	if s.fault.Refuse || s.closed || s.listen == nil || s.listener != nil {
		return nil
	}
	l, err := s.listen()
	if err != nil {
		return err
	}
	s.listener = l
	s.active.Go(func() { s.accept(l) })
	return nil
}

// Inject makes the server misbehave from now on, for open connections too; the zero fault heals.
func (s *Server) Inject(f spec.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
	for c := range s.conns {
		c.apply(f)
	}
	if f.Refuse && s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	return s.open()
}

// Close ends the listener and all connections and waits for them.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.active.Wait()
}

func (s *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(50 * time.Millisecond) // out of descriptors, most likely; the next may succeed
			continue
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		fault := s.fault
		fc := newFaultyConn(c, fault)
		s.conns[fc] = struct{}{}
		s.mu.Unlock()
		s.active.Go(func() {
			defer s.forget(fc)
			if fault.Hang {
				hang(fc)
				return
			}
			s.serve(fc)
		})
	}
}

// hang reads and says nothing until the peer gives up.
func hang(c net.Conn) {
	buf := make([]byte, 1024)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func (s *Server) forget(c *faultyConn) {
	_ = c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// serve speaks SSH on one TCP connection until it ends.
func (s *Server) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(loginGrace))
	conn, channels, requests, err := ssh.NewServerConn(c, s.config(c))
	if err != nil {
		s.Logger.Debug("ssh login failed", "peer", c.RemoteAddr(), "error", err)
		return
	}
	_ = c.SetDeadline(time.Time{})
	l, err := s.login(conn)
	if err != nil {
		s.Logger.Error("cannot begin an ssh session", "user", conn.User(), "error", err)
		_ = conn.Close()
		return
	}
	s.Logger.Info("Accepted login", "user", conn.User(), "peer", c.RemoteAddr())
	defer l.close()
	l.active.Go(func() { l.globalRequests(requests) })
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			l.active.Go(func() { l.session(ch) })
		case "direct-tcpip":
			l.active.Go(func() { l.directTCP(ch) })
		case "direct-streamlocal@openssh.com":
			l.active.Go(func() { l.directUnix(ch) })
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "unsupported channel type "+strconv.Quote(ch.ChannelType()))
		}
	}
}
