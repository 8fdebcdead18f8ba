package machine

import (
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Ports of the forwarder inside the fabric; they are the namespace's own and never seen outside.
const (
	forwardPort = 15001
	dnsPort     = 15053
)

// guard sets the fabric's rules: what routers send to the world is taken by the forwarder, and nothing passes from one
// network to another.
func (f *fabric) guard() error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(f.ns.fd)))
	if err != nil {
		return err
	}
	r := newRuleset(conn, nftables.TableFamilyIPv4, 0)
	pre := r.hook("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100)
	linkLocal := netip.MustParsePrefix("169.254.0.0/16")
	outward := concat(inIf(extLink), notTo(f.external), notTo(linkLocal))
	for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		// Whatever name server a subnet names, the host's resolver answers: it may be the only one there is.
		r.add(pre, outward, l4proto(proto), ports(2, 53, 53), redirect(dnsPort))
	}
	r.add(pre, outward, l4proto(unix.IPPROTO_TCP), redirect(forwardPort))
	fwd := r.hook("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, 0)
	r.add(fwd, inIf(extLink), prohibit())
	r.add(fwd, drop())
	return r.commit()
}
