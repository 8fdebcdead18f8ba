package resolve

import (
	"math"
	"strconv"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// checkKeywordPath checks a path of TOSCA 2.0 (§10.2.1.4):
// [entity, (RELATIONSHIP requirement index? | TARGET | SOURCE | CAPABILITY name)…, name, nested…]; after a relationship CAPABILITY has no name.
func (r *resolver) checkKeywordPath(c call, args []string) {
	if c.ctx.node == nil && c.ctx.inType != nil && args[0] == "SELF" {
		r.checkTypeKeyword(c, args[1:])
		return
	}
	n, rel, known := r.entity(c, args[0])
	if !known || n == nil {
		return
	}
	rest := args[1:]
	for len(rest) > 0 {
		if rel == nil && (n.typ == nil || n.typ.broken) {
			return
		}
		switch {
		case rest[0] == "RELATIONSHIP" && rel == nil && len(rest) > 1:
			if !hasRequirement(n.typ.reqs, rest[1]) {
				d := r.errorf("unknown-requirement", c.pos, c.path, "%s: %s has no requirement %q", c.Fn, n.Name, rest[1])
				d.Hint = diag.Suggest(rest[1], requirementNames(n.typ.reqs))
				return
			}
			var used int
			if rel, used = relationshipAt(n, rest[1:]); rel == nil {
				return // not fulfilled here
			}
			rest = rest[1+used:]
		case (rest[0] == "TARGET" || rest[0] == "SOURCE") && rel != nil:
			name := rel.Target
			if rest[0] == "SOURCE" {
				name = rel.Source
			}
			if n, rel, rest = r.byName[name], nil, rest[1:]; n == nil {
				return
			}
		case rest[0] == "CAPABILITY":
			r.checkKeywordCapability(c, n, rel, rest[1:])
			return
		case rel != nil:
			if t := r.in.Root.lookup(document.RelationshipType, rel.Type.Name()); t != nil && !t.broken {
				r.checkName(c, t.props, t.attrs, rest, rel.Source+"."+rel.Name, nil)
			}
			return
		case rest[0] == "TARGET" || rest[0] == "SOURCE" || rest[0] == "RELATIONSHIP":
			return
		default:
			r.checkNodePath(c, n, rest)
			return
		}
	}
}

// all stands for every index in a path of TOSCA 2.0.
const all = "ALL"

// instanceAt takes the index of an instance out of a path that begins with a node's name (TOSCA 2.0 §10.3), and checks it where the number of
// instances is known.
func (r *resolver) instanceAt(c call, args []string) []string {
	n := r.byName[args[0]]
	if n == nil || len(args) < 3 || !c.ctx.file.Doc.Traits.Strict {
		return args
	}
	i, err := strconv.Atoi(args[1])
	if err != nil && args[1] != all {
		return args
	}
	count := int64(1)
	if n.Count != nil {
		var literal bool
		if count, literal = n.Count.Lit.(int64); !literal {
			count = math.MaxInt64
		}
	}
	if err == nil && (i < 0 || int64(i) >= count) {
		r.errorf("unknown-node", c.pos, c.path, "%s: %s has %d instances; there is none with the index %d", c.Fn, n.Name, count, i)
	}
	return append([]string{args[0]}, args[2:]...)
}

// relationshipAt is the relationship of a requirement, the first or the one with an index, and how many words that took.
func relationshipAt(n *node, rest []string) (*topology.Relationship, int) {
	index, used := 0, 1
	if len(rest) > 1 {
		if i, err := strconv.Atoi(rest[1]); err == nil {
			index, used = i, 2
		} else if rest[1] == all {
			used = 2 // what the first one has, the others have
		}
	}
	for _, rel := range n.Relationships {
		if rel.Requirement != rest[0] {
			continue
		}
		if index == 0 || rel.Count != nil { // an index among the relationships that one assignment makes
			return rel, used
		}
		index--
	}
	return nil, used
}

func (r *resolver) checkKeywordCapability(c call, n *node, rel *topology.Relationship, rest []string) {
	name := ""
	if rel != nil {
		if n = r.byName[rel.Target]; n == nil || n.typ == nil || n.typ.broken || rel.Capability == "" {
			return
		}
		name = rel.Capability
	} else if len(rest) > 0 {
		name, rest = rest[0], rest[1:]
	}
	cp := findCapability(n.typ.caps, name)
	if cp == nil {
		var names []string
		for _, x := range n.typ.caps {
			names = append(names, x.name)
		}
		d := r.errorf("unknown-capability", c.pos, c.path, "%s: %s has no capability %q", c.Fn, n.Name, name)
		if d.Hint = diag.Suggest(name, names); d.Hint == "" {
			d.Hint = hintList("it has", names)
		}
		return
	}
	if len(rest) > 0 && cp.typ != nil && !cp.typ.broken && rest[0] != "RELATIONSHIP" {
		r.checkName(c, cp.props, cp.attrs, rest, n.Name+"'s capability "+cp.name, nil)
	}
}

// checkTypeKeyword checks the first step of a path in a type's own expressions.
func (r *resolver) checkTypeKeyword(c call, rest []string) {
	t := c.ctx.inType
	if t.state != 2 || t.broken || t.def.Kind != document.NodeType || len(rest) < 2 {
		return
	}
	var d *diag.Diagnostic
	switch {
	case rest[0] == "CAPABILITY" && findCapability(t.caps, rest[1]) == nil:
		d = r.errorf("unknown-capability", c.pos, c.path, "%s: the node type %s has no capability %q", c.Fn, t.def.Name.Text, rest[1])
	case rest[0] == "RELATIONSHIP" && !hasRequirement(t.reqs, rest[1]):
		d = r.errorf("unknown-requirement", c.pos, c.path, "%s: the node type %s has no requirement %q", c.Fn, t.def.Name.Text, rest[1])
	default:
		return
	}
	d.Hint = diag.Suggest(rest[1], append(requirementNames(t.reqs), capabilityNames(t.caps)...))
}

func capabilityNames(caps []*capability) []string {
	out := make([]string, len(caps))
	for i, c := range caps {
		out[i] = c.name
	}
	return out
}
