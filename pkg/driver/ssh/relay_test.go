package ssh

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// stall is a relayed connection that can stop passing anything on without being closed.
type stall struct {
	mu      sync.Mutex
	stopped bool
}

func (s *stall) stop() { s.mu.Lock(); s.stopped = true; s.mu.Unlock() }

func (s *stall) pass(to net.Conn, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		s.mu.Lock()
		drop := s.stopped
		s.mu.Unlock()
		if n > 0 && !drop {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// forwardAll relays a listener to a local port until the test ends. Connections are put into `all` as *stall.
func forwardAll(t *testing.T, ln net.Listener, port int, all *sync.Map) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			s := &stall{}
			if all != nil {
				all.Store(s, true)
			}
			wg.Go(func() { s.pass(out, in); out.Close(); in.Close() })
			wg.Go(func() { s.pass(in, out); out.Close(); in.Close() })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}
