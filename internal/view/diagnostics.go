package view

import (
	"github.com/orch-project/orch/pkg/diag"
)

// Diagnostics prints findings, errors with an excerpt of the document, and how many there are.
func (p *Printer) Diagnostics(l diag.List) {
	l = l.Sorted()
	if len(l) == 0 {
		return
	}
	for _, d := range l {
		p.Println(d.String())
	}
	p.Printf("%s, %s\n", Plural(l.Count(diag.Error), "error"), Plural(l.Count(diag.Warning), "warning"))
}
