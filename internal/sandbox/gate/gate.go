// Package gate opens sockets in another network namespace than the process's own: a second process, which stays in the first namespace,
// opens them and passes them on (SCM_RIGHTS). A process in a user namespace of an ordinary user has no other way back: the kernel
// lets it leave its machine's network, and enter its own ones only.
package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// request and reply are one packet each; a reply without error carries the socket.
type request struct {
	ID            int
	Listen        bool
	Network, Addr string
	Timeout       time.Duration
}

type reply struct {
	ID    int
	Error string        `json:",omitempty"`
	Errno syscall.Errno `json:",omitempty"`
}

// dialTimeout bounds what a caller without a deadline waits for.
const dialTimeout = time.Minute

// Pair returns the two ends: one for Serve, one for New.
func Pair() (serve, use *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "gate"), os.NewFile(uintptr(fds[1]), "gate"), nil
}

func conn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("cannot use the gate: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, errors.New("cannot use the gate: it is no socket of a pair")
	}
	return u, nil
}

// Serve opens what the other end asks for, until that is closed. It takes the file over.
func Serve(f *os.File) error {
	c, err := conn(f)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil || n == 0 {
			return nil // the other end is gone
		}
		var r request
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			return fmt.Errorf("cannot read what the gate is asked for: %w", err)
		}
		go answer(c, r)
	}
}

func answer(c *net.UnixConn, r request) {
	a := reply{ID: r.ID}
	file, err := open(r)
	if err != nil {
		a.Error = err.Error()
		errors.As(err, &a.Errno)
	}
	var rights []byte
	if file != nil {
		defer file.Close()
		rights = unix.UnixRights(int(file.Fd()))
	}
	data, err := json.Marshal(a)
	if err == nil {
		_, _, _ = c.WriteMsgUnix(data, rights, nil) // nobody is left to tell
	}
}

func open(r request) (*os.File, error) {
	if r.Listen {
		l, err := net.Listen(r.Network, r.Addr)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.(*net.TCPListener).File()
	}
	c, err := net.DialTimeout(r.Network, r.Addr, r.Timeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(interface{ File() (*os.File, error) }).File()
}

// Gate is the using end. It is safe for concurrent use.
type Gate struct {
	c *net.UnixConn

	mu      sync.Mutex
	id      int
	waiting map[int]chan opened // nil when the gate is closed
}

type opened struct {
	file *os.File
	err  error
}

// New takes the file over.
func New(f *os.File) (*Gate, error) {
	c, err := conn(f)
	if err != nil {
		return nil, err
	}
	g := &Gate{c: c, waiting: map[int]chan opened{}}
	go g.read()
	return g, nil
}

// Close ends the process that serves.
func (g *Gate) Close() error { return g.c.Close() }

// Dial is net.Dialer.DialContext in the other namespace.
func (g *Gate) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	timeout := dialTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(end), time.Millisecond)
	}
	f, err := g.ask(ctx, request{Network: network, Addr: addr, Timeout: timeout})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

// Listen is net.Listen for TCP in the other namespace.
func (g *Gate) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	f, err := g.ask(ctx, request{Listen: true, Network: network, Addr: addr})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

func (g *Gate) ask(ctx context.Context, r request) (*os.File, error) {
	answer := make(chan opened, 1)
	g.mu.Lock()
	if g.waiting == nil {
		g.mu.Unlock()
		return nil, net.ErrClosed
	}
	g.id++
	r.ID = g.id
	g.waiting[r.ID] = answer
	g.mu.Unlock()
	data, err := json.Marshal(r)
	if err == nil {
		_, err = g.c.Write(data)
	}
	if err != nil {
		g.forget(r.ID)
		return nil, err
	}
	select {
	case o := <-answer:
		return o.file, o.err
	case <-ctx.Done():
		if g.forget(r.ID) {
			return nil, context.Cause(ctx)
		}
		o := <-answer // it has just come
		return o.file, o.err
	}
}

// forget reports whether the answer was still to come.
func (g *Gate) forget(id int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.waiting[id]
	delete(g.waiting, id)
	return ok
}

func (g *Gate) read() {
	buf, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := g.c.ReadMsgUnix(buf, rights)
		if err != nil || n == 0 {
			g.mu.Lock()
			for _, w := range g.waiting {
				w <- opened{err: net.ErrClosed}
			}
			g.waiting = nil
			g.mu.Unlock()
			return
		}
		file := received(rights[:m])
		var r reply
		o := opened{file: file}
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			r.Error = err.Error()
		}
		switch {
		case r.Errno != 0:
			o.err = &failure{r.Error, r.Errno}
		case r.Error != "":
			o.err = errors.New(r.Error)
		case file == nil:
			o.err = errors.New("the gate has passed no socket")
		}
		g.mu.Lock()
		w := g.waiting[r.ID]
		delete(g.waiting, r.ID)
		g.mu.Unlock()
		if w != nil {
			w <- o
		} else if file != nil {
			_ = file.Close()
		}
	}
}

// received is the descriptor of a control message, or nil.
func received(rights []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "socket")
}

// failure is an error of the other process with the system's number.
type failure struct {
	text  string
	errno syscall.Errno
}

func (e *failure) Error() string { return e.text }
func (e *failure) Unwrap() error { return e.errno }
