package services

import (
	"net"
	"os"
	"path/filepath"
	"strings"
)

// notify is the socket on which a service tells that it is ready.
type notify struct {
	path  string
	conn  *net.UnixConn
	ready chan struct{}
}

func listenNotify(name string) (*notify, error) {
	dir := "/run/orch-machine/notify"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	_ = os.Remove(path)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o777); err != nil {
		_ = c.Close()
		return nil, err
	}
	n := &notify{path: path, conn: c, ready: make(chan struct{})}
	go func() {
		buf := make([]byte, 4096)
		told := false
		for {
			k, err := c.Read(buf)
			if err != nil {
				return
			}
			if !told && strings.Contains("\n"+string(buf[:k]), "\nREADY=1") {
				told = true
				close(n.ready)
			}
		}
	}()
	return n, nil
}

func (n *notify) close() {
	_ = n.conn.Close()
	_ = os.Remove(n.path)
}
