package plan

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/orch-project/orch/pkg/topology"
)

// scaling knows how many instances each node has and which of them belong together.
type scaling struct {
	b      *builder
	t      *topology.Topology
	leader map[string]string   // node → the node whose number it shares
	wanted map[string][]string // node → indices
}

func (b *builder) scale(t *topology.Topology) *scaling {
	if s := b.scales[t]; s != nil {
		return s
	}
	s := &scaling{b: b, t: t, leader: map[string]string{}, wanted: map[string][]string{}}
	for _, n := range t.Nodes {
		s.leader[n.Name] = t.ScaleRoot(n).Name
	}
	b.scales[t] = s
	return s
}

// want decides the instances of every node of the wanted topology: those that exist are kept, except for the victims of scaling in.
func (s *scaling) want() {
	for _, n := range s.t.Nodes {
		lead := s.leader[n.Name]
		if _, known := s.wanted[lead]; !known {
			s.wanted[lead] = s.indices(lead, s.count(s.t.NodeNamed(lead)))
		}
		s.wanted[n.Name] = s.wanted[lead]
	}
}

// together reports whether instances of the two nodes belong together one to one.
func (s *scaling) together(a, b string) bool { return s.leader[a] == s.leader[b] }

func (s *scaling) count(n *topology.Node) int {
	if c, ok := s.b.in.Scale[n.Name]; ok {
		s.within(n, c)
		return max(c, 0)
	}
	_, _, count, err := s.t.Scale(context.Background(), n.Name, &staticEnv{t: s.t, inputs: s.b.in.Inputs})
	if err == nil {
		return count
	}
	d := s.b.diags.Errorf("unknown-count", n.Pos, "cannot tell how many instances of %s are wanted: %v", n.Name, err)
	d.Hint = "use a number or an input"
	var ee *topology.EvalError
	if errors.As(err, &ee) {
		d.Message = "cannot tell how many instances of " + n.Name + " are wanted: " + ee.Message
		if !ee.Pos.IsZero() {
			d.Pos = ee.Pos
		}
	}
	return 1
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

// ByNumber orders indices as numbers where they are.
func ByNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// Wanted returns the instances of every node that an installation would lead to; nil if their number cannot be told (Build says why).
func Wanted(in Input) map[string][]string {
	b := newBuilder(in)
	if b.diags.HasErrors() {
		return nil
	}
	return b.wanted.wanted
}
