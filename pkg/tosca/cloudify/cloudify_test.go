package cloudify

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

func parse(t *testing.T, text string) *source.Node {
	t.Helper()
	n, list := source.Parse("a.yaml", []byte(text))
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestImportStrings(t *testing.T) {
	for text, want := range map[string]Import{
		"types/a.yaml":               {Target: "types/a.yaml"},
		"cloudify/types/types.yaml":  {Target: "cloudify/types/types.yaml"},
		"ns--types/a.yaml":           {Namespace: "ns", Target: "types/a.yaml"},
		"plugin:cloudify-aws-plugin": {Target: "plugin:cloudify-aws-plugin", Plugin: "cloudify-aws-plugin"},
		"plugin:cloudify-aws-plugin?version= >=1.2,<3&distribution=centos": {Target: "plugin:cloudify-aws-plugin?version= >=1.2,<3&distribution=centos", Plugin: "cloudify-aws-plugin", Condition: ">=1.2,<3"},
		"vm--blueprint:base":     {Namespace: "vm", Target: "blueprint:base", Blueprint: "base"},
		"http://x.org/a--b.yaml": {Target: "http://x.org/a--b.yaml"},
	} {
		var list diag.List
		root := &source.Node{Kind: source.Mapping, Pairs: []source.Pair{{
			Key:   &source.Node{Kind: source.Scalar, Text: "imports"},
			Value: &source.Node{Kind: source.Sequence, Items: []*source.Node{{Kind: source.Scalar, Tag: "!!str", Text: text}}},
		}}}
		got := Imports(root, "cloudify_dsl_1_3", &list)
		want.Text, want.Path = text, "imports[0]"
		if diff := cmp.Diff([]Import{want}, got); diff != "" || list.HasErrors() {
			t.Errorf("%s: %v\n%s", text, list, diff)
		}
	}
}

func TestPluginURLs(t *testing.T) {
	for url, want := range map[string]string{
		"http://www.getcloudify.org/spec/aws-plugin/1.4.10/plugin.yaml":                                    "cloudify-aws-plugin 1.4.10 plugin.yaml",
		"http://www.getcloudify.org/spec/tosca-vcloud-plugin/1.3.1/plugin.yaml":                            "tosca-vcloud-plugin 1.3.1 plugin.yaml",
		"https://raw.githubusercontent.com/cloudify-cosmo/cloudify-azure-plugin/master/plugin.yaml":        "cloudify-azure-plugin  plugin.yaml",
		"https://raw.githubusercontent.com/cloudify-cosmo/cloudify-openstack-plugin/3.2.7/compat.yaml":     "cloudify-openstack-plugin 3.2.7 compat.yaml",
		"https://github.com/cloudify-cosmo/cloudify-gcp-plugin/releases/download/1.9.8/plugin_1_4.yaml":    "cloudify-gcp-plugin 1.9.8 plugin_1_4.yaml",
		"https://raw.githubusercontent.com/cloudify-community/eaas-example/master/utils/custom_types.yaml": "",
		"cloudify-aws-plugin/1.0/plugin.yaml":                                                              "",
	} {
		got := ""
		if name, version, file, ok := PluginURL(url); ok {
			got = name + " " + version + " " + file
		}
		if got != want {
			t.Errorf("%s is %q, not %q", url, got, want)
		}
	}
	for _, types := range []string{"cloudify/types/types.yaml", "http://www.getcloudify.org/spec/cloudify/3.4/types.yaml", "https://cloudify.co/spec/cloudify/6.4.0/types.yaml"} {
		if !TypesPath(types) {
			t.Errorf("%s means the built-in types", types)
		}
	}
}

func TestVersions(t *testing.T) {
	for condition, want := range map[string]bool{
		"": true, ">=2.10": true, ">=2.9,<3": true, "<2.10": false, "==2.*": true, "!=2.*": false, "2.10.0": true, "===2.10.1": false,
		"~=2.9": true, "~=2.9.1": false, "!=2.11.0": true, "> 2.10": false, "<=2.10": true,
	} {
		if got := Fits("2.10.0", condition); got != want {
			t.Errorf("2.10.0 fits %q: %v", condition, got)
		}
	}
}

func TestYAML11(t *testing.T) {
	n := YAML11(parse(t, "a: yes\nb: Off\nc: 'yes'\nd: 1:30\ne: [NO, yEs, '1:30', 80:80]\nf: y\n"))
	got, want := n.Any(), map[string]any{"a": true, "b": false, "c": "yes", "d": int64(90), "e": []any{false, "yEs", "1:30", "80:80"}, "f": "y"}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestNamespaced(t *testing.T) {
	got, err := source.Marshal(Namespaced(parse(t, `
inputs: {i: {type: D}}
data_types: {D: {properties: {x: {type: string}, y: {type: D}}}}
node_types: {T: {derived_from: cloudify.nodes.Root, properties: {p: {type: D, default: {get_input: i}}}}}
node_templates:
  n:
    type: T
    properties: {a: {concat: [{get_property: [n, p]}, {get_attribute: [SELF, ip]}, {get_input: [i, x]}]}}
    interfaces: {cloudify.interfaces.lifecycle: {create: fabric.tasks.run}}
    relationships: [{type: cloudify.relationships.connected_to, target: m}]
groups: {g: {members: [n], policies: {p: {type: cloudify.policies.types.threshold}}}}
policies: {s: {type: cloudify.policies.scaling, targets: [g]}}
labels: {env: {values: [a]}}
`), "ns"))
	if err != nil {
		t.Fatal(err)
	}
	var same any
	if _, list := source.Parse("", got); list.HasErrors() {
		t.Fatal(list.Err(), same)
	}
	text := string(got)
	for _, want := range []string{"ns--i:", "ns--D", "ns--T", "ns--n", "ns--m", "ns--g", "ns--s", "cloudify.nodes.Root", "fabric.tasks.run", "SELF", "env:"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, wrong := range []string{"ns--cloudify", "ns--SELF", "ns--string", "ns--fabric", "ns--env", "ns--x", "ns--p:"} {
		if strings.Contains(text, wrong) {
			t.Errorf("%s in\n%s", wrong, text)
		}
	}
}

func TestMerge(t *testing.T) {
	var list diag.List
	m := NewMerger(parse(t, "tosca_definitions_version: cloudify_dsl_1_3\ninputs: {a: {}}\nlabels: {x: {values: [first]}}\nnode_types: {cloudify.T: {}, U: {}}\nnode_templates: {n: {type: U, relationships: [{target: a}]}}\n"), &list)
	m.Add(parse(t, "tosca_definitions_version: cloudify_dsl_1_0\ndescription: d\ninputs: {b: {}}\nlabels: {x: {values: [second]}}\nnode_types: {cloudify.T: {derived_from: U}, U: {}}\nnode_templates: {n: {relationships: [{target: b}]}}\n"))
	if got := Names(m.Root, "inputs"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("inputs are %v", got)
	}
	if len(list) != 1 || !strings.Contains(list[0].Message, "U of node_types is declared twice") {
		t.Errorf("one conflict: %v", list)
	}
	if got := m.Root.Get("node_types").Get("cloudify.T").Get("derived_from").Str(); got != "U" {
		t.Errorf("names of cloudify. may be redefined: %q", got)
	}
	if got := len(m.Root.Get("node_templates").Get("n").Get("relationships").Items); got != 2 {
		t.Errorf("%d relationships", got)
	}
	if got := m.Root.Get("labels").Get("x").Get("values").Items[0].Str(); got != "first" {
		t.Errorf("the first label wins: %s", got)
	}
	if got := Secrets(parse(t, "a: {get_secret: x}\nb: [{get_secret: [y, k]}, {get_secret: {get_input: z}}]\n")); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("secrets are %v", got)
	}
}
