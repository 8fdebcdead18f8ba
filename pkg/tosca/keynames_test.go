package tosca

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
)

// spoken are the dialects with their level in the tables below: TOSCA's versions, and Alien4Cloud's.
var spoken = []struct {
	version string
	level   int
	a4c     bool
}{
	{"tosca_simple_yaml_1_0", 10, false}, {"tosca_simple_yaml_1_1", 11, false}, {"tosca_simple_yaml_1_2", 12, false}, {"tosca_simple_yaml_1_3", 13, false},
	{"tosca_2_0", 20, false},
	{"alien_dsl_1_2_0", 12, true}, {"alien_dsl_1_3_0", 13, true}, {"alien_dsl_1_4_0", 14, true}, {"alien_dsl_2_0_0", 20, true}, {"alien_dsl_3_0_0", 30, true},
}

// keyname of an entity. In tosca and a4c stand the levels that have it: "10-13", "11-" or "" for none. wrong is a value of the wrong form; "" where
// any value is of the right one.
type keyname struct {
	name, tosca, a4c, good, wrong string
	must                          string // the levels of TOSCA that require it; Alien4Cloud says nothing of what is absent
}

// entity is a place for keynames: the lines of a document around them, the last of them indented as deep as the keynames are.
type entity struct {
	name, tosca, a4c string
	before           string
	keys             []keyname
	// free: other keys have a meaning of their own (operations) up to this level of TOSCA.
	free int
}

func has(span string, level int) bool {
	if span == "" {
		return false
	}
	lo, hi, ranged := strings.Cut(span, "-")
	from, _ := strconv.Atoi(lo)
	to := from
	if ranged {
		if to, _ = strconv.Atoi(hi); hi == "" {
			to = 99
		}
	}
	return level >= from && level <= to
}

func (e *entity) exists(level int, a4c bool) bool {
	if a4c {
		return has(e.a4c, level)
	}
	return has(e.tosca, level)
}

func (k *keyname) exists(level int, a4c bool) bool {
	if a4c {
		return has(k.a4c, level)
	}
	return has(k.tosca, level)
}

// at is the value for a version: after the bar stands that of TOSCA 2.0.
func at(value, version string) string {
	old, new, both := strings.Cut(value, "|")
	if both && version == "tosca_2_0" {
		return new
	}
	return old
}

// text is a document of the version with the given lines in the entity; first is the number of the first of these lines.
func (e *entity) text(version string, lines []string) (doc string, first int) {
	before := e.before
	service, nodes, operations := "topology_template", "node_types: { N: {} }", "" // before 2.0 operations can stand in their interface itself
	if version == "tosca_2_0" {
		service = "service_template"
		nodes = "interface_types: { I: { operations: { o: {} } } }\nnode_types: { N: { interfaces: { i: { type: I } } } }"
		operations = "operations:"
	}
	before = "tosca_definitions_version: " + version + "\n" + strings.TrimPrefix(strings.NewReplacer("TOPOLOGY", service, "NODES", nodes, "OPERATIONS", operations).Replace(before), "\n")
	at := strings.LastIndex(before, "\n") + 1
	indent := before[at:]
	var b strings.Builder
	b.WriteString(before[:at])
	for _, l := range lines {
		b.WriteString(indent + l + "\n")
	}
	return b.String(), strings.Count(before[:at], "\n") + 1
}

var formCodes = []string{"unknown-keyname", "wrong-form", "missing-keyname", "empty-section", "bad-function"}

// Each keyname is let through in the versions that have it and refused (a warning in Alien4Cloud's dialects) in those that have not.
func TestKeynames(t *testing.T) {
	for _, e := range entities {
		for _, d := range spoken {
			if !e.exists(d.level, d.a4c) {
				continue
			}
			t.Run(e.name+"/"+d.version, func(t *testing.T) {
				var lines []string
				for _, k := range e.keys {
					lines = append(lines, k.name+": "+at(k.good, d.version))
				}
				doc, first := e.text(d.version, append(lines, "no_such_keyname: 1"))
				_, list := loadFiles(map[string]string{"app.yaml": doc})
				refused := map[int]diag.Diagnostic{}
				for _, f := range list {
					if f.Code == "unknown-keyname" {
						refused[f.Pos.Line] = f
					} else if slices.Contains(formCodes, f.Code) && f.Pos.Line >= first && e.keys[f.Pos.Line-first].exists(d.level, d.a4c) {
						t.Errorf("the form is right: %v", f)
					}
				}
				want := diag.Error
				if d.a4c {
					want = diag.Warning
				}
				for i, k := range append(slices.Clone(e.keys), keyname{name: "no_such_keyname"}) {
					f, bad := refused[first+i]
					switch known := k.exists(d.level, d.a4c); {
					case known && bad:
						t.Errorf("%s has %q: %v", d.version, k.name, f)
					case !known && !bad && (d.a4c || d.level > e.free):
						t.Errorf("%s has no %q, and nothing is said:\n%s%v", d.version, k.name, doc, list)
					case bad && f.Severity != want:
						t.Errorf("%q: %v", k.name, f)
					}
				}
			})
		}
	}
}

// A value of the wrong form is named at its place, whatever else the document says.
func TestKeynamesOfTheWrongForm(t *testing.T) {
	for _, e := range entities {
		for _, d := range spoken {
			if !e.exists(d.level, d.a4c) || d.level == 11 || d.level == 14 {
				continue
			}
			for i, k := range e.keys {
				if k.wrong == "" || !k.exists(d.level, d.a4c) {
					continue
				}
				t.Run(e.name+"/"+k.name+"/"+d.version, func(t *testing.T) {
					var lines []string
					wrong := 0
					for j, o := range e.keys {
						switch {
						case i == j:
							wrong = len(lines)
							lines = append(lines, k.name+": "+at(k.wrong, d.version))
						case has(o.must, d.level) && o.exists(d.level, d.a4c):
							lines = append(lines, o.name+": "+at(o.good, d.version))
						}
					}
					doc, first := e.text(d.version, lines)
					_, list := loadFiles(map[string]string{"app.yaml": doc})
					if !slices.ContainsFunc(list, func(f diag.Diagnostic) bool { return f.Pos.Line == first+wrong && f.Pos.Col > 1 }) {
						t.Errorf("nothing is said of %s: %s:\n%s%v", k.name, k.wrong, doc, list)
					}
				})
			}
		}
	}
}

// What must be there and is not is named.
func TestKeynamesThatAreRequired(t *testing.T) {
	for _, e := range entities {
		for _, d := range spoken {
			if !e.exists(d.level, d.a4c) || d.a4c {
				continue
			}
			for _, k := range e.keys {
				if !has(k.must, d.level) {
					continue
				}
				t.Run(e.name+"/"+k.name+"/"+d.version, func(t *testing.T) {
					lines := []string{}
					for _, o := range e.keys {
						if o.name != k.name && (has(o.must, d.level) || o.name == "description") && o.exists(d.level, d.a4c) {
							lines = append(lines, o.name+": "+at(o.good, d.version))
						}
					}
					doc, _ := e.text(d.version, lines)
					_, list := loadFiles(map[string]string{"app.yaml": doc})
					if !slices.ContainsFunc(list, func(f diag.Diagnostic) bool { return f.Code == "missing-keyname" && f.Severity == diag.Error }) {
						t.Errorf("nothing is said of the absence of %s:\n%s%v", k.name, doc, list)
					}
				})
			}
		}
	}
}

// typesFor are types that the templates below are of.
const typesFor = `
artifact_types: { A: {} }
capability_types: { C: {} }
relationship_types: { R: {} }
group_types: { G: {} }
policy_types: { P: {} }
`

func spans(name, tosca, a4c, good, wrong string) keyname {
	return keyname{name: name, tosca: tosca, a4c: a4c, good: good, wrong: wrong}
}

func must(k keyname) keyname {
	k.must = k.tosca
	return k
}

func from(level string, k keyname) keyname {
	k.must = level
	return k
}

var (
	text        = spans("description", "10-", "12-", "x", "[ x ]")
	typeMeta    = spans("metadata", "10-", "12-", "{ a: b }", "x")
	derivedFrom = func(of string) keyname { return spans("derived_from", "10-", "12-", of, "{ a: b }") }
	typeVersion = spans("version", "10-", "12-", "1.0.1", "[ 1 ]")
	abstract    = spans("abstract", "", "12-", "true", "[ 1 ]")
	tags        = spans("tags", "", "12-", "[ { a: b } ]", "")
	props       = spans("properties", "10-", "12-", "{}", "[ x ]")
	attrs       = spans("attributes", "10-", "12-", "{}", "x")
	assignProps = spans("properties", "10-", "12-", "{}", "[ x ]")
	ifaces      = spans("interfaces", "10-", "12-", "{}", "x")
)

func (e entity) withFree(level int) entity {
	e.free = level
	return e
}

func typeOf(kind, section, a4c string, keys ...keyname) entity {
	before := "\n" + section + ":\n  Base: {}\n  My:\n    "
	if kind == "data type" {
		before = "\n" + section + ":\n  Base: { properties: { a: { type: string } } }\n  My:\n    "
	}
	return entity{name: kind, tosca: "10-", a4c: a4c, before: before, keys: append([]keyname{derivedFrom("Base"), typeVersion, typeMeta, text, abstract, tags}, keys...)}
}

var entities = []entity{
	{name: "document", tosca: "10-", a4c: "12-", before: "\n", keys: []keyname{
		text, typeMeta,
		spans("dsl_definitions", "10-", "12-", "{ a: { b: c } }", ""),
		spans("repositories", "10-", "12-", "{ r: { url: 'https://example.org' } }", "[ x ]"),
		spans("imports", "10-", "12-", "[]", "5"),
		spans("artifact_types", "10-", "12-", "{ A1: {} }", "[ x ]"), spans("data_types", "10-", "12-", "{ D1: { properties: { a: { type: string } } } }", "x"),
		spans("capability_types", "10-", "12-", "{ C1: {} }", "[ x ]"), spans("relationship_types", "10-", "12-", "{ R1: {} }", "[ x ]"),
		spans("node_types", "10-", "12-", "{ N1: {} }", "[ x ]"), spans("interface_types", "10-", "", "{ I1: {} }", "[ x ]"),
		spans("group_types", "10-", "12-", "{ G1: {} }", "[ x ]"), spans("policy_types", "10-", "20-", "{ P1: {} }", "[ x ]"),
		spans("topology_template", "10-13", "12-", "{ description: x }", "[ x ]"), spans("service_template", "20-", "", "{ node_templates: {} }", "[ x ]"),
		spans("functions", "20-", "", "{ f: { signatures: [ {} ] } }", "[ x ]"),
		spans("namespace", "12-13", "", "org.example", "[ x ]"), spans("profile", "20-", "", "org.example", "[ x ]"),
		spans("template_name", "10-13", "12-", "x", "[ x ]"), spans("template_author", "10-13", "12-", "x", "[ x ]"),
		spans("template_version", "10-13", "12-", "1.0.1", "[ x ]"), spans("tosca_default_namespace", "10-13", "12-", "x", "[ x ]"),
	}},
	{name: "import", tosca: "10-", a4c: "", before: "\nimports:\n  - repository: nowhere\n    ", keys: []keyname{
		must(spans("file", "10-13", "", "x.yaml", "[ x ]")), must(spans("url", "20-", "", "x.yaml", "[ x ]")),
		spans("namespace_uri", "10-13", "", "x", "[ x ]"), spans("namespace_prefix", "10-13", "", "x", "[ x ]"), spans("namespace", "20-", "", "x", "[ x ]"),
		spans("description", "20-", "", "x", "[ x ]"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "repository", tosca: "10-", a4c: "13-", before: "\nrepositories:\n  r:\n    ", keys: []keyname{
		text, must(spans("url", "10-", "13-", "https://example.org", "[ x ]")), spans("credential", "10-13", "13-", "{ token: x }", ""), spans("metadata", "20-", "", "{ a: b }", "x"),
		spans("type", "", "13-", "maven", "[ x ]"),
	}},
	typeOf("node type", "node_types", "12-", props, attrs, spans("capabilities", "10-", "12-", "{}", "x"), spans("requirements", "10-", "12-", "[]", "x"), ifaces,
		spans("artifacts", "10-", "12-", "{}", "x"), spans("portability", "", "12-", "{}", ""), spans("valid_target_types", "", "", "[]", "")),
	typeOf("relationship type", "relationship_types", "12-", props, attrs, ifaces, spans("artifacts", "", "12-", "{}", "x"),
		spans("valid_target_types", "10-13", "12-", "[]", "{ a: b }"), spans("valid_capability_types", "20-", "", "[]", "{ a: b }"),
		spans("valid_target_node_types", "20-", "", "[]", "{ a: b }"), spans("valid_source_node_types", "20-", "", "[]", "{ a: b }"), spans("capabilities", "", "", "{}", "")),
	typeOf("capability type", "capability_types", "12-", props, spans("attributes", "10-", "12-", "{}", "x"), spans("valid_source_types", "10-13", "12-", "[]", "{ a: b }"),
		spans("valid_source_node_types", "20-", "", "[]", "{ a: b }"), spans("valid_relationship_types", "20-", "", "[]", "{ a: b }"), spans("interfaces", "", "", "{}", "")),
	typeOf("interface type", "interface_types", "", spans("inputs", "10-", "", "{}", "x"), spans("operations", "13-", "", "{}", "x"), spans("notifications", "13-", "", "{}", "x")).withFree(13),
	typeOf("data type", "data_types", "12-", spans("properties", "10-", "12-", "{ b: { type: string } }", "[ x ]"), spans("constraints", "10-13", "12-", "[]", "x"),
		spans("validation", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"), spans("interfaces", "", "", "{}", "")),
	typeOf("artifact type", "artifact_types", "12-", props, spans("mime_type", "10-", "12-", "text/plain", "[ x ]"), spans("file_ext", "10-", "12-", "[ x ]", "{ a: b }"), spans("attributes", "", "", "{}", "")),
	typeOf("group type", "group_types", "", props, spans("attributes", "10-", "", "{}", "x"), spans("members", "10-", "", "[]", "{ a: b }"), spans("interfaces", "10-13", "", "{}", "x"), spans("targets", "10-11", "", "[]", "{ a: b }")),
	typeOf("policy type", "policy_types", "20-", props, spans("targets", "10-", "20-", "[]", "{ a: b }"), spans("triggers", "10-", "20-", "{}", "x"), spans("attributes", "", "", "{}", "")),

	{name: "property definition", tosca: "10-", a4c: "12-", before: "\nnode_types:\n  N:\n    properties:\n      p:\n        ", keys: []keyname{
		must(spans("type", "10-", "12-", "list", "[ x ]")), text, spans("required", "10-", "12-", "true", "maybe"), spans("default", "10-", "12-", "[ x ]", "{ x: y }"),
		spans("status", "10-", "12-", "supported", "[ x ]"), spans("constraints", "10-13", "12-", "[ { min_length: 1 } ]", "x"), spans("validation", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"),
		spans("key_schema", "13-", "", "string", "[ x ]"), spans("entry_schema", "10-", "12-", "string", "[ x ]"), spans("metadata", "13-", "", "{ a: b }", "x"),
		spans("external-schema", "13", "", "x", ""), spans("value", "20-", "30-", "[ x ]", ""), spans("mapping", "", "", "[ SELF, a ]", ""),
	}},
	{name: "attribute definition", tosca: "10-", a4c: "12-", before: "\nnode_types:\n  N:\n    attributes:\n      p:\n        ", keys: []keyname{
		must(spans("type", "10-", "12-", "list", "[ x ]")), text, spans("default", "10-", "12-", "[ x ]", ""),
		spans("status", "10-", "12-", "supported", "[ x ]"), spans("validation", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"),
		spans("key_schema", "13-", "", "string", "[ x ]"), spans("entry_schema", "10-", "12-", "string", "[ x ]"), spans("metadata", "13-", "", "{ a: b }", "x"), spans("mapping", "", "", "[ SELF, a ]", ""),
	}},
	{name: "input", tosca: "10-", a4c: "12-", before: "\nTOPOLOGY:\n  node_templates: {}\n  inputs:\n    p:\n      ", keys: []keyname{
		spans("type", "10-", "12-", "list", "[ x ]"), text, spans("required", "10-", "12-", "true", "maybe"), spans("default", "10-", "12-", "[ x ]", ""),
		spans("status", "10-", "12-", "supported", "[ x ]"), spans("constraints", "10-13", "12-", "[ { min_length: 1 } ]", "x"), spans("validation", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"),
		spans("key_schema", "13-", "", "string", "[ x ]"), spans("entry_schema", "10-", "12-", "string", "[ x ]"), spans("metadata", "13-", "", "{ a: b }", "x"),
		spans("value", "13-", "30-", "[ x ]", ""), spans("mapping", "20-", "", "[ SELF, a ]", "x"),
	}},
	{name: "output", tosca: "10-", a4c: "12-", before: "\nTOPOLOGY:\n  node_templates: {}\n  outputs:\n    p:\n      ", keys: []keyname{
		spans("type", "10-", "12-", "list", "[ x ]"), text, spans("required", "10-", "", "true", "maybe"), spans("value", "10-", "12-", "[ x ]", ""),
		spans("status", "10-", "", "supported", "[ x ]"), spans("constraints", "10-13", "", "[ { min_length: 1 } ]", "x"), spans("validation", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"),
		spans("key_schema", "13-", "", "string", "[ x ]"), spans("entry_schema", "10-", "", "string", "[ x ]"), spans("metadata", "13-", "", "{ a: b }", "x"),
	}},
	{name: "schema", tosca: "10-", a4c: "12-", before: "\nnode_types:\n  N:\n    properties:\n      p:\n        type: list\n        entry_schema:\n          ", keys: []keyname{
		must(spans("type", "10-", "12-", "list", "[ x ]")), text, spans("constraints", "10-13", "12-", "[ { min_length: 1 } ]", "x"),
		spans("validation", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"), spans("key_schema", "13-", "", "string", "[ x ]"), spans("entry_schema", "10-", "12-", "string", "[ x ]"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "capability definition", tosca: "10-", a4c: "12-", before: "\ncapability_types: { C: {} }\nnode_types:\n  N:\n    capabilities:\n      c:\n        ", keys: []keyname{
		must(spans("type", "10-", "12-", "C", "[ x ]")), text, props, spans("attributes", "10-", "12-", "{}", "x"), spans("valid_source_types", "10-13", "12-", "[]", "{ a: b }"), spans("occurrences", "10-13", "12-", "[ 1, 2 ]", "x"),
		spans("valid_source_node_types", "20-", "", "[]", "{ a: b }"), spans("valid_relationship_types", "20-", "", "[]", "{ a: b }"), spans("metadata", "13-", "", "{ a: b }", "x"), spans("directives", "", "", "[]", ""),
	}},
	{name: "requirement definition", tosca: "10-", a4c: "13-", before: "\ncapability_types: { C: {} }\nrelationship_types: { R: {} }\nnode_types:\n  N:\n    requirements:\n    - r:\n        ", keys: []keyname{
		must(spans("capability", "10-", "13-", "C", "[ x ]")), spans("node", "10-", "13-", "N", "[ x ]"), spans("relationship", "10-", "13-", "R", "[ x ]"),
		spans("occurrences", "10-13", "13-", "[ 1, 2 ]", "x"), spans("count_range", "20-", "", "[ 1, 2 ]", "x"), spans("node_filter", "13-", "13-", "{}|{ $equal: [ 1, 1 ] }", "x|{ $nope: [] }"),
		spans("description", "13-", "13-", "x", "[ x ]"), spans("metadata", "13-", "", "{ a: b }", "x"), spans("capability_name", "", "13-", "x", "[ x ]"),
	}},
	{name: "relationship definition", tosca: "10-", a4c: "", before: "\ncapability_types: { C: {} }\nrelationship_types: { R: {} }\nnode_types:\n  N:\n    requirements:\n    - r:\n        capability: C\n        relationship:\n          ", keys: []keyname{
		from("20-", spans("type", "10-", "", "R", "[ x ]")), spans("interfaces", "10-", "", "{}", "x"), spans("properties", "20-", "", "{}", "[ x ]"), spans("attributes", "20-", "", "{}", "[ x ]"),
		spans("description", "20-", "", "x", "[ x ]"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "interface definition", free: 13, tosca: "13-", a4c: "", before: "\ninterface_types: { I: {} }\nnode_types:\n  N:\n    interfaces:\n      i:\n        ", keys: []keyname{
		from("20-", spans("type", "13-", "", "I", "[ x ]")), text, spans("metadata", "20-", "", "{ a: b }", "x"), spans("inputs", "13-", "", "{}", "x"), spans("operations", "13-", "", "{}", "x"), spans("notifications", "13-", "", "{}", "x"),
	}},
	{name: "operation definition", tosca: "10-12", a4c: "12-", before: "\nnode_types:\n  N:\n    interfaces:\n      i:\n        o:\n          ", keys: []keyname{
		text, spans("implementation", "10-", "12-", "x.sh", "[ x ]"), spans("inputs", "10-", "12-", "{}", "x"), spans("outputs", "13-", "12-", "{}", "x"), spans("metadata", "20-", "", "{ a: b }", "x"),
		spans("dependencies", "", "12-", "[]", ""), spans("input", "", "12-", "{}", "x"),
	}},
	{name: "operation definition by its name", tosca: "13-", a4c: "", before: "\ninterface_types: { I: { operations: { o: {} } } }\nnode_types:\n  N:\n    interfaces:\n      i:\n        type: I\n        operations:\n          o:\n            ", keys: []keyname{
		text, spans("implementation", "13-", "", "x.sh", "[ x ]"), spans("inputs", "13-", "", "{}", "x"), spans("outputs", "13-", "12-", "{}", "x"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "operation assignment", tosca: "10-", a4c: "12-", before: "\nNODES\nTOPOLOGY:\n  node_templates:\n    n:\n      type: N\n      interfaces:\n        i:\n          OPERATIONS\n            o:\n              ", keys: []keyname{
		text, spans("implementation", "10-", "12-", "x.sh", "[ x ]"), spans("inputs", "10-", "12-", "{}", "x"), spans("outputs", "13-", "12-", "{}", "x"),
	}},
	{name: "notification", tosca: "13-", a4c: "", before: "\ninterface_types: { I: { notifications: { o: {} } } }\nnode_types:\n  N:\n    interfaces:\n      i:\n        type: I\n        notifications:\n          o:\n            ", keys: []keyname{
		text, spans("implementation", "13-", "", "x.sh", "[ x ]"), spans("inputs", "20-", "", "{}", "x"), spans("outputs", "13-", "12-", "{}", "x"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "implementation", tosca: "10-", a4c: "", before: "\nNODES\nTOPOLOGY:\n  node_templates:\n    n:\n      type: N\n      interfaces:\n        i:\n          OPERATIONS\n            o:\n              implementation:\n                ", keys: []keyname{
		spans("primary", "10-", "", "x.sh", "[ x ]"), spans("dependencies", "10-", "", "[]", "{ a: b }"), spans("timeout", "12-13", "", "10", "x"), spans("operation_host", "12-13", "", "SELF", "[ x ]"),
	}},
	{name: "artifact", tosca: "10-", a4c: "13-", before: "\nartifact_types: { A: {} }\nrepositories: { r: 'https://example.org' }\nnode_types:\n  N:\n    artifacts:\n      a:\n        ", keys: []keyname{
		from("20-", spans("type", "10-", "13-", "A", "[ x ]")), from("20-", spans("file", "10-", "13-", "x.sh", "[ x ]")), text, spans("repository", "10-", "13-", "r", "[ x ]"), spans("deploy_path", "10-13", "13-", "/x", "[ x ]"),
		spans("artifact_version", "13-", "", "1", "[ x ]"), spans("checksum", "13-", "", "x", "[ x ]"), spans("checksum_algorithm", "13-", "", "MD5", "[ x ]"), spans("properties", "13-", "12-", "{}", "[ x ]"),
		spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "template", tosca: "10-", a4c: "12-", before: "\nTOPOLOGY:\n  ", keys: []keyname{
		text, spans("metadata", "20-", "", "{ a: b }", "x"), spans("inputs", "10-", "12-", "{}", "x"), spans("outputs", "10-", "12-", "{}", "x"), from("20-", spans("node_templates", "10-", "12-", "{}", "x")),
		spans("relationship_templates", "10-", "", "{}", "x"), spans("groups", "10-", "12-", "{}", "x"), spans("policies", "10-", "20-", "[]", "x"), spans("workflows", "11-", "12-", "{}", "x"),
		spans("functions", "20-", "", "{}", "x"), spans("input_artifacts", "", "12-", "{}", "x"), spans("tags", "", "20-", "[ { a: b } ]", ""),
	}},
	{name: "node template", tosca: "10-", a4c: "12-", before: "\nnode_types: { N: {} }\nTOPOLOGY:\n  node_templates:\n    n:\n      ", keys: []keyname{
		must(spans("type", "10-", "12-", "N", "[ x ]")), text, spans("metadata", "10-", "12-", "{ a: b }", "x"), spans("directives", "10-", "12-", "[]", "{ a: b }"), assignProps, spans("attributes", "10-", "12-", "{}", "x"),
		spans("requirements", "10-", "12-", "[]", "x"), spans("capabilities", "10-", "12-", "{}", "x"), ifaces, spans("artifacts", "10-", "12-", "{}", "x"),
		spans("node_filter", "10-", "", "{}|{ $equal: [ 1, 1 ] }", "x|{ $nope: [] }"), spans("count", "20-", "", "1", "-1"), spans("name", "", "12-", "x", ""),
	}},
	{name: "relationship template", tosca: "10-", a4c: "", before: "\nrelationship_types: { R: {} }\nTOPOLOGY:\n  node_templates: {}\n  relationship_templates:\n    r:\n      ", keys: []keyname{
		must(spans("type", "10-", "", "R", "[ x ]")), text, spans("metadata", "10-", "", "{ a: b }", "x"), assignProps, attrs, ifaces, spans("target", "", "", "x", ""),
	}},
	{name: "requirement assignment", tosca: "10-", a4c: "12-", before: "\ncapability_types: { C: {} }\nrelationship_types: { R: {} }\nnode_types: { N: { capabilities: { c: C }, requirements: [ { r: { capability: C, relationship: R } } ] } }\nTOPOLOGY:\n  node_templates:\n    m: { type: N }\n    n:\n      type: N\n      requirements:\n      - r:\n          ", keys: []keyname{
		spans("node", "10-", "12-", "m", "{ a: b }"), spans("capability", "10-", "12-", "C", "[ x ]"), spans("relationship", "10-", "12-", "R", "[ x ]"), spans("occurrences", "10-13", "", "[ 1, 2 ]", "x"),
		spans("node_filter", "10-", "12-", "{}|{ $equal: [ 1, 1 ] }", "x|{ $nope: [] }"), spans("count", "20-", "", "1", "-1"), spans("directives", "20-", "", "[ internal ]", "{ a: b }"), spans("optional", "20-", "", "true", "maybe"), spans("allocation", "20-", "", "{}", "x"),
		spans("metadata", "20-", "", "{ a: b }", "x"), spans("description", "20-", "", "x", "[ x ]"), spans("type_requirement", "", "12-", "r", "[ x ]"), spans("properties", "", "12-", "{}", "x"),
	}},
	{name: "relationship assignment", tosca: "10-", a4c: "", before: "\ncapability_types: { C: {} }\nrelationship_types: { R: {} }\nnode_types: { N: { capabilities: { c: C }, requirements: [ { r: { capability: C, relationship: R } } ] } }\nTOPOLOGY:\n  node_templates:\n    m: { type: N }\n    n:\n      type: N\n      requirements:\n      - r:\n          node: m\n          relationship:\n            ", keys: []keyname{
		spans("type", "10-", "", "R", "[ x ]"), assignProps, attrs, ifaces, spans("metadata", "20-", "", "{ a: b }", "x"), spans("description", "20-", "", "x", "[ x ]"),
	}},
	{name: "capability assignment", tosca: "10-", a4c: "12-", before: "\ncapability_types: { C: {} }\nnode_types: { N: { capabilities: { c: C } } }\nTOPOLOGY:\n  node_templates:\n    n:\n      type: N\n      capabilities:\n        c:\n          ", keys: []keyname{
		assignProps, spans("attributes", "10-", "12-", "{}", "x"), spans("occurrences", "13", "", "[ 1, 2 ]", "x"), spans("directives", "20-", "", "[ internal ]", "{ a: b }"),
		spans("metadata", "20-", "", "{ a: b }", "x"), spans("description", "20-", "", "x", "[ x ]"), spans("type", "", "12-", "C", ""),
	}},
	{name: "node filter", tosca: "10-13", a4c: "12-", before: "\ncapability_types: { C: {} }\nrelationship_types: { R: {} }\nnode_types: { N: { capabilities: { c: C }, requirements: [ { r: { capability: C, relationship: R } } ] } }\nTOPOLOGY:\n  node_templates:\n    m: { type: N }\n    n:\n      type: N\n      requirements:\n      - r:\n          node: N\n          node_filter:\n            ", keys: []keyname{
		spans("properties", "10-13", "12-", "[]", "x"), spans("capabilities", "10-13", "12-", "[]", "x"),
	}},
	{name: "group", tosca: "10-", a4c: "12-", before: typesFor + "TOPOLOGY:\n  node_templates: {}\n  groups:\n    g:\n      ", keys: []keyname{
		must(spans("type", "10-", "", "G", "[ x ]")), spans("description", "10-", "", "x", "[ x ]"), spans("metadata", "10-", "", "{ a: b }", "x"), spans("members", "10-", "12-", "[]", "{ a: b }"),
		spans("properties", "10-", "", "{}", "[ x ]"), spans("attributes", "20-", "", "{}", "x"), spans("interfaces", "10-13", "", "{}", "x"), spans("policies", "", "12-", "[ { name: x, type: tosca.policy.ha } ]", ""), spans("targets", "", "", "[]", ""),
	}},
	{name: "policy", tosca: "10-", a4c: "20-", before: typesFor + "TOPOLOGY:\n  node_templates: {}\n  policies:\n  - p:\n      ", keys: []keyname{
		must(spans("type", "10-", "20-", "P", "[ x ]")), spans("description", "10-", "20-", "x", "[ x ]"), spans("metadata", "10-", "20-", "{ a: b }", "x"), spans("properties", "10-", "20-", "{}", "[ x ]"),
		spans("targets", "10-", "20-", "[]", "{ a: b }"), spans("triggers", "10-", "20-", "{}", "x"), spans("members", "", "", "[]", ""),
	}},
	{name: "trigger", tosca: "11-", a4c: "20-", before: typesFor + "TOPOLOGY:\n  node_templates: {}\n  workflows: { w: { steps: {} } }\n  policies:\n  - p:\n      type: P\n      triggers:\n        t:\n          ", keys: []keyname{
		spans("description", "11-", "20-", "x", "[ x ]"), must(spans("event", "11-", "20-", "e", "[ x ]")), spans("event_type", "11-12", "20-", "e", "[ x ]"), spans("schedule", "11-13", "20-", "{}", ""),
		spans("target_filter", "11-13", "20-", "{}", "x"), spans("condition", "11-", "20-", "{}", ""), from("12-", spans("action", "11-", "20-", "[ { inline: w } ]", "[ 5 ]")), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "workflow", tosca: "11-", a4c: "12-", before: "\nTOPOLOGY:\n  node_templates: {}\n  workflows:\n    w:\n      ", keys: []keyname{
		text, spans("metadata", "11-", "12-", "{ a: b }", "x"), spans("inputs", "11-", "12-", "{}", "x"), spans("preconditions", "11-13", "12-", "[]", "x"), spans("precondition", "20-", "", "{ $equal: [ 1, 1 ] }", "{ $nope: [] }"),
		spans("steps", "11-", "12-", "{}", "x"), spans("outputs", "13-", "12-", "{}", "x"), spans("tags", "", "", "[]", ""),
	}},
	{name: "step", tosca: "11-", a4c: "20-", before: "\nnode_types: { N: {} }\nTOPOLOGY:\n  node_templates: { n: { type: N } }\n  workflows:\n    w:\n      steps:\n        s2: { target: n, activities: [ { set_state: x } ] }\n        s:\n          ", keys: []keyname{
		must(spans("target", "11-", "20-", "n", "[ x ]")), spans("operation_host", "11-13", "20-", "SELF", "[ x ]"), spans("filter", "11-", "20-", "[]", "x"), must(spans("activities", "11-", "20-", "[ { set_state: x } ]", "x")),
		spans("on_success", "11-", "20-", "[ s2 ]", "{ a: b }"), spans("on_failure", "11-", "20-", "[ s2 ]", "{ a: b }"), spans("description", "20-", "", "x", "[ x ]"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "step of Alien4Cloud 1", tosca: "", a4c: "12-14", before: "\nnode_types: { N: {} }\nTOPOLOGY:\n  node_templates: { n: { type: N } }\n  workflows:\n    w:\n      steps:\n        s2: { node: n, activity: { set_state: x } }\n        s:\n          ", keys: []keyname{
		spans("node", "", "12-14", "n", "[ x ]"), spans("activity", "", "12-14", "{ set_state: x }", "x"), spans("on-success", "", "12-14", "[ s2 ]", "{ a: b }"),
	}},
	{name: "substitution mapping", tosca: "10-", a4c: "12-", before: "\nnode_types: { N: {} }\nTOPOLOGY:\n  node_templates: {}\n  substitution_mappings:\n    ", keys: []keyname{
		from("20-", spans("node_type", "10-", "12-", "N", "[ x ]")), spans("substitution_filter", "13-", "", "{}|{ $equal: [ 1, 1 ] }", "x|{ $nope: [] }"), spans("properties", "10-", "12-", "{}", "x"), spans("attributes", "13-", "12-", "{}", "x"),
		spans("capabilities", "10-", "12-", "{}", "x"), spans("requirements", "10-", "12-", "{}", "x"), spans("interfaces", "12-", "12-", "{}", "x"), spans("description", "20-", "", "x", "[ x ]"), spans("metadata", "20-", "", "{ a: b }", "x"), spans("artifacts", "", "", "{}", ""),
	}},
	{name: "function", tosca: "20-", a4c: "", before: "\nfunctions:\n  f:\n    ", keys: []keyname{
		must(spans("signatures", "20-", "", "[ {} ]", "x")), text, spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
	{name: "signature", tosca: "20-", a4c: "", before: "\nfunctions:\n  f:\n    signatures:\n    - description: x\n      ", keys: []keyname{
		spans("arguments", "20-", "", "[ string ]", "x"), spans("optional_arguments", "20-", "", "[ { type: string } ]", "x"), spans("variadic", "20-", "", "true", "maybe"), spans("result", "20-", "", "string", "[ x ]"),
		spans("implementation", "20-", "", "x.sh", "[ x ]"), spans("metadata", "20-", "", "{ a: b }", "x"),
	}},
}
