package topology

// Walk visits every expression of a topology that deploying it evaluates: properties, attributes, inputs of operations that do something, outputs.
func Walk(t *Topology, visit func(*Value)) {
	var value func(v *Value)
	values := func(vs *Values) {
		for _, v := range vs.All() {
			value(v)
		}
	}
	value = func(v *Value) {
		if v == nil {
			return
		}
		visit(v)
		for _, x := range v.List {
			value(x)
		}
		values(v.Map)
		if v.Call != nil {
			for _, x := range v.Call.Args {
				value(x)
			}
		}
	}
	interfaces := func(is []*Interface) {
		for _, i := range is {
			for _, op := range i.Operations {
				if op.Implementation != nil || op.Call != "" {
					values(op.Inputs)
				}
			}
		}
	}
	for _, n := range t.Nodes {
		values(n.Properties)
		values(n.Attributes)
		interfaces(n.Interfaces)
		for _, c := range n.Capabilities {
			values(c.Properties)
		}
		for _, r := range n.Relationships {
			values(r.Properties)
			interfaces(r.Interfaces)
		}
	}
	for _, o := range t.Outputs {
		value(o.Value)
	}
	for _, p := range t.Policies {
		values(p.Properties)
	}
}
