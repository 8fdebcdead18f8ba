package sshd

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialTimeout bounds what a forwarded connection may wait for its target.
const dialTimeout = 30 * time.Second

// directTCP is "ssh -L" and "ssh -J" (RFC 4254 section 7.2).
func (l *login) directTCP(ch ssh.NewChannel) {
	var t struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	if ssh.Unmarshal(ch.ExtraData(), &t) != nil {
		_ = ch.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	l.direct(ch, "tcp", net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))))
}

// directUnix is "ssh -L port:/path" (OpenSSH PROTOCOL 2.4).
func (l *login) directUnix(ch ssh.NewChannel) {
	var t struct {
		Path     string
		Reserved string
		Zero     uint32
	}
	// Sockets are opened with init's rights; only root may have that done.
	if ssh.Unmarshal(ch.ExtraData(), &t) != nil || l.user.UID != 0 {
		_ = ch.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	l.direct(ch, "unix", t.Path)
}

func (l *login) direct(ch ssh.NewChannel, network, addr string) {
	if l.limits.noForward {
		_ = ch.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	c, err := net.DialTimeout(network, addr, dialTimeout)
	if err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := ch.Accept()
	if err != nil {
		_ = c.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	pump(channel, c)
}

// pump copies both ways, passing on each side's end of data, until both have ended.
func pump(channel ssh.Channel, c net.Conn) {
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(c, channel)
		if w, ok := c.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
	})
	both.Go(func() {
		_, _ = io.Copy(channel, c)
		_ = channel.CloseWrite()
	})
	both.Wait()
	_ = c.Close()
	_ = channel.Close()
}

// globalRequests serves "ssh -R" and keepalives.
func (l *login) globalRequests(requests <-chan *ssh.Request) {
	for r := range requests {
		switch r.Type {
		case "tcpip-forward":
			port, ok := l.listen(r.Payload)
			var reply []byte
			if ok {
				reply = ssh.Marshal(struct{ Port uint32 }{port})
			}
			if r.WantReply {
				_ = r.Reply(ok, reply)
			}
		case "cancel-tcpip-forward":
			if r.WantReply {
				_ = r.Reply(l.unlisten(r.Payload), nil)
			}
		default: // keepalive@openssh.com expects just any answer
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	}
}

type bindRequest struct {
	Addr string
	Port uint32
}

// listen opens a port on the loopback address, as sshd does with GatewayPorts off (RFC 4254 section 7.1).
func (l *login) listen(payload []byte) (uint32, bool) {
	var b bindRequest
	if ssh.Unmarshal(payload, &b) != nil || l.limits.noForward || b.Port < 1024 && b.Port != 0 && l.user.UID != 0 {
		return 0, false
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(b.Port))))
	if err != nil {
		return 0, false
	}
	port := uint32(ln.Addr().(*net.TCPAddr).Port)
	l.mu.Lock()
	l.forwards[net.JoinHostPort(b.Addr, strconv.Itoa(int(port)))] = ln
	l.mu.Unlock()
	l.active.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.active.Go(func() { l.forwarded(c, b.Addr, port) })
		}
	})
	return port, true
}

func (l *login) unlisten(payload []byte) bool {
	var b bindRequest
	if ssh.Unmarshal(payload, &b) != nil {
		return false
	}
	key := net.JoinHostPort(b.Addr, strconv.Itoa(int(b.Port)))
	l.mu.Lock()
	ln := l.forwards[key]
	delete(l.forwards, key)
	l.mu.Unlock()
	return ln != nil && ln.Close() == nil
}

func (l *login) forwarded(c net.Conn, addr string, port uint32) {
	from := c.RemoteAddr().(*net.TCPAddr)
	channel, requests, err := l.conn.OpenChannel("forwarded-tcpip", ssh.Marshal(struct {
		Addr     string
		Port     uint32
		FromAddr string
		FromPort uint32
	}{addr, port, from.IP.String(), uint32(from.Port)}))
	if err != nil {
		_ = c.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	pump(channel, c)
}

// agentSocket is where the forwarded agent is reached by the user's processes.
type agentSocket struct {
	path     string
	listener net.Listener
}

func (a *agentSocket) close() {
	_ = a.listener.Close()
	_ = os.RemoveAll(filepath.Dir(a.path))
}

// forwardAgent opens the socket once a connection (OpenSSH PROTOCOL.agent, "ssh -A").
func (l *login) forwardAgent() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.agent != nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "ssh-")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "agent."+strconv.Itoa(os.Getpid()))
	ln, err := net.Listen("unix", path)
	if err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	if os.Geteuid() == 0 {
		for _, p := range []string{path, dir} {
			if err := os.Chown(p, l.user.UID, l.user.GID); err != nil {
				_ = ln.Close()
				return err
			}
		}
	}
	l.agent = &agentSocket{path: path, listener: ln}
	l.active.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.active.Go(func() {
				channel, requests, err := l.conn.OpenChannel("auth-agent@openssh.com", nil)
				if err != nil {
					_ = c.Close()
					return
				}
				go ssh.DiscardRequests(requests)
				pump(channel, c)
			})
		}
	})
	return nil
}
