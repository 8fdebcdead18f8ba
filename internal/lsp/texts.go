package lsp

import (
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// paragraph is a description as a paragraph of its own.
func paragraph(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "\n\n" + text
}

// maxListed bounds the lists in a type's text.
const maxListed = 40

func typeText(kind document.Kind, c chain) string {
	var b strings.Builder
	t := c[0]
	fmt.Fprintf(&b, "**%s**: %s", t.Name.Text, kind)
	if len(c) > 1 {
		fmt.Fprintf(&b, " derived from `%s`", c[1].Name.Text)
	}
	b.WriteString(paragraph(t.Description))
	for _, section := range []string{"properties", "attributes"} {
		list := c.params(section)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n\n%s:\n", strings.ToUpper(section[:1])+section[1:])
		for i, p := range list {
			if i == maxListed {
				b.WriteString("\n- …")
				break
			}
			b.WriteString("\n- " + paramLine(p))
		}
	}
	var parts []string
	for _, d := range c {
		for _, x := range d.Capabilities {
			parts = append(parts, "`"+x.Name.Text+"`")
		}
	}
	if len(parts) > 0 {
		b.WriteString("\n\nCapabilities: " + strings.Join(parts, ", "))
	}
	parts = nil
	for _, d := range c {
		for _, x := range d.Requirements {
			parts = append(parts, "`"+x.Name.Text+"`")
		}
	}
	if len(parts) > 0 {
		b.WriteString("\n\nRequirements: " + strings.Join(parts, ", "))
	}
	return b.String()
}

// paramLine is a property in one line.
func paramLine(p *document.Param) string {
	s := "`" + p.Name.Text + "`"
	if t := schemaText(p.Schema); t != "" {
		s += ": " + t
	}
	if p.Required == nil || *p.Required {
		if p.Default == nil && p.Value == nil {
			s += ", required"
		}
	}
	if d, _, _ := strings.Cut(strings.TrimSpace(p.Description), "\n"); d != "" {
		s += " – " + d
	}
	return s
}

func schemaText(s *document.Schema) string {
	if s == nil {
		return ""
	}
	if s.Entry != nil {
		return s.Type.Text + " of " + schemaText(s.Entry)
	}
	return s.Type.Text
}

func paramText(p *document.Param) string {
	var b strings.Builder
	b.WriteString("**" + p.Name.Text + "**")
	if t := schemaText(p.Schema); t != "" {
		b.WriteString(": " + t)
	}
	if p.Required != nil && !*p.Required {
		b.WriteString(", optional")
	}
	b.WriteString(paragraph(p.Description))
	if p.Default != nil && p.Default.Is(source.Scalar) {
		b.WriteString("\n\nDefault: `" + p.Default.Text + "`")
	}
	if p.Schema != nil {
		for _, c := range p.Schema.Constraints {
			b.WriteString("\n\n" + strings.ReplaceAll(c.Op, "_", " ") + ": `" + valueText(c.Arg) + "`")
		}
	}
	return b.String()
}

// valueText is a value in one short line.
func valueText(n *source.Node) string {
	switch {
	case n.IsNull():
		return "null"
	case n.Is(source.Scalar):
		return n.Text
	case n.Is(source.Sequence):
		var parts []string
		for i, it := range n.Items {
			if i == 12 {
				parts = append(parts, "…")
				break
			}
			parts = append(parts, valueText(it))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return "{…}"
}

func requirementText(r *document.RequirementDef) string {
	s := "**" + r.Name.Text + "**: requirement"
	if !r.Capability.IsZero() {
		s += " of a capability `" + r.Capability.Text + "`"
	}
	if !r.Node.IsZero() {
		s += " of a node `" + r.Node.Text + "`"
	}
	if r.Occurrences != nil {
		upper := "any number"
		if r.Occurrences.Upper >= 0 {
			upper = fmt.Sprint(r.Occurrences.Upper)
		}
		s += fmt.Sprintf(", %d to %s times", r.Occurrences.Lower, upper)
	}
	return s + paragraph(r.Description)
}

// functionTexts say what functions return.
var functionTexts = map[string]string{
	"get_input":            "the value of an input: [name, field or index…]",
	"get_property":         "the value of a property: [SELF, SOURCE, TARGET, HOST or a node, (requirement or capability,) property, …]",
	"get_attribute":        "the value of an attribute at run time: [SELF, SOURCE, TARGET, HOST or a node, (requirement or capability,) attribute, …]",
	"get_secret":           "a secret of the secrets store: its name",
	"get_operation_output": "what an operation has written: [node, interface, operation, output]",
	"get_artifact":         "where an artifact's file lies: [node, artifact]",
	"get_nodes_of_type":    "the nodes of a type",
	"concat":               "texts one after the other",
	"join":                 "texts with a separator between them: [[texts…], separator]",
	"token":                "a part of a text: [text, separators, index]",
	"get_capability":       "a capability of another deployment: [deployment, capability]",
	"get_sys":              "what the manager knows: [tenant or deployment, field]",
}

func functionText(name string) string {
	if t := functionTexts[strings.TrimPrefix(name, "$")]; t != "" {
		return "function: " + t
	}
	return "function"
}
