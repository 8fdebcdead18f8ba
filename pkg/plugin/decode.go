package plugin

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Codes of diagnostics about plugins.
const (
	CodeManifest = "plugin-manifest"
	CodeMapping  = "plugin-mapping"
	CodeExpr     = "plugin-expression"
)

type manifest struct {
	Name        string                  `yaml:"name"`
	Version     string                  `yaml:"version"`
	Description string                  `yaml:"description"`
	Providers   map[string]providerDecl `yaml:"providers"`
	Types       []string                `yaml:"types"`
	Resources   []string                `yaml:"resources"`
	Operations  []string                `yaml:"operations"`
	Location    *source.Node            `yaml:"location"`
}

type providerDecl struct {
	Source        string         `yaml:"source"`
	Version       string         `yaml:"version"`
	Configuration map[string]any `yaml:"configuration"`
	Renamed       []Renaming     `yaml:"renamed"`
	Adopts        []Adoption     `yaml:"adopts"`
}

type settingDecl struct {
	Type        string `yaml:"type"`
	Default     any    `yaml:"default"`
	Values      []any  `yaml:"values"`
	Description string `yaml:"description"`
}

// Load reads the plugin in the root of a file system. dir is its name in positions. Mistakes of the plugin's author are in the list; the
// plugin is nil if nothing usable could be read.
func Load(fsys fs.FS, dir string) (*Plugin, diag.List) {
	root, list := source.ParseFile(fsys, "plugin.yaml", path.Join(dir, "plugin.yaml"))
	if root == nil {
		return nil, list
	}
	var m manifest
	list.Add(source.Decode(root, &m)...)
	p := &Plugin{Name: m.Name, Version: m.Version, Description: m.Description, Operations: m.Operations, Files: fsys, Dir: dir, Pos: root.At()}
	if m.Name == "" {
		list.Errorf(CodeManifest, root.At(), "the plugin has no name").Hint = "add name: to plugin.yaml"
	}
	if _, err := version.NewVersion(m.Version); err != nil {
		list.Errorf(CodeManifest, at(root, "version"), "the plugin's version %q is not a version", m.Version).Hint = "for example 1.0.0"
	}
	p.readProviders(root.Get("providers"), m.Providers, &list)
	p.readSettings(m.Location, &list)
	p.Types = p.glob(m.Types, at(root, "types"), &list)
	for _, file := range p.glob(m.Resources, at(root, "resources"), &list) {
		node, l := source.ParseFile(fsys, file, path.Join(dir, file))
		list.Add(l...)
		if node != nil {
			p.readMapping(node, &list)
		}
	}
	p.checkLinks(&list)
	return p, list
}

func at(n *source.Node, key string) diag.Pos {
	if k := n.Key(key); k != nil {
		return k.Pos
	}
	return n.At()
}

func (p *Plugin) readProviders(n *source.Node, decls map[string]providerDecl, list *diag.List) {
	for k := range n.All() {
		d := decls[k.Text]
		if parts := strings.Split(d.Source, "/"); len(parts) < 2 || len(parts) > 3 {
			list.Errorf(CodeManifest, k.Pos, "the provider %s needs a source such as namespace/name", k.Text)
		}
		if _, err := version.NewConstraint(d.Version); d.Version != "" && err != nil {
			list.Errorf(CodeManifest, k.Pos, "the provider %s has a bad version constraint %q", k.Text, d.Version).Hint = `for example ">= 1.15.0, < 4.0.0"`
		}
		for _, r := range d.Renamed {
			if _, err := version.NewVersion(r.Before); err != nil || r.Resource == "" || r.Argument == "" || r.To == "" {
				list.Errorf(CodeManifest, k.Pos, "a renaming of the provider %s needs resource, argument, before (a version) and to", k.Text)
			}
		}
		for _, a := range d.Adopts {
			if a.Resource == "" || a.Kind == "" {
				list.Errorf(CodeManifest, k.Pos, "an adoption of the provider %s needs resource and kind", k.Text)
			}
		}
		p.Providers = append(p.Providers, Provider{Renamed: d.Renamed, Adopts: d.Adopts, Name: k.Text, Source: d.Source, Version: d.Version, Configuration: d.Configuration, Pos: k.Pos})
	}
}

var settingTypes = []string{"string", "integer", "boolean", "list", "map"}

func (p *Plugin) readSettings(n *source.Node, list *diag.List) {
	if n.IsNull() {
		return
	}
	var loc struct {
		Settings *source.Node `yaml:"settings"`
	}
	list.Add(source.Decode(n, &loc)...)
	for k, v := range loc.Settings.All() {
		var d settingDecl
		list.Add(source.Decode(v, &d)...)
		if d.Type == "" {
			d.Type = "string"
		}
		if !slices.Contains(settingTypes, d.Type) {
			list.Errorf(CodeManifest, at(v, "type"), "the setting %s has the unknown type %q", k.Text, d.Type).Hint =
				suggest(d.Type, settingTypes, "types: "+strings.Join(settingTypes, ", "))
		}
		s := Setting{Name: k.Text, Type: d.Type, Default: d.Default, Description: d.Description, Pos: k.Pos}
		for _, x := range d.Values {
			t, _ := text(x)
			s.Values = append(s.Values, t)
		}
		p.Settings = append(p.Settings, s)
	}
}

func (p *Plugin) glob(patterns []string, pos diag.Pos, list *diag.List) []string {
	var out []string
	for _, pat := range patterns {
		files, err := fs.Glob(p.Files, pat)
		if err != nil || len(files) == 0 {
			list.Errorf(CodeManifest, pos, "no file of the plugin matches %q", pat)
		}
		for _, f := range files {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

type mappingDecl struct {
	Mapping     string        `yaml:"mapping"`
	Description string        `yaml:"description"`
	Types       []string      `yaml:"types"`
	Substitutes []string      `yaml:"substitutes"`
	ScalesWith  string        `yaml:"scales_with"`
	Links       *source.Node  `yaml:"links"`
	With        []string      `yaml:"with"`
	Refresh     []string      `yaml:"refresh"`
	Values      *source.Node  `yaml:"values"`
	Requires    []requireDecl `yaml:"requires"`
	Resources   *source.Node  `yaml:"resources"`
	Attributes  *source.Node  `yaml:"attributes"`
	Host        *source.Node  `yaml:"host"`
}

type linkDecl struct {
	To          []string `yaml:"to"`
	From        []string `yaml:"from"`
	Requirement []string `yaml:"requirement"`
	Via         string   `yaml:"via"`
}

type requireDecl struct {
	When    *source.Node `yaml:"when"`
	That    *source.Node `yaml:"that"`
	Message *source.Node `yaml:"message"`
	Hint    string       `yaml:"hint"`
	At      string       `yaml:"at"`
	Warn    bool         `yaml:"warn"`
}

type resourceDecl struct {
	ID        string            `yaml:"id"`
	Type      string            `yaml:"type"`
	Data      bool              `yaml:"data"`
	Scope     string            `yaml:"scope"`
	When      *source.Node      `yaml:"when"`
	Keep      *source.Node      `yaml:"keep"`
	Each      *source.Node      `yaml:"each"`
	As        string            `yaml:"as"`
	Key       *source.Node      `yaml:"key"`
	Identity  Identify          `yaml:"identity"`
	Arguments *source.Node      `yaml:"arguments"`
	DependsOn []*source.Node    `yaml:"depends_on"`
	Timeouts  map[string]string `yaml:"timeouts"`
	Lifecycle map[string]any    `yaml:"lifecycle"`
	ReplaceOn []string          `yaml:"replace_on"`
	OnlyGrows []string          `yaml:"only_grows"`
	Quota     *source.Node      `yaml:"quota"`
}

func (p *Plugin) readMapping(n *source.Node, list *diag.List) {
	var d mappingDecl
	list.Add(source.Decode(n, &d)...)
	m := &Mapping{Name: d.Mapping, Types: d.Types, Substitutes: d.Substitutes, ScalesWith: d.ScalesWith, With: d.With, Refresh: d.Refresh,
		Pos: n.At(), Plugin: p, links: map[string]*Link{}, byID: map[string][]*Resource{}}
	if m.Name == "" {
		list.Errorf(CodeMapping, n.At(), "the mapping has no name").Hint = "add mapping: NAME"
	} else if o := p.Mapping(m.Name); o != nil {
		list.Errorf(CodeMapping, n.At(), "the mapping %q is defined twice", m.Name).Related = []diag.Related{{Pos: o.Pos, Message: "first defined here"}}
	}
	if len(m.Types)+len(m.Substitutes) == 0 {
		list.Errorf(CodeMapping, n.At(), "the mapping %s implements no type", m.Name).Hint = "add types: [TYPE]"
	}
	m.readLinks(d.Links, list)
	// Names first: expressions may refer to what is defined below them.
	m.Values = &Named{}
	for k := range d.Values.All() {
		m.Values.Keys = append(m.Values.Keys, k.Text)
	}
	var decls []resourceDecl
	list.Add(source.Decode(d.Resources, &decls)...)
	for i, rd := range decls {
		r := m.readResource(rd, d.Resources.Items[i], list)
		m.byID[r.ID] = append(m.byID[r.ID], r)
		m.Resources = append(m.Resources, r)
	}
	s := names{mapping: m}
	m.Values = parseNamed(d.Values, s, list)
	for i, rd := range decls {
		m.readExpressions(m.Resources[i], rd, s, list)
	}
	for _, q := range d.Requires {
		r := &Require{Hint: q.Hint, At: q.At, Warn: q.Warn, Pos: q.That.At()}
		if q.That == nil {
			list.Errorf(CodeMapping, n.At(), "a requirement of %s has no condition", m.Name).Hint = "add that: CONDITION"
			continue
		}
		r.When, r.That, r.Message = optional(q.When, s, list), parseExpr(q.That, s, list), optional(q.Message, s, list)
		m.Requires = append(m.Requires, r)
	}
	m.Attributes = parseNamed(d.Attributes, s, list)
	if d.Host != nil {
		m.Host = parseNamed(d.Host, s, list)
		checkKeys(d.Host, hostKeys, "host", list)
	}
	p.Mappings = append(p.Mappings, m)
}

var hostKeys = []string{"when", "addresses", "port", "user", "key", "password", "host_keys", "host_key_source", "server_id", "cloud_init", "sudo"}

func checkKeys(n *source.Node, known []string, what string, list *diag.List) {
	for k := range n.All() {
		if !slices.Contains(known, k.Text) {
			list.Errorf(source.CodeUnknownKey, k.Pos, "unknown key %q in %s", k.Text, what).Hint = suggest(k.Text, known, "known: "+strings.Join(known, ", "))
		}
	}
}

func optional(n *source.Node, s names, list *diag.List) *Expr {
	if n == nil {
		return nil
	}
	return parseExpr(n, s, list)
}

func (m *Mapping) readLinks(n *source.Node, list *diag.List) {
	for k, v := range n.All() {
		var d linkDecl
		list.Add(source.Decode(v, &d)...)
		l := &Link{Name: k.Text, To: d.To, From: d.From, Requirement: d.Requirement, Via: d.Via, Pos: k.Pos}
		if len(l.To)+len(l.From) == 0 {
			list.Errorf(CodeMapping, k.Pos, "the link %s leads nowhere", k.Text).Hint = "add to: or from: with names of mappings"
		}
		m.links[l.Name] = l
		m.Links = append(m.Links, l)
	}
}

var (
	resourceID   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	resourceType = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)
	scopes       = []string{string(PerInstance), string(PerNode), string(PerDeployment)}
)

func (m *Mapping) readResource(d resourceDecl, n *source.Node, list *diag.List) *Resource {
	r := &Resource{ID: d.ID, Type: d.Type, Data: d.Data, Scope: Scope(d.Scope), As: d.As, Identity: d.Identity, Timeouts: d.Timeouts,
		Lifecycle: d.Lifecycle, ReplaceOn: d.ReplaceOn, OnlyGrows: d.OnlyGrows, Pos: n.At()}
	if r.Scope == "" {
		r.Scope = PerInstance
	}
	if r.As == "" {
		r.As = "item"
	}
	if !slices.Contains(scopes, string(r.Scope)) {
		list.Errorf(CodeMapping, at(n, "scope"), "unknown scope %q", d.Scope).Hint = suggest(d.Scope, scopes, "scopes: "+strings.Join(scopes, ", "))
	}
	if !resourceID.MatchString(r.ID) {
		list.Errorf(CodeMapping, at(n, "id"), "a resource needs an id of small letters, digits and _, not %q", r.ID)
	}
	if !resourceType.MatchString(r.Type) {
		list.Errorf(CodeMapping, at(n, "type"), "%q is not the type of a Terraform resource", r.Type)
	} else if !slices.ContainsFunc(m.Plugin.Providers, func(p Provider) bool { return strings.HasPrefix(r.Type, p.Name+"_") }) {
		list.Errorf(CodeMapping, at(n, "type"), "%s belongs to no provider of the plugin", r.Type).Hint = "declare the provider in plugin.yaml"
	}
	for k, v := range d.Timeouts {
		if _, err := time.ParseDuration(v); err != nil {
			list.Errorf(CodeMapping, at(n, "timeouts"), "the timeout %s of %s is not a duration such as 10m: %q", k, r.ID, v)
		}
	}
	for _, o := range m.byID[r.ID] {
		if o.When == nil && d.When == nil {
			list.Errorf(CodeMapping, n.At(), "two resources have the id %q", r.ID).Hint = "only resources that exclude each other by when: share an id"
		}
	}
	if d.When != nil {
		r.When = &Expr{} // parsed by readExpressions
	}
	return r
}

func (m *Mapping) readExpressions(r *Resource, d resourceDecl, s names, list *diag.List) {
	r.When, r.Keep, r.Each = optional(d.When, s, list), optional(d.Keep, s, list), optional(d.Each, s, list)
	if r.Each != nil {
		s = s.with(r.As)
	}
	r.Key = optional(d.Key, s, list)
	r.Arguments, r.Quota = parseNamed(d.Arguments, s, list), parseNamed(d.Quota, s, list)
	for _, arg := range slices.Concat(r.ReplaceOn, r.OnlyGrows) {
		if !slices.Contains(r.Arguments.Keys, arg) {
			list.Errorf(CodeMapping, r.Pos, "%s has no argument %q", r.ID, arg).Hint =
				suggest(arg, r.Arguments.Keys, "arguments: "+strings.Join(r.Arguments.Keys, ", "))
		}
	}
	for _, n := range d.DependsOn {
		r.DependsOn = append(r.DependsOn, parseExpr(n, s, list))
	}
}

// checkLinks reports links, and names in other places, that refer to nothing.
func (p *Plugin) checkLinks(list *diag.List) {
	var known []string
	for _, m := range p.Mappings {
		known = append(known, m.Name)
	}
	slices.Sort(known)
	for _, m := range p.Mappings {
		var links []string
		for _, l := range m.Links {
			links = append(links, l.Name)
			for _, k := range slices.Concat(l.To, l.From) {
				if !slices.Contains(known, k) {
					list.Errorf(CodeMapping, l.Pos, "the link %s leads to the unknown mapping %q", l.Name, k).Hint =
						suggest(k, known, "mappings: "+strings.Join(known, ", "))
				}
			}
		}
		refer := func(name, what string) {
			if name != "" && !slices.Contains(links, name) {
				list.Errorf(CodeMapping, m.Pos, "%s of the mapping %s names the unknown link %q", what, m.Name, name).Hint =
					suggest(name, links, fmt.Sprintf("links: %s", strings.Join(links, ", ")))
			}
		}
		refer(m.ScalesWith, "scales_with")
		for _, w := range m.With {
			refer(w, "with")
		}
		for _, w := range m.Refresh {
			refer(w, "refresh")
		}
		for _, l := range m.Links {
			refer(l.Via, "via")
		}
	}
}
