package topology_test

import (
	"slices"
	"testing"

	"github.com/orch-project/orch/pkg/topology"
)

func TestIndexAt(t *testing.T) {
	for _, c := range []struct {
		index string
		depth int
		want  string
	}{
		{"0", 0, "0"}, {"12", 3, "12"}, {"0-1", 0, "0"}, {"0-1", 1, "0-1"}, {"0-1--2", 1, "0-1"}, {"0-1--2", 2, "0-1--2"}, {"0--2", 1, "0"}, {"3--2---1", 2, "3--2"},
	} {
		if got := topology.IndexAt(c.index, c.depth); got != c.want {
			t.Errorf("IndexAt(%q, %d) = %q, want %q", c.index, c.depth, got, c.want)
		}
	}
}

func TestFamilies(t *testing.T) {
	contains := func(n *topology.Node, host string) {
		n.Relationships = append(n.Relationships, &topology.Relationship{Name: "host", Type: topology.Type{"tosca.relationships.HostedOn"}, Source: n.Name, Target: host})
	}
	node := func(name string) *topology.Node { return &topology.Node{Name: name, Type: topology.Type{"N"}} }
	vm, app, mod, side, other := node("vm"), node("app"), node("mod"), node("side"), node("other")
	contains(app, "vm")
	contains(mod, "app")
	contains(side, "vm")
	top := &topology.Topology{Nodes: []*topology.Node{vm, app, mod, side, other}}
	top.Reindex()
	if d, ok := top.FamilyDepth(mod, side); !ok || d != 0 {
		t.Errorf("mod and side meet at %d, %v", d, ok)
	}
	if d, ok := top.FamilyDepth(mod, app); !ok || d != 1 {
		t.Errorf("mod and app meet at %d, %v", d, ok)
	}
	if _, ok := top.FamilyDepth(mod, other); ok {
		t.Error("mod and other have nothing in common")
	}
	if got := top.Indices(mod, "2-1", 3); !slices.Equal(got, []string{"2-1", "2-1--1", "2-1--2"}) {
		t.Errorf("indices %v", got)
	}
	if got := top.HostIndex(app, "2-1--2"); got != "2-1" {
		t.Errorf("the container is %s", got)
	}
}
