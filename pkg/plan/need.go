package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// need decides whether a step of a workflow runs, and says why.
func (b *builder) need(workflow string, t *topology.Topology, s *Step) bool {
	if !b.limit.step(s) {
		return false
	}
	var needed bool
	switch workflow {
	case Install:
		if s.Kind == SetState && b.passed(s) || b.updates.leaves(s) {
			return false
		}
		s.Cause, needed = b.needUp(t, s)
	case Uninstall:
		s.Cause, needed = b.downCause(s.Of()), b.needDown(t, s)
	default:
		s.Cause, needed = "workflow "+workflow, true
	}
	if needed && s.Kind != SetState && b.unfinished(s) {
		rec := b.in.Recorded[s.Of()]
		if rec.Journal[s.Key()].Status == Doing {
			s.Cause = "goes on: it was interrupted"
		} else {
			s.Cause = "again: it failed before"
		}
	}
	return needed
}

// needUp: an act of install runs unless the journal says that exactly this was done, here and with this other end.
func (b *builder) needUp(t *topology.Topology, s *Step) (cause string, needed bool) {
	in := s.Of()
	rec := b.in.Recorded[in]
	if why, replaced := b.replacedHost(s); replaced && s.Kind != Infra {
		return why, true
	}
	if rec == nil {
		return b.newCause(in), true
	}
	e, known := rec.Journal[s.Key()]
	if b.inPlace(t, s, rec) && (!known || e.Status == Done) {
		return "", false
	}
	if !known {
		switch {
		case s.TargetInstance != "" && b.in.Recorded[s.target()] == nil:
			return s.target().String() + " is new", true
		case rec.State == "started":
			return "the operation is new", true
		case rec.State == "stopped":
			return in.String() + " is stopped", true
		}
		return "goes on where it stopped", true
	}
	switch {
	case e.Status != Done:
		return "", true
	case e.Digest != s.Digest && !b.limit.has(s.Node):
		return "", false // of others only what is new concerns it; the next update does this
	case e.Digest != s.Digest:
		return b.changeCause(s, e), true
	case e.Host != b.generation(s.Host):
		return s.Host + " was made anew", true
	case e.Peer != b.peer(s):
		return s.target().String() + " was made anew", true
	case t.Order == topology.Cloudify && rec.State == "configured" && s.StateBefore == "starting":
		return "its start was rolled back", true // also where no operation has stopped it
	}
	return "", false
}

// Installed reports whether the instance has been started, whatever has become of it since.
func (r *Recorded) Installed() bool {
	return r.State == "started" || r.State == "stopped" || r.Journal["start"].Status == Done
}

// passed reports whether the instance has this state, or a later one of the lifecycle, behind it already.
func (b *builder) passed(s *Step) bool {
	rec := b.in.Recorded[s.Of()]
	if rec == nil || rec.Journal[s.Key()].Status != Done {
		return false
	}
	at, is := slices.Index(up, s.StateAfter), slices.Index(up, rec.State)
	return at < 0 || is >= at
}

// needDown: an act of uninstall runs if there may be something to take down.
func (b *builder) needDown(t *topology.Topology, s *Step) bool {
	rec := b.in.Recorded[s.Of()]
	if rec == nil {
		return false
	}
	e, known := rec.Journal[s.Key()]
	if known && e.Status == Done {
		return false
	}
	if s.Kind == Op && !b.reachable(t, s.Host) {
		return false
	}
	n := t.NodeNamed(s.Node)
	prefix, op := splitKey(s.Key())
	switch {
	case known:
		return true
	case s.Kind == Infra:
		return rec.begun(string(driver.Create))
	case op == "stop", op == "prestop":
		if implemented(n.Operation(standard, "start")) {
			return rec.begun("start")
		}
		return len(rec.Journal) > 0 || rec.State == "started"
	case strings.HasPrefix(op, "delete"), op == "postdelete":
		return len(rec.Journal) > 0 || rec.State != "" && rec.State != "initial"
	}
	if adds, ok := map[string]string{"remove_target": "add_target", "remove_source": "add_source", "unlink": "establish"}[op]; ok {
		if r := relationship(n, s.Relationship); r != nil && len(relationshipOps(r, adds)) > 0 {
			return rec.begun(prefix + adds)
		}
		return rec.begun("start") || rec.State == "started"
	}
	return true
}

// reachable reports whether operations can run on a host: a server that never came up, or is deleted already, has nothing to take down.
func (b *builder) reachable(t *topology.Topology, host string) bool {
	in, ok := ParseInstance(host)
	if !ok {
		return true
	}
	n := t.NodeNamed(in.Node)
	if n == nil || !n.Native {
		return true
	}
	rec := b.in.Recorded[in]
	return rec != nil && rec.Made && !rec.replacing()
}

func relationship(n *topology.Node, name string) *topology.Relationship {
	if n == nil {
		return nil
	}
	for _, r := range n.Relationships {
		if r.Name == name {
			return r
		}
	}
	return nil
}

func (s *Step) target() topology.Instance {
	return topology.Instance{Node: s.Target, Index: s.TargetInstance}
}

// replacedHost reports whether the infrastructure makes the step's own host, or the other end of its relationship, anew in this plan.
func (b *builder) replacedHost(s *Step) (string, bool) {
	for in, why := range b.in.Replaced {
		if s.Host == in.String() || s.Of() == in || s.PerPair() && s.target() == in {
			if why == "" {
				why = "it is replaced"
			}
			return fmt.Sprintf("%s: %s", in, why), true
		}
	}
	return "", false
}

// generation of the instance that is called so; "" for the orchestrator and what is not recorded yet.
func (b *builder) generation(host string) string {
	if host == "" || host == OnOrchestrator {
		return ""
	}
	in, ok := ParseInstance(host)
	if rec := b.in.Recorded[in]; ok && rec != nil {
		return rec.Generation
	}
	return ""
}

// peer is the generation of the other end of an act per pair.
func (b *builder) peer(s *Step) string {
	if !s.PerPair() {
		return ""
	}
	return b.generation(s.target().String())
}

// ParseInstance reads "node[index]".
func ParseInstance(s string) (topology.Instance, bool) {
	i := strings.LastIndexByte(s, '[')
	if i < 0 || !strings.HasSuffix(s, "]") {
		return topology.Instance{}, false
	}
	return topology.Instance{Node: s[:i], Index: s[i+1 : len(s)-1]}, true
}

// newCause says why an instance is made that was not there.
func (b *builder) newCause(in topology.Instance) string {
	if b.healing[in] {
		return "it is made anew"
	}
	have := len(b.recorded[in.Node])
	if have == 0 {
		return "new node"
	}
	return fmt.Sprintf("scaled from %d to %d", have, len(b.wanted.wanted[in.Node]))
}

// downCause says why an instance is removed.
func (b *builder) downCause(in topology.Instance) string {
	switch {
	case b.healing[in]:
		return "it is made anew"
	case b.in.Workflow == Uninstall:
		return "undeploy"
	case b.in.Workflow == Rollback:
		return "its installation has stopped half-way"
	case b.in.Topology.NodeNamed(in.Node) == nil:
		return "no longer in the topology"
	}
	return fmt.Sprintf("scaled from %d to %d", len(b.recorded[in.Node]), len(b.wanted.wanted[in.Node]))
}
