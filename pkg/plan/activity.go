package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// delegate hands a node to whoever makes it: infrastructure for native nodes, the lifecycle's own operations for others.
func (lm *loom) delegate(n *topology.Node, wv *woven, act topology.Activity) []int {
	var phases []phase
	for _, name := range partsOf(act.Name) {
		lf, ok := lifeOf(name, lm.t)
		if !ok {
			lm.b.diags.Errorf("unknown-delegate", act.Pos, "step %s delegates %q, which no lifecycle has", wv.step.Name, act.Name).Hint =
				diag.Suggest(act.Name, sortedKeys(lives))
			return nil
		}
		phases = append(phases, lf.phases...)
	}
	var out []int
	for _, i := range lm.instances[n.Name] {
		before, final := phases[0].before, phases[len(phases)-1].after
		at, last := -1, -1
		for _, ph := range phases {
			for _, s := range lm.delegated(n, i, ph) {
				s.StateBefore = before
				v := lm.add(n, wv, s)
				if at >= 0 {
					lm.b.g.edge(at, v)
				}
				out = append(out, v)
				at, before = v, ""
				if lm.b.g.verts[v].real() {
					last = v
				}
			}
		}
		switch rec := lm.b.in.Recorded[topology.Instance{Node: n.Name, Index: i}]; {
		case last >= 0:
			lm.b.g.verts[last].step.StateAfter = final
		case rec == nil || rec.State != final:
			v := lm.add(n, wv, &Step{ID: fmt.Sprintf("%s[%s].%s", n.Name, i, final), Kind: SetState, Node: n.Name, Instance: i,
				StateAfter: final, Retries: -1, Pos: act.Pos})
			out = append(out, v)
		}
	}
	return out
}

func (lm *loom) delegated(n *topology.Node, index string, ph phase) (out []*Step) {
	if n.Native && ph.action != "" && (ph.action != driver.Start && ph.action != driver.Stop || isServer(n)) {
		out = append(out, lm.b.infraStep(lm.t, n, index, ph.action))
	}
	if op := n.Operation(ph.iface, ph.op); implemented(op) {
		s := lm.b.opStep(act{t: lm.t, s: lm.s, node: n, index: index, op: op})
		if n.Native && ph.action != "" {
			s.ID += ".script"
		}
		out = append(out, s)
	}
	if ph.actionAfter {
		slices.Reverse(out)
	}
	return out
}

// call makes the steps of call_operation, on the node or on one of its relationships.
func (lm *loom) call(n *topology.Node, wv *woven, k int, ac topology.Activity) []int {
	a := act{t: lm.t, s: lm.s, node: n, host: wv.step.OperationHost, activity: fmt.Sprintf("%s/%s/%d", lm.wf.Name, wv.step.Name, k)}
	if ac.Inputs.Len() == 0 {
		a.activity = ""
	}
	var out []int
	if wv.step.Relationship == "" {
		if a.op = n.Operation(ac.Interface, ac.Name); a.op == nil && ac.Interface == "" {
			a.op = findOperation(n, ac.Name)
		}
		if ph, ok := lm.makes(n, ac); ok && !implemented(a.op) {
			return lm.make(n, wv, ph)
		}
		if a.op == nil {
			lm.unknownOperation(wv, ac, n.Name)
			return nil
		}
		if !implemented(a.op) {
			return nil
		}
		for _, a.index = range lm.instances[n.Name] {
			out = append(out, lm.add(n, wv, lm.b.opStep(a)))
		}
		return out
	}
	rels := relationshipsOf(n, wv.step.Relationship)
	if len(rels) == 0 {
		lm.b.diags.Errorf("unknown-relationship", wv.step.Pos, "node %s has no relationship %q", n.Name, wv.step.Relationship)
		return nil
	}
	for _, a.rel = range rels {
		out = append(out, lm.callRelationship(wv, ac, a)...)
	}
	return out
}

// makes reports whether calling an operation is how a workflow has infrastructure made or deleted: create and delete of a native node that the
// workflow does not delegate. So Alien4Cloud writes workflows for what is neither server nor network, such as server groups.
func (lm *loom) makes(n *topology.Node, ac topology.Activity) (phase, bool) {
	if !n.Native || ac.Interface != "" && !strings.EqualFold(lastPart(ac.Interface), standard) {
		return phase{}, false
	}
	part, name := Install, "create"
	if strings.EqualFold(ac.Name, "delete") {
		part, name = Uninstall, "delete"
	}
	if !strings.EqualFold(ac.Name, name) {
		return phase{}, false
	}
	for _, st := range lm.wf.Steps {
		for _, other := range st.Activities {
			if st.Target == n.Name && other.Kind == topology.ActivityDelegate && other.Name == part {
				return phase{}, false
			}
		}
	}
	for _, ph := range lives[part].phases {
		if ph.op == name {
			return ph, true
		}
	}
	return phase{}, false
}

// make is the infrastructure's part of a phase, for every instance.
func (lm *loom) make(n *topology.Node, wv *woven, ph phase) (out []int) {
	for _, i := range lm.instances[n.Name] {
		s := lm.b.infraStep(lm.t, n, i, ph.action)
		s.StateBefore, s.StateAfter = ph.before, ph.after
		out = append(out, lm.add(n, wv, s))
	}
	return out
}

func (lm *loom) callRelationship(wv *woven, ac topology.Activity, a act) (out []int) {
	if a.op = a.rel.Operation(ac.Interface, ac.Name); a.op == nil {
		lm.unknownOperation(wv, ac, a.node.Name+"."+a.rel.Name)
		return nil
	}
	if !implemented(a.op) {
		return nil
	}
	known, listed := relOps[a.op.Name]
	a.atTarget = known.atTarget
	if !listed && strings.EqualFold(a.host, "TARGET") {
		a.atTarget, a.perPair = true, true // what runs at the target runs on each of its instances
	}
	for _, c := range lm.b.fan(lm.pairs(a.rel), a) {
		out = append(out, lm.add(a.node, wv, lm.b.opStep(c.act)))
	}
	return out
}

// relationshipsOf finds the relationship of that name, or else all that the requirement of that name has led to.
func relationshipsOf(n *topology.Node, name string) (out []*topology.Relationship) {
	if r := relationship(n, name); r != nil && r.Requirement != name {
		return []*topology.Relationship{r}
	}
	for _, r := range n.Relationships {
		if r.Requirement == name || r.Name == name {
			out = append(out, r)
		}
	}
	return out
}

// unknownOperation: the operations of the normative interfaces may be called whether or not a type declares them; they do nothing then.
func (lm *loom) unknownOperation(wv *woven, ac topology.Activity, where string) {
	switch short := ac.Interface[strings.LastIndexByte(ac.Interface, '.')+1:]; strings.ToLower(short) {
	case "standard", "configure", "runnable":
		return
	}
	lm.b.diags.Errorf("unknown-operation", ac.Pos, "%s has no operation %s.%s, which step %s calls", where, ac.Interface, ac.Name, wv.step.Name)
}
