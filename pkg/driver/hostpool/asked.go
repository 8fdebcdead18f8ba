package hostpool

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	pool "github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

// resources of a host capability, which are also counted on shared hosts; the others are conditions only.
var resources = []string{"num_cpus", "cpu_frequency", "mem_size", "disk_size"}

// asked turns a server into a question to the pool: its filters, what its host and os capabilities say, and the policy that targets it. The
// labels are named as the capabilities' properties are: host.num_cpus, os.distribution.
func (d *Driver) asked(ctx context.Context, loc plugin.Location, name string, req *driver.Request) (pool.Asked, error) {
	a := pool.Asked{Location: name, Deployment: req.Deployment, Node: req.Node.Name, Instance: req.Instance, Resources: map[string]pool.Quantity{}, Policy: policyOf(req, loc)}
	e := evaluation{ctx, req}
	shareable, err := e.property("shareable")
	if err != nil {
		return a, err
	}
	a.Shareable, _ = shareable.(bool)
	texts, err := e.texts("filters")
	if err != nil {
		return a, err
	}
	if c := req.Node.Capability("host"); c != nil {
		for _, r := range resources {
			v, err := e.capability(c, r)
			if err != nil {
				return a, err
			}
			q, ok := pool.Measure(v)
			if v == "" || !ok {
				continue
			}
			label := "host." + r
			if r != "cpu_frequency" {
				a.Resources[label] = q
			}
			texts = append(texts, fmt.Sprintf("%s >= %q", label, v))
		}
	}
	if c := req.Node.Capability("os"); c != nil {
		for _, r := range []string{"architecture", "type", "distribution", "version"} {
			v, err := e.capability(c, r)
			if err != nil {
				return a, err
			}
			if v != "" {
				texts = append(texts, fmt.Sprintf("os.%s = %q", r, v))
			}
		}
	}
	a.Filters, err = pool.ParseFilters(texts)
	return a, err
}

// policyOf is the placement that a policy of the topology asks for, else the location's.
func policyOf(req *driver.Request, loc plugin.Location) string {
	for _, p := range req.Topology.Policies {
		if len(p.Targets) > 0 && !slices.Contains(p.Targets, req.Node.Name) {
			continue
		}
		switch {
		case slices.Contains(p.Type, "yorc.policies.hostspool.BinPackingPlacement"):
			return pool.Packed
		case slices.Contains(p.Type, "yorc.policies.hostspool.WeightBalancedPlacement"):
			return pool.Balanced
		}
	}
	if s, ok := loc.Setting("placement").(string); ok {
		return s
	}
	return pool.Balanced
}

type evaluation struct {
	ctx context.Context
	req *driver.Request
}

func (e evaluation) eval(v *topology.Value) (any, error) {
	sc := topology.Scope{Topology: e.req.Topology, Node: e.req.Node, Instance: e.req.Instance}
	return topology.Eval(e.ctx, sc, v, e.req.Env)
}

func (e evaluation) property(name string) (any, error) {
	return e.eval(e.req.Node.Properties.Get(name))
}

func (e evaluation) texts(name string) ([]string, error) {
	v, err := e.property(name)
	if err != nil || v == nil {
		return nil, err
	}
	l, ok := v.([]any)
	if !ok {
		l = []any{v}
	}
	var out []string
	for _, x := range l {
		if s := strings.TrimSpace(fmt.Sprint(x)); s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// capability is a property of a capability as text, "" if it has no value.
func (e evaluation) capability(c *topology.Capability, name string) (string, error) {
	v, err := e.eval(c.Properties.Get(name))
	if err != nil || v == nil {
		return "", err
	}
	if _, unknown := v.(topology.Unknown); unknown {
		return "", nil
	}
	return strings.TrimSpace(fmt.Sprint(v)), nil
}
