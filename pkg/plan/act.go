package plan

import (
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// OnOrchestrator as a Step.Host is the machine that orch runs on.
const OnOrchestrator = "orchestrator"

// act is an operation on an instance, on its way to a Step.
type act struct {
	t     *topology.Topology
	s     *scaling
	node  *topology.Node
	index string
	op    *topology.Operation
	// rel and the rest are set for relationship operations; target is "" when several instances are concerned.
	rel               *topology.Relationship
	target            string
	atTarget, perPair bool
	// host overrides the operation's host; activity names the call in a declared workflow.
	host, activity string
}

func implemented(op *topology.Operation) bool {
	return op != nil && (op.Implementation != nil || op.Call != "")
}

// isServer reports whether operations of what is hosted on the node run on the node.
func isServer(n *topology.Node) bool {
	return n.Type.Is("tosca.nodes.Compute") || n.Type.Is("cloudify.nodes.Compute") || n.Type.Is("tosca.nodes.Abstract.Compute")
}

// opStep makes the step of an operation.
func (b *builder) opStep(a act) *Step {
	s := &Step{
		Kind: Op, Action: driver.Run, Node: a.node.Name, Instance: a.index, Interface: a.op.Interface, Operation: a.op.Name,
		AtTarget: a.atTarget, Host: a.hostName(), Activity: a.activity,
		Timeout: a.op.Timeout, Retries: a.op.Retries, RetryInterval: a.op.RetryInterval, Pos: a.op.Pos,
	}
	name := a.op.Name
	if a.rel != nil {
		s.Relationship, s.Target, s.TargetInstance = a.rel.Name, a.rel.Target, a.target
		prefix := a.rel.Name
		if a.perPair {
			prefix += "[" + a.target + "]"
		}
		if usual := a.op.Interface == "Configure" || relOps[name].perPair; !usual && a.op.Interface != "" {
			prefix += "." + a.op.Interface
		}
		if strings.EqualFold(a.op.Host, "TARGET") && !a.atTarget && relOps[name].perPair {
			name += "@target" // Cloudify has the same operation for both ends
		}
		name = prefix + "." + name
	} else if a.op.Interface != standard && a.op.Interface != "" {
		name = a.op.Interface + "." + name
	}
	s.ID = s.Of().String() + "." + name
	if s.Pos.IsZero() {
		s.Pos = a.node.Pos
	}
	s.Parts = b.digests.operation(b, a)
	s.Digest = sum(s.Parts)
	return s
}

// infraStep makes the step of a native node's own infrastructure, or nil if there is nothing to do: an update where only the
// properties differ from what was made.
func (b *builder) infraStep(t *topology.Topology, n *topology.Node, index string, action driver.Action) *Step {
	s := &Step{Kind: Infra, Action: action, Node: n.Name, Instance: index, Retries: -1, Pos: n.Pos}
	if action == driver.Create || action == driver.Update {
		s.Parts = b.digests.native(b, t, n, index)
		s.Digest = sum(s.Parts)
		if rec := b.in.Recorded[s.Of()]; rec != nil {
			if e, ok := rec.Journal[string(driver.Create)]; ok && e.Status == Done && e.Digest != s.Digest {
				s.Action = driver.Update
			}
		}
	}
	if s.Action != driver.Delete {
		_, s.Replaces = b.in.Replaced[s.Of()]
	}
	s.ID = s.Of().String() + "." + string(s.Action)
	return s
}

func (b *builder) stateStep(w *weft, l *lane, state string) *Step {
	cause := "no operation leads to it"
	if b.in.Recorded[l.id()] == nil {
		cause = b.newCause(l.id())
	}
	return &Step{ID: l.id().String() + "." + state, Kind: SetState, Node: l.node.Name, Instance: l.index, StateAfter: state,
		Cause: cause, Retries: -1, Pos: l.node.Pos}
}

func (b *builder) forgetStep(l *lane, state string) *Step {
	return &Step{ID: l.id().String() + ".forget", Kind: Forget, Node: l.node.Name, Instance: l.index, StateAfter: state,
		Cause: b.downCause(l.id()), Retries: -1, Pos: l.node.Pos}
}

// hostName is where the act runs: what the activity or the operation says, else the server at the end of the host chain of the side that
// the operation belongs to, else the orchestrator.
func (a act) hostName() string {
	want := a.op.Host
	if a.host != "" {
		want = a.host
	}
	here := func() string { return ServerOf(a.t, a.node, a.index) }
	there := func() string {
		if a.rel == nil {
			return here()
		}
		target := a.t.NodeNamed(a.rel.Target)
		if target == nil {
			return OnOrchestrator
		}
		i := a.target
		if i == "" {
			i = a.nearest(target)
		}
		return ServerOf(a.t, target, i)
	}
	switch strings.ToUpper(want) {
	case "":
		if a.atTarget {
			return there()
		}
		return here()
	case "SELF", "HOST", "SOURCE":
		return here()
	case "TARGET":
		return there()
	case "ORCHESTRATOR", "LOCALHOST":
		return OnOrchestrator
	}
	name := want
	for _, g := range a.t.Groups {
		if g.Name == want && len(g.Members) > 0 {
			name = g.Members[0]
		}
	}
	n := a.t.NodeNamed(name)
	if n == nil {
		return OnOrchestrator
	}
	return ServerOf(a.t, n, a.nearest(n))
}

// nearest is the instance of another node that an act's own instance belongs together with, or else the first one.
func (a act) nearest(n *topology.Node) string {
	if !a.s.together(n.Name, a.node.Name) {
		return "0"
	}
	depth, _ := a.t.FamilyDepth(a.node, n)
	return topology.IndexAt(a.index, depth)
}

// ServerOf follows the hosts of a node to the server that it is on; its index is that of the node's instance, or the beginning of it.
func ServerOf(t *topology.Topology, n *topology.Node, index string) string {
	seen := map[string]bool{}
	for n != nil && !seen[n.Name] {
		seen[n.Name] = true
		if isServer(n) {
			return topology.Instance{Node: n.Name, Index: t.HostIndex(n, index)}.String()
		}
		n = t.NodeNamed(n.Host())
	}
	return OnOrchestrator
}
