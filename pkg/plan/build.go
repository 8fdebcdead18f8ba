package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/dag"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Build compares what is wanted with what is recorded. The plan is nil if the list has errors: a cycle of dependencies, an unknown
// workflow, node, relationship or operation, a number of instances that is not known.
func Build(in Input) (*Plan, diag.List) {
	b := newBuilder(in)
	switch in.Workflow {
	case "", Install:
		b.in.Workflow = Install
		if in.Update != nil {
			b.updateTo()
		} else {
			b.install()
		}
	case Uninstall:
		b.uninstall()
	case Operation:
		b.operate()
	case Heal, Check, Rollback:
		switch {
		case declared(in.Topology, in.Workflow) != nil, in.Workflow == Rollback && in.Topology.Order != topology.Cloudify:
			b.other(in.Workflow)
		case in.Workflow == Rollback:
			b.rollback()
		case in.Workflow == Heal:
			b.heal()
		default:
			b.check()
		}
	default:
		b.other(in.Workflow)
	}
	if b.diags.HasErrors() {
		return nil, b.diags.Sorted()
	}
	return b.finish()
}

// builder holds what the parts of a plan share while it is made.
type builder struct {
	in       Input
	g        graph
	diags    diag.List
	wanted   *scaling
	recorded map[string][]string // node → indices of its recorded instances
	steps    map[string]int      // step id → vertex
	scales   map[*topology.Topology]*scaling
	digests  digests
	healing  map[topology.Instance]bool
	later    []func() // what can be added only when it is known which steps run
	limit    *limit
	updates  *update
}

func newBuilder(in Input) *builder {
	b := &builder{in: in, recorded: map[string][]string{}, steps: map[string]int{}, digests: newDigests(),
		scales: map[*topology.Topology]*scaling{}}
	if in.Previous == nil {
		b.in.Previous, b.in.PreviousInputs = in.Topology, in.Inputs
	}
	b.in.Replaced = map[topology.Instance]string{}
	for i, rec := range in.Recorded {
		b.recorded[i.Node] = append(b.recorded[i.Node], i.Index)
		if rec.replacing() {
			b.in.Replaced[i] = "its replacement was interrupted"
		}
	}
	maps.Copy(b.in.Replaced, in.Replaced)
	for _, l := range b.recorded {
		slices.SortFunc(l, ByNumber)
	}
	b.wanted = b.scale(in.Topology)
	b.wanted.want()
	b.limit = b.limited()
	return b
}

// install makes what is wanted and missing, changes what has changed, and removes what is gone.
func (b *builder) install() {
	gone := b.gone()
	w := b.workflow(Install, b.in.Topology, b.wanted, b.wanted.wanted)
	b.batches(w)
	b.takeDown(w, gone)
}

// uninstall removes everything that is recorded, or the chosen instances, by the topology that it was made from. What stays lets go of what goes.
func (b *builder) uninstall() {
	all := map[string][]string{}
	up := &weft{b: b, t: b.in.Topology, s: b.wanted, lanes: map[topology.Instance]*lane{}}
	for node, indices := range b.recorded {
		for _, i := range indices {
			in := topology.Instance{Node: node, Index: i}
			if b.selected(in) {
				all[node] = append(all[node], i)
			} else if n := b.in.Topology.NodeNamed(node); n != nil {
				up.lanes[in] = &lane{node: n, index: i, begin: b.g.gate(n), end: b.g.gate(n)}
			}
		}
	}
	if len(up.lanes) == 0 {
		up = nil
	}
	b.takeDown(up, all)
}

// other runs a workflow on what exists: a declared one, or start, stop, restart, run, cancel. Instances limit a generated one to themselves;
// of a declared one they limit the nodes that they belong to, and steps on other nodes run as ever.
func (b *builder) other(name string) {
	b.checkInstances()
	wf := declared(b.in.Topology, name)
	chosen := map[string]bool{}
	for _, in := range b.in.Instances {
		chosen[in.Node] = true
	}
	exist := map[string][]string{}
	for _, n := range b.in.Topology.Nodes {
		for _, i := range b.recorded[n.Name] {
			if b.selected(topology.Instance{Node: n.Name, Index: i}) || wf != nil && !chosen[n.Name] {
				exist[n.Name] = append(exist[n.Name], i)
			}
		}
	}
	if wf == nil && name == Restart {
		stop := b.generated(Stop, b.in.Topology, b.wanted, exist)
		start := b.generated(Start, b.in.Topology, b.wanted, exist)
		for in, l := range stop.lanes {
			b.g.edge(l.end, start.lanes[in].begin)
		}
		return
	}
	b.workflow(name, b.in.Topology, b.wanted, exist)
}

// checkInstances reports chosen instances that do not exist.
func (b *builder) checkInstances() {
	for _, in := range b.in.Instances {
		if !slices.Contains(b.recorded[in.Node], in.Index) {
			b.noInstance(b.in.Topology.NodeNamed(in.Node), in)
		}
	}
}

func (b *builder) noInstance(n *topology.Node, in topology.Instance) {
	if n == nil {
		b.diags.Errorf("unknown-node", diag.Pos{}, "there is no node %q", in.Node).Hint = diag.Suggest(in.Node, b.in.Topology.NodeNames())
		return
	}
	d := b.diags.Errorf("unknown-instance", n.Pos, "%s has no instance %q", n.Name, in.Index)
	if have := b.recorded[n.Name]; len(have) > 0 {
		d.Hint = "it has " + strings.Join(have, ", ")
	}
}

// workflow weaves the declared workflow of that name, or else the generated one, over instances.
func (b *builder) workflow(name string, t *topology.Topology, s *scaling, instances map[string][]string) *weft {
	if wf := declared(t, name); wf != nil {
		return b.declaredWeft(wf, name, t, s, instances)
	}
	if _, ok := lifeOf(name, t); !ok {
		b.unknownWorkflow(name, t, diag.Pos{})
		return nil
	}
	return b.generated(name, t, s, instances)
}

// declared returns the document's workflow; TOSCA 1.3 calls install deploy and uninstall undeploy.
func declared(t *topology.Topology, name string) *topology.Workflow {
	wf := t.Workflows[name]
	switch {
	case wf == nil && name == Install:
		wf = t.Workflows["deploy"]
	case wf == nil && name == Uninstall:
		wf = t.Workflows["undeploy"]
	}
	if wf != nil && wf.BuiltIn() != "" {
		return nil
	}
	return wf
}

func (b *builder) selected(in topology.Instance) bool {
	return b.in.Instances == nil || slices.Contains(b.in.Instances, in)
}

// finish contracts the graph to the plan.
func (b *builder) finish() (*Plan, diag.List) {
	order, cyclic := b.g.order()
	if order == nil {
		b.cycle(cyclic)
		return nil, b.diags.Sorted()
	}
	joins := 0
	real, of := b.g.contract(order, func(int) *Step {
		joins++
		return &Step{ID: fmt.Sprintf("join-%d", joins), Kind: Join, Cause: "many wait for many", Retries: -1}
	})
	reduce(real, of)
	p := &Plan{Deployment: b.in.Deployment, Workflow: b.in.Workflow, Steps: make([]*Step, 0, len(real)), Diagnostics: b.diags.Sorted()}
	busy := map[topology.Instance]bool{}
	for _, v := range real {
		s := b.g.verts[v].step
		for _, q := range append(slices.Clone(of[v].pre), of[v].lax...) {
			s.Needs = append(s.Needs, b.g.verts[q].step.ID)
		}
		s.Tolerates = b.ids(of[v].lax)
		s.OnFailureOf = b.ids(b.g.verts[v].onFailure)
		s.OnCancelOf = b.ids(b.g.verts[v].onCancel)
		p.Steps = append(p.Steps, s)
		busy[s.Of()] = true
	}
	for in := range b.in.Recorded {
		if !busy[in] {
			p.Unchanged++
		}
	}
	p.Summary = b.summary(p)
	p.Digest = p.digest(b.in)
	return p, p.Diagnostics
}

func (b *builder) ids(verts []int) (ids []string) {
	for _, v := range unique(verts) {
		if b.g.verts[v].real() {
			ids = append(ids, b.g.verts[v].step.ID)
		}
	}
	return ids
}

// digest identifies what would be done with which topology and inputs.
func (p *Plan) digest(in Input) string {
	h := sha256.New()
	fmt.Fprintln(h, in.Topology.Digest)
	e := json.NewEncoder(h)
	_ = e.Encode(in.Inputs) // values of JSON, and secrets, which encode as a mask: no error possible
	_ = e.Encode(in.WorkflowInputs)
	_ = e.Encode(p.Steps)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// cycle reports the cycles among node templates that the vertices on and behind cycles belong to.
func (b *builder) cycle(verts []int) {
	var g dag.Graph[string]
	in := map[int]bool{}
	for _, v := range verts {
		in[v] = true
	}
	nodes := map[string]*topology.Node{}
	for _, v := range verts {
		to := b.g.verts[v].node
		if to == nil {
			continue
		}
		// What comes before v, through the gates that belong to nobody.
		seen := map[int]bool{v: true}
		for todo := []int{v}; len(todo) > 0; todo = todo[1:] {
			for _, p := range slices.Concat(b.g.verts[todo[0]].pre, b.g.verts[todo[0]].lax) {
				switch from := b.g.verts[p].node; {
				case !in[p] || seen[p] || from == to:
				case from == nil:
					todo = append(todo, p)
				default:
					g.Edge(from.Name, to.Name)
					nodes[from.Name], nodes[to.Name] = from, to
				}
				seen[p] = true
			}
		}
	}
	cycles := g.Cycles()
	for _, c := range cycles {
		path := ""
		for _, n := range c {
			path += n + " -> "
		}
		d := b.diags.Errorf("dependency-cycle", nodes[c[0]].Pos, "these nodes wait for each other: %s%s", path, c[0])
		d.Hint = "remove one of the requirements, or turn it round"
		for _, n := range c[1:] {
			d.Related = append(d.Related, diag.Related{Pos: nodes[n].Pos, Message: n + " is part of the cycle"})
		}
	}
	if len(cycles) == 0 {
		b.diags.Errorf("dependency-cycle", diag.Pos{}, "the steps of workflow %s wait for each other", b.in.Workflow)
	}
}
