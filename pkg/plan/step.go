package plan

import (
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// ID of the instance that the step belongs to.
func (s *Step) Of() topology.Instance { return topology.Instance{Node: s.Node, Index: s.Instance} }

// Key under which the step is recorded in the journal of its instance: its ID without the instance. An update of infrastructure, and
// its replacement, are recorded as its creation, since they lead to the same.
func (s *Step) Key() string {
	if s.Kind == Infra && (s.Action == driver.Update || s.Action == driver.Replace) {
		return string(driver.Create)
	}
	return strings.TrimPrefix(s.ID, s.Of().String()+".")
}

// Acts reports whether a driver runs the step; the others only change records.
func (s *Step) Acts() bool { return s.Kind == Infra || s.Kind == Op || s.Kind == Health }

// StateOf is the instance whose state the step changes: that of its node, or of the target for operations on the target's side.
func (s *Step) StateOf() topology.Instance {
	if s.AtTarget && s.TargetInstance != "" {
		return topology.Instance{Node: s.Target, Index: s.TargetInstance}
	}
	return s.Of()
}

// PerPair reports whether the step concerns one pair of instances, not all targets of its source.
func (s *Step) PerPair() bool {
	return s.Relationship != "" && strings.HasPrefix(s.Key(), s.Relationship+"[")
}

// splitKey separates "database[1].add_target" into "database[1]." and "add_target". Names of interfaces may hold dots themselves, names
// of operations do not.
func splitKey(key string) (prefix, op string) {
	if strings.HasSuffix(key, ".script") {
		i := strings.LastIndexByte(strings.TrimSuffix(key, ".script"), '.')
		return key[:i+1], key[i+1:]
	}
	i := strings.LastIndexByte(key, '.')
	return key[:i+1], key[i+1:]
}

// lastPart of a dotted name.
func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
