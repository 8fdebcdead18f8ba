package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// maxCauses is how many changed parts a cause names before it counts the rest.
const maxCauses = 3

// changeCause says in words what is different from when the act was done: "property flavor changed m1.small -> m1.large".
func (b *builder) changeCause(s *Step, e Entry) string {
	var words []string
	for _, part := range slices.Sorted(maps.Keys(s.Parts)) {
		old, had := e.Parts[part]
		switch {
		case !had && len(e.Parts) > 0:
			words = append(words, part+" is new")
		case had && old != s.Parts[part]:
			words = append(words, part+" changed"+b.fromTo(s, part, old))
		}
	}
	for _, part := range slices.Sorted(maps.Keys(e.Parts)) {
		if _, still := s.Parts[part]; !still {
			words = append(words, part+" is gone")
		}
	}
	switch {
	case len(words) == 0:
		return "changed since it was done"
	case len(words) > maxCauses:
		words = append(words[:maxCauses], fmt.Sprintf("%d more changes", len(words)-maxCauses))
	}
	return strings.Join(words, ", ")
}

// fromTo shows the values of a changed property or input where both are known and neither is secret or long. The old one is that of the
// previous topology, provided that the act was done with it.
func (b *builder) fromTo(s *Step, part, old string) string {
	if part == "host" {
		return " to " + s.Host
	}
	was, sum, ok1 := b.partText(b.in.Previous, s, part)
	is, _, ok2 := b.partText(b.in.Topology, s, part)
	if !ok1 || !ok2 || sum != old || was == is {
		return ""
	}
	return " " + was + " -> " + is
}

func (b *builder) partText(t *topology.Topology, s *Step, part string) (text, digest string, ok bool) {
	n := t.NodeNamed(s.Node)
	if n == nil {
		return "", "", false
	}
	kind, name, _ := strings.Cut(part, " ")
	rel := relationship(n, s.Relationship)
	var v *topology.Value
	switch {
	case kind == "property":
		if v = n.Properties.Get(name); v == nil {
			capability, prop, _ := strings.Cut(name, ".")
			if c := n.Capability(capability); c != nil {
				v = c.Properties.Get(prop)
			}
		}
	case kind == "input" && rel != nil:
		if op := rel.Operation(s.Interface, s.Operation); op != nil {
			v = op.Inputs.Get(name)
		}
	case kind == "input":
		if op := n.Operation(s.Interface, s.Operation); op != nil {
			v = op.Inputs.Get(name)
		}
	}
	if v == nil {
		return "", "", false
	}
	sc := topology.Scope{Topology: t, Node: n, Instance: s.Instance, Relationship: rel}
	if s.PerPair() {
		sc.TargetInstance = s.TargetInstance
	}
	r, err := topology.Eval(context.Background(), sc, v, b.env(t, false))
	if err != nil {
		return "", "", false
	}
	switch r.(type) {
	case topology.Unknown, secret.Value, []any, map[string]any:
		return "", "", false
	}
	text, hidden := topology.Text(r)
	if hidden || len(text) > 40 || strings.ContainsAny(text, "\n\r") || looksSecret(name) {
		return "", "", false
	}
	return text, b.valueDigest(t, v, sc), true
}

// looksSecret: names whose values are never shown, whatever they are.
func looksSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "passwd", "secret", "token", "private", "credential", "key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
