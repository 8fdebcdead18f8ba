package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// loom weaves a workflow that the document declares. A declared step becomes, between two knots, its activities one after the other, each
// spread over the instances of its target; inline workflows are woven in its place.
//
//	step:  enter ─▶ activity 1 (all instances) ─▶ activity 2 … ─▶ leave ──on_success──▶ enter of others
type loom struct {
	*weft
	wf    *topology.Workflow
	top   *topology.Workflow          // that everything is a part of
	stack []string                    // inline workflows that this one is part of
	path  []string                    // the inline activities that lead here
	verts map[topology.Instance][]int // everything done to an instance
	steps map[string]*woven
	first []int // the steps that begin the workflow

	scaled []topology.Instance // the families of which there are several
}

type woven struct {
	step         *topology.WorkflowStep
	name         string // with the names of the inline steps around it
	enter, leave knot
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
	lm := &loom{weft: w, wf: wf, top: wf, verts: map[topology.Instance][]int{}}
	lm.scaled = lm.families()
	lm.weaveAll(lm.knot(), lm.knot(), "")
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

// weaveAll weaves the steps of the loom's workflow between two knots.
func (lm *loom) weaveAll(begin, end knot, prefix string) {
	lm.steps = map[string]*woven{}
	var order []*woven
	for _, st := range lm.wf.Steps {
		wv := &woven{step: st, name: prefix + st.Name, enter: lm.knot(), leave: lm.knot()}
		lm.steps[st.Name] = wv
		order = append(order, wv)
	}
	preds := map[string]int{}
	for _, wv := range order {
		lm.weaveStep(wv)
		for _, next := range wv.step.OnSuccess {
			if to := lm.find(wv, next); to != nil {
				lm.follow(wv.leave, to.enter)
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
			lm.follow(begin, wv.enter)
			lm.first = append(lm.first, wv.first...)
		}
		lm.follow(wv.leave, end)
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
		leave := lm.knot()
		var verts []int
		if act.Kind == topology.ActivityInline {
			verts = lm.inline(wv, k, act, at, leave)
		} else {
			for _, v := range lm.activity(wv, k, act) {
				if lm.b.in.Workflow != Install && lm.b.in.Force && g.verts[v].step.Kind == Op {
					g.verts[v].step.IgnoreFailure = true
				}
				lm.tie(at, v)
				lm.lead(v, leave)
				verts = append(verts, v)
				wv.all = append(wv.all, v)
			}
		}
		if len(wv.first) == 0 {
			wv.first = verts
		}
		lm.follow(at, leave)
		at = leave
	}
	lm.follow(at, wv.leave)
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
