package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// What Cloudify's workflow rollback does with an instance whose installation has stopped half-way; both go on over failing operations.
//
//	starting, or failed while starting     validation.delete ─ monitoring.stop ─ prestop ─ stop           ─▶ configured
//	creating, configuring, or failed then  [unlink] ─ delete ─ postdelete                                 ─▶ no longer on record
//
// What was never begun is left out, sources go before their targets, and everything that has arrived somewhere stays as it is.
var (
	unstart = life{phases: []phase{
		{iface: validation, op: "delete", before: "stopping"},
		{iface: monitoring, op: "stop", before: "stopping"},
		{iface: standard, op: "prestop", before: "stopping"},
		{iface: standard, op: "stop", before: "stopping", after: "configured"},
	}}
	uncreate = life{phases: cloudifyLives[Uninstall].phases[4:], forget: true}
)

func (b *builder) rollback() {
	b.checkInstances()
	b.in.Force = true
	begun, made := map[string][]string{}, map[string][]string{}
	for _, n := range b.in.Topology.Nodes {
		for _, i := range b.recorded[n.Name] {
			in := topology.Instance{Node: n.Name, Index: i}
			if !b.selected(in) {
				continue
			}
			switch b.in.Recorded[in].stoppedAt() {
			case "starting":
				begun[n.Name] = append(begun[n.Name], i)
			case "creating":
				made[n.Name] = append(made[n.Name], i)
			}
		}
	}
	stop, remove := b.woven(Uninstall, unstart, b.in.Topology, b.wanted, begun), b.woven(Uninstall, uncreate, b.in.Topology, b.wanted, made)
	for _, n := range b.in.Topology.Nodes {
		for _, r := range n.Relationships {
			for _, p := range b.existing(r) {
				source, target := topology.Instance{Node: r.Source, Index: p[0]}, topology.Instance{Node: r.Target, Index: p[1]}
				if from, to := stop.lanes[source], remove.lanes[target]; from != nil && to != nil {
					b.g.edge(from.end, to.begin)
				}
				if from, to := remove.lanes[source], stop.lanes[target]; from != nil && to != nil {
					b.g.edge(from.forget, to.begin)
				}
			}
		}
	}
}

// stoppedAt tells where an installation has stopped: starting, creating (or configuring), or "" if it has not stopped half-way.
func (r *Recorded) stoppedAt() string {
	switch r.State {
	case "starting":
		return "starting"
	case "creating", "configuring":
		return "creating"
	case StateError:
	default:
		return ""
	}
	at := "creating"
	for k := range r.Journal {
		switch _, op := splitKey(plainKey(k)); {
		case slices.Contains(takesDown, op) || op == "stopping" || op == "deleting":
			return "" // it has failed while it was taken down
		case op == "start" || op == "poststart" || op == "starting" || op == "establish":
			at = "starting"
		}
	}
	return at
}
