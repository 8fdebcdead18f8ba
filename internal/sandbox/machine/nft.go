package machine

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ruleset builds the rules of one nftables table and applies them as one transaction, replacing what was there.
type ruleset struct {
	conn  *nftables.Conn
	table *nftables.Table
}

// newRuleset begins the table anew on a connection into the namespace. Adding before deleting makes the deletion succeed
// when there is none yet.
func newRuleset(conn *nftables.Conn, family nftables.TableFamily, flags uint32) *ruleset {
	t := &nftables.Table{Name: "orch", Family: family, Flags: flags}
	conn.AddTable(t)
	conn.DelTable(t)
	conn.AddTable(t)
	return &ruleset{conn: conn, table: t}
}

func (r *ruleset) hook(name string, typ nftables.ChainType, hook *nftables.ChainHook, priority int32) *nftables.Chain {
	p := nftables.ChainPriority(priority)
	return r.conn.AddChain(&nftables.Chain{Name: name, Table: r.table, Type: typ, Hooknum: hook, Priority: &p})
}

func (r *ruleset) chain(name string) *nftables.Chain {
	return r.conn.AddChain(&nftables.Chain{Name: name, Table: r.table})
}

func (r *ruleset) add(c *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: c, Exprs: all})
}

func (r *ruleset) commit() error {
	if err := r.conn.Flush(); err != nil {
		return fmt.Errorf("cannot set packet filter rules: %w", err)
	}
	return nil
}

// The words of which rules are made.

func ifName(key expr.MetaKey, name string, op expr.CmpOp) []expr.Any {
	b := make([]byte, 16)
	copy(b, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: b}}
}

func inIf(name string) []expr.Any     { return ifName(expr.MetaKeyIIFNAME, name, expr.CmpOpEq) }
func outIf(name string) []expr.Any    { return ifName(expr.MetaKeyOIFNAME, name, expr.CmpOpEq) }
func notOutIf(name string) []expr.Any { return ifName(expr.MetaKeyOIFNAME, name, expr.CmpOpNeq) }

// family matches IPv4 or IPv6 in inet tables.
func family(v6 bool) []expr.Any {
	proto := byte(unix.NFPROTO_IPV4)
	if v6 {
		proto = unix.NFPROTO_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}}}
}

func l4proto(n byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{n}}}
}

// address matches the source or destination; the family must have been matched.
func address(p netip.Prefix, source bool, op expr.CmpOp) []expr.Any {
	p = p.Masked()
	offset, size := uint32(16), uint32(4)
	if p.Addr().Is6() {
		offset, size = 24, 16
	}
	if source {
		offset -= size
	}
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}
	cmp := &expr.Cmp{Op: op, Register: 1, Data: p.Addr().AsSlice()}
	if p.IsSingleIP() {
		return []expr.Any{load, cmp}
	}
	return []expr.Any{load, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: ipNet(p).Mask, Xor: make([]byte, size)}, cmp}
}

func from(p netip.Prefix) []expr.Any  { return address(p, true, expr.CmpOpEq) }
func to(p netip.Prefix) []expr.Any    { return address(p, false, expr.CmpOpEq) }
func notTo(p netip.Prefix) []expr.Any { return address(p, false, expr.CmpOpNeq) }

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// ports matches a range in the transport header at the offset: 0 for source, 2 for destination.
func ports(offset uint32, lo, hi int) []expr.Any {
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
	if lo == hi {
		return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(lo))}}
	}
	return []expr.Any{load, &expr.Range{Op: expr.CmpOpEq, Register: 1,
		FromData: binaryutil.BigEndian.PutUint16(uint16(lo)), ToData: binaryutil.BigEndian.PutUint16(uint16(hi))}}
}

// byteAt matches one byte of the transport header (ICMP's type and code).
func byteAt(offset uint32, value int) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(value)}}}
}

// ctState matches connection tracking states (a bit set).
func ctState(bits uint32) []expr.Any {
	return mask(&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, bits, true)
}

// statusDNAT is IPS_DST_NAT of the kernel's nf_conntrack_common.h.
const statusDNAT = 1 << 5

func ctDNAT(yes bool) []expr.Any {
	return mask(&expr.Ct{Key: expr.CtKeySTATUS, Register: 1}, statusDNAT, yes)
}

func mask(load expr.Any, bits uint32, set bool) []expr.Any {
	op := expr.CmpOpNeq
	if !set {
		op = expr.CmpOpEq
	}
	return []expr.Any{load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: make([]byte, 4)}}
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}
func dnat(a netip.Addr) []expr.Any { return nat(expr.NATTypeDestNAT, a) }
func snat(a netip.Addr) []expr.Any { return nat(expr.NATTypeSourceNAT, a) }
func redirect(port int) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(port))},
		&expr.Redir{RegisterProtoMin: 1, RegisterProtoMax: 1}}
}

func nat(kind expr.NATType, a netip.Addr) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: a.AsSlice()},
		&expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegAddrMax: 1}}
}

// prohibit answers with "communication administratively prohibited" (ICMP type 3 code 13).
func prohibit() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 13}}
}

func concat(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
