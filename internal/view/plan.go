package view

import (
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
)

// Plan prints the operations with their causes and the infrastructure's resource changes.
func (p *Printer) Plan(pl *plan.Plan) {
	if len(pl.Steps) == 0 {
		p.Printf("%s\n", p.Paint(Good, fmt.Sprintf("✓ %s is as wanted: nothing to do (%s unchanged)", pl.Deployment, Plural(pl.Unchanged, "instance"))))
		return
	}
	p.Printf("%s\n", p.Paint(Bold, fmt.Sprintf("%s of %s: %s", pl.Workflow, pl.Deployment, Plural(len(pl.Steps), "step"))))
	p.Printf("\n%s", pl.Text())
	if len(pl.Changes) > 0 {
		p.Printf("\n%s\n", p.Paint(Bold, "Resources:"))
		counts := map[string]int{}
		for _, c := range pl.Changes {
			counts[c.Action]++
			p.change(c)
		}
		p.Printf("\n%d to create, %d to change, %d to replace, %d to delete\n", counts["create"], counts["update"], counts["replace"], counts["delete"])
	}
	if pl.Unchanged > 0 {
		p.Printf("%s unchanged\n", Plural(pl.Unchanged, "instance"))
	}
	if pl.Digest != "" {
		p.Printf("%s\n", p.Paint(Quiet, "plan "+pl.Digest))
	}
}

func (p *Printer) change(c driver.Change) {
	marks := map[string]struct {
		mark  string
		style Style
	}{"create": {"+", Good}, "update": {"~", Warm}, "replace": {"±", Bad}, "delete": {"-", Bad}}
	m, ok := marks[c.Action]
	if !ok {
		return
	}
	p.Printf("  %s %s  %s\n", p.Paint(m.style, m.mark), c.Address, p.Paint(Quiet, c.Instance.String()))
	for _, f := range c.Fields {
		text := f.To
		if f.From != "" {
			text = f.From + " → " + f.To
		}
		if f.Forces {
			text += p.Paint(Bad, "  (forces replacement)")
		}
		p.Printf("      %-22s %s\n", f.Path, strings.ReplaceAll(text, "\n", " "))
	}
}
