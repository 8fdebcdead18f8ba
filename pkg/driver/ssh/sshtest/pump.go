package sshtest

import (
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

func pump(w io.Writer, r io.Reader) { _, _ = io.Copy(w, r) }

// both joins two connections until both directions have ended.
func both(ch ssh.Channel, c net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { pump(ch, c); _ = ch.CloseWrite() })
	wg.Go(func() {
		pump(c, ch)
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	})
	wg.Wait()
	ch.Close()
	c.Close()
}
