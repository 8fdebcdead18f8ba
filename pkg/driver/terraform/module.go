package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/plugin"
)

// module is a root module in Terraform's JSON syntax: https://developer.hashicorp.com/terraform/language/syntax/json
type module struct {
	Terraform struct {
		RequiredProviders map[string]requiredProvider `json:"required_providers"`
	} `json:"terraform"`
	Provider map[string]any                       `json:"provider"`
	Variable map[string]variable                  `json:"variable,omitempty"`
	Data     map[string]map[string]map[string]any `json:"data,omitempty"`
	Resource map[string]map[string]map[string]any `json:"resource,omitempty"`
}

type requiredProvider struct {
	Source  string `json:"source"`
	Version string `json:"version,omitempty"`
}

type variable struct {
	Type      string `json:"type"`
	Sensitive bool   `json:"sensitive"`
}

// buildModule makes the module of a manifest and the values of its variables. Providers of plugins stay declared while the state needs
// them, so they come from the plugins, not from the blocks.
func buildModule(m *manifest, plugins []*plugin.Plugin, versions map[string]string, unknown bool) ([]byte, map[string]string, error) {
	mod := &module{Provider: map[string]any{}, Variable: map[string]variable{},
		Data: map[string]map[string]map[string]any{}, Resource: map[string]map[string]map[string]any{}}
	mod.Terraform.RequiredProviders = map[string]requiredProvider{}
	for _, p := range plugins {
		for _, pr := range p.Providers {
			if o, ok := mod.Terraform.RequiredProviders[pr.Name]; ok && (o.Source != pr.Source || o.Version != pr.Version) {
				return nil, nil, fmt.Errorf("two plugins want different providers under the name %q: %s %s and %s %s", pr.Name, o.Source, o.Version, pr.Source, pr.Version)
			}
			mod.Terraform.RequiredProviders[pr.Name] = requiredProvider{Source: pr.Source, Version: pr.Version}
			conf := pr.Configuration
			if conf == nil {
				conf = map[string]any{}
			}
			mod.Provider[pr.Name] = conf
		}
	}
	values := map[string]string{}
	for _, e := range m.Entries {
		for _, b := range e.Blocks {
			into := mod.Resource
			if b.Data {
				into = mod.Data
			}
			if into[b.Type] == nil {
				into[b.Type] = map[string]map[string]any{}
			}
			into[b.Type][b.Name] = bodyFor(plugins, versions, b.Type, b.Body)
			for name, v := range b.Variables {
				mod.Variable[name] = variable{Type: "string", Sensitive: true}
				values[name] = v
			}
		}
	}
	if unknown {
		mod.Resource["terraform_data"] = map[string]map[string]any{"unknown": {}}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(mod); err != nil {
		return nil, nil, fmt.Errorf("cannot write the Terraform module: %w", err)
	}
	return buf.Bytes(), values, nil
}

// bodyFor is a block's body in the words of the provider's version.
func bodyFor(plugins []*plugin.Plugin, versions map[string]string, typ string, body map[string]any) map[string]any {
	name, _, _ := strings.Cut(typ, "_")
	for _, p := range plugins {
		for _, pr := range p.Providers {
			if pr.Name == name {
				body = pr.Body(versions[strings.ToLower(pr.Source)], typ, body)
			}
		}
	}
	return body
}

// pluginsOf returns the plugins that a manifest needs, with the location's own.
func pluginsOf(set *plugin.Set, m *manifest, loc plugin.Location) []*plugin.Plugin {
	var out []*plugin.Plugin
	names := []string{loc.Plugin}
	for _, e := range m.Entries {
		names = append(names, e.Plugin)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if p := set.Plugin(n); p != nil {
			out = append(out, p)
		}
	}
	return out
}
