package plan

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Text writes the plan for people: instances in the order in which they begin, their steps in order, and what each waits for elsewhere.
//
//	Plan of shop: install, 3 steps, 1 instance unchanged
//
//	+ vm[0]                                    new node
//	    create           infrastructure
//	+ web[0]                                   new node
//	    create           on vm[0]              after vm[0].create
//	    start            on vm[0]
func (p *Plan) Text(out io.Writer) error {
	w := bufio.NewWriter(out)
	name := p.Deployment
	if name == "" {
		name = "deployment"
	}
	acts := 0
	for _, s := range p.Steps {
		if s.Acts() {
			acts++
		}
	}
	fmt.Fprintf(w, "Plan of %s: %s, %s, %s unchanged\n", name, p.Workflow, plural(acts, "operation"), plural(p.Unchanged, "instance"))
	if p.Summary != nil && len(p.Steps) > 0 {
		fmt.Fprintf(w, "Instances: %s\n", p.Summary)
	}
	if len(p.Steps) == 0 {
		fmt.Fprintln(w, "\nNothing to do: everything is as wanted.")
	}
	groups, order := p.byInstance()
	signs := p.Summary.signs()
	label, where := 16, 12
	for _, s := range p.Steps {
		label, where = max(label, min(len(s.label()), 40)), max(where, min(len(s.where()), 30))
	}
	for _, in := range order {
		writeInstance(w, groups[in], signs[in.String()], label, where)
	}
	p.writeChanges(w)
	return w.Flush()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *Plan) byInstance() (map[topology.Instance][]*Step, []topology.Instance) {
	groups := map[topology.Instance][]*Step{}
	var order []topology.Instance
	for _, s := range p.Steps {
		if groups[s.Of()] == nil {
			order = append(order, s.Of())
		}
		groups[s.Of()] = append(groups[s.Of()], s)
	}
	return groups, order
}

func writeInstance(w io.Writer, steps []*Step, sign string, label, where int) {
	in := steps[0].Of()
	if in == (topology.Instance{}) {
		for _, s := range steps { // joins and preconditions belong to nobody
			if s.Kind == Assert {
				writeColumns(w, 0, "? preconditions of "+s.Workflow, label+where+6, s.Cause)
			}
		}
		return
	}
	common := steps[0].Cause
	for _, s := range steps {
		if s.Cause != common {
			common = ""
		}
	}
	if sign == "" {
		sign = mark(steps)
	}
	writeColumns(w, 0, sign+" "+in.String(), label+where+6, common)
	if len(steps) == 1 && steps[0].Kind == Forget {
		return
	}
	prev := ""
	for _, s := range steps {
		var notes []string
		var after []string
		for _, n := range s.Needs {
			if n != prev && !slices.Contains(s.Tolerates, n) {
				after = append(after, n)
			}
		}
		if len(after) > 3 {
			after = append(after[:3], fmt.Sprintf("%d more", len(after)-3))
		}
		if len(after) > 0 {
			notes = append(notes, "after "+strings.Join(after, ", "))
		}
		if n := len(s.Tolerates); n > 3 {
			notes = append(notes, fmt.Sprintf("when %s and %d more have ended", strings.Join(s.Tolerates[:2], ", "), n-2))
		} else if n > 0 {
			notes = append(notes, "when "+strings.Join(s.Tolerates, " and ")+" has ended")
		}
		if len(s.OnFailureOf) > 0 {
			notes = append(notes, "only if "+strings.Join(s.OnFailureOf, " or ")+" fails")
		}
		if len(s.OnCancelOf) > 0 {
			notes = append(notes, "only if "+strings.Join(s.OnCancelOf, " or ")+" is cancelled")
		}
		if common == "" && s.Cause != "" {
			notes = append(notes, "because "+s.Cause)
		}
		if s.Filter != "" {
			notes = append(notes, "if the filter of "+s.WorkflowStep+" holds")
		}
		if s.IgnoreFailure {
			notes = append(notes, "a failure is ignored")
		}
		writeColumns(w, 4, s.label(), label+1, s.where(), where+1, strings.Join(notes, "; "))
		prev = s.ID
	}
}

// mark is how a plan without a summary shows what happens to an instance: + made, - removed, ~ changed.
func mark(steps []*Step) string {
	made, removed := false, false
	for _, s := range steps {
		made = made || s.Action == driver.Create || s.Relationship == "" && (s.Cause == "new node" || strings.HasPrefix(s.Cause, "scaled"))
		removed = removed || s.Kind == Forget
	}
	switch {
	case removed && steps[len(steps)-1].Kind != Forget:
		return "-/+"
	case removed:
		return "-"
	case made:
		return "+"
	}
	return "~"
}

// label is the step within its instance.
func (s *Step) label() string {
	if s.Kind == SetState {
		return "(" + s.StateAfter + ")"
	}
	if s.Kind == Forget {
		return "(forgotten)"
	}
	return strings.TrimPrefix(s.ID, s.Of().String()+".")
}

func (s *Step) where() string {
	switch s.Kind {
	case Infra:
		return "infrastructure"
	case Op:
		return "on " + s.Host
	}
	return ""
}

// writeColumns writes cells with the widths between them, without blanks at the end of the line.
func writeColumns(w io.Writer, indent int, cells ...any) {
	line := strings.Repeat(" ", indent)
	for i := 0; i < len(cells); i += 2 {
		cell := cells[i].(string)
		if i+1 < len(cells) {
			cell = fmt.Sprintf("%-*s ", cells[i+1].(int), cell)
		}
		line += cell
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

func (p *Plan) writeChanges(w io.Writer) {
	if len(p.Changes) == 0 {
		return
	}
	fmt.Fprintln(w, "\nInfrastructure:")
	for _, c := range p.Changes {
		owner := ""
		if c.Instance.Node != "" {
			owner = " (" + c.Instance.String() + ")"
		}
		fmt.Fprintf(w, "  %s %s%s\n", changeSign[c.Action], c.Address, owner)
		writeFields(w, c.Fields)
	}
}

// unknownText is how drivers show what only the cloud will know.
var unknownText = topology.Unknown{}.String()

// writeFields lists what changes; the many fields that the cloud will fill in of its own share a line.
func writeFields(w io.Writer, fields []driver.FieldChange) {
	var later []string
	for _, f := range fields {
		if f.From == "" && f.To == unknownText && !f.Forces {
			later = append(later, f.Path)
			continue
		}
		line := fmt.Sprintf("      %s = %s", f.Path, f.To)
		if f.From != "" {
			line = fmt.Sprintf("      %s: %s -> %s", f.Path, f.From, f.To)
		}
		if f.Forces {
			line += "   (forces replacement)"
		}
		fmt.Fprintln(w, line)
	}
	if len(later) > 0 {
		fmt.Fprintf(w, "      %s: %s\n", unknownText, strings.Join(later, ", "))
	}
}

var changeSign = map[string]string{"create": "+", "delete": "-", "update": "~", "replace": "-/+", "no-op": " ", "read": " "}
