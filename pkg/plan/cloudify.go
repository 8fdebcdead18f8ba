package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

const (
	validation = "cloudify.interfaces.validation"
	monitoring = "cloudify.interfaces.monitoring"
)

// cloudifyLives are Cloudify's install and uninstall (cloudify-common, plugins/lifecycle.py). Everything of a relationship belongs to its
// source: a source is started when its relationships are established, and only then what depends on it begins.
//
//	install    validation.create ─ precreate ─ create ─ [preconfigure] configure [postconfigure] ─ start ─ poststart ─ monitoring.start [establish]
//	uninstall  validation.delete ─ monitoring.stop ─ prestop ─ stop ─ [unlink] ─ delete ─ postdelete
//
// The operations of agents and of their monitoring are left out: there are no agents.
var cloudifyLives = map[string]life{
	Install: {
		phases: []phase{
			{iface: validation, op: "create"},
			{iface: standard, op: "precreate"},
			{iface: standard, op: "create", before: "creating", after: "created", action: driver.Create},
			{iface: standard, op: "configure", before: "configuring", after: "configured", pre: []string{"preconfigure"}, post: []string{"postconfigure"}},
			{iface: standard, op: "start", before: "starting"},
			{iface: standard, op: "poststart", before: "starting"},
			{iface: monitoring, op: "start", before: "starting", after: "started", post: []string{"establish"}},
		},
		forward: true,
	},
	Uninstall: {
		phases: []phase{
			{iface: validation, op: "delete", before: "stopping"},
			{iface: monitoring, op: "stop", before: "stopping"},
			{iface: standard, op: "prestop", before: "stopping"},
			{iface: standard, op: "stop", before: "stopping", after: "stopped"},
			{post: []string{"unlink"}},
			{iface: standard, op: "delete", before: "deleting", action: driver.Delete, actionAfter: true},
			{iface: standard, op: "postdelete", before: "deleting", after: "deleted"},
		},
		forget: true,
	},
}

// onOperation relationships let the source begin as soon as an operation of its target is done.
const onOperation = "cloudify.relationships.depends_on_lifecycle_operation"

// released is the moment of a target's installation that a source waits for.
func released(t *topology.Topology, lf life, r *topology.Relationship) func(*lane) int {
	end := func(l *lane) int { return l.end }
	if t.Order != topology.Cloudify || !r.Type.Is(onOperation) {
		return end
	}
	v := r.Properties.Get("operation")
	if v == nil || v.Kind != topology.LitValue {
		return end
	}
	name, _ := v.Lit.(string)
	k := slices.IndexFunc(lf.phases, func(p phase) bool { return p.iface == standard && p.op == lastPart(name) })
	if k < 0 {
		return end
	}
	return func(l *lane) int { return l.phases[k].leave }
}

// group is what Cloudify does of one operation for the relationships of an instance to one target node: all at once. Groups follow each
// other in the order of the relationships, backwards for unlink.
type group struct {
	target       string
	verts, after []int
}

type groupKey struct {
	lane  topology.Instance
	phase int
	op    string
}

// inTurn puts a vertex into the group of its target, after the group before it.
func (w *weft) inTurn(l *lane, phase int, c call, v int) {
	if w.t.Order != topology.Cloudify {
		return
	}
	k := groupKey{l.id(), phase, c.op.Name}
	g := w.groups[k]
	if g == nil {
		g = &group{target: c.rel.Target}
		w.groups[k] = g
	}
	if g.target != c.rel.Target {
		g.target, g.after, g.verts = c.rel.Target, g.verts, nil
	}
	for _, before := range g.after {
		w.b.g.edge(before, v)
	}
	g.verts = append(g.verts, v)
}

// inPlace are operations that Cloudify leaves out where only the other end of the relationship is new: establish alone tells of it.
func (b *builder) inPlace(t *topology.Topology, s *Step, rec *Recorded) bool {
	return t.Order == topology.Cloudify && rec.State == "started" && (s.Operation == "preconfigure" || s.Operation == "postconfigure")
}

// unlinking is the phase of Cloudify's uninstall in which an instance lets go of its targets; -1 in other dialects.
func unlinking(t *topology.Topology) int {
	if t.Order != topology.Cloudify {
		return -1
	}
	return slices.IndexFunc(cloudifyLives[Uninstall].phases, func(p phase) bool { return slices.Contains(p.post, "unlink") })
}
