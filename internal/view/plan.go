package view

import (
	"strings"

	"github.com/orch-project/orch/pkg/plan"
)

// Plan prints the operations with their causes and the infrastructure's resource changes; what comes is green, what changes yellow, what
// goes red.
func (p *Printer) Plan(pl *plan.Plan) {
	var b strings.Builder
	_ = pl.Text(&b)
	for line := range strings.SplitSeq(strings.TrimRight(b.String(), "\n"), "\n") {
		p.Println(p.Paint(signStyle(line), line))
	}
	if pl.Workflow == "install" && pl.Digest != "" && len(pl.Steps) > 0 {
		p.Printf("\n%s\n", p.Paint(Quiet, "plan "+pl.Digest+" (orch deploy --plan-digest applies exactly this)"))
	}
}

func signStyle(line string) Style {
	text := strings.TrimLeft(line, " ")
	switch {
	case strings.HasPrefix(text, "+ "):
		return Good
	case strings.HasPrefix(text, "~ "):
		return Warm
	case strings.HasPrefix(text, "- "), strings.HasPrefix(text, "-/+ "):
		return Bad
	}
	return ""
}
