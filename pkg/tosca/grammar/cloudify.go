package grammar

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// cloudifyKeys are the keynames of cloudify_dsl 1.0 to 1.5 (levels 10 to 15).
var cloudifyKeys = map[string]string{
	"document": `tosca_definitions_version description@12 metadata imports dsl_definitions@12 inputs data_types@12 plugins node_types relationships
		node_templates workflows groups policies@13 policy_types policy_triggers outputs capabilities labels blueprint_labels resource_tags@13
		deployment_settings upload_resources interfaces imported_blueprints namespaces_mapping`,
	"type": ``, "capability_type": ``, "interface_type": ``, "artifact_type": ``, "group_type": ``,
	"node_type":         `derived_from properties interfaces runtime_properties@15`,
	"relationship_type": `derived_from properties source_interfaces target_interfaces`,
	"data_type":         `derived_from properties description version`,
	"policy_type":       `properties source`,
	"policy_trigger":    `parameters source`,
	"plugin": `executor source install install_arguments@11 package_name@12 package_version@12 supported_platform@12 distribution@12
		distribution_version@12 distribution_release@12 properties@15 properties_description@15`,
	"property":        `type item_type@14 default description required@12 constraints display_label hidden display`,
	"input":           `type item_type@14 default description required constraints display_label@13 hidden@13 display`,
	"param":           `type item_type@14 default description required constraints`,
	"output":          `description value`,
	"label":           `values`,
	"node_template":   `type properties instances capabilities@13 interfaces relationships`,
	"instances":       `deploy`,
	"scalable":        `properties`,
	"instance_counts": `default_instances min_instances max_instances`,
	"relationship":    `type target properties source_interfaces target_interfaces`,
	"operation":       `implementation inputs executor max_retries@11 retry_interval@11 timeout timeout_recoverable`,
	"workflow":        `mapping parameters is_cascading availability_rules@14`,
	"group":           `members policies`,
	"group_policy":    `type properties triggers`,
	"trigger":         `type parameters`,
	"scaling_policy":  `type targets properties`,
	"settings":        `default_schedules default_groups id_template display_name`,
	"schedule": `workflow since until recurring recurrence weekdays count timezone default_enabled stop_after_fail slip execution_arguments
		workflow_parameters`,
	"execution_arguments": `force dry_run is_dry_run wait_after_fail allow_custom_parameters`,
	"availability_rules":  `available node_instances_active node_types_required`,
}

// cloudifyFunctions with their least and most arguments.
var cloudifyFunctions = map[string]arity{
	"get_input": {1, 0}, "get_property": {2, 0}, "get_attribute": {2, 0}, "get_attributes_list": {2, 0}, "get_attributes_dict": {2, 0}, "get_secret": {1, 0},
	"get_capability": {2, 0}, "get_group_capability": {2, 0}, "get_environment_capability": {1, 0}, "get_label": {1, 2}, "get_sys": {2, 2},
	"get_consumers": {1, 1}, "concat": {1, 0}, "merge": {1, 0}, "string_find": {2, 2}, "string_replace": {3, 4}, "string_split": {2, 3},
	"string_lower": {1, 1}, "string_upper": {1, 1},
}

// IsCloudifyFunction reports whether a name is that of one of Cloudify's intrinsic functions.
func IsCloudifyFunction(name string) bool {
	_, ok := cloudifyFunctions[name]
	return ok
}

// cloudifyExpressions are Cloudify's intrinsic functions: a map with one key that is a function's name, or that key beside `type`.
type cloudifyExpressions struct {
	expressions
	noConcat bool
}

func (e *cloudifyExpressions) Call(n *source.Node) (fn string, args []*source.Node, problem, hint string, ok bool) {
	if n.Is(source.Mapping) && len(n.Pairs) == 2 && n.Get("type") != nil {
		for _, p := range n.Pairs {
			if _, known := e.fns[p.Key.Text]; known {
				n = &source.Node{Kind: source.Mapping, Tag: "!!map", Pairs: []source.Pair{p}, Pos: n.Pos}
				break
			}
		}
	}
	fn, args, problem, hint, ok = e.expressions.Call(n)
	if !ok || problem != "" {
		return
	}
	arg := n.Pairs[0].Value
	switch {
	case fn == "concat" && e.noConcat:
		problem, hint = "concat needs cloudify_dsl_1_1 or later", "raise the tosca_definitions_version"
	case (fn == "merge" || fn == "concat" || strings.HasPrefix(fn, "string_") && cloudifyFunctions[fn].least > 1) && !arg.Is(source.Sequence):
		if _, _, _, _, nested := e.Call(arg); !nested {
			problem = fn + " needs a list of arguments"
		}
	case fn == "get_sys":
		problem = sysProblem(args)
	case fn == "get_consumers" && args[0].Is(source.Scalar) && !slices.Contains([]string{"ids", "names", "count"}, args[0].Text):
		problem = "get_consumers takes ids, names or count, not " + args[0].Text
	case fn == "get_secret" && len(args) > 1:
		// The secret's text is JSON, of which a part is wanted.
		whole := &source.Node{Kind: source.Mapping, Tag: "!!map", Pos: n.Pos, Pairs: []source.Pair{{Key: n.Pairs[0].Key, Value: args[0]}}}
		return "secret_field", append([]*source.Node{whole}, args[1:]...), "", "", true
	}
	return
}

func sysProblem(args []*source.Node) string {
	known := map[string][]string{"tenant": {"name"}, "deployment": {"id", "name", "blueprint", "owner"}}
	entity, property := args[0], args[1]
	if !entity.Is(source.Scalar) || !property.Is(source.Scalar) {
		return ""
	}
	if known[entity.Text] == nil {
		return fmt.Sprintf("get_sys: there is no system entity %q; known are tenant and deployment", entity.Text)
	}
	if !slices.Contains(known[entity.Text], property.Text) {
		return fmt.Sprintf("get_sys: %s has no %q; it has %s", entity.Text, property.Text, strings.Join(known[entity.Text], ", "))
	}
	return ""
}

// cloudify is one version of the dialect.
type cloudify struct{ *family }

func cloudifyDialect(minor int) cloudify {
	level := 10 + minor
	fns := maps.Clone(cloudifyFunctions)
	if level < 13 {
		delete(fns, "merge")
	}
	return cloudify{&family{
		versions: []string{fmt.Sprintf("cloudify_dsl_1_%d", minor)},
		title:    fmt.Sprintf("Cloudify DSL 1.%d", minor),
		keys:     keysAt(cloudifyKeys, level),
		unknown:  diag.Error,
		level:    level,
		traits: document.Traits{
			Expressions: &cloudifyExpressions{expressions: expressions{fns: fns}, noConcat: level < 11},
			Order:       topology.Cloudify,
			YAML11:      true, Open: true, Replace: true, YAMLTypes: true, External: "use_external_resource",
		},
	}}
}

func init() {
	for minor := range 6 {
		Register(cloudifyDialect(minor))
	}
}

// BlueprintOptions of DecodeBlueprint.
type BlueprintOptions struct {
	// Version whose rules count: the main blueprint's.
	Version string
	// Plugins that are declared anywhere: their names lead operations' implementations. Incomplete: some could not be found, so that a name
	// that is not among them is no mistake of its own.
	Plugins    []string
	Incomplete bool
	// PolicyTypes and Triggers that are declared anywhere.
	PolicyTypes, Triggers []string
	// Exists reports a file of the blueprint; nil: none is known.
	Exists func(name string) bool
	// Library documents come with plugins: they have no version, and their keynames are not held against the blueprint's.
	Library bool
}

// DecodeBlueprint decodes a blueprint whose imports have been merged, or a plugin's document.
func DecodeBlueprint(root *source.Node, o BlueprintOptions, diags *diag.List) *document.Document {
	c, ok := dialects[o.Version].(cloudify)
	if !ok || o.Library {
		c = dialects["cloudify_dsl_1_5"].(cloudify)
	}
	b := &blueprint{decoder: &decoder{family: c.family, diags: diags}, o: o}
	return b.document(root)
}

// Decode implements Dialect for a blueprint without its imports.
func (c cloudify) Decode(root *source.Node, o Options, diags *diag.List) *document.Document {
	names := func(section string) []string {
		var out []string
		for k := range root.Get(section).All() {
			out = append(out, k.Text)
		}
		return out
	}
	version := root.Get("tosca_definitions_version").Str()
	if version == "" {
		version = o.Version
	}
	return DecodeBlueprint(root, BlueprintOptions{
		Version: version, Plugins: names("plugins"), PolicyTypes: names("policy_types"), Triggers: names("policy_triggers"),
		Incomplete: root.Get("imports") != nil,
	}, diags)
}
