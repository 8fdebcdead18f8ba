package plan

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// scaling knows how many instances each node has and which of them belong together.
type scaling struct {
	b      *builder
	t      *topology.Topology
	leader map[string]string   // node → the node that decides about its number
	parent map[string]string   // node → the node whose instances its own belong to; none for leaders
	wanted map[string][]string // node → indices
}

func (b *builder) scale(t *topology.Topology) *scaling {
	if s := b.scales[t]; s != nil {
		return s
	}
	s := &scaling{b: b, t: t, leader: map[string]string{}, parent: map[string]string{}, wanted: map[string][]string{}}
	for _, n := range t.Nodes {
		s.leader[n.Name] = t.ScaleRoot(n).Name
		if up := t.ScaleParent(n); up != nil {
			s.parent[n.Name] = up.Name
		}
	}
	b.scales[t] = s
	return s
}

// want decides the instances of every node of the wanted topology: those that exist are kept, except for the victims of scaling in. Nodes have
// the instances of the node that decides about their number, several for each where they say so (Cloudify's containers).
func (s *scaling) want() {
	for _, n := range s.t.Nodes {
		s.wantOf(n)
	}
}

func (s *scaling) wantOf(n *topology.Node) []string {
	if have, known := s.wanted[n.Name]; known {
		return have
	}
	lead := s.leader[n.Name]
	if lead == n.Name {
		s.wanted[n.Name] = s.indices(lead, s.count(n))
		return s.wanted[n.Name]
	}
	s.wanted[n.Name] = nil // in a circle of hosts, which is reported elsewhere
	above := s.wantOf(s.t.NodeNamed(s.parent[n.Name]))
	if each := s.each(n); each != 1 {
		var all []string
		for _, container := range above {
			all = append(all, s.t.Indices(n, container, each)...)
		}
		above = all
	}
	s.wanted[n.Name] = above
	return above
}

// each is how many instances a node has in each of its container's.
func (s *scaling) each(n *topology.Node) int {
	if s.t.Order != topology.Cloudify {
		return 1
	}
	if c, ok := s.b.in.Scale[n.Name]; ok {
		return max(c, 0)
	}
	each, err := s.t.PerContainer(context.Background(), n, &staticEnv{t: s.t, inputs: s.b.in.Inputs})
	if err != nil {
		s.unknownCount(n, err)
		return 1
	}
	return each
}

// together reports whether instances of the two nodes belong together.
func (s *scaling) together(a, b string) bool { return s.leader[a] == s.leader[b] }

// paired reports how a relationship's ends belong together: instances whose indices are equal at a depth, or all with all. Cloudify pairs
// only an instance with its container, and what is in one scaling group.
func (s *scaling) paired(r *topology.Relationship) (depth int, one bool) {
	if !s.together(r.Source, r.Target) {
		return 0, false
	}
	source, target := s.t.NodeNamed(r.Source), s.t.NodeNamed(r.Target)
	if source == nil || target == nil {
		return 0, false
	}
	if s.t.Order == topology.Cloudify && !r.HostedOn() {
		if g := s.t.ScalingGroup(source); g == "" || g != s.t.ScalingGroup(target) {
			return 0, false
		}
	}
	return s.t.FamilyDepth(source, target)
}

// belong reports whether a pair of instances belongs to a relationship.
func (s *scaling) belong(r *topology.Relationship, i, j string) bool {
	if depth, one := s.paired(r); one && topology.IndexAt(i, depth) != topology.IndexAt(j, depth) {
		return false
	}
	return !allToOne(r) || j == s.only(r.Target)
}

// allToOne relationships lead every source to the same instance of the target (Cloudify).
func allToOne(r *topology.Relationship) bool {
	v := r.Properties.Get("connection_type")
	return v != nil && v.Lit == "all_to_one"
}

// only is the instance of a node that all_to_one means: the first of those that there are or are to be.
func (s *scaling) only(node string) string {
	all := append(slices.Clone(s.b.recorded[node]), s.wanted[node]...)
	if len(all) == 0 {
		return ""
	}
	return slices.MinFunc(all, ByNumber)
}

func (s *scaling) count(n *topology.Node) int {
	if c, ok := s.b.in.Scale[n.Name]; ok {
		s.within(n, c)
		return max(c, 0)
	}
	_, _, count, err := s.t.Scale(context.Background(), n.Name, &staticEnv{t: s.t, inputs: s.b.in.Inputs})
	if err == nil {
		return count
	}
	s.unknownCount(n, err)
	return 1
}

func (s *scaling) unknownCount(n *topology.Node, err error) {
	d := s.b.diags.Errorf("unknown-count", n.Pos, "cannot tell how many instances of %s are wanted: %v", n.Name, err)
	d.Hint = "use a number or an input"
	var ee *topology.EvalError
	if errors.As(err, &ee) {
		d.Message = "cannot tell how many instances of " + n.Name + " are wanted: " + ee.Message
		if !ee.Pos.IsZero() {
			d.Pos = ee.Pos
		}
	}
}

// within reports a number of instances that the document's Scalable capability does not allow. TOSCA 2.0's count, and nodes without the
// capability, have no limits; what cannot be told is reported where the number itself is needed.
func (s *scaling) within(n *topology.Node, count int) {
	at := slices.IndexFunc(n.Capabilities, func(c *topology.Capability) bool { return c.Type.Is("tosca.capabilities.Scalable") })
	if at < 0 || n.Count != nil {
		return
	}
	least, most, _, err := s.t.Scale(context.Background(), n.Name, &staticEnv{t: s.t, inputs: s.b.in.Inputs})
	if err != nil || count >= least && count <= most {
		return
	}
	name, bound := "max_instances", most
	if count < least {
		name, bound = "min_instances", least
	}
	d := s.b.diags.Errorf("scale-limit", n.Pos, "%s cannot have %d instances: %s is %d", n.Name, count, name, bound)
	d.Hint = "change " + name + " of its capability " + n.Capabilities[at].Name + ", and deploy it"
	if v := n.Capabilities[at].Properties.Get(name); v != nil && !v.Pos.IsZero() {
		d.Pos = v.Pos
	}
}

// indices keeps recorded instances and fills up with the smallest free numbers.
func (s *scaling) indices(node string, count int) []string {
	have := slices.Clone(s.b.recorded[node])
	if len(have) >= count {
		return s.survivors(node, have, count)
	}
	taken := map[string]bool{}
	for _, i := range have {
		taken[i] = true
	}
	for i := 0; len(have) < count; i++ {
		if x := strconv.Itoa(i); !taken[x] {
			have = append(have, x)
		}
	}
	slices.SortFunc(have, ByNumber)
	return have
}

// ByNumber orders indices as numbers where they are, part by part.
func ByNumber(a, b string) int {
	for a != b {
		x, restA := number(a)
		y, restB := number(b)
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
			return c
		}
		a, b = restA, restB
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		if c := cmp.Compare(leading(b), leading(a)); c != 0 {
			return c // the one that is deeper below belongs to the first of its container
		}
		a, b = strings.TrimLeft(a, "-"), strings.TrimLeft(b, "-")
	}
	return 0
}

// number cuts the first part off an index.
func number(s string) (part, rest string) {
	if i := strings.IndexByte(s, '-'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func leading(s string) int { return len(s) - len(strings.TrimLeft(s, "-")) }

// Wanted returns the instances of every node that an installation would lead to; nil if their number cannot be told (Build says why).
func Wanted(in Input) map[string][]string {
	b := newBuilder(in)
	if b.diags.HasErrors() {
		return nil
	}
	return b.wanted.wanted
}
