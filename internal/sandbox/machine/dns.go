package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers names from this machine's hosts file and passes everything else to this machine's name servers.
type dnsServer struct {
	udp    net.PacketConn
	tcp    net.Listener
	dial   Dialer
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	active sync.WaitGroup
	slots  chan struct{} // bounds the questions under way
}

const (
	dnsTimeout  = 3 * time.Second // for each name server
	dnsInFlight = 256
	hostsTTL    = 10 // seconds
)

// serveNames starts the name service in the fabric.
func (h *host) serveNames(addr, device string) (*dnsServer, error) {
	return h.serveNamesIn(h.fabric.ns, addr, device)
}

func (h *host) serveNamesIn(ns *namespace, addr, device string) (*dnsServer, error) {
	udp, err := ns.listenPacket(addr, device)
	if err != nil {
		return nil, err
	}
	tcp, err := ns.listen("tcp4", addr, device)
	if err != nil {
		_ = udp.Close()
		return nil, err
	}
	d := &dnsServer{udp: udp, tcp: tcp, dial: h.dial, log: h.log, slots: make(chan struct{}, dnsInFlight)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.active.Go(d.serveUDP)
	d.active.Go(d.serveTCP)
	return d, nil
}

func (d *dnsServer) close() {
	d.cancel()
	_ = d.udp.Close()
	_ = d.tcp.Close()
	d.active.Wait()
}

func (d *dnsServer) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, peer, err := d.udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		select {
		case d.slots <- struct{}{}:
		default:
			continue // overloaded: the client asks again
		}
		q := append([]byte(nil), buf[:n]...)
		d.active.Go(func() {
			defer func() { <-d.slots }()
			if a := d.answer(q, "udp"); a != nil {
				_, _ = d.udp.WriteTo(a, peer)
			}
		})
	}
}

func (d *dnsServer) serveTCP() {
	for {
		c, err := d.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		d.active.Go(func() {
			defer c.Close()
			stop := context.AfterFunc(d.ctx, func() { _ = c.Close() })
			defer stop()
			for {
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				q, err := readFrame(c)
				if err != nil {
					return
				}
				a := d.answer(q, "tcp")
				if a == nil || writeFrame(c, a) != nil {
					return
				}
			}
		})
	}
}

// answer is the reply to a question, nil for what is no question.
func (d *dnsServer) answer(q []byte, network string) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(q)
	if err != nil || header.Response {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return fail(header, nil, dnsmessage.RCodeFormatError)
	}
	if addrs, ok := lookupHosts(question.Name.String()); ok && question.Class == dnsmessage.ClassINET {
		if a := hostsAnswer(header, question, addrs); a != nil {
			return a
		}
	}
	for _, server := range nameServers() {
		if a, err := d.ask(network, server, q); err == nil {
			return a
		}
	}
	return fail(header, &question, dnsmessage.RCodeServerFailure)
}

func (d *dnsServer) ask(network, server string, q []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(d.ctx, dnsTimeout)
	defer cancel()
	c, err := d.dial(ctx, network, net.JoinHostPort(server, "53"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(dnsTimeout))
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if network == "tcp" {
		if err := writeFrame(c, q); err != nil {
			return nil, err
		}
		return readFrame(c)
	}
	if _, err := c.Write(q); err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= 2 && buf[0] == q[0] && buf[1] == q[1] { // not a late answer to another question
			return buf[:n], nil
		}
	}
}

func fail(h dnsmessage.Header, q *dnsmessage.Question, code dnsmessage.RCode) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode,
		RecursionDesired: h.RecursionDesired, RecursionAvailable: true, RCode: code})
	if q != nil {
		if b.StartQuestions() == nil {
			_ = b.Question(*q)
		}
	}
	out, _ := b.Finish()
	return out
}

// hostsAnswer answers address questions about a name of the hosts file; nil for other types, which are passed on.
func hostsAnswer(h dnsmessage.Header, q dnsmessage.Question, addrs []netip.Addr) []byte {
	if q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA {
		return nil
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true,
		RecursionDesired: h.RecursionDesired, RecursionAvailable: true})
	b.EnableCompression()
	if b.StartQuestions() != nil || b.Question(q) != nil || b.StartAnswers() != nil {
		return nil
	}
	rh := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: hostsTTL}
	for _, a := range addrs {
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			_ = b.AResource(rh, dnsmessage.AResource{A: a.As4()})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			_ = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// lookupHosts reads this machine's hosts file. Loopback entries are the machine's own affair.
func lookupHosts(name string) ([]netip.Addr, bool) {
	data, _ := os.ReadFile("/etc/hosts")
	name = strings.TrimSuffix(name, ".")
	var addrs []netip.Addr
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() {
			continue
		}
		for _, n := range f[1:] {
			if strings.EqualFold(n, name) {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	return addrs, len(addrs) > 0
}

// nameServers are this machine's, as the resolver would use them.
func nameServers() []string {
	data, _ := os.ReadFile("/etc/resolv.conf")
	var out []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			out = append(out, f[1])
		}
	}
	if len(out) == 0 {
		out = []string{"127.0.0.1"}
	}
	return out[:min(len(out), 3)]
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeFrame(w io.Writer, b []byte) error {
	if len(b) > 65535 {
		return errors.New("message too long")
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}
