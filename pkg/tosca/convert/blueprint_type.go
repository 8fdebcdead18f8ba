package convert

import (
	"slices"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// blueprintType writes a type.
func (c *converter) blueprintType(t resolve.Declared) *source.Node {
	x, f := newMap(), t.File
	base, merged := "", []resolve.Declared{t}
	chain := f.Lookup(t.Kind, t.Name.Text)
	switch t.Kind {
	case document.NodeType:
		switch {
		case t.Name.Text == cloudifyServer:
			base, merged = "tosca.nodes.Compute", chain
		case t.DerivedFrom.IsZero():
			base = "tosca.nodes.Root"
		}
	case document.RelationshipType:
		switch {
		case t.Name.Text == "cloudify.relationships.connected_to":
			base, merged = "tosca.relationships.ConnectsTo", chain
		case t.Name.Text == "cloudify.relationships.contained_in":
			base, merged = "tosca.relationships.HostedOn", chain
		case t.Name.Text == "cloudify.relationships.depends_on":
			base = "tosca.relationships.DependsOn"
		case t.DerivedFrom.IsZero():
			base = "tosca.relationships.Root"
		}
	case document.PolicyType:
		if base = "tosca.policies.Root"; t.Name.Text == "cloudify.policies.scaling" {
			base = "tosca.policies.Scaling"
		}
	case document.DataType:
		if t.DerivedFrom.IsZero() {
			base = "tosca.datatypes.Root"
		}
	}
	rebased := base != ""
	if !rebased {
		base = c.ref(f, t.Kind, t.DerivedFrom)
	}
	x.text("derived_from", base)
	x.text("version", t.Version)
	x.text("description", t.Description)
	props, seen := newMap(), map[string]bool{}
	for _, a := range merged {
		for _, p := range a.Properties {
			if seen[p.Name.Text] {
				continue
			}
			seen[p.Name.Text] = true
			at, first := firstParam(chain, p.Name.Text)
			if first == nil {
				at, first = t, p
			}
			props.put(p.Name.Text, c.blueprintParam(a.File, p, first, at.Name.Text))
		}
	}
	x.put("properties", props.or())
	switch t.Kind {
	case document.NodeType:
		c.blueprintNodeType(x, t, merged, rebased)
	case document.RelationshipType:
		if rebased && t.Name.Text == "cloudify.relationships.contained_in" {
			x.put("valid_target_types", texts([]string{"tosca.capabilities.Container"}))
		}
		var list []*document.Interface
		for _, a := range merged {
			list = append(list, a.Interfaces...)
		}
		x.put("interfaces", c.blueprintEnds(f, list, true, rebased))
	}
	return x.n
}

// native attributes of TOSCA's nodes.
var nativeAttributes = []string{"tosca_id", "tosca_name", "state", "private_address", "public_address", "networks", "ports"}

func (c *converter) blueprintNodeType(x m, t resolve.Declared, merged []resolve.Declared, rebased bool) {
	f := t.File
	attrs := newMap()
	var list []*document.Interface
	for _, a := range merged {
		for _, p := range a.Attributes {
			if attrs.n.Get(p.Name.Text) == nil {
				attrs.put(p.Name.Text, c.blueprintParam(a.File, p, p, a.Name.Text))
			}
		}
		list = append(list, a.Interfaces...)
	}
	if rebased {
		for _, name := range sortedKeys(c.bp.attributes) {
			if attrs.n.Get(name) != nil || slices.Contains(nativeAttributes, name) {
				continue
			}
			typ := newMap()
			typ.text("type", "string")
			if c.bp.attributes[name] {
				typ = m{one("type", str(jsonType))} // something inside of it is asked for
			}
			attrs.put(name, typ.n)
		}
	}
	x.put("attributes", attrs.or())
	if rebased {
		caps := newMap()
		caps.put("scalable", one("type", str(scalableType)))
		if t.Name.Text == cloudifyServer {
			host := newMap()
			host.text("type", "tosca.capabilities.Compute")
			host.put("valid_source_types", texts([]string{"tosca.nodes.Root"}))
			caps.put("host", host.n)
		} else {
			caps.put("host", one("type", str("tosca.capabilities.Container")))
			caps.put("endpoint", one("type", str("tosca.capabilities.Endpoint")))
		}
		x.put("capabilities", caps.n)
		reqs := seq()
		for _, q := range c.bp.requirements {
			y := newMap()
			y.text("capability", end(q.of))
			if len(q.of) > 0 {
				y.text("relationship", c.use(q.of[0]))
			}
			y.put("occurrences", seq(num(0), plain(topology.Unbounded)))
			reqs.Items = append(reqs.Items, one(q.name, y.n))
		}
		if len(reqs.Items) > 0 {
			x.put("requirements", reqs)
		}
	}
	x.put("interfaces", c.blueprintNodeInterfaces(f, list, true, rebased))
}

// end is the capability type that a relationship of Cloudify ends at in TOSCA.
func end(of []resolve.Declared) string {
	for _, t := range of {
		switch t.Name.Text {
		case "cloudify.relationships.contained_in":
			return "tosca.capabilities.Container"
		case "cloudify.relationships.connected_to":
			return "tosca.capabilities.Endpoint"
		}
	}
	return "tosca.capabilities.Node"
}
