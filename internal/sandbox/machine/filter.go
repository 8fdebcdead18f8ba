package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The filter of a server's ports lies in the server's own namespace, in a table that belongs to this process's netlink
// socket (NFT_TABLE_F_OWNER): root inside cannot change or flush it, and what it does with its own tables does not matter.
// The hooks come before the server's destination NAT and after its source NAT, so that rules see what is on the wire.
const (
	ownerFlag  = 0x2
	beforeDNAT = -150
	afterSNAT  = 150
)

// filterTable keeps the socket that owns the table.
type filterTable struct {
	conn  *nftables.Conn
	owned bool
}

func newFilterTable(ns *namespace) (*filterTable, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.fd)), nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("cannot make the packet filter: %w", err)
	}
	return &filterTable{conn: conn, owned: true}, nil
}

func (t *filterTable) close() { _ = t.conn.CloseLasting() }

// set writes the filters of all ports, by link name, as one transaction. loss is how many of 100 packets are dropped before that.
func (t *filterTable) set(ports map[string]Port, loss int) error {
	err := t.write(ports, loss)
	if t.owned && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)) {
		t.owned = false // a kernel before 5.12
		err = t.write(ports, loss)
	}
	return err
}

func (t *filterTable) write(ports map[string]Port, loss int) error {
	flags := uint32(0)
	if t.owned {
		flags = ownerFlag
	}
	r := newRuleset(t.conn, nftables.TableFamilyINet, flags)
	in := r.hook("ingress", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, beforeDNAT)
	out := r.hook("egress", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, afterSNAT)
	for link, p := range ports {
		if loss > 0 {
			r.add(in, inIf(link), byChance(loss), drop())
			r.add(out, outIf(link), byChance(loss), drop())
		}
		if p.Filter == nil {
			continue
		}
		if err := r.port(link, p, in, out); err != nil {
			return err
		}
	}
	return r.commit()
}

var (
	linkLocal6 = netip.MustParsePrefix("fe80::/10")
	unspec4    = netip.MustParsePrefix("0.0.0.0/32")
	unspec6    = netip.MustParsePrefix("::/128")
)

func (r *ruleset) port(link string, p Port, in, out *nftables.Chain) error {
	i, o, spoof := r.chain("in-"+link), r.chain("out-"+link), r.chain("source-"+link)
	r.add(in, inIf(link), jump(i.Name))
	r.add(out, outIf(link), jump(o.Name))

	// Port security: a server sends from its own addresses only.
	for _, a := range p.Addresses {
		r.add(spoof, family(a.Addr().Is6()), from(single(a.Addr())), returns())
	}
	for _, a := range p.Filter.AllowedAddresses {
		r.add(spoof, family(a.Addr().Is6()), from(a), returns())
	}
	r.add(spoof, family(true), from(linkLocal6), returns())
	r.add(spoof, family(false), from(unspec4), returns())
	r.add(spoof, family(true), from(unspec6), returns())
	r.add(spoof, drop())
	r.add(o, jump(spoof.Name))

	known := ctState(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	for _, d := range []struct {
		chain *nftables.Chain
		rules []Rule
		in    bool
		dhcp  int // destination port of DHCP for IPv4
		dhcp6 int
	}{{i, p.Filter.Ingress, true, 68, 546}, {o, p.Filter.Egress, false, 67, 547}} {
		r.add(d.chain, known, accept())
		r.add(d.chain, family(false), address(single(metadata), d.in, expr.CmpOpEq), accept())
		r.add(d.chain, family(false), l4proto(unix.IPPROTO_UDP), ports(2, d.dhcp, d.dhcp), accept())
		r.add(d.chain, family(true), l4proto(unix.IPPROTO_UDP), ports(2, d.dhcp6, d.dhcp6), accept())
		for t := 130; t <= 136; t++ { // multicast listener, router and neighbour discovery
			r.add(d.chain, family(true), l4proto(unix.IPPROTO_ICMPV6), byteAt(0, t), accept())
		}
		for _, rule := range d.rules {
			if err := r.rule(d.chain, rule, d.in); err != nil {
				return err
			}
		}
		r.add(d.chain, drop())
	}
	return nil
}

func returns() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}} }

// rule writes one security group rule: once for each remote, or once when all may.
func (r *ruleset) rule(c *nftables.Chain, rule Rule, in bool) error {
	match, err := protocol(rule)
	if err != nil {
		return err
	}
	if len(rule.Remotes) == 0 {
		if !rule.RemoteSet {
			r.add(c, family(rule.IPv6), match, accept())
		}
		return nil
	}
	for _, remote := range rule.Remotes {
		if remote.Addr().Is6() != rule.IPv6 {
			continue
		}
		if remote.Bits() == 0 {
			r.add(c, family(rule.IPv6), match, accept())
			continue
		}
		r.add(c, family(rule.IPv6), address(remote, in, expr.CmpOpEq), match, accept())
	}
	return nil
}

// protocolNumbers are the names Neutron knows (api-ref, security group rules).
var protocolNumbers = map[string]int{"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58,
	"igmp": 2, "ipip": 4, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
	"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43}

func protocol(rule Rule) ([]expr.Any, error) {
	if rule.Protocol == "" || rule.Protocol == "any" {
		return nil, nil
	}
	n, known := protocolNumbers[rule.Protocol]
	if !known {
		var err error
		if n, err = strconv.Atoi(rule.Protocol); err != nil || n < 0 || n > 255 {
			return nil, fmt.Errorf("unknown protocol %q in a security group rule", rule.Protocol)
		}
	}
	if n == 0 {
		return nil, nil
	}
	if n == unix.IPPROTO_ICMP && rule.IPv6 {
		n = unix.IPPROTO_ICMPV6
	}
	match := l4proto(byte(n))
	switch n {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE:
		if lo, hi := rule.PortMin, rule.PortMax; lo > 0 || hi > 0 {
			if hi <= 0 {
				hi = lo
			}
			match = append(match, ports(2, max(lo, 0), hi)...)
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		// The zero values of Go mean "all", too: type 0 alone (echo reply) always belongs to a known connection.
		if rule.PortMin > 0 {
			match = append(match, byteAt(0, rule.PortMin)...)
			if rule.PortMax > 0 {
				match = append(match, byteAt(1, rule.PortMax)...)
			}
		}
	}
	return match, nil
}
