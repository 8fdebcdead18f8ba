package script

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// askedKey is an operation by its short names; which node asks is not looked at: one variable too many does no harm.
type askedKey struct{ iface, op string }

// asked returns the output names that the topology wants of an operation.
func asked(t *topology.Topology, op *topology.Operation) []string {
	names := slices.Clone(knownOf(t).asked()[askedKey{short(op.Interface), op.Name}])
	for _, m := range op.Outputs {
		names = append(names, m.Output)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" || VariableName(n) != n || strings.HasPrefix(n, "__orch") })
	slices.Sort(names)
	return slices.Compact(names)
}

func short(iface string) string { return strings.ToLower(iface[strings.LastIndexByte(iface, '.')+1:]) }

// askedIn finds every get_operation_output of a topology.
func askedIn(t *topology.Topology) map[askedKey][]string {
	found := map[askedKey][]string{}
	var value func(v *topology.Value)
	values := func(vs *topology.Values) {
		for _, v := range vs.All() {
			value(v)
		}
	}
	value = func(v *topology.Value) {
		if v == nil {
			return
		}
		for _, e := range v.List {
			value(e)
		}
		values(v.Map)
		if v.Call == nil {
			return
		}
		if a := v.Call.Args; v.Call.Fn == "get_operation_output" && len(a) >= 4 {
			k := askedKey{short(text(a[1])), text(a[2])}
			found[k] = append(found[k], text(a[3]))
		}
		for _, e := range v.Call.Args {
			value(e)
		}
	}
	interfaces := func(in []*topology.Interface) {
		for _, i := range in {
			values(i.Inputs)
			for _, o := range i.Operations {
				values(o.Inputs)
			}
		}
	}
	for _, o := range t.Outputs {
		value(o.Value)
	}
	for _, n := range t.Nodes {
		values(n.Properties)
		values(n.Attributes)
		interfaces(n.Interfaces)
		for _, c := range n.Capabilities {
			values(c.Properties)
			values(c.Attributes)
		}
		for _, r := range n.Relationships {
			values(r.Properties)
			values(r.Attributes)
			interfaces(r.Interfaces)
		}
	}
	for _, g := range t.Groups {
		values(g.Properties)
		interfaces(g.Interfaces)
	}
	for _, p := range t.Policies {
		values(p.Properties)
	}
	for _, w := range t.Workflows {
		for _, s := range w.Steps {
			for _, a := range s.Activities {
				values(a.Inputs)
			}
		}
	}
	return found
}

func text(v *topology.Value) string {
	if v == nil {
		return ""
	}
	s, _ := v.Lit.(string)
	return s
}
