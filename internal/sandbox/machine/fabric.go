package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

// The fabric is a namespace of its own with a bridge for each network and one, "ext", for the external network:
//
//	host's namespace        fabric                       router's namespace       server's namespace
//	orch-xxxx .1 ◀──veth──▶ ext ◀────────veth──────────▶ ext (NAT, floating)
//	                        bridge of network ◀──veth──▶ leg (gateway)
//	                        bridge of network ◀──veth─────────────────────────────▶ eth0 (filter)
//
// Bridges carry no tenant addresses, so networks may overlap. On "ext" the fabric has a link-local address that is every
// router's next hop: what servers send out into the world is taken there by the forwarder.
type fabric struct {
	ns       *namespace
	host     *namespace
	hostLink string
	taken    []netip.Prefix // see Options
	external netip.Prefix   // network address
	hostAddr netip.Prefix   // this machine's end: the first address

	mu       sync.Mutex
	networks map[string]*network
}

// Names and addresses that are the fabric's own.
const extLink = "ext"

var (
	nextHop  = netip.MustParseAddr("169.254.253.1")
	metadata = netip.MustParseAddr("169.254.169.254")
)

// network is a bridge with the metadata and name services on it.
type network struct {
	id, bridge string
	services   *networkServices
}

func newFabric(external netip.Prefix, hostLink string, taken []netip.Prefix) (*fabric, error) {
	host, err := hostNamespace()
	if err != nil {
		return nil, err
	}
	f := &fabric{host: host, hostLink: hostLink, taken: taken, external: external.Masked(), networks: map[string]*network{}}
	f.hostAddr = netip.PrefixFrom(f.external.Addr().Next(), f.external.Bits())
	if err := f.free(); err != nil {
		host.close()
		return nil, err
	}
	if f.ns, err = newNamespace(); err != nil {
		host.close()
		return nil, err
	}
	if err := f.build(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// free checks that nobody uses the external network on this machine. A predecessor that was killed may need a moment to
// vanish: the kernel removes namespaces in the background.
func (f *fabric) free() error {
	var err error
	for range 50 {
		if err = f.conflict(f.external); err == nil {
			return nil
		}
		// Only what bears our own link's name can be the predecessor's.
		if _, gone := f.host.nl.LinkByName(f.hostLink); gone != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("cannot use %s as the external network: %w", f.external, err)
}

// conflict tells of a route on this machine that overlaps with the prefix. Default routes do not count.
func (f *fabric) conflict(p netip.Prefix) error {
	for _, q := range f.taken {
		if q.Overlaps(p) {
			return fmt.Errorf("this machine has an address in %s already", q)
		}
	}
	addrs, err := f.host.nl.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("cannot read this machine's addresses: %w", err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		ones, _ := a.Mask.Size()
		if q := netip.PrefixFrom(ip, ones).Masked(); q.Overlaps(p) {
			return fmt.Errorf("this machine has an address in %s already", q)
		}
	}
	routes, err := f.host.nl.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("cannot read this machine's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ip, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		if q := netip.PrefixFrom(ip.Unmap(), ones); ones > 0 && q.Overlaps(p) {
			return fmt.Errorf("this machine has a route to %s already", q)
		}
	}
	return nil
}

func (f *fabric) build() error {
	if err := f.ns.sysctls([2]string{"net/ipv4/ip_forward", "1"}, [2]string{"net/ipv4/conf/all/rp_filter", "0"},
		[2]string{"net/ipv4/conf/default/rp_filter", "0"}, [2]string{"net/ipv4/conf/all/arp_ignore", "1"},
		[2]string{"net/ipv4/conf/all/send_redirects", "0"}, [2]string{"net/ipv4/conf/default/send_redirects", "0"},
		[2]string{"-net/ipv6/conf/all/disable_ipv6", "1"}, [2]string{"-net/ipv6/conf/default/disable_ipv6", "1"},
		// Bridged frames are none of this namespace's packet filter, though br_netfilter would make them so.
		[2]string{"-net/bridge/bridge-nf-call-iptables", "0"}, [2]string{"-net/bridge/bridge-nf-call-ip6tables", "0"},
		[2]string{"-net/bridge/bridge-nf-call-arptables", "0"}); err != nil {
		return err
	}
	if err := f.addBridge(extLink); err != nil {
		return err
	}
	if err := f.ns.addAddress(extLink, netip.PrefixFrom(nextHop, 32)); err != nil {
		return err
	}
	if err := f.ns.addRoute(route{to: f.external, link: extLink}); err != nil {
		return err
	}
	if err := cable(end{ns: f.ns, name: "host"}, end{ns: f.host, name: f.hostLink}); err != nil {
		return err
	}
	if err := f.plug("host", extLink); err != nil {
		return err
	}
	// The link exists only for the sandbox and goes with it, so its settings are not the host's.
	if err := f.host.addAddress(f.hostLink, f.hostAddr); err != nil {
		return err
	}
	if err := f.host.up(f.hostLink); err != nil {
		return err
	}
	return f.guard()
}

func (f *fabric) addBridge(name string) error {
	la := netlink.NewLinkAttrs()
	la.Name = name
	off := false
	if err := f.ns.nl.LinkAdd(&netlink.Bridge{LinkAttrs: la, MulticastSnooping: &off}); err != nil {
		return fmt.Errorf("cannot make bridge %s: %w", name, err)
	}
	return f.ns.up(name)
}

// plug puts a link of the fabric into a bridge and sets it up.
func (f *fabric) plug(link, bridge string) error {
	l, err := f.ns.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	b, err := f.ns.nl.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", bridge, err)
	}
	if err := f.ns.nl.LinkSetMaster(l, b); err != nil {
		return fmt.Errorf("cannot plug %s into %s: %w", link, bridge, err)
	}
	return f.ns.nl.LinkSetUp(l)
}

func (f *fabric) close() {
	for _, n := range f.networks {
		n.services.close()
	}
	if err := f.host.remove(f.hostLink); err != nil && !errors.Is(err, syscall.ENODEV) {
		// The namespace's end removes it as well.
		_ = err
	}
	f.ns.close()
	f.host.close()
}
