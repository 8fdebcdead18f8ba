package view

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// Needs is what a topology needs from outside to be deployed.
type Needs struct {
	Inputs []NeededInput `json:"inputs"`
	// Secrets are the names that get_secret asks for; one that is computed is not listed.
	Secrets []string `json:"secrets"`
	// Types of the node templates with how often each is used; Plugins are those whose operations are called (Cloudify).
	Types   map[string]int `json:"types"`
	Plugins []string       `json:"plugins"`
}

// NeededInput is an input as declared.
type NeededInput struct {
	Name        string          `json:"name"`
	Type        string          `json:"type,omitempty"`
	Required    bool            `json:"required"` // must be given: it has no default
	Default     *topology.Value `json:"default,omitempty"`
	Description string          `json:"description,omitempty"`
	// Constraints by their names, with their arguments; Fields of a structured type, by name.
	Constraints []map[string]any       `json:"constraints,omitempty"`
	Fields      map[string]NeededField `json:"fields,omitempty"`
}

// NeededField is a field of an input's data type.
type NeededField struct {
	Type     string          `json:"type"`
	Required bool            `json:"required"`
	Default  *topology.Value `json:"default,omitempty"`
}

// NeedsOf collects what a topology needs.
func NeedsOf(t *topology.Topology) (Needs, error) {
	n := Needs{Inputs: []NeededInput{}, Secrets: []string{}, Types: map[string]int{}, Plugins: []string{}}
	for _, p := range t.Inputs {
		in := NeededInput{Name: p.Name, Required: p.Required && p.Value == nil, Default: p.Value, Description: p.Description}
		if p.Schema != nil {
			in.Type, in.Fields = typeOf(p.Schema), fieldsOf(p.Schema)
			for _, c := range p.Schema.Constraints {
				in.Constraints = append(in.Constraints, map[string]any{c.Op: argsOf(c)})
			}
			if in.Description == "" {
				in.Description = p.Schema.Description
			}
		}
		n.Inputs = append(n.Inputs, in)
	}
	plugins := map[string]bool{}
	for _, node := range t.Nodes {
		n.Types[node.Type.Name()]++
		called(plugins, node.Interfaces)
		for _, r := range node.Relationships {
			called(plugins, r.Interfaces)
		}
	}
	n.Plugins = append(n.Plugins, slices.Sorted(maps.Keys(plugins))...)
	secrets, err := secretsOf(t)
	n.Secrets = append(n.Secrets, secrets...)
	return n, err
}

// typeOf writes list and map types with what they hold.
func typeOf(s *topology.Schema) string {
	if s.Entry != nil {
		return s.Type.Name() + " of " + typeOf(s.Entry)
	}
	return s.Type.Name()
}

// argsOf is a constraint's argument as documents write it: one value, or a list for those that take several.
func argsOf(c topology.Constraint) any {
	if len(c.Args) == 1 && c.Op != "valid_values" {
		return c.Args[0]
	}
	return c.Args
}

func fieldsOf(s *topology.Schema) map[string]NeededField {
	if len(s.Fields) == 0 {
		return nil
	}
	out := make(map[string]NeededField, len(s.Fields))
	for _, f := range s.Fields {
		nf := NeededField{Required: f.Required && f.Default == nil, Default: f.Default}
		if f.Schema != nil {
			nf.Type = typeOf(f.Schema)
		}
		out[f.Name] = nf
	}
	return out
}

func called(plugins map[string]bool, is []*topology.Interface) {
	for _, i := range is {
		for _, op := range i.Operations {
			if plugin, _, ok := strings.Cut(op.Call, "."); ok {
				plugins[plugin] = true
			}
		}
	}
}

// secretsOf finds get_secret wherever an expression may stand, by way of the topology's normal form.
func secretsOf(t *topology.Topology) ([]string, error) {
	raw, err := topology.Dump(t)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("cannot read the topology's normal form: %w", err)
	}
	found := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if args, ok := v["$get_secret"].([]any); ok && len(args) > 0 {
				if name, ok := args[0].(string); ok {
					found[name] = true
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	return slices.Sorted(maps.Keys(found)), nil
}

// Needs prints what a topology needs.
func (p *Printer) Needs(n Needs) {
	if len(n.Inputs) == 0 {
		p.Println("No inputs.")
	} else {
		var rows [][]string
		for _, in := range n.Inputs {
			given := "optional"
			switch {
			case in.Required:
				given = p.Paint(Warm, "required")
			case in.Default != nil:
				given = defaultText(in.Default)
			}
			rows = append(rows, []string{in.Name, in.Type, given, in.limits(), firstLine(in.Description)})
		}
		p.Table([]string{"INPUT", "TYPE", "DEFAULT", "LIMITS", "DESCRIPTION"}, rows)
	}
	p.list("Secrets (orch secrets set NAME)", n.Secrets)
	p.list("Plugins whose operations are called", n.Plugins)
	var types []string
	for _, name := range slices.Sorted(maps.Keys(n.Types)) {
		types = append(types, fmt.Sprintf("%s (%d)", name, n.Types[name]))
	}
	p.list("Node types", types)
}

// limits are an input's constraints on one line.
func (in NeededInput) limits() string {
	var parts []string
	for _, c := range in.Constraints {
		for op, args := range c {
			b, err := json.Marshal(args)
			if err == nil {
				parts = append(parts, strings.ReplaceAll(op, "_", " ")+" "+string(b))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// Template writes a YAML file of inputs to fill in: those that must be given, and the others with their defaults, commented out.
func (n Needs) Template(w io.Writer, writeYAML func(w io.Writer, v any) error) error {
	var b strings.Builder
	b.WriteString("# Inputs: fill in what has no value and give the file to `orch deploy --inputs`.\n")
	if len(n.Secrets) > 0 {
		b.WriteString("# Secrets are not kept here; set them with `orch secrets set NAME`: " + strings.Join(n.Secrets, ", ") + "\n")
	}
	for _, in := range n.Inputs {
		b.WriteString("\n")
		for line := range strings.Lines(strings.TrimSpace(in.Description)) {
			b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
		}
		b.WriteString("# " + in.summary() + "\n")
		var value strings.Builder
		if err := writeYAML(&value, map[string]any{in.Name: literal(in.Default)}); err != nil {
			return err
		}
		text := value.String()
		if in.Required {
			text = strings.TrimSuffix(text, " null\n") + "\n"
		} else {
			text = "# " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n# ") + "\n"
		}
		b.WriteString(text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// summary of an input in one line: type, whether it must be given, limits, fields.
func (in NeededInput) summary() string {
	var parts []string
	if in.Type != "" {
		parts = append(parts, in.Type)
	}
	switch {
	case in.Required:
		parts = append(parts, "required")
	case in.Default == nil:
		parts = append(parts, "optional")
	case literal(in.Default) == nil:
		parts = append(parts, "the default is computed: "+defaultText(in.Default))
	default:
		parts = append(parts, "has a default")
	}
	if l := in.limits(); l != "" {
		parts = append(parts, l)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Fields)) {
		f := in.Fields[name]
		text := name + ": " + f.Type
		if f.Required {
			text += " (required)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// literal is a value without expressions as plain data, else nil.
func literal(v *topology.Value) any {
	if v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil || hasCall(v) {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var out any
	if d.Decode(&out) != nil {
		return nil
	}
	return out
}

func hasCall(v *topology.Value) bool {
	switch v.Kind {
	case topology.CallValue:
		return true
	case topology.ListValue:
		return slices.ContainsFunc(v.List, hasCall)
	case topology.MapValue:
		for _, e := range v.Map.All() {
			if hasCall(e) {
				return true
			}
		}
	}
	return false
}

func (p *Printer) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	p.Printf("\n%s:\n", p.Paint(Bold, title))
	for _, i := range items {
		p.Printf("  %s\n", i)
	}
}

func defaultText(v *topology.Value) string {
	if v.Kind == topology.LitValue {
		if text := Text(v.Lit); text != "" {
			return text
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
