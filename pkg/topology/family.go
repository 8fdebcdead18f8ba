package topology

import (
	"slices"
	"strconv"
	"strings"
)

// Instances of nodes that scale together form families: an instance of the node at the end of the chain of hosts (the root), and what belongs
// to it below. Usually each member has one instance per root instance, of the same index. Where a node has several per container
// (Cloudify), their index tells which they are, and of which container:
//
//	0          the first one, at every depth
//	0-2        the third in container 0, where the node is one below the root
//	0-2--1     the second in that one, where the node is two below
//
// So a container's index is what remains when everything from its own depth on is cut off.

// ScaleParent is the node that another scales with; nil for a root.
func (t *Topology) ScaleParent(n *Node) *Node {
	next := n.ScalesWith
	if next == "" {
		next = n.Host()
	}
	if m := t.NodeNamed(next); m != n {
		return m
	}
	return nil
}

// ancestors of a node, itself first, its root last.
func (t *Topology) ancestors(n *Node) (out []*Node) {
	seen := map[*Node]bool{} // circles are reported elsewhere
	for ; n != nil && !seen[n]; n = t.ScaleParent(n) {
		seen[n] = true
		out = append(out, n)
	}
	return out
}

// FamilyDepth is how far the nearest node that two have above them, or one of them, is below their root; false if they do not scale together.
func (t *Topology) FamilyDepth(a, b *Node) (int, bool) {
	up := t.ancestors(a)
	for _, n := range t.ancestors(b) {
		if slices.Contains(up, n) {
			return len(t.ancestors(n)) - 1, true
		}
	}
	return 0, false
}

// IndexAt cuts an index to a depth.
func IndexAt(index string, depth int) string {
	if !strings.Contains(index, "-") {
		return index
	}
	for i := 0; i < len(index); {
		if index[i] != '-' {
			i++
			continue
		}
		run := i
		for run < len(index) && index[run] == '-' {
			run++
		}
		if run-i > depth {
			return index[:i]
		}
		i = run
	}
	return index
}

// Indices of a node's instances in one of its container's, which has the given index.
func (t *Topology) Indices(n *Node, container string, count int) []string {
	mark := strings.Repeat("-", len(t.ancestors(n))-1)
	out := make([]string, 0, count)
	for k := range count {
		if k == 0 {
			out = append(out, container)
			continue
		}
		out = append(out, container+mark+strconv.Itoa(k))
	}
	return out
}

// HostIndex is the index of the instance of an ancestor that an instance belongs to.
func (t *Topology) HostIndex(ancestor *Node, index string) string {
	return IndexAt(index, len(t.ancestors(ancestor))-1)
}

// ScalingGroup is the smallest of Cloudify's scaling groups that a node, or what contains it, is in; "" for none.
func (t *Topology) ScalingGroup(n *Node) string {
	scaled := map[string]bool{}
	for _, p := range t.Policies {
		if p.Type.Is("cloudify.policies.scaling") {
			for _, target := range p.Targets {
				scaled[target] = true
			}
		}
	}
	if len(scaled) == 0 {
		return ""
	}
	for _, up := range t.ancestors(n) {
		for _, g := range t.Groups {
			if scaled[g.Name] && slices.Contains(g.Members, up.Name) {
				return g.Name
			}
		}
	}
	return ""
}
