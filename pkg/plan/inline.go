package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// inline weaves another workflow into the place of an activity and returns what it begins with.
func (lm *loom) inline(wv *woven, k int, act topology.Activity, begin, end knot) []int {
	if slices.Contains(lm.stack, act.Name) || act.Name == lm.wf.Name {
		lm.b.diags.Errorf("inline-cycle", act.Pos, "workflow %s contains itself: %s", act.Name,
			strings.Join(append(append(lm.stack, lm.wf.Name), act.Name), " -> "))
		return nil
	}
	wf := declared(lm.t, act.Name)
	if wf == nil {
		return lm.inlineGenerated(wv, act, begin, end)
	}
	inner := &loom{weft: lm.weft, wf: wf, top: lm.top, scaled: lm.scaled, stack: append(slices.Clone(lm.stack), lm.wf.Name), verts: lm.verts,
		path: append(slices.Clone(lm.path), fmt.Sprintf("%s/%s/%d", lm.wf.Name, wv.step.Name, k))}
	if len(wf.Preconditions) > 0 {
		v := lm.b.g.add(nil, lm.unique(&Step{ID: wv.name + "." + wf.Name + ".preconditions", Kind: Assert, Workflow: wf.Name, Operation: "preconditions", WorkflowStep: wv.name,
			Inline: inner.path, Cause: "workflow " + lm.name + ", step " + wv.name, Retries: -1, Pos: act.Pos}))
		lm.tie(begin, v)
		wv.all = append(wv.all, v)
		begin = lm.knot()
		lm.lead(v, begin)
	}
	inner.weaveAll(begin, end, wv.name+"_")
	for _, s := range inner.steps {
		wv.all = append(wv.all, s.all...)
	}
	slices.Sort(wv.all)
	return inner.first
}

// inlineGenerated weaves a workflow that the document does not declare into the place of an activity.
func (lm *loom) inlineGenerated(wv *woven, act topology.Activity, begin, end knot) []int {
	g := &lm.b.g
	var first []int
	for _, name := range partsOf(act.Name) {
		if _, ok := lifeOf(name, lm.t); !ok && name != Check {
			lm.b.unknownWorkflow(act.Name, lm.t, act.Pos)
			return nil
		}
		from, known := len(g.verts), maps.Clone(lm.b.steps)
		var order []*lane
		if name == Check {
			lm.b.checkEach(lm.instances)
		} else {
			order = lm.part(name).order
		}
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
		done := lm.knot()
		for _, l := range order {
			if len(lm.scaled) > 0 {
				g.lax(begin.all, l.begin) // what is needed, the steps say
			} else {
				g.edge(begin.all, l.begin)
			}
			g.edge(l.end, done.all)
		}
		for _, v := range all {
			lm.tie(begin, v)
			lm.lead(v, done)
		}
		lm.follow(begin, done)
		wv.all = append(wv.all, all...)
		if first == nil {
			first = all
		}
		begin = done
	}
	lm.follow(begin, end)
	return first
}

// part weaves a generated workflow. What the workflow around removes, an installation in it makes again.
func (lm *loom) part(name string) *weft {
	recorded := lm.b.in.Recorded
	if name == Install && lm.removes(lm.top, map[string]bool{}) {
		rest := maps.Clone(recorded)
		for node, indices := range lm.instances {
			for _, i := range indices {
				delete(rest, topology.Instance{Node: node, Index: i})
			}
		}
		lm.b.in.Recorded = rest
		defer func() { lm.b.in.Recorded = recorded }()
	}
	return lm.b.generated(name, lm.t, lm.s, lm.instances)
}

// removes reports whether a workflow contains the generated uninstallation.
func (lm *loom) removes(wf *topology.Workflow, seen map[string]bool) bool {
	if wf == nil || seen[wf.Name] {
		return false
	}
	seen[wf.Name] = true
	for _, st := range wf.Steps {
		for _, a := range st.Activities {
			if a.Kind != topology.ActivityInline {
				continue
			}
			if inner := declared(lm.t, a.Name); inner == nil && slices.Contains(partsOf(a.Name), Uninstall) || lm.removes(inner, seen) {
				return true
			}
		}
	}
	return false
}

// partsOf are the generated workflows that one of the standard's or ours consists of.
func partsOf(name string) []string {
	switch name {
	case "deploy":
		return []string{Install}
	case "undeploy":
		return []string{Uninstall}
	case Restart:
		return []string{Stop, Start}
	}
	return []string{name}
}
