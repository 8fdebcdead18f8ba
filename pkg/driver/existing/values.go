package existing

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// values evaluates expressions; what is not known is nil.
type values struct {
	ctx context.Context
	sc  topology.Scope
	env topology.Env
}

func (v values) eval(x *topology.Value) any {
	if x == nil {
		return nil
	}
	r, err := topology.Eval(v.ctx, v.sc, x, v.env)
	if err != nil {
		return nil
	}
	return driver.Reveal(r)
}

// address of a server under a name: what runs says, else what its template gives.
func (v values) address(n *topology.Node, in topology.Instance, name string) string {
	if x, ok := v.env.Attribute(in, "", name); ok {
		if s := text(driver.Reveal(x)); s != "" {
			return s
		}
	}
	for _, from := range []*topology.Values{n.Properties, n.Attributes} {
		if from == nil {
			continue
		}
		if s := text(v.eval(from.Get(name))); s != "" {
			return s
		}
	}
	return ""
}

// within puts the addresses that a server has at a port, or else in a network, before its others.
func (v values) within(in topology.Instance, network, port string, addresses []string) []string {
	first := v.addresses(in, "ports", "port", port)
	if len(first) == 0 {
		first = v.addresses(in, "networks", "network", network)
	}
	others := slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return slices.Contains(first, a) })
	return append(first, others...)
}

// addresses of a server by its attribute of networks or ports, those of the one that has a name or an id.
func (v values) addresses(in topology.Instance, attribute, what, name string) (out []string) {
	got, _ := v.env.Attribute(in, "", attribute)
	all, _ := driver.Reveal(got).(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		one, _ := all[key].(map[string]any)
		list, _ := one["addresses"].([]any)
		if name == "" || key != name && text(one[what+"_name"]) != name && text(one[what+"_id"]) != name {
			continue
		}
		for _, a := range list {
			if s := text(a); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

func text(v any) string {
	if v == nil {
		return ""
	}
	switch v.(type) {
	case string, int64, int, float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}
