package plan

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// DOT writes the plan as a Graphviz graph: a cluster per instance, dashed edges for what runs only after a failure or cancellation.
func (p *Plan) DOT(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "digraph %s {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n", quote(p.Deployment+" "+p.Workflow))
	groups, order := p.byInstance()
	for i, in := range order {
		fmt.Fprintf(w, "  subgraph cluster_%d {\n    label=%s;\n", i, quote(in.String()))
		for _, s := range groups[in] {
			shape := ""
			switch s.Kind {
			case Infra:
				shape = ", style=filled, fillcolor=lightblue"
			case SetState, Forget, Join:
				shape = ", style=dotted"
			}
			fmt.Fprintf(w, "    %s [label=%s%s];\n", quote(s.ID), quote(s.label()), shape)
		}
		fmt.Fprintln(w, "  }")
	}
	for _, s := range p.Steps {
		for _, n := range s.Needs {
			style := ""
			if slices.Contains(s.Tolerates, n) {
				style = " [style=dotted, label=\"ends\"]"
			}
			fmt.Fprintf(w, "  %s -> %s%s;\n", quote(n), quote(s.ID), style)
		}
		for _, n := range s.OnFailureOf {
			fmt.Fprintf(w, "  %s -> %s [style=dashed, label=\"fails\"];\n", quote(n), quote(s.ID))
		}
		for _, n := range s.OnCancelOf {
			fmt.Fprintf(w, "  %s -> %s [style=dashed, label=\"cancelled\"];\n", quote(n), quote(s.ID))
		}
	}
	fmt.Fprintln(w, "}")
	return w.Flush()
}

// quote writes a DOT string: only quotation marks need escaping; a backslash would begin an escape.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
