package sshd

import (
	"net"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
)

// faultyConn applies the server's current fault to one TCP connection.
type faultyConn struct {
	net.Conn
	mu    sync.Mutex
	left  int64 // bytes that may still be sent; below zero: no limit
	timer *time.Timer
}

func newFaultyConn(c net.Conn, f spec.Fault) *faultyConn {
	fc := &faultyConn{Conn: c, left: -1}
	fc.apply(f)
	return fc
}

// apply brings the connection under the fault from now on; the zero fault heals it.
func (c *faultyConn) apply(f spec.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.left = -1
	if f.DropBytes > 0 {
		c.left = f.DropBytes
	}
	if f.DropAfter > 0 {
		c.timer = time.AfterFunc(f.DropAfter, c.cut)
	}
	if f.Refuse {
		go c.cut()
	}
}

// cut ends the connection as a crash does, with a reset instead of a farewell.
func (c *faultyConn) cut() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Conn.Close()
}

func (c *faultyConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	allowed, limited := len(p), false
	if c.left >= 0 {
		if int64(len(p)) >= c.left {
			allowed, limited = int(c.left), true
		}
		c.left -= int64(allowed)
	}
	c.mu.Unlock()
	n, err := c.Conn.Write(p[:allowed])
	if limited {
		// What was written must still arrive, so the line is closed in order and not reset.
		_ = c.Conn.Close()
		if err == nil {
			err = net.ErrClosed
		}
	}
	return n, err
}

func (c *faultyConn) Close() error {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	return c.Conn.Close()
}
