package tosca

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// blueprintOf writes the files of a txtar text and loads blueprint.yaml; text before the first file is the blueprint.
func blueprintOf(t *testing.T, text string) (*topology.Topology, diag.List) {
	t.Helper()
	dir := t.TempDir()
	a := txtar.Parse([]byte(text))
	files := append([]txtar.File{{Name: "blueprint.yaml", Data: a.Comment}}, a.Files...)
	for _, f := range files {
		p := filepath.Join(dir, "app", f.Name)
		if rest, ok := strings.CutPrefix(f.Name, "path/"); ok {
			p = filepath.Join(dir, "path", rest)
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "path"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Load(t.Context(), Options{Path: filepath.Join(dir, "app/blueprint.yaml"), ImportPath: []string{filepath.Join(dir, "path")}})
}

const head13 = "tosca_definitions_version: cloudify_dsl_1_3\nimports: [cloudify/types/types.yaml]\n"

func TestCloudifyMistakes(t *testing.T) {
	for name, tc := range map[string]struct{ doc, want string }{
		"version":             {"tosca_definitions_version: cloudify_dsl_1_9\n", "not a known tosca_definitions_version"},
		"unknown section":     {head13 + "node_template: {}\n", `did you mean "node_templates"?`},
		"feature too new":     {strings.Replace(head13, "1_3", "1_2", 1) + "policies: {}\n", "it exists from version 1.3 on"},
		"unknown type":        {head13 + "node_templates: {a: {type: cloudify.nodes.Rooot}}\n", `did you mean "cloudify.nodes.Root"?`},
		"unknown property":    {head13 + "node_templates: {a: {type: cloudify.nodes.WebServer, properties: {prt: 1}}}\n", `did you mean "port"?`},
		"missing property":    {head13 + "node_types: {T: {derived_from: cloudify.nodes.Root, properties: {x: {type: string}}}}\nnode_templates: {a: {type: T}}\n", `needs a value for the property "x"`},
		"quoted number":       {head13 + "node_types: {T: {properties: {x: {type: integer}}}}\nnode_templates: {a: {type: T, properties: {x: '8'}}}\n", "must be an integer"},
		"no target":           {head13 + "node_templates: {a: {type: cloudify.nodes.Root, relationships: [{type: cloudify.relationships.connected_to, target: b}]}}\n", `"b"`},
		"self":                {head13 + "node_templates: {a: {type: cloudify.nodes.Root, relationships: [{type: cloudify.relationships.connected_to, target: a}]}}\n", "relationship to itself"},
		"relationship type":   {head13 + "node_templates: {b: {type: cloudify.nodes.Root}, a: {type: cloudify.nodes.Root, relationships: [{type: cloudify.relationships.conected_to, target: b}]}}\n", "connected_to"},
		"two containers":      {head13 + "node_templates: {b: {type: cloudify.nodes.Root}, c: {type: cloudify.nodes.Root}, a: {type: cloudify.nodes.Root, relationships: [{type: cloudify.relationships.contained_in, target: b}, {type: cloudify.relationships.contained_in, target: c}]}}\n", "contained in both b and c"},
		"connection type":     {head13 + "node_templates: {b: {type: cloudify.nodes.Root}, a: {type: cloudify.nodes.Root, relationships: [{type: cloudify.relationships.connected_to, target: b, properties: {connection_type: one}}]}}\n", "all_to_all or all_to_one"},
		"no plugin":           {head13 + "node_templates: {a: {type: cloudify.nodes.Root, interfaces: {cloudify.interfaces.lifecycle: {create: fabrik.tasks.run}}}}\n", "neither a file of the blueprint nor a function"},
		"executor":            {head13 + "node_templates: {a: {type: cloudify.nodes.Root, interfaces: {cloudify.interfaces.lifecycle: {create: {implementation: a.sh, executor: host}}}}}\n", "executor must be"},
		"no host":             {head13 + "node_templates: {a: {type: cloudify.nodes.Root, interfaces: {cloudify.interfaces.lifecycle: {create: {implementation: a.sh, executor: host_agent}}}}}\n", "runs on a host, but a is in none"},
		"max_retries":         {head13 + "node_templates: {a: {type: cloudify.nodes.Root, interfaces: {cloudify.interfaces.lifecycle: {create: {implementation: a.sh, max_retries: -2}}}}}\n", "whole number from -1 on"},
		"both counts":         {head13 + "node_templates: {a: {type: cloudify.nodes.Root, instances: {deploy: 1}, capabilities: {scalable: {properties: {default_instances: 2}}}}}\n", "both instances and capabilities"},
		"count order":         {head13 + "node_templates: {a: {type: cloudify.nodes.Root, capabilities: {scalable: {properties: {default_instances: 5, max_instances: 2}}}}}\n", "default_instances 5 is above max_instances 2"},
		"negative deploy":     {head13 + "node_templates: {a: {type: cloudify.nodes.Root, instances: {deploy: -1}}}\n", "a whole number from 0 on"},
		"unknown input":       {head13 + "inputs: {size: {}}\noutputs: {o: {value: {get_input: sice}}}\n", `did you mean "size"?`},
		"get_property":        {head13 + "node_templates: {a: {type: cloudify.nodes.WebServer}}\noutputs: {o: {value: {get_property: [a, prt]}}}\n", `a has no property "prt"`},
		"get_attribute node":  {head13 + "outputs: {o: {value: {get_attribute: [nobody, ip]}}}\n", `no node template "nobody"`},
		"concat too new":      {strings.Replace(head13, "1_3", "1_0", 1) + "node_types: {T: {properties: {x: {type: string}, y: {type: integer}}}}\nnode_templates: {a: {type: T, properties: {x: a, y: {concat: [a]}}}}\n", "concat needs cloudify_dsl_1_1"},
		"get_sys":             {head13 + "outputs: {o: {value: {get_sys: [deployment, idd]}}}\n", `deployment has no "idd"`},
		"hidden":              {head13 + "inputs: {a: {hidden: true}}\n", "hidden and required"},
		"display":             {head13 + "inputs: {a: {type: string, display: {rows: 2}}}\n", "display is for the type textarea"},
		"item_type":           {strings.Replace(head13, "1_3", "1_4", 1) + "inputs: {a: {type: string, item_type: string}}\n", "item_type is for lists"},
		"item value":          {strings.Replace(head13, "1_3", "1_4", 1) + "inputs: {a: {type: list, item_type: integer, default: [1, x]}}\n", "must be an integer"},
		"unknown constraint":  {head13 + "inputs: {a: {type: string, constraints: [{patern: x}]}}\n", `did you mean "pattern"?`},
		"default breaks":      {head13 + "inputs: {a: {type: integer, default: 9, constraints: [{less_than: 5}]}}\n", "must be less than 5"},
		"pattern":             {head13 + "inputs: {a: {type: string, default: xb, constraints: [{pattern: 'a'}]}}\n", "must match"},
		"primitive redefined": {head13 + "data_types: {string: {properties: {a: {}}}}\n", "name of a primitive type"},
		"tosca type":          {head13 + "inputs: {a: {type: map}}\n", "unknown data type"},
		"data type field":     {head13 + "data_types: {D: {properties: {a: {type: string, required: false}}}}\ninputs: {x: {type: D, default: {b: 1}}}\n", `has no property "b"`},
		"group member":        {head13 + "groups: {g: {members: [nobody]}}\n", `member "nobody"`},
		"empty group":         {head13 + "groups: {g: {members: []}}\n", "has no members"},
		"group and node":      {head13 + "node_templates: {a: {type: cloudify.nodes.Root}}\ngroups: {a: {members: [a]}}\n", "the name of a node template"},
		"policy type":         {head13 + "node_templates: {a: {type: cloudify.nodes.Root}}\ngroups: {g: {members: [a], policies: {p: {type: nothing}}}}\n", "unknown policy type"},
		"policy trigger":      {head13 + "node_templates: {a: {type: cloudify.nodes.Root}}\ngroups: {g: {members: [a], policies: {p: {type: cloudify.policies.types.host_failure, triggers: {t: {type: nothing}}}}}}\n", "unknown policy trigger"},
		"scaling target":      {head13 + "policies: {p: {type: cloudify.policies.scaling, targets: [g]}}\n", `no group "g"`},
		"two scaling groups":  {head13 + "node_templates: {a: {type: cloudify.nodes.Root}}\ngroups: {g: {members: [a]}, h: {members: [a]}}\npolicies: {p: {type: cloudify.policies.scaling, targets: [g, h]}}\n", "in two scaling groups"},
		"workflow":            {head13 + "workflows: {w: nothing.at.all}\n", "neither a file nor a function"},
		"plugin":              {head13 + "plugins: {p: {executor: somewhere, install: false}}\n", "executor must be"},
		"plugin source":       {head13 + "plugins: {p: {executor: host_agent}}\n", "neither source nor package_name"},
		"label":               {head13 + "labels: {a: {values: x}}\n", "a list of texts"},
		"function as flag":    {head13 + "inputs: {a: {}}\nnode_templates: {a: {type: cloudify.nodes.Root, properties: {use_external_resource: {get_input: a}}}}\n", "must be true or false"},
		"imported twice":      {"tosca_definitions_version: cloudify_dsl_1_3\nimports: [a.yaml, a.yaml]\n-- a.yaml --\n{}\n", "imported twice"},
		"missing import":      {"tosca_definitions_version: cloudify_dsl_1_3\nimports: [types/ap.yaml]\n-- types/app.yaml --\n{}\n", "there is no such file"},
		"blueprint import":    {"tosca_definitions_version: cloudify_dsl_1_3\nimports: ['blueprint:vm']\n", "needs a namespace"},
		"types namespace":     {"tosca_definitions_version: cloudify_dsl_1_3\nimports: ['t--cloudify/types/types.yaml']\n", "have no namespace"},
		"newer import":        {"tosca_definitions_version: cloudify_dsl_1_3\nimports: [a.yaml]\n-- a.yaml --\ntosca_definitions_version: cloudify_dsl_1_4\n", "is newer than the blueprint's"},
		"declared twice":      {head13[:len(head13)-2] + ", a.yaml]\ninputs: {x: {}}\n-- a.yaml --\ninputs: {x: {}}\n", "x of inputs is declared twice"},
		"not to be shared":    {strings.Replace(head13[:len(head13)-2], "1_3", "1_2", 1) + ", a.yaml]\ninputs: {x: {}}\n-- a.yaml --\ninputs: {y: {}}\n", "inputs may be in one file"},
		"network":             {"tosca_definitions_version: cloudify_dsl_1_3\nimports: ['https://example.com/a.yaml']\n", "the network is not used"},
		"lifecycle operation": {head13 + "node_templates: {b: {type: cloudify.nodes.Root}, a: {type: cloudify.nodes.Root, relationships: [{type: cloudify.relationships.depends_on_lifecycle_operation, target: b, properties: {operation: start}}]}}\n", "does not define it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, list := blueprintOf(t, tc.doc)
			var texts []string
			for _, d := range list {
				if d.Severity == diag.Error {
					texts = append(texts, d.String())
				}
			}
			if all := strings.Join(texts, "\n"); !strings.Contains(all, tc.want) {
				t.Errorf("no error says %q:\n%s", tc.want, all)
			}
			if len(texts) > 1 {
				t.Errorf("%d errors for one mistake:\n%s", len(texts), strings.Join(texts, "\n"))
			}
		})
	}
}

// Everything that is missing is named in one run.
func TestCloudifyMissingPlugins(t *testing.T) {
	_, list := blueprintOf(t, `tosca_definitions_version: cloudify_dsl_1_3
imports:
  - cloudify/types/types.yaml
  - plugin:cloudify-moon-plugin
  - http://www.getcloudify.org/spec/mars-plugin/1.2/plugin.yaml
  - vm--blueprint:base
node_templates:
  a: {type: moon.Lander, properties: {key: {get_secret: moon_key}}}
  b:
    type: moon.Lander
    relationships: [{type: mars.orbits, target: a}]
    interfaces: {cloudify.interfaces.lifecycle: {create: moon.tasks.land}}
`)
	var all []string
	for _, d := range list {
		all = append(all, d.String())
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"cloudify-moon-plugin is not here", "cloudify-mars-plugin is not here", "the blueprint base is not here", `unknown node type "moon.Lander"`, `unknown relationship type "mars.orbits"`, "needs the secret moon_key"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q should be said once:\n%s", want, text)
		}
	}
}

func TestCloudifyOperations(t *testing.T) {
	top, list := blueprintOf(t, head13+`
node_types:
  Base:
    derived_from: cloudify.nodes.SoftwareComponent
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: create.sh, inputs: {a: {default: 1}, b: {default: 2}}, max_retries: 3}
        start: {implementation: start.sh, inputs: {c: {default: 3}}}
        stop: stop.sh
  Derived:
    derived_from: Base
    interfaces:
      cloudify.interfaces.lifecycle:
        start: other.sh
        stop: {}
node_templates:
  vm: {type: cloudify.nodes.Compute}
  same:
    type: Derived
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: create.sh, inputs: {b: 5, x: 6}}
    relationships:
      - type: cloudify.relationships.contained_in
        target: vm
        source_interfaces: {cloudify.interfaces.relationship_lifecycle: {establish: s.sh}}
        target_interfaces: {cloudify.interfaces.relationship_lifecycle: {establish: t.sh}}
  other:
    type: Base
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: script.tasks.run, inputs: {z: 1}, retry_interval: 7}
        start: {}
        configure: |
          #!/bin/sh
          echo hello
        postdelete: {implementation: fabric.fabric_plugin.tasks.run_script, inputs: {script_path: stop.sh}}
plugins: {fabric: {executor: central_deployment_agent, install: false}}
-- create.sh --
-- start.sh --
-- stop.sh --
-- other.sh --
-- s.sh --
-- t.sh --
`)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	op := func(n, name string) *topology.Operation { return top.NodeNamed(n).Operation("Standard", name) }
	if o := op("same", "create"); o.Implementation.File != "create.sh" || strings.Join(o.Inputs.Keys(), " ") != "a b x" || o.Retries != 3 {
		t.Errorf("the same implementation keeps the type's inputs and settings: %+v %v", o, o.Inputs.Keys())
	}
	if o := op("same", "start"); o.Implementation.File != "other.sh" || o.Inputs.Len() != 0 {
		t.Errorf("a derived type's operation replaces: %+v", o)
	}
	if o := op("same", "stop"); o.Implementation != nil {
		t.Errorf("an empty operation does nothing: %+v", o)
	}
	if o := op("other", "create"); o.Call != "script.tasks.run" || o.Implementation != nil || strings.Join(o.Inputs.Keys(), " ") != "z" || o.Retries != -1 || o.RetryInterval.Seconds() != 7 {
		t.Errorf("another implementation counts alone: %+v %v", o, o.Inputs.Keys())
	}
	if o := op("other", "start"); o.Implementation != nil || o.Call != "" {
		t.Errorf("an empty operation of a template does nothing: %+v", o)
	}
	if o := op("other", "configure"); o.Implementation == nil || !strings.Contains(o.Implementation.Source, "echo hello") || o.Host != "ORCHESTRATOR" {
		t.Errorf("an inline script of a node without host: %+v", o)
	}
	if o := op("other", "postdelete"); o.Call != "" || o.Implementation == nil || o.Implementation.File != "stop.sh" {
		t.Errorf("fabric's run_script is a script: %+v", o)
	}
	rel := top.NodeNamed("same").Relationships[0]
	var hosts []string
	for _, i := range rel.Interfaces {
		for _, o := range i.Operations {
			if o.Name == "establish" {
				hosts = append(hosts, o.Host+" "+o.Implementation.File)
			}
		}
	}
	slices.Sort(hosts)
	if got := strings.Join(hosts, ", "); got != "SOURCE s.sh, TARGET t.sh" || !rel.HostedOn() || top.Order != topology.Cloudify {
		t.Errorf("both ends have the operation: %s", got)
	}
}

func TestCloudifyNamespaces(t *testing.T) {
	top, list := blueprintOf(t, head13[:len(head13)-2]+`, net--lib.yaml, "vm--blueprint:base"]
node_templates:
  app:
    type: net--Box
    properties: {size: {get_input: net--size}}
    relationships: [{type: cloudify.relationships.connected_to, target: vm--host}]
  net--box: {relationships: [{type: cloudify.relationships.connected_to, target: app}]}
outputs: {ip: {value: {get_attribute: [vm--host, ip]}}}
-- lib.yaml --
inputs: {size: {type: integer, default: 3}}
node_types:
  Box: {derived_from: cloudify.nodes.Root, properties: {size: {type: integer}}}
node_templates:
  box: {type: Box, properties: {size: {get_input: size}}}
  copy: {type: Box, properties: {size: {get_property: [box, size]}}}
-- path/base/blueprint.yaml --
tosca_definitions_version: cloudify_dsl_1_3
imports: [cloudify/types/types.yaml, inner--more.yaml]
node_templates: {host: {type: cloudify.nodes.Compute}}
-- path/base/more.yaml --
node_templates: {extra: {type: cloudify.nodes.Root}}
`)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	names := top.NodeNames()
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "app net--box net--copy vm--host vm--inner--extra" {
		t.Errorf("nodes are %s", got)
	}
	v, err := topology.Eval(t.Context(), topology.Scope{Topology: top, Node: top.NodeNamed("net--copy")}, top.NodeNamed("net--copy").Properties.Get("size"), nil)
	if err != nil || v != int64(3) {
		t.Errorf("size is %v, %v", v, err)
	}
	if rels := top.NodeNamed("net--box").Relationships; len(rels) != 1 || rels[0].Target != "app" {
		t.Errorf("the importer adds a relationship: %v", rels)
	}
}

func TestCloudifyScaling(t *testing.T) {
	top, list := blueprintOf(t, head13+`
inputs: {n: {type: integer, default: 3}}
node_templates:
  a: {type: cloudify.nodes.Root, instances: {deploy: 2}}
  b: {type: cloudify.nodes.Root, capabilities: {scalable: {properties: {default_instances: {get_input: n}, max_instances: UNBOUNDED}}}}
  c: {type: cloudify.nodes.Root}
groups: {g: {members: [a, b]}}
policies: {p: {type: cloudify.policies.scaling, targets: [g], properties: {default_instances: 4, min_instances: 1, max_instances: 10}}}
`)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]int{"a": 8, "b": 12, "c": 1} {
		_, _, got, err := top.Scale(t.Context(), node, nil)
		if err != nil || got != want {
			t.Errorf("%s has %d instances, not %d (%v)", node, got, want, err)
		}
	}
}

func TestCloudifyValues(t *testing.T) {
	top, list := blueprintOf(t, strings.Replace(head13, "1_3", "1_5", 1)+`
data_types:
  Conn: {properties: {host: {type: string}, port: {type: integer, default: 22}}}
node_types:
  T:
    derived_from: cloudify.nodes.Root
    properties:
      conn: {type: Conn, default: {host: h}}
      on: {default: yes}
      text: {type: string, default: [a, {b: c}]}
      external: {type: string}
node_templates:
  n: {type: T, properties: {conn: {port: 8}, use_external_resource: true}}
capabilities: {c: {value: {get_attribute: [n, ip]}}}
labels: {env: {values: [dev]}}
blueprint_labels: {obj-type: {values: [k8s]}}
deployment_settings: {display_name: demo}
outputs:
  secret: {value: {get_secret: [login, user]}}
  part: {value: {string_split: ["a,b", ",", 1]}}
workflows: {custom: {mapping: wf.py, parameters: {x: {default: 1}}}}
-- wf.py --
`)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	n := top.NodeNamed("n")
	conn := topology.Plain(n.Properties.Get("conn")).(map[string]any)
	if conn["host"] != "h" || conn["port"] != int64(8) {
		t.Errorf("a structure completes from its default: %v", conn)
	}
	if v := n.Properties.Get("on"); v == nil || v.Lit != true {
		t.Errorf("yes is true in YAML 1.1: %v", v)
	}
	if len(top.Capabilities) != 1 || len(top.Labels) != 1 || len(top.BlueprintLabels) != 1 || len(top.Settings) != 1 || top.Workflows["custom"].Call != "wf.py" {
		t.Errorf("published: %v %v %v %v %v", top.Capabilities, top.Labels, top.BlueprintLabels, top.Settings, top.Workflows)
	}
	part, err := topology.Eval(t.Context(), topology.Scope{Topology: top}, top.Outputs[1].Value, nil)
	if err != nil || part != "b" {
		t.Errorf("part is %v, %v", part, err)
	}
}

// A blueprint's archive has one folder with blueprint.yaml, beside which scripts and imports lie.
func TestCloudifyArchive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "app.zip")
	packed := ziptest.Pack(t, map[string]string{
		"app-1.0/blueprint.yaml": head13[:len(head13)-2] + ", lib/more.yaml]\nnode_templates: {a: {type: cloudify.nodes.Root, interfaces: {cloudify.interfaces.lifecycle: {create: scripts/a.sh}}}}\n",
		"app-1.0/lib/more.yaml":  "node_templates: {b: {type: cloudify.nodes.Root, interfaces: {cloudify.interfaces.lifecycle: {create: scripts/a.sh}}}}\n",
		"app-1.0/other.yaml":     "{}\n",
		"app-1.0/scripts/a.sh":   "#!/bin/sh\n",
	})
	if err := os.WriteFile(name, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	top, list := Load(t.Context(), Options{Path: name})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a", "b"} {
		if o := top.NodeNamed(n).Operation("Standard", "create"); o.Implementation.File != "app-1.0/scripts/a.sh" {
			t.Errorf("%s runs %s", n, o.Implementation.File)
		}
	}
}

// A block scalar of one line is a script for Cloudify, for it ends in a line break; a plugin's function is one all the same.
func TestInlineScriptOfOneLine(t *testing.T) {
	top, list := loadFiles(map[string]string{"app.yaml": `tosca_definitions_version: cloudify_dsl_1_5
imports: [ cloudify/types/types.yaml ]
node_templates:
  n:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create: |
          ctx instance runtime-properties made "${AGENT_NAME:-here}"
        start: >
          script.script_runner.tasks.run
`})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	n := top.NodeNamed("n")
	if a := n.Operation("Standard", "create").Implementation; a == nil || !strings.HasPrefix(a.Source, "ctx instance") {
		t.Errorf("create is %+v, not an inline script", a)
	}
	if o := n.Operation("Standard", "start"); o.Implementation != nil || strings.TrimSpace(o.Call) != "script.script_runner.tasks.run" {
		t.Errorf("start is %+v, not a plugin's function", o)
	}
}

// Workflows that are Python code are named when the blueprint is checked, those that are mapped to Cloudify's own are not.
func TestCloudifyForeignWorkflows(t *testing.T) {
	top, list := blueprintOf(t, head13+`plugins: {mine: {executor: central_deployment_agent, install: false}}
node_templates: {a: {type: cloudify.nodes.Root}}
workflows:
  code: mine.tasks.run
  file: {mapping: scripts/wf.py, parameters: {x: {default: 1}}}
  again: default_workflows.cloudify.plugins.workflows.restart
-- scripts/wf.py --
from cloudify.workflows import ctx
`)
	if top == nil || list.HasErrors() {
		t.Fatal(list)
	}
	var named []string
	for _, d := range list {
		if d.Code != "foreign-workflow" || d.Severity != diag.Warning || d.Hint == "" {
			t.Errorf("%+v", d)
		}
		named = append(named, strconv.Itoa(d.Pos.Line)+": "+d.Message)
	}
	if d := cmp.Diff([]string{"6: the workflow code is Python code (mine.tasks.run), which only Cloudify runs", "7: the workflow file is Python code (scripts/wf.py), which only Cloudify runs"}, named); d != "" {
		t.Error(d)
	}
	if got := top.Workflows["again"].BuiltIn(); got != "restart" {
		t.Errorf("again is %q", got)
	}
}
