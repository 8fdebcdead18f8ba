package convert

import (
	"slices"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (c *converter) blueprintTopology(t *document.Topology) *source.Node {
	x, f := newMap(), c.Root
	inputs := newMap()
	for _, p := range t.Inputs {
		inputs.put(p.Name.Text, c.blueprintParam(f, p, p, "inputs"))
	}
	x.put("inputs", inputs.or())
	nodes := newMap()
	for _, n := range t.Nodes {
		nodes.put(n.Name.Text, c.blueprintNode(n))
	}
	x.put("node_templates", nodes.n)
	groups := newMap()
	for _, g := range t.Groups {
		y := newMap()
		y.text("type", "tosca.groups.Root")
		y.put("members", c.groupMembers(t, g))
		groups.put(g.Name.Text, y.n)
	}
	x.put("groups", groups.or())
	policies := seq()
	for _, p := range t.Policies {
		y := newMap()
		chain := f.Lookup(document.PolicyType, p.Type.Text)
		y.text("type", c.ref(f, document.PolicyType, p.Type))
		y.put("properties", c.blueprintAssigns(p.Properties, chain))
		y.put("targets", names(p.Targets))
		policies.Items = append(policies.Items, one(p.Name.Text, y.n))
		for _, tr := range p.Triggers {
			c.lost(tr.Name.Pos, tr.Path, "the trigger %s of the policy %s", tr.Name.Text, p.Name.Text)
		}
		if p.Type.Text == "cloudify.policies.scaling" {
			c.lost(p.Name.Pos, p.Path, "that the groups of the policy %s scale as one (each member has the number of instances that it begins with)", p.Name.Text)
		}
	}
	if len(policies.Items) > 0 {
		x.put("policies", policies)
	}
	outputs := newMap()
	output := func(p *document.Param) {
		y := newMap()
		y.text("description", p.Description)
		v := c.value(f, p.Value, nil)
		if v == nil {
			c.lost(p.Name.Pos, p.Path, "the value of %s", p.Name.Text)
			return
		}
		y.put("value", v)
		outputs.put(p.Name.Text, y.n)
	}
	for _, p := range t.Outputs {
		output(p)
	}
	for _, p := range t.Capabilities {
		if outputs.n.Get(p.Name.Text) != nil {
			c.lost(p.Name.Pos, p.Path, "the capability %s of the deployment, beside an output of that name", p.Name.Text)
			continue
		}
		c.lost(p.Name.Pos, p.Path, "that %s is a capability of the deployment (an output is written)", p.Name.Text)
		output(p)
	}
	x.put("outputs", outputs.or())
	for _, s := range []struct {
		what string
		list []*document.Param
	}{{"the label", t.Labels}, {"the blueprint label", t.BlueprintLabels}, {"the resource tag", t.ResourceTags}, {"the setting", t.Settings}} {
		for _, p := range s.list {
			c.lost(p.Name.Pos, p.Path, "%s %s", s.what, p.Name.Text)
		}
	}
	for _, w := range t.Workflows {
		c.lost(w.Name.Pos, w.Path, "the workflow %s, which is code (%s),", w.Name.Text, w.Call)
	}
	return x.n
}

// groupMembers are the nodes of a group, also of the groups inside of it.
func (c *converter) groupMembers(t *document.Topology, g *document.Group) *source.Node {
	var out []string
	seen := map[string]bool{}
	var add func(g *document.Group)
	add = func(g *document.Group) {
		for _, member := range g.Members {
			at := slices.IndexFunc(t.Groups, func(o *document.Group) bool { return o.Name.Text == member.Text })
			switch {
			case at < 0 && !slices.Contains(out, member.Text):
				out = append(out, member.Text)
			case at >= 0 && !seen[member.Text]:
				seen[member.Text] = true
				c.lost(member.Pos, g.Path, "that the group %s contains the group %s (its nodes are written)", g.Name.Text, member.Text)
				add(t.Groups[at])
			}
		}
	}
	add(g)
	return texts(out)
}

func (c *converter) blueprintNode(n *document.NodeTemplate) *source.Node {
	x, f := newMap(), c.Root
	chain := f.Lookup(document.NodeType, n.Type.Text)
	x.text("type", c.ref(f, document.NodeType, n.Type))
	x.put("properties", c.blueprintAssigns(n.Properties, chain))
	node := c.Topology.NodeNamed(n.Name.Text)
	if node != nil {
		if k := node.Capability("scalable"); k != nil && (len(n.Capabilities) > 0 || c.scaled(n.Name.Text)) {
			props := newMap()
			for _, name := range []string{"default_instances", "min_instances", "max_instances"} {
				switch v := k.Properties.Get(name); {
				case v == nil:
				case v.Kind == topology.LitValue:
					if i, ok := v.Lit.(int64); ok {
						props.put(name, num(i))
					}
				default:
					props.put(name, c.assigned(n, name))
				}
			}
			x.put("capabilities", one("scalable", one("properties", props.n)))
		}
		for _, i := range node.Interfaces {
			for _, o := range i.Operations {
				if o.Host == "ORCHESTRATOR" && o.Implementation != nil && !c.central[n.Name.Text] && node.Host() == "" && !node.Type.Is(cloudifyServer) {
					c.central[n.Name.Text] = true
					c.lost(n.Name.Pos, n.Path, "that the scripts of %s, which is on no server, run beside the orchestrator", n.Name.Text)
				}
			}
		}
	}
	reqs := seq()
	for _, r := range n.Requirements {
		y := newMap()
		of := f.Lookup(document.RelationshipType, r.Relationship.Name.Text)
		y.text("node", r.Node.Text)
		rel := newMap()
		rel.text("type", c.ref(f, document.RelationshipType, r.Relationship.Name))
		rel.put("properties", c.blueprintAssigns(r.Relationship.Properties, of))
		rel.put("interfaces", c.blueprintEnds(f, r.Relationship.Interfaces, false, false))
		if len(rel.n.Pairs) == 1 {
			y.put("relationship", rel.n.Pairs[0].Value)
		} else {
			y.put("relationship", rel.n)
		}
		for _, p := range r.Relationship.Properties {
			if p.Name.Text == "connection_type" && p.Value.Str() == "all_to_one" {
				c.lost(p.Name.Pos, r.Path, "that all instances of %s are related to one of %s", n.Name.Text, r.Node.Text)
			}
		}
		reqs.Items = append(reqs.Items, one(r.Name.Text, y.n))
	}
	if len(reqs.Items) > 0 {
		x.put("requirements", reqs)
	}
	x.put("interfaces", c.blueprintNodeInterfaces(f, n.Interfaces, false, false))
	return x.n
}

// assigned is the value that a template gives a number of instances.
func (c *converter) assigned(n *document.NodeTemplate, name string) *source.Node {
	for _, k := range n.Capabilities {
		for _, a := range k.Properties {
			if a.Name.Text == name {
				return c.value(c.Root, a.Value, nil)
			}
		}
	}
	return nil
}

// scaled reports a member of a group that a policy scales.
func (c *converter) scaled(node string) bool {
	return slices.ContainsFunc(c.Root.Doc.Topology.Groups, func(g *document.Group) bool {
		return slices.ContainsFunc(g.Members, func(m document.Name) bool { return m.Text == node }) && slices.ContainsFunc(c.Root.Doc.Topology.Policies, func(p *document.Policy) bool {
			return p.Type.Text == "cloudify.policies.scaling" && slices.ContainsFunc(p.Targets, func(t document.Name) bool { return t.Text == g.Name.Text })
		})
	})
}
