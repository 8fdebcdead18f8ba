package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// loom weaves a workflow that the document declares. A declared step becomes, between two gates, its activities one after the other, each
// spread over the instances of its target; inline workflows are woven in its place.
//
//	step:  enter ─▶ activity 1 (all instances) ─▶ activity 2 … ─▶ leave ──on_success──▶ enter of others
type loom struct {
	*weft
	wf    *topology.Workflow
	stack []string                    // inline workflows that this one is part of
	path  []string                    // the inline activities that lead here
	verts map[topology.Instance][]int // everything done to an instance
	steps map[string]*woven
	first []int // the steps that begin the workflow
}

type woven struct {
	step         *topology.WorkflowStep
	name         string // with the names of the inline steps around it
	enter, leave int
	first, all   []int
	dead         bool // an alternative that cannot be taken: what would fail is done already
}

// declaredWeft weaves a declared workflow over instances.
func (b *builder) declaredWeft(wf *topology.Workflow, name string, t *topology.Topology, s *scaling, instances map[string][]string) *weft {
	if wf.Call != "" {
		b.diags.Errorf("foreign-workflow", wf.Pos, "the workflow %s is code (%s), which only Cloudify runs", wf.Name, wf.Call).Hint =
			"the built-in workflows work on this topology: install, uninstall, start, stop, restart"
	}
	w := &weft{b: b, t: t, s: s, name: name, instances: instances, lanes: map[topology.Instance]*lane{}}
	for _, n := range t.Nodes {
		for _, i := range instances[n.Name] {
			l := &lane{node: n, index: i, begin: b.g.gate(n), end: b.g.gate(n)}
			l.phases = []lanePhase{{first: b.g.gate(n)}}
			b.g.edge(l.begin, l.phases[0].first)
			b.g.edge(l.phases[0].first, l.end)
			w.lanes[l.id()] = l
			w.order = append(w.order, l)
		}
	}
	lm := &loom{weft: w, wf: wf, verts: map[topology.Instance][]int{}}
	lm.weaveAll(b.g.gate(nil), b.g.gate(nil), "")
	for _, l := range w.order {
		for _, v := range lm.verts[l.id()] {
			b.g.edge(l.phases[0].first, v)
			b.g.edge(v, l.end)
		}
	}
	if name == Uninstall {
		lm.leaveNothing()
	}
	return w
}

// weaveAll weaves the steps of the loom's workflow between two gates.
func (lm *loom) weaveAll(begin, end int, prefix string) {
	g := &lm.b.g
	lm.steps = map[string]*woven{}
	var order []*woven
	for _, st := range lm.wf.Steps {
		wv := &woven{step: st, name: prefix + st.Name, enter: g.gate(nil), leave: g.gate(nil)}
		lm.steps[st.Name] = wv
		order = append(order, wv)
	}
	preds := map[string]int{}
	for _, wv := range order {
		lm.weaveStep(wv)
		for _, next := range wv.step.OnSuccess {
			if to := lm.find(wv, next); to != nil {
				g.edge(wv.leave, to.enter)
				preds[next]++
			}
		}
	}
	for _, wv := range order {
		for _, next := range append(slices.Clone(wv.step.OnFailure), wv.step.OnCancel...) {
			if lm.find(wv, next) != nil {
				preds[next]++
			}
		}
	}
	for _, wv := range order {
		lm.alternatives(wv)
		if preds[wv.step.Name] == 0 {
			g.edge(begin, wv.enter)
			lm.first = append(lm.first, wv.first...)
		}
		g.edge(wv.leave, end)
	}
	lm.drop(order)
}

func (lm *loom) find(from *woven, name string) *woven {
	to := lm.steps[name]
	if to == nil {
		lm.b.diags.Errorf("unknown-step", from.step.Pos, "workflow %s has no step %q, which step %s leads to", lm.wf.Name, name, from.step.Name).Hint =
			diag.Suggest(name, sortedKeys(lm.steps))
	}
	return to
}

// alternatives connects on_failure and on_cancel.
func (lm *loom) alternatives(wv *woven) {
	for _, next := range wv.step.OnFailure {
		if to := lm.find(wv, next); to != nil {
			for _, v := range to.first {
				lm.b.g.verts[v].onFailure = append(lm.b.g.verts[v].onFailure, wv.all...)
			}
		}
	}
	for _, next := range wv.step.OnCancel {
		if to := lm.find(wv, next); to != nil {
			for _, v := range to.first {
				lm.b.g.verts[v].onCancel = append(lm.b.g.verts[v].onCancel, wv.all...)
			}
		}
	}
}

// drop takes out the alternatives to steps that are done already, and what only they lead to.
func (lm *loom) drop(order []*woven) {
	for again := true; again; {
		again = false
		for _, to := range order {
			if to.dead || !lm.unreachable(to, order) {
				continue
			}
			to.dead, again = true, true
			for _, v := range to.all {
				lm.b.g.verts[v].skip = true
			}
		}
	}
}

func (lm *loom) unreachable(to *woven, order []*woven) bool {
	alternative := false
	for _, from := range order {
		st := from.step
		if slices.Contains(st.OnSuccess, to.step.Name) && !from.dead {
			return false
		}
		alternative = alternative || slices.Contains(st.OnSuccess, to.step.Name)
		if slices.Contains(st.OnFailure, to.step.Name) || slices.Contains(st.OnCancel, to.step.Name) {
			alternative = true
			if slices.ContainsFunc(from.all, func(v int) bool { return lm.b.g.verts[v].real() }) {
				return false
			}
		}
	}
	return alternative
}

// weaveStep weaves the activities of a step one after the other.
func (lm *loom) weaveStep(wv *woven) {
	g := &lm.b.g
	at := wv.enter
	for k, act := range wv.step.Activities {
		leave := g.gate(nil)
		var verts []int
		if act.Kind == topology.ActivityInline {
			verts = lm.inline(wv, k, act, at, leave)
		} else {
			for _, v := range lm.activity(wv, k, act) {
				if lm.b.in.Workflow != Install && lm.b.in.Force && g.verts[v].step.Kind == Op {
					g.verts[v].step.IgnoreFailure = true
				}
				g.edge(at, v)
				g.edge(v, leave)
				verts = append(verts, v)
				wv.all = append(wv.all, v)
			}
		}
		if len(wv.first) == 0 {
			wv.first = verts
		}
		g.edge(at, leave)
		at = leave
	}
	g.edge(at, wv.leave)
}

// inline weaves another workflow into the place of an activity and returns what it begins with.
func (lm *loom) inline(wv *woven, k int, act topology.Activity, begin, end int) []int {
	if slices.Contains(lm.stack, act.Name) || act.Name == lm.wf.Name {
		lm.b.diags.Errorf("inline-cycle", act.Pos, "workflow %s contains itself: %s", act.Name,
			strings.Join(append(append(lm.stack, lm.wf.Name), act.Name), " -> "))
		return nil
	}
	wf := declared(lm.t, act.Name)
	if wf == nil {
		return lm.inlineGenerated(wv, act, begin, end)
	}
	inner := &loom{weft: lm.weft, wf: wf, stack: append(slices.Clone(lm.stack), lm.wf.Name), verts: lm.verts,
		path: append(slices.Clone(lm.path), fmt.Sprintf("%s/%s/%d", lm.wf.Name, wv.step.Name, k))}
	if len(wf.Preconditions) > 0 {
		v := lm.b.g.add(nil, lm.unique(&Step{ID: wv.name + "." + wf.Name + ".preconditions", Kind: Assert, Workflow: wf.Name, Operation: "preconditions", WorkflowStep: wv.name,
			Inline: inner.path, Cause: "workflow " + lm.name + ", step " + wv.name, Retries: -1, Pos: act.Pos}))
		lm.b.g.edge(begin, v)
		wv.all = append(wv.all, v)
		begin = v
	}
	inner.weaveAll(begin, end, wv.name+"_")
	for _, s := range inner.steps {
		wv.all = append(wv.all, s.all...)
	}
	slices.Sort(wv.all)
	return inner.first
}

// inlineGenerated weaves a workflow that the document does not declare into the place of an activity.
func (lm *loom) inlineGenerated(wv *woven, act topology.Activity, begin, end int) []int {
	parts := []string{act.Name}
	if act.Name == Restart {
		parts = []string{Stop, Start}
	}
	g := &lm.b.g
	var first []int
	for _, name := range parts {
		if _, ok := lifeOf(name, lm.t); !ok {
			lm.b.unknownWorkflow(act.Name, lm.t)
			return nil
		}
		from, known := len(g.verts), maps.Clone(lm.b.steps)
		w := lm.b.generated(name, lm.t, lm.s, lm.instances)
		var all []int
		for v := from; v < len(g.verts); v++ {
			if s := g.verts[v].step; s != nil {
				if _, taken := known[s.ID]; taken {
					lm.b.steps[s.ID] = known[s.ID]
					lm.unique(s)
				}
				lm.b.steps[s.ID] = v
				s.WorkflowStep, s.Inline = wv.name, lm.path
				lm.verts[s.Of()] = append(lm.verts[s.Of()], v)
				all = append(all, v)
			}
		}
		done := g.gate(nil)
		for _, l := range w.order {
			g.edge(begin, l.begin)
			g.edge(l.end, done)
		}
		for _, v := range all {
			g.edge(begin, v)
			g.edge(v, done)
		}
		wv.all = append(wv.all, all...)
		if first == nil {
			first = all
		}
		begin = done
	}
	g.edge(begin, end)
	return first
}

// activity makes the steps of one activity for every instance of its target (a node, or all members of a group).
func (lm *loom) activity(wv *woven, k int, act topology.Activity) []int {
	var out []int
	for _, n := range lm.targets(wv) {
		switch act.Kind {
		case topology.ActivitySetState:
			for _, i := range lm.instances[n.Name] {
				out = append(out, lm.add(n, wv, &Step{ID: fmt.Sprintf("%s[%s].%s", n.Name, i, act.Name), Kind: SetState, Node: n.Name, Instance: i,
					StateAfter: act.Name, Retries: -1, Pos: act.Pos}))
			}
		case topology.ActivityDelegate:
			out = append(out, lm.delegate(n, wv, act)...)
		case topology.ActivityCall:
			out = append(out, lm.call(n, wv, k, act)...)
		}
	}
	return out
}

func (lm *loom) targets(wv *woven) []*topology.Node {
	name := wv.step.Target
	if out := lm.t.Members(name); len(out) > 0 {
		return out
	}
	if slices.ContainsFunc(lm.t.Groups, func(g *topology.Group) bool { return g.Name == name }) {
		return nil // an empty group
	}
	lm.b.diags.Errorf("unknown-target", wv.step.Pos, "step %s of workflow %s works on %q, which is neither node nor group", wv.step.Name, lm.wf.Name, name).Hint =
		diag.Suggest(name, lm.t.NodeNames())
	return nil
}

// unique gives a step an ID of its own.
func (lm *loom) unique(s *Step) *Step {
	id := s.ID
	for k := 2; ; k++ {
		if _, taken := lm.b.steps[s.ID]; !taken {
			break
		}
		s.ID = id + "#" + strconv.Itoa(k)
	}
	lm.b.steps[s.ID] = -1
	return s
}

// add puts a step into the graph under an ID of its own.
func (lm *loom) add(n *topology.Node, wv *woven, s *Step) int {
	lm.unique(s)
	s.WorkflowStep, s.Inline = wv.name, lm.path
	if wv.step.Filter != nil {
		s.Filter = lm.wf.Name + "/" + wv.step.Name
	}
	v := lm.b.g.add(n, s)
	lm.b.steps[s.ID] = v
	lm.verts[s.Of()] = append(lm.verts[s.Of()], v)
	if s.AtTarget && s.TargetInstance != "" {
		lm.verts[s.target()] = append(lm.verts[s.target()], v)
	}
	lm.b.g.verts[v].skip = !lm.b.need(lm.name, lm.t, s)
	if lm.name != Install && lm.name != Uninstall {
		s.Cause = fmt.Sprintf("workflow %s, step %s", lm.name, wv.name)
	}
	return v
}

// delegate hands a node to whoever makes it: infrastructure for native nodes, the lifecycle's own operations for others.
func (lm *loom) delegate(n *topology.Node, wv *woven, act topology.Activity) []int {
	lf, ok := lifeOf(act.Name, lm.t)
	if !ok {
		lm.b.diags.Errorf("unknown-delegate", act.Pos, "step %s delegates %q, which no lifecycle has", wv.step.Name, act.Name).Hint =
			diag.Suggest(act.Name, sortedKeys(lives))
		return nil
	}
	var out []int
	for _, i := range lm.instances[n.Name] {
		before, final := lf.phases[0].before, lf.phases[len(lf.phases)-1].after
		at, last := -1, -1
		for _, ph := range lf.phases {
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

// leaveNothing ends a declared uninstall: every instance is forgotten, and infrastructure that the document forgets to delete is deleted.
func (lm *loom) leaveNothing() {
	g := &lm.b.g
	for _, l := range lm.order {
		at := g.gate(l.node)
		for _, v := range lm.verts[l.id()] {
			g.edge(v, at)
		}
		deletes := slices.ContainsFunc(lm.verts[l.id()], func(v int) bool {
			s := g.verts[v].step
			return s.Kind == Infra && s.Action == driver.Delete && s.Of() == l.id()
		})
		if l.node.Native && !deletes && lm.b.made(l.id()) {
			s := lm.b.infraStep(lm.t, l.node, l.index, driver.Delete)
			s.StateBefore = "deleting"
			v := lm.b.g.add(l.node, s)
			lm.b.g.verts[v].skip = !lm.b.need(Uninstall, lm.t, s)
			g.edge(at, v)
			for _, n := range lm.t.Nodes {
				for _, r := range n.Relationships {
					if r.Target == l.node.Name && n != l.node {
						lm.join(r, n.Name, l.node.Name, func(l *lane) int { return l.phases[0].first }, func(*lane) (int, *bool) { return v, nil })
					}
				}
			}
			at = v
		}
		g.edge(at, l.end)
		g.verts[l.end].step = lm.b.forgetStep(l, "deleted")
	}
}

// FilterOf is the filter that a Step.Filter names; nil for none.
func FilterOf(t *topology.Topology, filter string) *topology.Value {
	name, step, _ := strings.Cut(filter, "/")
	wf := t.Workflows[name]
	if wf == nil {
		return nil
	}
	for _, st := range wf.Steps {
		if st.Name == step {
			return st.Filter
		}
	}
	return nil
}

// Inlined is the workflow that an inline activity ("workflow/step/n") leads to; nil for none.
func Inlined(t *topology.Topology, activity string) *topology.Workflow {
	if a := activityOf(t, activity); a != nil && a.Kind == topology.ActivityInline {
		return declared(t, a.Name)
	}
	return nil
}

// CallInputs are the inputs that a declared activity ("workflow/step/n", see Step.Activity) gives to its operation; nil for none.
func CallInputs(t *topology.Topology, activity string) *topology.Values {
	if a := activityOf(t, activity); a != nil {
		return a.Inputs
	}
	return nil
}

func activityOf(t *topology.Topology, activity string) *topology.Activity {
	parts := strings.Split(activity, "/")
	if len(parts) != 3 {
		return nil
	}
	k, err := strconv.Atoi(parts[2])
	wf := t.Workflows[parts[0]]
	if err != nil || wf == nil {
		return nil
	}
	for _, st := range wf.Steps {
		if st.Name == parts[1] && k >= 0 && k < len(st.Activities) {
			return &st.Activities[k]
		}
	}
	return nil
}
