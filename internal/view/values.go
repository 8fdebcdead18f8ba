package view

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
)

// Text writes a value as a person would: strings bare, structures as JSON.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case fmt.Stringer:
		return v.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// Outputs prints a deployment's outputs, aligned.
func (p *Printer) Outputs(outs []orch.Output) {
	if len(outs) == 0 {
		return
	}
	width := 0
	for _, o := range outs {
		width = max(width, len(o.Name))
	}
	p.Printf("\n%s\n", p.Paint(Bold, "Outputs:"))
	for _, o := range outs {
		text := Text(o.Value)
		switch {
		case len(o.Unknown) > 0:
			text = p.Paint(Quiet, "(not known yet: waits for "+strings.Join(o.Unknown, ", ")+")")
		case o.Secret && text == secret.Mask:
			text += p.Paint(Quiet, "  (orch outputs --reveal shows it)")
		}
		p.Printf("  %-*s  %s\n", width, o.Name, text)
	}
}
