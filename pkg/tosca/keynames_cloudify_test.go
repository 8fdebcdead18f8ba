package tosca

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
)

// cfyKey is a keyname of Cloudify's language, from a version on (10 to 15), with a value of the right form and one of the wrong form.
type cfyKey struct {
	name        string
	from        int
	good, wrong string
	must        bool
}

// cfyEntity is a place for keynames: the lines around them, the last indented as deep as they are. from is the first version that has the place.
type cfyEntity struct {
	name, before string
	from         int
	keys         []cfyKey
}

const cfyNode = "\nnode_templates:\n  n:\n    type: cloudify.nodes.Compute\n"

var cfyEntities = []cfyEntity{
	{name: "document", before: "\n", keys: []cfyKey{
		{"description", 12, "x", "[ x ]", false}, {"metadata", 10, "{ a: 1, b: [ c ] }", "", false}, {"dsl_definitions", 12, "{ a: &a { b: c } }", "", false},
		{"inputs", 10, "{ i: {} }", "[ x ]", false}, {"data_types", 12, "{ D: { properties: { a: {} } } }", "[ x ]", false},
		{"plugins", 10, "{ p: { executor: host_agent, install: false } }", "[ x ]", false}, {"node_types", 10, "{ N: {} }", "[ x ]", false},
		{"relationships", 10, "{ R: { derived_from: cloudify.relationships.depends_on } }", "[ x ]", false}, {"node_templates", 10, "{}", "[ x ]", false},
		{"workflows", 10, "{ w: default_workflows.cloudify.plugins.workflows.install }", "[ x ]", false}, {"groups", 10, "{}", "[ x ]", false}, {"policies", 13, "{}", "[ x ]", false},
		{"policy_types", 10, "{ P: { source: x.clj } }", "[ x ]", false}, {"policy_triggers", 10, "{ T: { source: x } }", "[ x ]", false},
		{"outputs", 10, "{ o: { value: 1 } }", "[ x ]", false}, {"capabilities", 10, "{ c: { value: 1 } }", "[ x ]", false}, {"labels", 10, "{ l: { values: [ a ] } }", "[ x ]", false},
		{"blueprint_labels", 10, "{ l: { values: [ a ] } }", "[ x ]", false}, {"resource_tags", 13, "{ t: v }", "[ x ]", false}, {"deployment_settings", 10, "{ id_template: x }", "[ x ]", false},
	}},
	{name: "input", before: "\ninputs:\n  i:\n    ", keys: []cfyKey{
		{"type", 10, "string", "[ x ]", false}, {"default", 10, "abc", "", false}, {"description", 10, "x", "[ x ]", false}, {"required", 10, "true", "maybe", false},
		{"constraints", 10, "[ { min_length: 1 } ]", "{ min_length: 1 }", false}, {"display_label", 13, "x", "[ x ]", false}, {"hidden", 13, "false", "maybe", false},
	}},
	{name: "list input", before: "\ninputs:\n  i:\n    type: list\n    ", keys: []cfyKey{{"item_type", 14, "string", "[ x ]", false}}},
	{name: "data type", from: 12, before: "\ndata_types:\n  B: { properties: {} }\n  D:\n    ", keys: []cfyKey{
		{"properties", 12, "{ a: { type: string } }", "[ x ]", false}, {"derived_from", 12, "B", "[ x ]", false}, {"version", 12, "1.0", "", false}, {"description", 12, "x", "[ x ]", false},
	}},
	{name: "property", before: "\nnode_types:\n  N:\n    properties:\n      p:\n        ", keys: []cfyKey{
		{"type", 10, "string", "[ x ]", false}, {"default", 10, "abc", "", false}, {"description", 10, "x", "[ x ]", false}, {"required", 12, "true", "maybe", false},
	}},
	{name: "installed plugin", before: "\nplugins:\n  p:\n    executor: host_agent\n    ", keys: []cfyKey{{"source", 10, "x", "[ x ]", true}, {"install", 10, "true", "maybe", false}}},
	{name: "plugin", before: "\nplugins:\n  p:\n    install: false\n    ", keys: []cfyKey{
		{"executor", 10, "central_deployment_agent", "somewhere", true}, {"install_arguments", 11, "x", "[ x ]", false},
		{"package_name", 12, "x", "[ x ]", false}, {"package_version", 12, "'1.0'", "[ x ]", false}, {"supported_platform", 12, "any", "[ x ]", false}, {"distribution", 12, "x", "[ x ]", false},
		{"distribution_version", 12, "x", "[ x ]", false}, {"distribution_release", 12, "x", "[ x ]", false}, {"properties", 15, "{}", "[ x ]", false}, {"properties_description", 15, "x", "[ x ]", false},
	}},
	{name: "node type", before: "\nnode_types:\n  N:\n    ", keys: []cfyKey{
		{"derived_from", 10, "cloudify.nodes.Root", "[ x ]", false}, {"properties", 10, "{ p: {} }", "[ x ]", false}, {"interfaces", 10, "{ i: { o: {} } }", "[ x ]", false}, {"runtime_properties", 15, "{ r: {} }", "[ x ]", false},
	}},
	{name: "relationship type", before: "\nrelationships:\n  R:\n    ", keys: []cfyKey{
		{"derived_from", 10, "cloudify.relationships.depends_on", "[ x ]", false}, {"properties", 10, "{ p: {} }", "[ x ]", false},
		{"source_interfaces", 10, "{ i: { o: {} } }", "[ x ]", false}, {"target_interfaces", 10, "{ i: { o: {} } }", "[ x ]", false},
	}},
	{name: "node template", before: "\nnode_templates:\n  n:\n    ", keys: []cfyKey{
		{"type", 10, "cloudify.nodes.WebServer", "[ x ]", true}, {"properties", 10, "{ port: 1 }", "[ x ]", false}, {"interfaces", 10, "{ i: { o: {} } }", "[ x ]", false},
		{"relationships", 10, "[]", "{ a: b }", false}, {"instances", 10, "{ deploy: 2 }", "[ x ]", false},
	}},
	{name: "scaled node template", before: cfyNode + "    ", keys: []cfyKey{{"capabilities", 13, "{ scalable: { properties: { default_instances: 2, min_instances: 1, max_instances: 3 } } }", "[ x ]", false}}},
	{name: "instances", before: cfyNode + "    instances:\n      ", keys: []cfyKey{{"deploy", 10, "2", "many", false}}},
	{name: "relationship", before: "\nnode_templates:\n  m: { type: cloudify.nodes.Compute }\n  n:\n    type: cloudify.nodes.Compute\n    relationships:\n      - properties: {}\n        ", keys: []cfyKey{
		{"type", 10, "cloudify.relationships.connected_to", "[ x ]", true}, {"target", 10, "m", "[ x ]", true},
		{"source_interfaces", 10, "{ i: { o: {} } }", "[ x ]", false}, {"target_interfaces", 10, "{ i: { o: {} } }", "[ x ]", false},
	}},
	{name: "operation", before: cfyNode + "    interfaces:\n      i:\n        o:\n          ", keys: []cfyKey{
		{"implementation", 10, "agent.x", "[ x ]", false}, {"inputs", 10, "{ a: 1 }", "[ x ]", false}, {"executor", 10, "host_agent", "somewhere", false}, {"max_retries", 11, "-1", "many", false},
		{"retry_interval", 11, "1", "-1", false}, {"timeout", 10, "60", "-1", false}, {"timeout_recoverable", 10, "true", "maybe", false},
	}},
	{name: "workflow", before: "\nworkflows:\n  w:\n    ", keys: []cfyKey{
		{"mapping", 10, "default_workflows.cloudify.plugins.workflows.install", "[ x ]", true}, {"parameters", 10, "{ p: { default: 1 } }", "[ x ]", false},
		{"is_cascading", 10, "true", "maybe", false}, {"availability_rules", 14, "{ available: true }", "[ x ]", false},
	}},
	{name: "group", before: cfyNode + "groups:\n  g:\n    ", keys: []cfyKey{
		{"members", 10, "[ n ]", "{ a: b }", true}, {"policies", 10, "{ p: { type: cloudify.policies.types.host_failure } }", "[ x ]", false},
	}},
	{name: "group policy", before: cfyNode + "groups:\n  g:\n    members: [ n ]\n    policies:\n      p:\n        ", keys: []cfyKey{
		{"type", 10, "cloudify.policies.types.host_failure", "[ x ]", true}, {"properties", 10, "{ service: [ x ] }", "[ x ]", false},
		{"triggers", 10, "{ t: { type: cloudify.policies.triggers.execute_workflow, parameters: { workflow: w } } }", "[ x ]", false},
	}},
	{name: "scaling policy", from: 13, before: cfyNode + "groups: { g: { members: [ n ] } }\npolicies:\n  p:\n    ", keys: []cfyKey{
		{"type", 13, "cloudify.policies.scaling", "[ x ]", true}, {"targets", 13, "[ g ]", "{ a: b }", true}, {"properties", 13, "{ default_instances: 2 }", "[ x ]", false},
	}},
	{name: "output", before: "\noutputs:\n  o:\n    ", keys: []cfyKey{{"value", 10, "1", "", true}, {"description", 10, "x", "[ x ]", false}}},
	{name: "label", before: "\nlabels:\n  l:\n    ", keys: []cfyKey{{"values", 10, "[ a ]", "{ a: b }", true}}},
	{name: "deployment settings", before: "\ndeployment_settings:\n  ", keys: []cfyKey{
		{"default_schedules", 10, "{ s: { workflow: install, since: '+1 day' } }", "[ x ]", false}, {"default_groups", 10, "[ g ]", "{ a: b }", false},
		{"id_template", 10, "x", "[ x ]", false}, {"display_name", 10, "x", "[ x ]", false},
	}},
}

// cfyDoc is a blueprint with the lines in the entity; first is the number of the first of them.
func cfyDoc(e cfyEntity, level int, lines []string) (doc string, first int) {
	head := fmt.Sprintf("tosca_definitions_version: cloudify_dsl_1_%d\nimports: [ cloudify/types/types.yaml ]\n", level-10) + strings.TrimPrefix(e.before, "\n")
	at := strings.LastIndex(head, "\n") + 1
	indent := head[at:]
	var b strings.Builder
	b.WriteString(head[:at])
	for _, l := range lines {
		b.WriteString(indent + l + "\n")
	}
	return b.String(), strings.Count(head[:at], "\n") + 1
}

func cfyTest(t *testing.T, check func(t *testing.T, e cfyEntity, level int)) {
	for _, e := range cfyEntities {
		for level := max(10, e.from); level <= 15; level++ {
			t.Run(fmt.Sprintf("%s/1_%d", e.name, level-10), func(t *testing.T) { check(t, e, level) })
		}
	}
}

// Each keyname is let through from its version on and refused before; unknown ones always.
func TestCloudifyKeynames(t *testing.T) {
	cfyTest(t, func(t *testing.T, e cfyEntity, level int) {
		var lines []string
		for _, k := range e.keys {
			lines = append(lines, k.name+": "+k.good)
		}
		doc, first := cfyDoc(e, level, append(lines, "no_such_keyname: 1"))
		_, list := loadFiles(map[string]string{"app.yaml": doc})
		for i, k := range append(slices.Clone(e.keys), cfyKey{name: "no_such_keyname", from: 99}) {
			var found *diag.Diagnostic
			for j, f := range list {
				if f.Pos.Line == first+i && f.Severity == diag.Error {
					found = &list[j]
				}
			}
			switch {
			case level >= k.from && found != nil:
				t.Errorf("%q is refused: %v", k.name, found)
			case level < k.from && (found == nil || found.Code != "unknown-keyname"):
				t.Errorf("%q is of a later version, and nothing is said:\n%s%v", k.name, doc, list)
			}
		}
	})
}

func TestCloudifyKeynamesOfTheWrongForm(t *testing.T) {
	cfyTest(t, func(t *testing.T, e cfyEntity, level int) {
		for i, k := range e.keys {
			if k.wrong == "" || level < k.from {
				continue
			}
			var lines []string
			wrong := 0
			for j, o := range e.keys {
				if i == j {
					wrong = len(lines)
					lines = append(lines, k.name+": "+k.wrong)
				} else if o.must {
					lines = append(lines, o.name+": "+o.good)
				}
			}
			doc, first := cfyDoc(e, level, lines)
			_, list := loadFiles(map[string]string{"app.yaml": doc})
			if !slices.ContainsFunc(list, func(f diag.Diagnostic) bool { return f.Pos.Line == first+wrong && f.Severity == diag.Error }) {
				t.Errorf("nothing is said of %s: %s:\n%s%v", k.name, k.wrong, doc, list)
			}
			if len(list) > 1 {
				t.Errorf("%s: %s has follow-ups:\n%s%v", k.name, k.wrong, doc, list)
			}
		}
	})
}

func TestCloudifyKeynamesThatAreRequired(t *testing.T) {
	cfyTest(t, func(t *testing.T, e cfyEntity, level int) {
		for _, k := range e.keys {
			if !k.must {
				continue
			}
			lines := []string{}
			for _, o := range e.keys {
				if o.name != k.name && level >= o.from {
					lines = append(lines, o.name+": "+o.good)
				}
			}
			if len(lines) == 0 {
				continue
			}
			doc, _ := cfyDoc(e, level, lines)
			_, list := loadFiles(map[string]string{"app.yaml": doc})
			if len(list) != 1 || list[0].Code != "missing-keyname" || list[0].Severity != diag.Error {
				t.Errorf("without %s:\n%s%v", k.name, doc, list)
			}
		}
	})
}

// Yorc reads the keynames of TOSCA 1.3 and those of Alien4Cloud; others are a warning.
func TestYorcKeynames(t *testing.T) {
	for _, e := range entities {
		if !e.exists(13, false) && !e.exists(30, true) {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			var lines []string
			for _, k := range e.keys {
				lines = append(lines, k.name+": "+at(k.good, "yorc_tosca_simple_yaml_1_0"))
			}
			doc, first := e.text("yorc_tosca_simple_yaml_1_0", append(lines, "no_such_keyname: 1"))
			_, list := loadFiles(map[string]string{"app.yaml": doc})
			refused := map[int]diag.Diagnostic{}
			for _, f := range list {
				if f.Code == "unknown-keyname" {
					refused[f.Pos.Line] = f
				}
			}
			for i, k := range append(slices.Clone(e.keys), keyname{name: "no_such_keyname"}) {
				f, bad := refused[first+i]
				switch known := k.exists(13, false) || k.exists(30, true); {
				case known && bad:
					t.Errorf("%q is refused: %v", k.name, f)
				case !known && !bad && e.free == 0 && e.a4c != "": // of what Alien4Cloud has not it may still know the keynames
					t.Errorf("nothing is said of %q:\n%s%v", k.name, doc, list)
				case bad && f.Severity != diag.Warning:
					t.Errorf("%q: %v", k.name, f)
				}
			}
		})
	}
}
