package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/orch-project/orch/pkg/diag"
)

// CodeAsksInVain marks inputs of operations that ask a node for what it has not.
const CodeAsksInVain = "asks-in-vain"

// Missing are the properties and attributes that the inputs of operations ask for, and that the node or relationship that is meant does not
// have, as warnings. Types' authors write such expressions for nodes that they do not know; only in a topology can they be checked. Each is reported
// once, for the first node that it fails for. known tells whether all is known that a node (or a relationship of it) has beside a name; nil: always.
// What follows from mistakes that are reported elsewhere is not reported.
func Missing(t *Topology, known func(n *Node, rel *Relationship, name string) bool) diag.List {
	var out diag.List
	seen := map[diag.Pos]bool{}
	e := &evaluator{ctx: context.Background(), strict: true}
	for _, n := range t.Nodes {
		of := func(rel *Relationship, i *Interface) {
			for _, op := range i.Operations {
				if op.Implementation == nil || op.Inputs == nil {
					continue
				}
				for name, v := range op.Inputs.All() {
					for _, c := range calls(v, nil) {
						d, at, bad := e.missing(Scope{Topology: t, Node: n, Relationship: rel}, c)
						if !bad || seen[d.Pos] || known != nil && !known(at.node, at.rel, at.name) {
							continue
						}
						seen[d.Pos] = true
						owner := n.Name
						if rel != nil {
							owner += "." + rel.Name
						}
						d.Path = "node_templates." + n.Name
						d.Message = fmt.Sprintf("%s: the input %s of %s.%s of %s asks for what is not there: %s", c.Call.Fn, name, i.Name, op.Name, owner, d.Message)
						d.Related = append(d.Related, diag.Related{Pos: n.Pos, Message: "the node is declared here"})
						out = append(out, d)
					}
				}
			}
		}
		for _, i := range n.Interfaces {
			of(nil, i)
		}
		for _, r := range n.Relationships {
			for _, i := range r.Interfaces {
				of(r, i)
			}
		}
	}
	return out
}

// calls are a value's calls of get_property and get_attribute, also those within other calls.
func calls(v *Value, out []*Value) []*Value {
	if v == nil {
		return out
	}
	switch v.Kind {
	case ListValue:
		for _, x := range v.List {
			out = calls(x, out)
		}
	case MapValue:
		for _, x := range v.Map.All() {
			out = calls(x, out)
		}
	case CallValue:
		if v.Call.Fn == "get_property" || v.Call.Fn == "get_attribute" {
			return append(out, v)
		}
		for _, x := range v.Call.Args {
			out = calls(x, out)
		}
	}
	return out
}

// missing evaluates one call as far as that can be done before anything exists.
func (e *evaluator) missing(sc Scope, v *Value) (diag.Diagnostic, located, bool) {
	for _, a := range v.Call.Args {
		if hasCall(a) {
			return diag.Diagnostic{}, located{}, false
		}
	}
	_, err := e.eval(sc, v)
	var ee *EvalError
	if !errors.As(err, &ee) || ee.missing == "" || ee.Pos != v.Pos {
		return diag.Diagnostic{}, located{}, false
	}
	return diag.Diagnostic{Severity: diag.Warning, Code: CodeAsksInVain, Pos: ee.Pos, Message: ee.Message, Hint: ee.Hint}, ee.at, true
}
