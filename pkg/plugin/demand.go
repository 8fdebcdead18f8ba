package plugin

import (
	"context"

	"github.com/orch-project/orch/pkg/topology"
)

// Demand is what one block counts against the cloud's limits. Instance is the one that asks for it; of what several share, the first.
type Demand struct {
	Instance topology.Instance
	Address  string
	Quota    map[string]float64
}

// Demands returns what the blocks of the instances count against the cloud's limits, each block once. Other mistakes do not silence it: of a node
// that cannot be rendered it is what can be said all the same (a server whose image does not exist is a server of some flavor). Whoever wants to
// know the mistakes calls Check.
func (r *Renderer) Demands(ctx context.Context, instances []topology.Instance) []Demand {
	r.init()
	var out []Demand
	seen := map[string]bool{}
	for _, id := range instances {
		in, err := r.inst(id)
		if err != nil {
			continue
		}
		for _, spec := range in.mapping.Resources {
			if spec.Quota == nil || r.outlineID(ctx, in, spec.ID) != nil {
				continue
			}
			for _, b := range in.blocks[spec.ID] {
				if b.spec != spec || seen[b.Address()] {
					continue
				}
				seen[b.Address()] = true
				out = append(out, Demand{Instance: id, Address: b.Address(), Quota: r.countable(ctx, b)})
			}
		}
	}
	return out
}

// countable is what is known of a block's counts.
func (r *Renderer) countable(ctx context.Context, b *Block) map[string]float64 {
	f := r.frame(ctx, b.frame)
	f.owner = b.Owner
	if b.spec.Each != nil {
		f = f.with(b.spec.As, b.item)
	}
	out := map[string]float64{}
	for _, k := range b.spec.Quota.Keys {
		v, err := f.eval(b.spec.Quota.Exprs[k])
		if n, ok := topology.Number(v); ok && err == nil {
			out[k] = n
		}
	}
	return out
}
