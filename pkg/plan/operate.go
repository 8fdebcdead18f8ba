package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// operate plans one operation on instances of a node.
func (b *builder) operate() {
	o := b.in.Operate
	if o == nil {
		b.diags.Errorf("unknown-operation", diag.Pos{}, "no operation is given")
		return
	}
	if o.Node == "" {
		b.operateAll(o)
		return
	}
	n := b.in.Topology.NodeNamed(o.Node)
	if n == nil {
		b.diags.Errorf("unknown-node", diag.Pos{}, "there is no node %q", o.Node).Hint = diag.Suggest(o.Node, b.in.Topology.NodeNames())
		return
	}
	op := n.Operation(o.Interface, o.Operation)
	if o.Interface == "" {
		op = findOperation(n, o.Operation)
	}
	if !implemented(op) {
		d := b.diags.Errorf("unknown-operation", n.Pos, "%s has no operation %q that does anything", n.Name, operationName(o))
		d.Hint = diag.Suggest(o.Operation, operationNames(n))
		return
	}
	instances := o.Instances
	if len(instances) == 0 {
		instances = b.recorded[n.Name]
	}
	for _, i := range instances {
		if !slices.Contains(b.recorded[n.Name], i) {
			b.noInstance(n, topology.Instance{Node: n.Name, Index: i})
			continue
		}
		s := b.opStep(act{t: b.in.Topology, s: b.wanted, node: n, index: i, op: op})
		s.Cause = "asked for"
		b.g.add(n, s)
	}
}

// operateAll runs the operation on every chosen instance whose node has it, as Cloudify's execute_operation does: all at once, or targets
// before their sources.
func (b *builder) operateAll(o *Operate) {
	b.checkInstances()
	moments := map[topology.Instance]int{} // of instances without the operation, too: the order leads through them
	found := false
	for _, n := range b.in.Topology.Nodes {
		op := n.Operation(o.Interface, o.Operation)
		if o.Interface == "" {
			op = findOperation(n, o.Operation)
		}
		for _, i := range b.recorded[n.Name] {
			in := topology.Instance{Node: n.Name, Index: i}
			if !implemented(op) || !b.selected(in) {
				moments[in] = b.g.gate(n)
				continue
			}
			s := b.opStep(act{t: b.in.Topology, s: b.wanted, node: n, index: i, op: op})
			s.Cause, s.IgnoreFailure, found = "asked for", b.in.Force, true
			if o.Operation == "check_status" {
				s.Retries = 0 // what is asked is how it is now
			}
			moments[in] = b.g.add(n, s)
		}
	}
	if !found {
		b.diags.Errorf("unknown-operation", diag.Pos{}, "none of these instances has an operation %q that does anything", operationName(o))
	}
	if !o.Ordered {
		return
	}
	for _, n := range b.in.Topology.Nodes {
		for _, r := range n.Relationships {
			if r.Source == r.Target {
				continue
			}
			for _, p := range b.existing(r) {
				b.g.edge(moments[topology.Instance{Node: r.Target, Index: p[1]}], moments[topology.Instance{Node: r.Source, Index: p[0]}])
			}
		}
	}
}

// existing are the pairs of recorded instances that belong to a relationship.
func (b *builder) existing(r *topology.Relationship) [][2]string {
	return (&weft{b: b, t: b.in.Topology, s: b.wanted, instances: b.recorded}).pairs(r)
}

func operationName(o *Operate) string {
	if o.Interface == "" {
		return o.Operation
	}
	return o.Interface + "." + o.Operation
}

// findOperation finds an operation by its bare name in any interface.
func findOperation(n *topology.Node, name string) *topology.Operation {
	for _, i := range n.Interfaces {
		for _, op := range i.Operations {
			if op.Name == name && implemented(op) {
				return op
			}
		}
	}
	return nil
}

func operationNames(n *topology.Node) (names []string) {
	for _, i := range n.Interfaces {
		for _, op := range i.Operations {
			if implemented(op) {
				names = append(names, op.Name)
			}
		}
	}
	return names
}

func (b *builder) unknownWorkflow(name string, t *topology.Topology, pos diag.Pos) {
	d := b.diags.Errorf("unknown-workflow", pos, "there is no workflow %q", name)
	d.Hint = diag.Suggest(name, append(sortedKeys(t.Workflows), Install, Uninstall, Start, Stop, Restart))
}
