package orch

import (
	"context"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// Observer is an Inventory that also says which resource is which instance's, and in what state.
type Observer interface {
	Observe(ctx context.Context, deployment, location string) ([]driver.CloudResource, error)
}

// server is what the cloud says of an instance that is a server.
type server struct {
	status string // the cloud's word; "" if there is none
	gone   bool
}

// lost reports that nothing can run on it.
func (s server) lost() bool {
	return s.gone || s.broken() || s.status == "SHUTOFF" || s.status == "SUSPENDED"
}

// broken reports that it will not come back by itself.
func (s server) broken() bool { return s.gone || s.status == "ERROR" || s.status == "DELETED" }

// servers asks the cloud for the servers that are on record. The result is nil where nobody can be asked.
func (l *Local) servers(ctx context.Context, v *view) (map[topology.Instance]server, error) {
	o, ok := l.opts.Inventory.(Observer)
	if !ok || !v.record.Infra {
		return nil, nil
	}
	wanted := map[topology.Instance]string{} // but for hosts of pools ("hostspool/…"), which are no servers of a cloud
	for in, rec := range v.snapshot.Instances {
		if n := v.topology.NodeNamed(in.Node); n != nil && n.Native && rec.Made && rec.Host != nil && rec.Host.ServerID != "" && !strings.Contains(rec.Host.ServerID, "/") {
			wanted[in] = rec.Host.ServerID
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	found, err := o.Observe(ctx, v.record.Name, v.record.Location)
	if err != nil {
		return nil, driverError("cannot ask the cloud for the servers of "+v.record.Name, err)
	}
	out := map[topology.Instance]server{}
	for in, id := range wanted {
		out[in] = server{gone: true}
		for _, r := range found {
			if r.Kind == "server" && r.ID == id {
				out[in] = server{status: r.Status}
			}
		}
	}
	return out, nil
}

// healing completes the input of a heal: which servers are lost, and, where nobody chose, which instances are not well.
func (l *Local) healing(ctx context.Context, p *prepared, in *plan.Input) error {
	v := &view{record: *p.have, topology: p.topology, snapshot: p.snapshot}
	servers, err := l.servers(ctx, v)
	if err != nil && len(in.Instances) == 0 {
		return err
	}
	in.InPlace, in.Spare = p.req.InPlace, p.req.Spare
	in.Reinstall, in.Lost = p.req.Reinstall, map[topology.Instance]bool{}
	for server, s := range servers {
		in.Lost[server] = s.lost()
	}
	if len(in.Instances) == 0 && p.req.Node == "" {
		in.Instances, in.Found = []topology.Instance{}, true
		for _, one := range l.unwell(ctx, v, servers) {
			// What holds data (a volume) is not thrown away unasked: it is finished where it is.
			if n := p.topology.NodeNamed(one.Node); n.Native && p.snapshot.Instances[one].Host == nil && plan.ServerOf(p.topology, n, one.Index) != one.String() {
				in.Repair = append(in.Repair, one)
				continue
			}
			in.Instances = append(in.Instances, one)
		}
	}
	if p.req.Repair {
		return l.repairs(ctx, p, v, in)
	}
	return nil
}

// repairs adds what of the infrastructure has drifted: what is gone is made anew with all that is on it, the rest is brought back in place.
func (l *Local) repairs(ctx context.Context, p *prepared, v *view, in *plan.Input) error {
	v.world = l.engine.NewWorld(p.snapshot, p.inputs)
	d := &Drift{Deployment: p.name}
	if err := l.driftOfInfrastructure(ctx, v, d); err != nil {
		return err
	}
	for _, c := range d.Infrastructure {
		n := p.topology.NodeNamed(c.Instance.Node)
		switch {
		case n == nil || slices.Contains(in.Instances, c.Instance) || slices.Contains(in.Repair, c.Instance):
		case c.Action == "create" && !c.Shared && p.snapshot.Instances[c.Instance] != nil && p.snapshot.Instances[c.Instance].Host != nil:
			in.Instances = append(in.Instances, c.Instance)
			in.Lost[c.Instance] = true
		default:
			in.Repair = append(in.Repair, c.Instance)
		}
	}
	return nil
}

// unwell are the instances that a heal without choice is about: those in the state error, servers that are broken or gone, and those whose
// last check or health policy says so.
func (l *Local) unwell(ctx context.Context, v *view, servers map[topology.Instance]server) []topology.Instance {
	out, sick := []topology.Instance{}, l.sick(ctx, v)
	for in, rec := range v.snapshot.Instances {
		if v.topology.NodeNamed(in.Node) == nil {
			continue
		}
		if rec.State == plan.StateError || rec.Unwell() || servers[in].broken() || sick[in] {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, byInstance)
	return out
}

func byInstance(a, b topology.Instance) int {
	if a.Node != b.Node {
		if a.Node < b.Node {
			return -1
		}
		return 1
	}
	return plan.ByNumber(a.Index, b.Index)
}
