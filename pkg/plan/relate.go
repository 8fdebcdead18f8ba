package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// relOp says at which end of a relationship an operation belongs and how often it runs.
//
//	once per source instance   pre_configure_source post_configure_source and what is not listed; TARGET_INSTANCES names the others
//	once per pair              everything that concerns one target instance, or runs there
type relOp struct {
	atTarget bool
	perPair  bool
}

var relOps = map[string]relOp{
	"pre_configure_source":  {},
	"post_configure_source": {},
	"pre_configure_target":  {atTarget: true, perPair: true},
	"post_configure_target": {atTarget: true, perPair: true},
	"add_target":            {perPair: true},
	"remove_target":         {perPair: true},
	"target_changed":        {perPair: true},
	"add_source":            {atTarget: true, perPair: true},
	"remove_source":         {atTarget: true, perPair: true},
	"source_changed":        {atTarget: true, perPair: true},
	// Cloudify: both ends' operations are driven from the source's lane.
	"preconfigure":  {perPair: true},
	"postconfigure": {perPair: true},
	"establish":     {perPair: true},
	"unlink":        {perPair: true},
}

var cloudifyOps = []string{"preconfigure", "postconfigure", "establish", "unlink"}

// call is an act on a relationship with the target instances that it concerns.
type call struct {
	act
	targets []string
}

// calls are the acts of a relationship operation over the instances; none if it is not implemented.
func (w *weft) calls(n *topology.Node, r *topology.Relationship, name string) []call {
	var out []call
	for _, op := range relationshipOps(r, name) {
		out = append(out, w.b.fan(w.pairs(r), act{t: w.t, s: w.s, node: n, rel: r, op: op, atTarget: relOps[name].atTarget})...)
	}
	return out
}

// relationshipOps finds the implementations of an operation: one in Configure, or in Cloudify's case one for each end.
func relationshipOps(r *topology.Relationship, name string) []*topology.Operation {
	if !slices.Contains(cloudifyOps, name) {
		if op := r.Operation("Configure", name); implemented(op) {
			return []*topology.Operation{op}
		}
		return nil
	}
	var ops []*topology.Operation
	for _, i := range r.Interfaces {
		for _, op := range i.Operations {
			if op.Name == name && implemented(op) {
				ops = append(ops, op)
			}
		}
	}
	return ops
}

// fan spreads an act over pairs of instances.
func (b *builder) fan(pairs [][2]string, a act) []call {
	var out []call
	if relOps[a.op.Name].perPair || a.perPair {
		for _, p := range pairs {
			c := call{act: a, targets: []string{p[1]}}
			c.index, c.target, c.perPair = p[0], p[1], true
			out = append(out, c)
		}
		return out
	}
	for _, p := range pairs {
		if k := len(out) - 1; k >= 0 && out[k].index == p[0] {
			out[k].targets = append(out[k].targets, p[1])
			out[k].target = "" // several
			continue
		}
		c := call{act: a, targets: []string{p[1]}}
		c.index, c.target = p[0], p[1]
		out = append(out, c)
	}
	return out
}

// changed adds target_changed and source_changed between ends that have known each other when one of them is changed.
func (w *weft) changed(n *topology.Node, r *topology.Relationship) {
	for _, name := range []string{"target_changed", "source_changed"} {
		for _, c := range w.calls(n, r, name) {
			source, target := w.lanes[topology.Instance{Node: n.Name, Index: c.index}], w.lanes[topology.Instance{Node: r.Target, Index: c.target}]
			w.b.later = append(w.b.later, func() {
				from, at := target, source
				if name == "source_changed" {
					from, at = source, target
				}
				s := w.b.opStep(c.act)
				s.Cause = from.id().String() + " is changed"
				if !w.b.limit.step(s) || !w.b.wasThere(at) || !w.b.wasThere(from) || !w.changes(from) && !w.b.unfinished(s) {
					return
				}
				v := w.b.g.add(n, s)
				w.b.steps[s.ID] = v
				w.afterEnd(source, c, v)
				w.afterEnd(target, c, v)
			})
		}
	}
}

// changes reports whether steps of the node itself run in the lane.
func (w *weft) changes(l *lane) bool {
	for _, p := range l.phases {
		for _, v := range p.main {
			if w.b.g.verts[v].real() {
				return true
			}
		}
	}
	return false
}

// wasThere reports whether the instance was completely installed when planning began.
func (b *builder) wasThere(l *lane) bool {
	rec := b.in.Recorded[l.id()]
	return rec != nil && rec.State == "started"
}

// unfinished reports whether the journal says that the step was begun and did not succeed.
func (b *builder) unfinished(s *Step) bool {
	rec := b.in.Recorded[s.Of()]
	return rec.begun(s.Key()) && rec.Journal[s.Key()].Status != Done
}

// TargetsOf are those of a relationship's target instances that a source instance has to do with.
func TargetsOf(t *topology.Topology, r *topology.Relationship, source string, all []string) []string {
	s := &scaling{t: t, leader: map[string]string{}}
	for _, name := range []string{r.Source, r.Target} {
		if n := t.NodeNamed(name); n != nil {
			s.leader[name] = t.ScaleRoot(n).Name
		}
	}
	var out []string
	depth, one := s.paired(r)
	for _, j := range all {
		if !one || topology.IndexAt(source, depth) == topology.IndexAt(j, depth) {
			out = append(out, j)
		}
	}
	if allToOne(r) && len(out) > 0 {
		return []string{slices.MinFunc(out, ByNumber)}
	}
	if len(out) == 0 {
		return all
	}
	return out
}
