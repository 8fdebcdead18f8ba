package machine

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// networkServices answer on a network at 169.254.169.254, as Neutron's DHCP namespace does: metadata over HTTP and names.
// Their sockets are bound to the network's bridge, so that overlapping networks are told apart.
type networkServices struct {
	http *http.Server
	dns  *dnsServer
	done sync.WaitGroup
}

func (h *host) serveNetwork(n *network) (*networkServices, error) {
	f := h.fabric
	if err := f.ns.addAddress(n.bridge, netip.PrefixFrom(metadata, 32)); err != nil {
		return nil, err
	}
	web, err := f.listen("tcp", netip.AddrPortFrom(metadata, 80).String(), n.bridge)
	if err != nil {
		return nil, err
	}
	names, err := h.serveNames(netip.AddrPortFrom(metadata, 53).String(), n.bridge)
	if err != nil {
		_ = web.Close()
		return nil, err
	}
	s := &networkServices{dns: names, http: &http.Server{
		Handler:           &metadataHandler{host: h, network: n.id},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       30 * time.Second,
	}}
	s.done.Go(func() { _ = s.http.Serve(web) })
	return s, nil
}

func (s *networkServices) close() {
	_ = s.http.Close()
	s.dns.close()
	s.done.Wait()
}

// listen opens a TCP listener in the fabric, on one link if device is not empty.
func (f *fabric) listen(network, addr, device string) (net.Listener, error) {
	return f.ns.listen(network, addr, device)
}

func (n *namespace) listen(network, addr, device string) (net.Listener, error) {
	var l net.Listener
	err := n.do(func() (err error) {
		l, err = config(device).Listen(context.Background(), network, addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s in the fabric: %w", addr, err)
	}
	return l, nil
}

func (n *namespace) listenPacket(addr, device string) (net.PacketConn, error) {
	var c net.PacketConn
	err := n.do(func() (err error) {
		c, err = config(device).ListenPacket(context.Background(), "udp4", addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s in the fabric: %w", addr, err)
	}
	return c, nil
}

func config(device string) *net.ListenConfig {
	if device == "" {
		return &net.ListenConfig{}
	}
	return &net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		if err := c.Control(func(fd uintptr) { inner = unix.BindToDevice(int(fd), device) }); err != nil {
			return err
		}
		return inner
	}}
}
