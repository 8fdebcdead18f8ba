package gate_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/orch-project/orch/internal/sandbox/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open is a gate whose two ends are in this process.
func open(t *testing.T) *gate.Gate {
	t.Helper()
	serve, use, err := gate.Pair()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- gate.Serve(serve) }()
	g, err := gate.New(use)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestSocketsPassThroughTheGate(t *testing.T) {
	t.Parallel()
	g := open(t)
	l, err := g.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const many = 20
	go func() {
		for range many {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	for range many {
		c, err := g.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
			t.Errorf("%q %v", got, err)
		}
		_ = c.Close()
	}
	u, err := g.Dial(t.Context(), "udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	_ = u.Close()
}

func TestErrorsPassThroughTheGate(t *testing.T) {
	t.Parallel()
	g := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Listen(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v", err)
	}
	_ = l.Close()
	if _, err := g.Dial(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := g.Dial(ctx, "tcp", l.Addr().String()); c != nil || err == nil {
		t.Errorf("a cancelled dial: %v %v", c, err)
	}
	_ = g.Close()
	if _, err := g.Dial(t.Context(), "tcp", l.Addr().String()); err == nil {
		t.Error("a closed gate dials")
	}
}
