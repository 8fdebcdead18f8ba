package view

import (
	"encoding/json"
	"fmt"
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
}

// NeedsOf collects what a topology needs.
func NeedsOf(t *topology.Topology) (Needs, error) {
	n := Needs{Inputs: []NeededInput{}, Secrets: []string{}, Types: map[string]int{}, Plugins: []string{}}
	for _, p := range t.Inputs {
		in := NeededInput{Name: p.Name, Required: p.Required && p.Value == nil, Default: p.Value, Description: p.Description}
		if p.Schema != nil {
			in.Type = typeOf(p.Schema)
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
			rows = append(rows, []string{in.Name, in.Type, given, firstLine(in.Description)})
		}
		p.Table([]string{"INPUT", "TYPE", "DEFAULT", "DESCRIPTION"}, rows)
	}
	p.list("Secrets (orch secrets set NAME)", n.Secrets)
	p.list("Plugins whose operations are called", n.Plugins)
	var types []string
	for _, name := range slices.Sorted(maps.Keys(n.Types)) {
		types = append(types, fmt.Sprintf("%s (%d)", name, n.Types[name]))
	}
	p.list("Node types", types)
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
