package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Batch says in what portions an update gets to the instances of a node.
type Batch struct {
	Size    int // instances at once; 0: Percent of those that there are, at least one
	Percent int
}

func (x Batch) of(total int) int {
	n := x.Size
	if n <= 0 {
		n = (total*x.Percent + 99) / 100
	}
	return max(n, 1)
}

// Gate is what must hold of an instance before an update goes on with the next batch.
type Gate struct {
	// Node whose instances are probed; "" is every node that is updated in batches, by its server.
	Node string
	// Probe as the engine's Options.Health understands it.
	Probe string
}

// batches makes an update get to existing instances in portions:
//
//	batch 1: operations of all that scales together ─▶ checks ─▶ gate ─▶ batch 2 …
//
// What is new is not held back. Nodes that scale together go together; where something between them, which they do not scale with, needs all of
// the one before any of the other, each goes for itself.
func (b *builder) batches(w *weft) {
	if w == nil || b.in.Batch == nil && len(b.in.Gates) == 0 {
		return
	}
	groups := b.changing(w)
	if len(groups) == 0 {
		return
	}
	for _, g := range groups {
		g.checks = b.gateSteps(g)
	}
	for _, together := range []bool{true, false} {
		before := b.g.edges()
		for _, g := range groups {
			b.chain(g, together)
		}
		if order, _ := b.g.order(); order != nil {
			return
		}
		b.g.restore(before)
	}
	d := b.diags.Errorf("batch-order", diag.Pos{}, "the update cannot be done in batches: its steps wait for steps on all instances")
	d.Hint = "a declared workflow goes through all instances step by step; update without batches, or without the workflow"
}

// batchGroup are the existing instances of nodes that scale together to which something is done.
type batchGroup struct {
	batches [][]string         // indices
	lanes   map[string][]*lane // by index, in the order of nodes
	checks  map[string][]int   // vertices by index
	nodes   []*topology.Node
}

// changing finds what is to be done in batches, by the leader of what scales together.
func (b *builder) changing(w *weft) []*batchGroup {
	var out []*batchGroup
	acts := map[topology.Instance]bool{}
	for _, v := range b.g.verts {
		if v.real() && v.step.Acts() {
			acts[v.step.Of()] = true
		}
	}
	for _, lead := range w.t.Nodes {
		if b.wanted.leader[lead.Name] != lead.Name {
			continue
		}
		g := &batchGroup{lanes: map[string][]*lane{}}
		busy := map[string]bool{}
		for _, n := range w.t.Nodes {
			if b.wanted.leader[n.Name] != lead.Name {
				continue
			}
			g.nodes = append(g.nodes, n)
			for _, i := range b.recorded[n.Name] {
				if l := w.lanes[topology.Instance{Node: n.Name, Index: i}]; l != nil {
					g.lanes[i] = append(g.lanes[i], l)
					busy[i] = busy[i] || acts[l.id()]
				}
			}
		}
		indices := sortedKeys(busy)
		indices = slices.DeleteFunc(indices, func(i string) bool { return !busy[i] })
		slices.SortFunc(indices, ByNumber)
		if len(indices) == 0 {
			continue
		}
		size := len(indices)
		if b.in.Batch != nil {
			size = b.in.Batch.of(len(b.recorded[lead.Name]))
		}
		g.batches = slices.Collect(slices.Chunk(indices, size))
		out = append(out, g)
	}
	return out
}

// chain adds the edges from batch to batch.
func (b *builder) chain(g *batchGroup, together bool) {
	gates := map[string]int{} // by node, or "" for all
	for k, batch := range g.batches {
		next := map[string]int{}
		for _, i := range batch {
			for _, l := range g.lanes[i] {
				key := ""
				if !together {
					key = l.node.Name
				}
				if gate, ok := gates[key]; ok {
					b.g.edge(gate, l.begin)
				}
				if k == len(g.batches)-1 && len(g.checks[i]) == 0 {
					continue
				}
				if _, ok := next[key]; !ok {
					next[key] = b.g.gate(nil)
				}
				b.g.edge(l.end, next[key])
				for _, v := range g.checks[i] {
					b.g.edge(l.end, v)
					b.g.edge(v, next[key])
				}
			}
		}
		gates = next
	}
}

// gateSteps are what is asked of each instance when its operations are done: an operation of the node that checks, and the probes given.
func (b *builder) gateSteps(g *batchGroup) map[string][]int {
	out := map[string][]int{}
	for k, batch := range g.batches {
		cause := fmt.Sprintf("health gate of batch %d of %d", k+1, len(g.batches))
		for _, i := range batch {
			for at, n := range g.nodes {
				if op := CheckOperation(n); op != nil {
					s := b.opStep(act{t: b.in.Topology, s: b.wanted, node: n, index: i, op: op})
					if s.Retries <= 0 {
						s.Retries, s.RetryInterval = int(b.patience()/gatePace), gatePace
					}
					out[i] = append(out[i], b.addGate(n, s, cause))
				}
				for _, gate := range b.in.Gates {
					if gate.Node != n.Name && (gate.Node != "" || at > 0) {
						continue
					}
					s := &Step{ID: fmt.Sprintf("%s[%s].health %s", n.Name, i, gate.Probe), Kind: Health, Node: n.Name, Instance: i, Host: OnOrchestrator,
						Operation: "health", Probe: gate.Probe, Digest: short(gate.Probe), Timeout: b.patience(), Pos: n.Pos}
					out[i] = append(out[i], b.addGate(n, s, cause))
				}
			}
		}
	}
	return out
}

// An instance that was updated may need a while to be well again: so long, asked at this pace.
const (
	gatePatience = 2 * time.Minute
	gatePace     = 5 * time.Second
)

func (b *builder) patience() time.Duration {
	if b.in.GateTimeout > 0 {
		return b.in.GateTimeout
	}
	return gatePatience
}

func (b *builder) addGate(n *topology.Node, s *Step, cause string) int {
	s.Cause = cause
	v := b.g.add(n, s)
	b.steps[s.ID] = v
	return v
}

// edges are what restore brings back.
func (g *graph) edges() []waits {
	out := make([]waits, len(g.verts))
	for v := range g.verts {
		out[v] = waits{slices.Clone(g.verts[v].pre), slices.Clone(g.verts[v].lax)}
	}
	return out
}

func (g *graph) restore(edges []waits) {
	for v := range g.verts {
		g.verts[v].pre, g.verts[v].lax = nil, nil
		if v < len(edges) {
			g.verts[v].pre, g.verts[v].lax = edges[v].pre, edges[v].lax
		}
	}
}
