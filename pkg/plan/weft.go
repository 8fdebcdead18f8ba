package plan

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// weft is one lifecycle woven over instances: a lane per instance, and edges between the lanes along the relationships.
//
//	lane:  begin ─▶ open ─▶ [enter ─▶ pre… ─▶ operation ─▶ post… ─▶ leave] per phase ─▶ end ─▶ afterwards…, forget
//
// Of a lane at rest the operations of relationships keep their place and stand on their own: see rest.go.
type weft struct {
	b         *builder
	t         *topology.Topology
	s         *scaling
	name      string
	life      life
	instances map[string][]string
	lanes     map[topology.Instance]*lane
	order     []*lane
	groups    map[groupKey]*group // Cloudify's relationship operations
	wired     map[wireKey][]wire  // operations of relationships in lanes at rest
}

type lane struct {
	node       *topology.Node
	index      string
	begin, end int
	// open comes after all that the instance requires, begin after what it is hosted on. They differ only on the way up.
	open int
	// rests: the instance is installed, and nothing is done on it itself.
	rests bool
	// forget removes the record, when nothing is written into it any more: operations at the target's side come after the source's end.
	forget int
	phases []lanePhase
	letGo  []int // operations by which what stays lets go of it
	leaves []int // operations by which it lets go of what stays
}

type lanePhase struct {
	enter, first, last, leave int
	main, pre, post           []int // steps that change the instance's state
	waits                     bool  // another instance holds this phase back
}

func (l *lane) id() topology.Instance { return topology.Instance{Node: l.node.Name, Index: l.index} }

// generated weaves a lifecycle over instances (node → indices).
func (b *builder) generated(name string, t *topology.Topology, s *scaling, instances map[string][]string) *weft {
	lf, _ := lifeOf(name, t)
	return b.woven(name, lf, t, s, instances)
}

// woven is generated for a life that is a part of the workflow's.
func (b *builder) woven(name string, lf life, t *topology.Topology, s *scaling, instances map[string][]string) *weft {
	w := &weft{b: b, t: t, s: s, name: name, life: lf, instances: instances, lanes: map[topology.Instance]*lane{}, groups: map[groupKey]*group{},
		wired: map[wireKey][]wire{}}
	for _, n := range t.Nodes {
		for _, i := range instances[n.Name] {
			w.addLane(n, i)
		}
	}
	for _, n := range t.Nodes {
		rels := n.Relationships
		if t.Order == topology.Cloudify && !lf.forward {
			rels = slices.Clone(rels)
			slices.Reverse(rels)
		}
		for _, r := range rels {
			w.relate(n, r)
		}
	}
	for _, add := range b.later {
		add()
	}
	b.later = nil
	for _, l := range w.order {
		w.settle(l)
	}
	return w
}

func (w *weft) addLane(n *topology.Node, index string) {
	g := &w.b.g
	l := &lane{node: n, index: index, begin: g.gate(n)}
	l.open = l.begin
	if w.life.forward {
		l.open = g.gate(n)
		g.edge(l.begin, l.open)
	}
	at := l.open
	for _, ph := range w.life.phases {
		p := lanePhase{enter: g.gate(n), first: g.gate(n), last: g.gate(n), leave: g.gate(n)}
		g.edge(at, p.enter)
		g.edge(p.enter, p.first)
		p.main = w.b.acts(w, n, index, ph)
		at = p.first
		for _, v := range p.main {
			g.edge(at, v)
			at = v
		}
		g.edge(at, p.last)
		g.edge(p.last, p.leave)
		at = p.leave
		l.phases = append(l.phases, p)
	}
	l.end = g.gate(n)
	g.edge(at, l.end)
	if w.life.forget {
		l.forget = g.gate(n)
		g.edge(l.end, l.forget)
	}
	l.rests = w.atRest(l)
	w.lanes[l.id()] = l
	w.order = append(w.order, l)
}

// acts makes the steps of a phase on the node itself, in order: infrastructure and the operation, where they exist.
func (b *builder) acts(w *weft, n *topology.Node, index string, ph phase) []int {
	var out []int
	infra := func() {
		if !n.Native || ph.action == "" || (ph.action == driver.Start || ph.action == driver.Stop) && !isServer(n) {
			return
		}
		if s := b.infraStep(w.t, n, index, ph.action); s != nil {
			out = append(out, b.put(w, n, s, ph))
		}
	}
	if !ph.actionAfter {
		infra()
	}
	if w.name == Install && ph.op == "start" && n.Native && isServer(n) && b.in.Recorded[topology.Instance{Node: n.Name, Index: index}].begun("stop") {
		out = append(out, b.put(w, n, b.infraStep(w.t, n, index, driver.Start), ph)) // it was powered off
	}
	if op := n.Operation(ph.iface, ph.op); implemented(op) {
		s := b.opStep(act{t: w.t, s: w.s, node: n, index: index, op: op})
		if n.Native && ph.op == "postdelete" && s.Host == s.Of().String() {
			return out // nothing is left to run it on
		}
		if n.Native && ph.action != "" {
			s.ID += ".script" // the infrastructure's own act has the plain name
		}
		out = append(out, b.put(w, n, s, ph))
	}
	if ph.actionAfter {
		infra()
	}
	return out
}

// put adds a step of a lane and decides whether it need run.
func (b *builder) put(w *weft, n *topology.Node, s *Step, ph phase) int {
	s.StateBefore = ph.before
	v := b.g.add(n, s)
	b.steps[s.ID] = v
	b.g.verts[v].skip = !b.need(w.name, w.t, s)
	if w.name == Uninstall && b.in.Force && s.Kind == Op {
		s.IgnoreFailure = true
	}
	return v
}

// pairs are the instances of source and target that belong together.
func (w *weft) pairs(r *topology.Relationship) (pairs [][2]string) {
	depth, one := w.s.paired(r)
	targets := w.instances[r.Target]
	if allToOne(r) {
		only := w.s.only(r.Target)
		targets = slices.DeleteFunc(slices.Clone(targets), func(j string) bool { return j != only })
	}
	at := map[string][]string{}
	for _, j := range targets {
		if one {
			k := topology.IndexAt(j, depth)
			at[k] = append(at[k], j)
		}
	}
	for position, i := range w.instances[r.Source] {
		related := at[topology.IndexAt(i, depth)]
		if !one {
			related = w.t.Related(r, i, position, targets, &staticEnv{t: w.t, inputs: w.b.in.Inputs, instances: w.instances})
		}
		for _, j := range related {
			if r.Source != r.Target || i != j {
				pairs = append(pairs, [2]string{i, j})
			}
		}
	}
	return pairs
}

// relate weaves the two ends of a relationship and adds its operations.
func (w *weft) relate(n *topology.Node, r *topology.Relationship) {
	if w.t.NodeNamed(r.Target) == nil {
		return
	}
	if r.Source != r.Target {
		w.weave(r)
	}
	for k, ph := range w.life.phases {
		for _, name := range ph.pre {
			w.operations(n, r, name, k, true)
		}
		for _, name := range ph.post {
			w.operations(n, r, name, k, false)
		}
	}
	for _, name := range w.life.afterwards {
		for _, c := range w.calls(n, r, name) {
			if side := w.t.NodeNamed(r.Target); c.atTarget && w.leftToLocation(side) || !c.atTarget && w.leftToLocation(n) {
				continue
			}
			v := w.b.put(w, n, w.b.opStep(c.act), phase{})
			for _, j := range c.targets {
				w.afterEnd(w.lanes[topology.Instance{Node: r.Target, Index: j}], c, v)
			}
			w.afterEnd(w.lanes[topology.Instance{Node: n.Name, Index: c.index}], c, v)
		}
	}
	if w.name == Install {
		w.changed(n, r)
	}
}

// leftToLocation: in Alien4Cloud the ends of relationships that the location makes have no operations of relationships (DefaultWorkflowBuilder).
func (w *weft) leftToLocation(n *topology.Node) bool {
	return n.Native && strings.HasPrefix(w.t.Dialect, "alien_dsl")
}

// weave says which moments of the two ends wait for each other. With all-to-all fan-out a gate in between saves the product.
func (w *weft) weave(r *topology.Relationship) {
	from, to := r.Target, r.Source // what comes first, what waits
	if !w.life.forward {
		from, to = to, from
	}
	first := released(w.t, w.life, r)
	then := func(l *lane) (int, *bool) { return l.open, nil }
	switch {
	case r.HostedOn():
		then = func(l *lane) (int, *bool) { return l.begin, nil }
	case w.overlap(r) && w.name == Install: // target started → source configuring; with CreateInParallel also source created → target configuring
		then = configuring
		if w.t.Order == topology.CreateInParallel {
			w.join(r, r.Source, r.Target, func(l *lane) int { return l.phases[0].leave }, then)
		}
	case w.overlap(r) && w.name == Uninstall: // source stopped → target stopping
		first = func(l *lane) int { return l.phases[0].leave }
	}
	w.join(r, from, to, first, then)
}

// overlap reports whether the dialect lets the two ends of a relationship be made at the same time.
func (w *weft) overlap(r *topology.Relationship) bool {
	return w.t.Order == topology.CreateInParallel && !r.HostedOn() || w.t.Order == topology.Interleaved && r.Connects()
}

// configuring is the moment at which a lane waits where its ends overlap.
func configuring(l *lane) (int, *bool) { return l.phases[1].enter, &l.phases[1].waits }

func (w *weft) join(r *topology.Relationship, from, to string, first func(*lane) int, then func(*lane) (int, *bool)) {
	g := &w.b.g
	link := func(a int, l *lane) {
		v, waits := then(l)
		g.edge(a, v)
		if waits != nil {
			*waits = true
		}
	}
	if _, one := w.s.paired(r); one || allToOne(r) {
		for _, p := range w.pairs(r) {
			i, k := p[1], p[0] // target, source
			if from == r.Source {
				i, k = p[0], p[1]
			}
			if l := w.lanes[topology.Instance{Node: to, Index: k}]; l != nil {
				link(first(w.lanes[topology.Instance{Node: from, Index: i}]), l)
			}
		}
		return
	}
	all, known := g.gate(nil), g.gate(nil)
	for _, i := range w.instances[from] {
		l := w.lanes[topology.Instance{Node: from, Index: i}]
		g.edge(first(l), all)
		if w.b.wasThere(l) {
			g.edge(first(l), known)
		}
	}
	for _, i := range w.instances[to] {
		l := w.lanes[topology.Instance{Node: to, Index: i}]
		if !l.rests {
			link(all, l)
			continue
		}
		link(known, l)
		at, _ := then(l)
		g.lax(all, at) // it has worked without the new ones
	}
}

// operations adds the steps of one relationship operation to the lanes of the side that it belongs to, before or after the k-th operation.
func (w *weft) operations(n *topology.Node, r *topology.Relationship, name string, k int, before bool) {
	for _, c := range w.calls(n, r, name) {
		side := topology.Instance{Node: n.Name, Index: c.index}
		if c.atTarget {
			side = topology.Instance{Node: r.Target, Index: c.target}
		}
		l := w.lanes[side]
		if l == nil || w.leftToLocation(l.node) {
			continue
		}
		v := w.b.put(w, l.node, w.b.opStep(c.act), w.life.phases[k])
		if source := w.lanes[topology.Instance{Node: n.Name, Index: c.index}]; w.life.forget && source != nil {
			w.b.g.edge(v, source.forget)
		}
		w.inTurn(l, k, c, v)
		p, edge := &l.phases[k], w.b.g.edge
		if l.rests && w.b.g.verts[v].real() {
			w.wire(l, c, v)
			edge = w.b.g.lax
		}
		if before {
			edge(p.enter, v)
			edge(v, p.first)
			p.pre = append(p.pre, v)
		} else {
			edge(p.last, v)
			edge(v, p.leave)
			p.post = append(p.post, v)
		}
	}
}
