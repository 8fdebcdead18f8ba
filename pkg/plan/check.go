package plan

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// checks are the operations that say whether an instance is well and as it was made, by interface and name; the first that a node has counts.
// Cloudify's come first; a custom interface may have any of the names.
var checks = []struct{ iface, op string }{
	{standard, "check_drift"}, {validation, "check_status"}, {"", "check_drift"}, {"", "check_status"}, {"", "check"},
}

// CheckOperation of a node; nil if it has none.
func CheckOperation(n *topology.Node) *topology.Operation {
	for _, c := range checks {
		op := n.Operation(c.iface, c.op)
		if c.iface == "" {
			op = findOperation(n, c.op)
		}
		if implemented(op) {
			return op
		}
	}
	return nil
}

// check asks every instance that can tell. That one is not well stops nobody.
func (b *builder) check() {
	b.checkInstances()
	chosen := map[string][]string{}
	for node, indices := range b.recorded {
		for _, i := range indices {
			if b.selected(topology.Instance{Node: node, Index: i}) {
				chosen[node] = append(chosen[node], i)
			}
		}
	}
	b.checkEach(chosen)
}

func (b *builder) checkEach(instances map[string][]string) {
	for _, n := range b.in.Topology.Nodes {
		op := CheckOperation(n)
		if op == nil {
			continue
		}
		for _, i := range instances[n.Name] {
			s := b.opStep(act{t: b.in.Topology, s: b.wanted, node: n, index: i, op: op})
			s.Cause, s.IgnoreFailure, s.Retries = "asked for", true, 0
			b.steps[s.ID] = b.g.add(n, s)
		}
	}
}

// Unwell reports whether the instance's last check has failed.
func (r *Recorded) Unwell() bool { return r.failed("check_drift", "check_status", "check") }

// failed reports whether the last run of one of the node's own operations of these names has failed.
func (r *Recorded) failed(names ...string) bool {
	if r == nil {
		return false
	}
	for k, e := range r.Journal {
		if _, op := splitKey(plainKey(k)); slices.Contains(names, op) && e.Status == Failed && !strings.Contains(k, "[") {
			return true
		}
	}
	return false
}
