package orch

import (
	"context"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// checkReach finds servers that operations are to run on and that nothing will ever give an address: no location makes them, they name none, and
// no operation of theirs could set one.
func (l *Local) checkReach(ctx context.Context, p *prepared, reqs []*driver.Request) {
	seen := map[string]bool{}
	for _, req := range reqs {
		server := plan.ServerOf(p.topology, req.Node, req.Instance)
		in, ok := plan.ParseInstance(server)
		if !ok || seen[in.Node] {
			continue
		}
		n := p.topology.NodeNamed(in.Node)
		if n == nil || n.Native || acts(n.Interfaces) || len(n.Directives) > 0 {
			continue
		}
		if rec := p.snapshot.Instances[in]; rec != nil && rec.Host != nil {
			continue
		}
		if l.opts.Login != nil {
			if h, err := l.opts.Login(ctx, req, nil); err != nil || h != nil {
				continue
			}
		}
		var h *driver.Host
		var err error
		if l.opts.Hosts != nil {
			h, err = l.opts.Hosts(ctx, p.name, p.topology, in, req.Env)
		}
		if h != nil || err != nil {
			continue // an error tells of a value that is not known yet, or is told when it is used
		}
		seen[in.Node] = true
		p.diags.Add(diag.Diagnostic{Severity: diag.Error, Code: "no-address", Pos: n.Pos, Path: "node " + n.Name,
			Message: "operations are to run on " + n.Name + ", and nothing says where it is",
			Hint:    "choose a location that makes such servers, or give the address of an existing one (ip, public_address or private_address)"})
	}
}

// acts reports whether any operation of the interfaces does something.
func acts(interfaces []*topology.Interface) bool {
	for _, i := range interfaces {
		for _, op := range i.Operations {
			if op.Implementation != nil || op.Call != "" {
				return true
			}
		}
	}
	return false
}
