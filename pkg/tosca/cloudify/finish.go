package cloudify

import (
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Codes of Finish.
const (
	CodeContained    = "contained-twice"
	CodeRelationship = "unsupported-relationship"
	CodeScaling      = "scaling-group"
	CodeHost         = "no-host"
)

func init() {
	diag.Register(
		diag.Code{ID: CodeContained, Title: "A node is contained in two others", Text: "A node template has at most one relationship that derives from cloudify.relationships.contained_in."},
		diag.Code{ID: CodeRelationship, Title: "A relationship's type or connection_type has no meaning", Text: "Relationship types derive from depends_on, connected_to or contained_in of cloudify.relationships; connection_type is all_to_all or all_to_one; depends_on_lifecycle_operation names an operation of its target."},
		diag.Code{ID: CodeScaling, Title: "Scaling groups do not fit together", Text: "A node or group belongs to one scaling group at most, scaling groups do not contain themselves, and the members that are contained in other nodes share that container."},
		diag.Code{ID: CodeHost, Title: "A host_agent operation has no host", Text: "An operation with executor host_agent runs on the host that contains the node; this node is in none. Say central_deployment_agent, or contain the node in a Compute node."},
	)
}

const (
	containedIn = "cloudify.relationships.contained_in"
	dependsOn   = "cloudify.relationships.depends_on"
	connectedTo = "cloudify.relationships.connected_to"
	onOperation = "cloudify.relationships.depends_on_lifecycle_operation"
	compute     = "cloudify.nodes.Compute"
	scaling     = "cloudify.policies.scaling"
	everywhere  = "ORCHESTRATOR"
)

// Finish checks what only the whole topology shows, and gives nodes what Cloudify's rules derive from it: where scripts of nodes without a
// host run, and how many instances scaling groups make. Relationships of unknown types (already reported), and of those that cut says have
// an unknown ancestor, are let through.
func Finish(top *topology.Topology, cut func(relationshipType string) bool, diags *diag.List) {
	f := &finisher{top: top, cut: cut, diags: diags, single: map[string]bool{}}
	for _, n := range top.Nodes {
		f.relationships(n)
		f.executors(n)
		cloudConfig(n)
	}
	f.scalingGroups()
	f.workflows()
}

// workflows names those of the blueprint that are Python code: they are refused when they are asked for, and that should be known before. What a
// plugin brings along is nobody's wish.
func (f *finisher) workflows() {
	for _, name := range slices.Sorted(maps.Keys(f.top.Workflows)) {
		wf := f.top.Workflows[name]
		if wf.Call == "" || wf.BuiltIn() != "" || strings.HasPrefix(wf.Pos.File, "<") {
			continue
		}
		if slices.ContainsFunc(*f.diags, func(d diag.Diagnostic) bool {
			return d.Severity == diag.Error && strings.HasPrefix(d.Message, "the workflow "+name+":")
		}) { // its mapping is a mistake, and named
			continue
		}
		f.diags.Warnf("foreign-workflow", wf.Pos, "the workflow %s is Python code (%s), which only Cloudify runs", name, wf.Call).Hint =
			"write what it does as operations, which the workflow execute_operation runs, or map it to one of default_workflows.cloudify.plugins.workflows.*"
	}
}

type finisher struct {
	top   *topology.Topology
	diags *diag.List
	cut   func(string) bool
	// single are the nodes that a scaling group has one of in each of its instances.
	single map[string]bool
	hosts  map[*topology.Node]*topology.Node // of nodes that were asked for theirs
}

func (f *finisher) errorf(code string, pos diag.Pos, format string, args ...any) *diag.Diagnostic {
	return f.diags.Errorf(code, pos, format, args...)
}

func (f *finisher) relationships(n *topology.Node) {
	var container *topology.Relationship
	for _, r := range n.Relationships {
		switch {
		case len(r.Type) == 0:
			continue
		case r.Type.Is(containedIn) && container != nil:
			d := f.errorf(CodeContained, r.Pos, "%s is contained in both %s and %s", n.Name, container.Target, r.Target)
			d.Related = []diag.Related{{Pos: container.Pos, Message: "the first one"}}
		case r.Type.Is(containedIn):
			container = r
		case !r.Type.Is(dependsOn) && !r.Type.Is(connectedTo) && !f.cut(r.Type.Name()):
			f.errorf(CodeRelationship, r.Pos, "the relationship type %s derives from none of depends_on, connected_to and contained_in", r.Type.Name())
		}
		if v := r.Properties.Get("connection_type"); v != nil && v.Kind == topology.LitValue && v.Lit != "all_to_all" && v.Lit != "all_to_one" {
			f.errorf(CodeRelationship, v.Pos, "connection_type must be all_to_all or all_to_one, not %v", v.Lit)
		}
		if r.Type.Is(onOperation) {
			f.operation(n, r)
		}
	}
}

// cloudConfig gives a CloudConfig node of the utilities plugin the text that its plugin would make: the configuration as JSON, which is YAML.
func cloudConfig(n *topology.Node) {
	if !n.Type.Is("cloudify.nodes.CloudInit.CloudConfig") {
		return
	}
	call := func(fn string, args ...*topology.Value) *topology.Value {
		return &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: fn, Args: args}, Pos: n.Pos}
	}
	header := &topology.Value{Lit: "#cloud-config", Pos: n.Pos}
	if v := n.Properties.Get("header"); v != nil {
		header = v
	}
	if n.Attributes == nil {
		n.Attributes = topology.NewValues()
	}
	config := call("get_property", topology.Lit("SELF"), topology.Lit("resource_config"))
	n.Attributes.Set("cloud_config", call("concat", header, topology.Lit("\n"), config, topology.Lit("\n")))
}

// operation checks that the target has the lifecycle operation that the relationship waits for.
func (f *finisher) operation(n *topology.Node, r *topology.Relationship) {
	v, target := r.Properties.Get("operation"), f.top.NodeNamed(r.Target)
	if v == nil || v.Kind != topology.LitValue || target == nil || len(target.Type) == 0 {
		return
	}
	name, _ := v.Lit.(string)
	short := strings.TrimPrefix(name, "cloudify.interfaces.lifecycle.")
	if o := target.Operation("Standard", short); o == nil || o.Implementation == nil && o.Call == "" {
		f.errorf(CodeRelationship, v.Pos, "%s waits for the operation %q of %s, which does not define it", n.Name, name, r.Target)
	}
}

// host is the node that a node's scripts run on: itself if it is one, or what contains it; nil for none. Each node is asked once: containment
// may be deep, and in a circle.
func (f *finisher) host(n *topology.Node) *topology.Node {
	if f.hosts == nil {
		f.hosts = map[*topology.Node]*topology.Node{}
	}
	var way []*topology.Node
	for n != nil && !n.Type.Is(compute) && len(n.Type) > 0 {
		if h, ok := f.hosts[n]; ok {
			n = h
			break
		}
		f.hosts[n] = nil // until more is known, and for ever in a circle
		way = append(way, n)
		n = f.top.NodeNamed(n.Host())
	}
	for _, x := range way {
		f.hosts[x] = n
	}
	return n
}

// executors sends the scripts of nodes without a host to the orchestrator's own machine, as Cloudify's central agent does.
func (f *finisher) executors(n *topology.Node) {
	if f.host(n) != nil {
		return
	}
	central := func(in []*topology.Interface, host string) []*topology.Interface {
		out := slices.Clone(in)
		for i, iface := range in {
			copied := *iface
			copied.Operations = slices.Clone(iface.Operations)
			for j, o := range iface.Operations {
				if o.Host != host || o.Implementation == nil {
					continue
				}
				if o.Executor == "host_agent" {
					f.errorf(CodeHost, o.Pos, "the operation %s.%s of %s runs on a host, but %s is in none", o.Interface, o.Name, n.Name, n.Name)
				}
				op := *o
				op.Host = everywhere
				copied.Operations[j] = &op
			}
			out[i] = &copied
		}
		return out
	}
	n.Interfaces = central(n.Interfaces, "")
	for _, r := range n.Relationships {
		r.Interfaces = central(r.Interfaces, "SOURCE")
	}
}

// scalingGroups checks the groups that policies scale, and multiplies the instances of their members.
func (f *finisher) scalingGroups() {
	groups := map[string]*topology.Group{}
	for _, g := range f.top.Groups {
		groups[g.Name] = g
	}
	policies := map[string]*topology.Policy{}
	for _, p := range f.top.Policies {
		if !p.Type.Is(scaling) {
			continue
		}
		for _, t := range p.Targets {
			policies[t] = p
		}
	}
	parent := map[string]string{}
	for _, g := range f.top.Groups {
		if policies[g.Name] == nil {
			continue
		}
		for _, m := range g.Members {
			if other := parent[m]; other != "" && other != g.Name {
				f.errorf(CodeScaling, g.Pos, "%s is in two scaling groups: %s and %s", m, other, g.Name)
				continue
			}
			parent[m] = g.Name
		}
		f.container(g, groups)
	}
	for _, g := range f.top.Groups {
		at := g.Name
		for range len(f.top.Groups) {
			if at = parent[at]; at == g.Name {
				f.errorf(CodeScaling, g.Pos, "the scaling group %s contains itself", g.Name)
				return
			}
		}
	}
	for _, n := range f.top.Nodes {
		if n.Host() != "" && f.top.ScalingGroup(f.top.NodeNamed(n.Host())) != "" {
			continue // it has what its container has, and that is multiplied
		}
		for g, i := parent[n.Name], 0; g != "" && i < len(f.top.Groups); g, i = parent[g], i+1 {
			f.multiply(n, policies[g])
		}
	}
	for _, g := range f.top.Groups {
		if policies[g.Name] != nil {
			f.lead(g, f.single)
		}
	}
}

// lead lets the members of a scaling group scale with one of them: the first that there is one of in each instance of the group. Members of which
// the group has several each keep numbers of their own.
func (f *finisher) lead(g *topology.Group, single map[string]bool) {
	var lead *topology.Node
	for _, m := range g.Members {
		n := f.top.NodeNamed(m)
		switch {
		case n == nil || n.Host() != "" || !single[m]:
		case lead == nil:
			lead = n
		case n.ScalesWith == "":
			n.ScalesWith = lead.Name
		}
	}
}

// container checks that members in containers outside of the group share one.
func (f *finisher) container(g *topology.Group, groups map[string]*topology.Group) {
	shared := ""
	for _, m := range g.Members {
		n := f.top.NodeNamed(m)
		if n == nil || groups[m] != nil {
			continue
		}
		at := n.Host()
		for range len(f.top.Nodes) {
			if at == "" || !slices.Contains(g.Members, at) {
				break
			}
			at = f.top.NodeNamed(at).Host()
		}
		if at != "" && shared != "" && at != shared {
			f.errorf(CodeScaling, g.Pos, "the members of the scaling group %s are in different containers: %s and %s", g.Name, shared, at)
			return
		}
		if at != "" {
			shared = at
		}
	}
}

// multiply gives a node the instances of its group, times its own. Nodes that are contained in another follow their container.
func (f *finisher) multiply(n *topology.Node, p *topology.Policy) {
	for i, c := range n.Capabilities {
		if c.Name != "scalable" {
			continue
		}
		if _, seen := f.single[n.Name]; !seen {
			own, known := literal(c.Properties.Get("default_instances"))
			f.single[n.Name] = c.Properties.Get("default_instances") == nil || known && own == 1
		}
		copied := *c
		copied.Properties = topology.NewValues()
		for k, own := range c.Properties.All() {
			copied.Properties.Set(k, product(own, p.Properties.Get(k)))
		}
		n.Capabilities = slices.Clone(n.Capabilities)
		n.Capabilities[i] = &copied
	}
}

// product multiplies two numbers of instances; -1 is without limit, and either may be computed later.
func product(a, b *topology.Value) *topology.Value {
	x, okX := literal(a)
	y, okY := literal(b)
	switch {
	case b == nil:
		return a
	case a == nil || okX && x == 1:
		return b
	case okY && y == 1:
		return a
	case okX && x < 0:
		return a
	case okY && y < 0:
		return b
	case okX && okY:
		return &topology.Value{Lit: x * y, Schema: a.Schema, Pos: b.Pos}
	}
	return &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "product", Args: []*topology.Value{a, b}}, Pos: b.Pos}
}

func literal(v *topology.Value) (int64, bool) {
	if v == nil || v.Kind != topology.LitValue {
		return 0, false
	}
	i, ok := v.Lit.(int64)
	return i, ok
}
