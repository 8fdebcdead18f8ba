package machine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Dialer opens connections from this machine; the forwarder's way out.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// forwarder takes the TCP connections that routers send outward and carries their data over connections of this machine,
// so that servers reach what the machine reaches without NAT in its namespace. Its one visible difference: a connection is
// accepted before the far end is known to answer, and reset when it does not.
type forwarder struct {
	listener net.Listener
	dial     Dialer
	log      *slog.Logger
	refuse   func(netip.Addr) bool
	ctx      context.Context
	cancel   context.CancelFunc
	active   sync.WaitGroup
}

const forwardTimeout = 30 * time.Second

func startForwarder(l net.Listener, dial Dialer, log *slog.Logger, refuse func(netip.Addr) bool) *forwarder {
	w := &forwarder{listener: l, dial: dial, log: log, refuse: refuse}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.active.Go(w.accept)
	return w
}

func (w *forwarder) close() {
	w.cancel()
	_ = w.listener.Close()
	w.active.Wait()
}

func (w *forwarder) accept() {
	for {
		c, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			w.log.Warn("the forwarder cannot accept", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		w.active.Go(func() { w.carry(c.(*net.TCPConn)) })
	}
}

func (w *forwarder) carry(in *net.TCPConn) {
	defer in.Close()
	dst, err := originalDestination(in)
	if err == nil && w.refuse(dst.Addr()) {
		err = errors.New("not an address of the outside world")
	}
	var out net.Conn
	if err == nil {
		ctx, cancel := context.WithTimeout(w.ctx, forwardTimeout)
		defer cancel()
		out, err = w.dial(ctx, "tcp", dst.String())
	}
	if err != nil {
		w.log.Debug("cannot forward a connection", "from", in.RemoteAddr(), "to", dst, "error", err)
		_ = in.SetLinger(0) // a reset is as near to a refusal as is possible now
		return
	}
	defer out.Close()
	stop := context.AfterFunc(w.ctx, func() {
		_ = in.Close()
		_ = out.Close()
	})
	defer stop()
	Splice(in, out)
}

// Splice copies both ways and passes on each side's end of data.
func Splice(a, b net.Conn) {
	var both sync.WaitGroup
	half := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if c, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
			_ = c.CloseWrite()
			return
		}
		_ = dst.Close()
		_ = src.Close()
	}
	both.Go(func() { half(a, b) })
	half(b, a)
	both.Wait()
}

// originalDestination asks connection tracking what the client wanted (SO_ORIGINAL_DST, a struct sockaddr_in).
func originalDestination(c *net.TCPConn) (netip.AddrPort, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var sa unix.RawSockaddrInet4
	size := uint32(unsafe.Sizeof(sa))
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_IP, unix.SO_ORIGINAL_DST,
			uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil {
		return netip.AddrPort{}, err
	}
	if errno != 0 {
		return netip.AddrPort{}, errno
	}
	p := (*[2]byte)(unsafe.Pointer(&sa.Port))
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(p[0])<<8|uint16(p[1])), nil
}
