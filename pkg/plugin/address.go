package plugin

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"

	"github.com/orch-project/orch/pkg/topology"
)

// evalAutoCIDR chooses a subnet for a network that asks for none: always the same for a deployment's node, and most likely another one
// for another node.
func evalAutoCIDR(f *frame, e *Expr) (any, error) {
	base, err := f.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	n, err := f.eval(e.Args[1])
	if err != nil {
		return nil, err
	}
	bits, _ := topology.Number(n)
	seed := f.r.Deployment + "/" + f.in.node.Name
	if len(e.Args) > 2 {
		s, err := f.eval(e.Args[2])
		if err != nil {
			return nil, err
		}
		seed = f.r.Deployment + "/" + str(s)
	}
	prefix, err := netip.ParsePrefix(str(base))
	if err != nil {
		return nil, fmt.Errorf("%v is not an address range such as 10.0.0.0/8", base)
	}
	return subnet(prefix.Masked(), int(bits), seed)
}

func subnet(base netip.Prefix, bits int, seed string) (any, error) {
	if bits < base.Bits() || bits > base.Addr().BitLen() {
		return nil, fmt.Errorf("%s has no subnets of %d bits", base, bits)
	}
	index, _ := new(big.Int).SetString(hash(seed, 32), 16)
	index.Mod(index, new(big.Int).Lsh(big.NewInt(1), uint(bits-base.Bits())))
	index.Lsh(index, uint(base.Addr().BitLen()-bits))
	sum := index.Add(index, new(big.Int).SetBytes(base.Addr().AsSlice()))
	raw := sum.FillBytes(make([]byte, base.Addr().BitLen()/8))
	addr, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(addr, bits).String(), nil
}

func applyDigest(a []any) (any, error) {
	b, err := json.Marshal(a[0])
	if err != nil {
		return nil, err
	}
	return hash(string(b), 8), nil
}
