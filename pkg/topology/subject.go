package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
)

// subject is what an expression asks: a node with the instances meant, or a relationship of a node's instance.
type subject struct {
	topology  *Topology
	node      *Node         // the source of rel, if that is set
	rel       *Relationship // nil: the node itself
	target    string        // the relationship's target instance
	instances []string      // nil: not known
	hosts     bool          // HOST: look further up for what the node lacks
}

func (s *subject) String() string {
	if s.rel != nil {
		return s.node.Name + "." + s.rel.Name
	}
	return s.node.Name
}

func (s *subject) artifacts() []*Artifact {
	if s.rel != nil {
		return s.rel.Artifacts
	}
	return s.node.Artifacts
}

func (s *subject) operation(iface, op string) *Operation {
	if s.rel != nil {
		return s.rel.Operation(iface, op)
	}
	return s.node.Operation(iface, op)
}

// subject resolves SELF, SOURCE, TARGET, HOST, a node's name or a relationship template's name.
func (e *evaluator) subject(sc Scope, entity string) (*subject, error) {
	s := &subject{topology: sc.Topology}
	switch entity {
	case "SELF":
		if sc.Node == nil {
			return nil, &EvalError{Message: "SELF means nothing here: the value belongs to no node", Hint: "name the node template instead"}
		}
		s.node, s.rel, s.target = sc.Node, sc.Relationship, sc.TargetInstance
		s.instances = e.instances(sc, s.node)
		return s, nil
	case "SOURCE", "TARGET":
		if sc.Relationship == nil {
			return nil, &EvalError{Message: entity + " means nothing here: the value belongs to no relationship", Hint: "SELF is the node itself"}
		}
		s.node = sc.Node
		if entity == "TARGET" {
			s.node = sc.Topology.NodeNamed(sc.Relationship.Target)
		}
	case "HOST":
		if sc.Node == nil || sc.Topology.NodeNamed(sc.Node.Host()) == nil {
			return nil, &EvalError{Message: "HOST means nothing here: the node has no host"}
		}
		s.node, s.hosts = sc.Topology.NodeNamed(sc.Node.Host()), true
	default:
		s.node = sc.Topology.NodeNamed(entity)
		if s.node == nil {
			if src, rel := sc.Topology.relationshipNamed(entity); rel != nil {
				s.node, s.rel = src, rel
			}
		}
	}
	if s.node == nil {
		return nil, &EvalError{Message: fmt.Sprintf("there is no node %q", entity), Hint: diag.Suggest(entity, sc.Topology.NodeNames())}
	}
	s.instances = e.instances(sc, s.node)
	return s, nil
}

// NodeNames lists the node templates in document order.
func (t *Topology) NodeNames() []string {
	names := make([]string, len(t.Nodes))
	for i, n := range t.Nodes {
		names[i] = n.Name
	}
	return names
}

// HostedOn reports that a node is hosted on the node of that name, directly or on what is hosted on it.
func (t *Topology) HostedOn(n *Node, host string) bool {
	for range len(t.Nodes) {
		h := n.Host()
		if h == "" {
			return false
		}
		if h == host {
			return true
		}
		if n = t.NodeNamed(h); n == nil {
			return false
		}
	}
	return false
}

// Members are the node of that name, or the nodes in the group of that name and in the groups within it.
func (t *Topology) Members(name string) []*Node {
	var out []*Node
	seen := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if n := t.NodeNamed(name); n != nil {
			out = append(out, n)
			return
		}
		for _, g := range t.Groups {
			if g.Name == name {
				for _, m := range g.Members {
					walk(m)
				}
			}
		}
	}
	walk(name)
	return out
}

// Input returns the declared input of that name, or nil.
func (t *Topology) Input(name string) *Parameter {
	if t == nil {
		return nil
	}
	for _, p := range t.Inputs {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// relationshipNamed finds the first relationship made from a relationship template.
func (t *Topology) relationshipNamed(template string) (*Node, *Relationship) {
	for _, n := range t.Nodes {
		for _, r := range n.Relationships {
			if r.Template == template {
				return n, r
			}
		}
	}
	return nil, nil
}

// ScaleRoot is the node at the end of the chain of hosts and servers that decides how many instances a node has.
func (t *Topology) ScaleRoot(n *Node) *Node {
	for range len(t.Nodes) + 1 {
		m := t.ScaleParent(n)
		if m == nil {
			return n
		}
		n = m
	}
	return n
}

// instances of a node that are meant when the scope asks for it.
func (e *evaluator) instances(sc Scope, n *Node) []string {
	switch {
	case sc.Node == n && sc.Instance != "":
		return []string{sc.Instance}
	case sc.Relationship != nil && sc.Relationship.Target == n.Name && sc.TargetInstance != "":
		return []string{sc.TargetInstance}
	}
	if e.env == nil {
		return nil
	}
	all := e.env.Instances(n.Name)
	if len(all) < 2 {
		return all
	}
	// What scales with one of the two ends (its host, its volume) is meant with that end's index.
	if few := family(sc.Topology, n, all, sc.Node, sc.Instance); len(few) > 0 {
		return few
	}
	if sc.Relationship != nil {
		if few := family(sc.Topology, n, all, sc.Topology.NodeNamed(sc.Relationship.Target), sc.TargetInstance); len(few) > 0 {
			return few
		}
	}
	return all
}

// family are the instances of a node that belong together with one of another; none if the nodes do not scale together.
func family(t *Topology, n *Node, all []string, of *Node, index string) []string {
	if of == nil || index == "" {
		return nil
	}
	depth, together := t.FamilyDepth(n, of)
	if !together {
		return nil
	}
	var out []string
	for _, i := range all {
		if IndexAt(i, depth) == IndexAt(index, depth) {
			out = append(out, i)
		}
	}
	return out
}

// located is where a property or attribute lives after a path's qualifiers were followed.
type located struct {
	*subject
	capability string
	name       string
	rest       []any // nested keys and indexes
}

// locate reads [entity, (capability or requirement)?, name, nested…] and TOSCA 2.0's paths
// [entity, (CAPABILITY cap | RELATIONSHIP req idx? | TARGET | SOURCE)…, name, nested…].
func (e *evaluator) locate(sc Scope, args []any, has func(*subject, string) bool) (located, error) {
	if len(args) < 2 {
		return located{}, &EvalError{Message: "the function needs an entity and a name"}
	}
	entity, rest := word(args[0]), args[1:]
	if (entity == "REQ_TARGET" || entity == "R_TARGET") && len(args) > 2 {
		entity = "SELF" // Alien4Cloud, Yorc: the target of the requirement that is named next
	}
	sub, err := e.subject(sc, entity)
	if err != nil {
		return located{}, err
	}
	if i, ok := rest[0].(int64); ok && len(rest) > 1 && sub.rel == nil {
		if err := e.instance(sub, i, len(rest)); err != nil {
			return located{}, err
		}
		rest = rest[1:]
	}
	for len(rest) > 1 {
		next, used, err := e.step(sc, sub, rest)
		if err != nil {
			return located{}, err
		}
		if used == 0 {
			break
		}
		rest = rest[used:]
		if next.capability != "" {
			if len(rest) == 0 {
				return located{}, &EvalError{Message: "the path ends before the name of a property or attribute"}
			}
			if len(rest) > 1 && word(rest[0]) == "RELATIONSHIP" {
				if sub, used, err = e.incoming(sc, next, rest[1:]); err != nil {
					return located{}, err
				}
				rest = rest[1+used:]
				continue
			}
			return located{subject: next.subject, capability: next.capability, name: word(rest[0]), rest: rest[1:]}, nil
		}
		sub = next.subject
	}
	if len(rest) == 0 {
		return located{}, &EvalError{Message: "the path ends before the name of a property or attribute"}
	}
	first := word(rest[0])
	if len(rest) > 1 && sub.rel == nil && !has(sub, first) {
		if loc, ok := e.qualified(sc, sub, first, rest[1:]); ok {
			return loc, nil
		}
	}
	for sub.hosts && !has(sub, first) { // HOST is the nearest host that has it
		up := e.host(sc, sub)
		if up == nil {
			break
		}
		sub = up
	}
	if sub.topology.HostLookup && sub.rel == nil && !e.valued(sub, first) {
		for up, left := e.host(sc, sub), len(sub.topology.Nodes); up != nil && left > 0; up, left = e.host(sc, up), left-1 {
			if e.valued(up, first) || !has(sub, first) && has(up, first) {
				return located{subject: up, name: first, rest: rest[1:]}, nil
			}
		}
	}
	return located{subject: sub, name: first, rest: rest[1:]}, nil
}

// host is the host of a node with the instances that belong to the node's; nil if it has none.
func (e *evaluator) host(sc Scope, sub *subject) *subject {
	up := sub.topology.NodeNamed(sub.node.Host())
	if up == nil {
		return nil
	}
	s := &subject{topology: sub.topology, node: up, instances: e.instances(sc, up), hosts: sub.hosts}
	if e.env == nil || len(sub.instances) == 0 {
		return s
	}
	var of []string
	for _, i := range sub.instances {
		for _, h := range family(sub.topology, up, e.env.Instances(up.Name), sub.node, i) {
			if !slices.Contains(of, h) {
				of = append(of, h)
			}
		}
	}
	if len(of) > 0 {
		s.instances = of
	}
	return s
}

// valued reports that a node has a value of its own for a name, or will have one: it was published, or the topology gives or computes it.
func (e *evaluator) valued(s *subject, name string) bool {
	if !isNull(s.node.Properties.Get(name)) || !isNull(s.node.Attributes.Get(name)) {
		return true
	}
	if e.env != nil {
		for _, i := range s.instances {
			if _, ok := e.env.Attribute(Instance{s.node.Name, i}, "", name); ok {
				return true
			}
		}
	}
	return false
}

// step follows one element of a TOSCA 2.0 path; used is 0 if the next word is no keyword.
func (e *evaluator) step(sc Scope, sub *subject, rest []any) (located, int, error) {
	switch word(rest[0]) {
	case "CAPABILITY":
		if target := sub.topology.NodeNamed(relTarget(sub.rel)); target != nil {
			// After a relationship it is the one that the relationship ends at.
			to := &subject{topology: sub.topology, node: target, instances: e.related(sc, sub, sub.rel, target)}
			return located{subject: to, capability: sub.rel.Capability}, 1, nil
		}
		return located{subject: sub, capability: word(rest[1])}, 2, nil
	case "RELATIONSHIP":
		used, index := 2, 0
		if len(rest) > 2 {
			if i, ok := Number(rest[2]); ok {
				used, index = 3, int(i)
			}
		}
		rels := sub.node.requirement(word(rest[1]))
		if index >= len(rels) || index < 0 {
			return located{}, 0, &EvalError{Message: fmt.Sprintf("%s has no relationship %s[%d]", sub, word(rest[1]), index), beyond: len(rest) - 2}
		}
		return located{subject: &subject{topology: sub.topology, node: sub.node, rel: rels[index], instances: sub.instances}}, used, nil
	case "TARGET", "SOURCE":
		if sub.rel == nil {
			return located{}, 0, &EvalError{Message: fmt.Sprintf("%s follows no relationship in the path", word(rest[0]))}
		}
		if word(rest[0]) == "SOURCE" {
			return located{subject: &subject{topology: sub.topology, node: sub.node, instances: sub.instances}}, 1, nil
		}
		n := sub.topology.NodeNamed(sub.rel.Target)
		if n == nil {
			return located{}, 0, &EvalError{Message: fmt.Sprintf("there is no node %q", sub.rel.Target)}
		}
		return located{subject: &subject{topology: sub.topology, node: n, instances: e.related(sc, sub, sub.rel, n)}}, 1, nil
	}
	return located{}, 0, nil
}

// instance narrows a node to its instance with an index.
func (e *evaluator) instance(sub *subject, i int64, left int) error {
	if e.env != nil {
		if all := e.env.Instances(sub.node.Name); len(all) > 0 {
			if i < 0 || int(i) >= len(all) {
				return &EvalError{Message: fmt.Sprintf("%s has %d instances; there is none with the index %d", sub, len(all), i), beyond: left}
			}
			sub.instances = []string{all[i]}
			return nil
		}
	}
	sub.instances = []string{fmt.Sprint(i)}
	return nil
}

// incoming follows a path from a capability back to a relationship that ends at it: the one with the index that may follow, else the first. They
// are counted in the order of the document. used is the number of words that it took.
func (e *evaluator) incoming(sc Scope, at located, rest []any) (sub *subject, used int, err error) {
	index := int64(0)
	if i, ok := rest[0].(int64); ok && len(rest) > 1 {
		index, used = i, 1
	}
	left := index
	for _, n := range at.topology.Nodes {
		for _, r := range n.Relationships {
			if r.Target != at.node.Name || r.Capability != at.capability {
				continue
			}
			if left == 0 {
				return &subject{topology: at.topology, node: n, rel: r, instances: e.instances(sc, n)}, used, nil
			}
			left--
		}
	}
	return nil, 0, &EvalError{Message: fmt.Sprintf("no relationship[%d] ends at %s.%s", index, at.subject, at.capability), beyond: len(rest)}
}

// spread calls one for every index that ALL stands for in a path (TOSCA 2.0 §10.3) and gives the list of all results; without an ALL it is one's.
func (e *evaluator) spread(sc Scope, args []any, one func([]any) (any, error)) (any, error) {
	at := slices.IndexFunc(args, func(a any) bool { return a == "ALL" })
	if at < 1 || at == len(args)-1 || at > 1 && word(args[at-1]) != "RELATIONSHIP" && word(args[at-2]) != "RELATIONSHIP" {
		return one(args)
	}
	if at == 1 && (e.env == nil || len(e.env.Instances(word(args[0]))) == 0) {
		return Unknown{Refs: []string{"instances of " + word(args[0])}}, nil
	}
	out := []any{}
	for i := range int64(maxSpread) {
		these := slices.Clone(args)
		these[at] = i
		got, err := e.spread(sc, these, one)
		var ee *EvalError
		switch {
		case errors.As(err, &ee) && ee.beyond == len(args)-at:
			return out, nil
		case err != nil:
			return nil, err
		}
		if list, ok := got.([]any); ok && slices.Contains(these, any("ALL")) {
			out = append(out, list...) // several ALL make one list
		} else {
			out = append(out, got)
		}
	}
	return nil, &EvalError{Message: fmt.Sprintf("ALL stands for more than %d values", maxSpread)}
}

// maxSpread bounds what ALL stands for.
const maxSpread = 100_000

func relTarget(r *Relationship) string {
	if r == nil {
		return ""
	}
	return r.Target
}

// requirement returns the relationships of a requirement, or the one of that name.
func (n *Node) requirement(name string) []*Relationship {
	var out []*Relationship
	for _, r := range n.Relationships {
		if r.Requirement == name {
			out = append(out, r)
		}
	}
	if out == nil {
		for _, r := range n.Relationships {
			if r.Name == name {
				out = append(out, r)
			}
		}
	}
	return out
}

func declares(c *Capability, name string) bool {
	_, ok := c.Declared[name]
	return ok || c.Properties.Get(name) != nil || c.Attributes.Get(name) != nil
}

// qualified reads a capability's or requirement's name before the property's.
func (e *evaluator) qualified(sc Scope, sub *subject, name string, rest []any) (located, bool) {
	for n, up, left := sub.node, sub, len(sub.topology.Nodes); n != nil && left >= 0; left-- {
		// A node may have a capability and a requirement of one name: "host" is both on what is hosted and hosts.
		if c := n.Capability(name); c != nil && (len(n.requirement(name)) == 0 || declares(c, word(rest[0]))) {
			return located{subject: up, capability: name, name: word(rest[0]), rest: rest[1:]}, true
		}
		if !sub.hosts && (!sub.topology.HostLookup || len(sub.node.requirement(name)) > 0) {
			break
		}
		n = nil
		if up = e.host(sc, up); up != nil {
			n = up.node
		}
	}
	rels := sub.node.requirement(name)
	if i, ok := Number(rest[0]); ok && len(rest) > 1 && int(i) >= 0 && int(i) < len(rels) {
		rels, rest = rels[int(i):], rest[1:] // the second relationship of the requirement and so on
	}
	for _, r := range rels {
		target := sub.topology.NodeNamed(r.Target)
		if target == nil {
			continue
		}
		to := &subject{topology: sub.topology, node: target, instances: e.related(sc, sub, r, target)}
		prop := word(rest[0])
		if c := target.Capability(r.Capability); c != nil && declares(c, prop) {
			return located{subject: to, capability: c.Name, name: prop, rest: rest[1:]}, true
		}
		if target.Properties.Get(prop) == nil && target.Attributes.Get(prop) == nil && (r.Properties.Get(prop) != nil || r.Attributes.Get(prop) != nil) {
			return located{subject: &subject{topology: sub.topology, node: sub.node, rel: r, instances: sub.instances}, name: prop, rest: rest[1:]}, true
		}
		if len(rest) > 1 && target.Capability(prop) != nil {
			return located{subject: to, capability: prop, name: word(rest[1]), rest: rest[2:]}, true
		}
		return located{subject: to, name: prop, rest: rest[1:]}, true
	}
	return located{}, false
}

// values of properties or attributes at a place.
func (l located) properties() *Values {
	switch {
	case l.rel != nil:
		return l.rel.Properties
	case l.capability != "":
		if c := l.node.Capability(l.capability); c != nil {
			return c.Properties
		}
		return nil
	}
	return l.node.Properties
}

func (l located) attributes() *Values {
	switch {
	case l.rel != nil:
		return l.rel.Attributes
	case l.capability != "":
		if c := l.node.Capability(l.capability); c != nil {
			return c.Attributes
		}
		return nil
	}
	return l.node.Attributes
}

func (l located) what() string {
	s := l.subject.String()
	if l.capability != "" {
		s += "." + l.capability
	}
	return s + "." + l.name
}

func (l located) scope(instance string) Scope {
	return Scope{Topology: l.topology, Node: l.node, Instance: instance, Relationship: l.rel, TargetInstance: l.target}
}

func hasProperty(s *subject, name string) bool {
	if s.rel != nil {
		return s.rel.Properties.Get(name) != nil || s.rel.Attributes.Get(name) != nil
	}
	_, ok := s.node.Declared[name]
	return ok || s.node.Properties.Get(name) != nil || s.node.Attributes.Get(name) != nil
}

// nowhere is the value of what there is not: none, where the dialect has it so.
func (e *evaluator) nowhere(l located, kind string) (any, error) {
	if l.topology != nil && l.topology.HostLookup && !e.strict {
		return nil, nil
	}
	return nil, e.notFound(l, kind)
}

func (e *evaluator) notFound(l located, kind string) error {
	names := append(l.properties().Keys(), l.attributes().Keys()...)
	owner := l.subject.String()
	if l.capability != "" {
		if l.node.Capability(l.capability) == nil {
			var caps []string
			for _, c := range l.node.Capabilities {
				caps = append(caps, c.Name)
			}
			return &EvalError{Message: fmt.Sprintf("%s has no capability %q", owner, l.capability), Hint: diag.Suggest(l.capability, caps)}
		}
		owner += "'s capability " + l.capability
	}
	hint := diag.Suggest(l.name, names)
	if hint == "" && len(names) > 0 {
		slices.Sort(names)
		hint = "it has " + strings.Join(slices.Compact(names), ", ")
	}
	return &EvalError{Message: fmt.Sprintf("%s has no %s %q", owner, kind, l.name), Hint: hint, missing: kind, at: l}
}

func isNull(v *Value) bool { return v == nil || v.Kind == LitValue && v.Lit == nil }
