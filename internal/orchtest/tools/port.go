package tools

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// freePorts returns ports of 127.0.0.1 that are free for TCP and UDP. They lie below the range from which the kernel takes ports for
// outgoing connections, so that a connection cannot take one before the server binds it.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range 1000 {
		if port := 12000 + rand.IntN(20000); free(port) && reserve(port) {
			if ports = append(ports, port); len(ports) == n {
				return ports
			}
		}
	}
	t.Fatalf("cannot find %d free ports on 127.0.0.1", n)
	return nil
}

func free(port int) bool {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	udp.Close()
	return true
}

var reserved sync.Map

// reserve keeps tests of this process that run at once from choosing the same port.
func reserve(port int) bool {
	_, taken := reserved.LoadOrStore(port, true)
	return !taken
}
