package grammar

import (
	"slices"
	"strconv"
	"strings"
)

// Levels of versions in the tables: TOSCA 1.0 → 10 … 2.0 → 20; Alien4Cloud 1.2.0 → 12 … 3.0.0 → 30.
//
// A keyname is written "name", "name@12" (from 1.2 on), "name@-12" (until 1.2) or "name@11-12".

// toscaKeys are the keynames of TOSCA 1.0–2.0 (Simple Profile 1.3 §3, TOSCA 2.0 §6–§15).
var toscaKeys = map[string]string{
	"document": `tosca_definitions_version metadata description dsl_definitions repositories imports artifact_types data_types capability_types
		relationship_types node_types interface_types group_types policy_types topology_template@-13 service_template@20 functions@20
		namespace@12-13 profile@20 template_name@-13 template_author@-13 template_version@-13 tosca_default_namespace@-13`,
	"import":     `file@-13 url@20 profile@20 repository namespace_uri@-13 namespace_prefix@-13 namespace@20 description@20 metadata@20`,
	"repository": `url description credential@-13 metadata@20`,
	"credential": ``,

	"type":              `derived_from version metadata description`,
	"node_type":         `properties attributes capabilities requirements interfaces artifacts`,
	"relationship_type": `properties attributes interfaces valid_target_types@-13 valid_capability_types@20 valid_target_node_types@20 valid_source_node_types@20`,
	"capability_type":   `properties attributes valid_source_types@-13 valid_source_node_types@20 valid_relationship_types@20`,
	"interface_type":    `inputs operations@13 notifications@13`,
	"data_type": `properties constraints@-13 key_schema@13 entry_schema@13 validation@20 data_type@20 units@20 canonical_unit@20 prefixes@20
		attributes@20`,
	"artifact_type": `mime_type file_ext properties`,
	"group_type":    `properties attributes members interfaces@-13 targets@-11 capabilities@11-13 requirements@11-13`,
	"policy_type":   `properties targets triggers`,

	"property": `type description required default status constraints@-13 key_schema@13 entry_schema metadata@13 external-schema@13-13
		external_schema@13-13 value@20 validation@20`,
	"attribute": `type description default status key_schema@13 entry_schema metadata@13 constraints@13-13 validation@20`,
	"input": `type description required default status constraints@-13 key_schema@13 entry_schema metadata@13 value@13 validation@20 mapping@20
		external-schema@13-13`,
	"output": `type description required value default@-13 status constraints@-13 key_schema@13 entry_schema metadata@13 validation@20 mapping@20`,
	"schema": `type description constraints@-13 key_schema@13 entry_schema validation@20 metadata@20 required@-13 default@-13 status@-13`,

	"capability_definition":   `type description properties attributes valid_source_types@-13 occurrences@-13 valid_source_node_types@20 valid_relationship_types@20 metadata@13`,
	"requirement_definition":  `capability node relationship occurrences@-13 count_range@20 node_filter@13 description@13 metadata@13`,
	"relationship_in_def":     `type interfaces properties@20 attributes@20 description@20 metadata@20`,
	"interface_in_type":       `type inputs operations@13 notifications@13 description metadata@20`,
	"operation":               `description implementation inputs outputs@13 metadata@20`,
	"notification":            `description implementation outputs inputs@20 metadata@20`,
	"implementation":          `primary dependencies timeout@12-13 operation_host@12-13 description@20 metadata@20`,
	"implementation_inline":   `type file repository description deploy_path@-13 artifact_version@13 checksum@13 checksum_algorithm@13 properties@13 metadata@20`,
	"artifact":                `type file repository description deploy_path@-13 artifact_version@13 checksum@13 checksum_algorithm@13 properties@13 metadata@20`,
	"topology":                `description inputs node_templates relationship_templates groups policies outputs substitution_mappings workflows@11 metadata@20 functions@20`,
	"node_template":           `type description metadata directives properties attributes requirements capabilities interfaces artifacts node_filter copy count@20`,
	"relationship_template":   `type description metadata properties attributes interfaces copy`,
	"requirement":             `node capability relationship node_filter occurrences@-13 count@20 directives@20 optional@20 allocation@20 metadata@20 description@20`,
	"relationship_assignment": `type properties attributes interfaces description@20 metadata@20`,
	"capability_assignment":   `properties attributes occurrences@13-13 directives@20 description@20 metadata@20`,
	"node_filter":             `properties capabilities`,
	"group":                   `type description metadata members properties attributes@20 interfaces@-13`,
	// TOSCA 1.0 has no triggers, but tosca-parser and heat-translator read them there, and their users write them.
	"policy":       `type description metadata properties targets triggers`,
	"trigger":      `description event event_type@-12 schedule@-13 target_filter@-13 condition action metadata@20`,
	"workflow":     `description metadata inputs preconditions@-13 precondition@20 steps implementation@13 outputs@13`,
	"step":         `target target_relationship operation_host@-13 filter activities on_success on_failure description@20 metadata@20`,
	"function":     `signatures@20 description@20 metadata@20`,
	"signature":    `arguments@20 optional_arguments@20 variadic@20 result@20 implementation@20 description@20 metadata@20`,
	"substitution": `node_type substitution_filter@13 properties attributes@13 capabilities requirements interfaces@12 description@20 metadata@20`,
}

// alienKeys are the keynames of Alien4Cloud's dialects, from its parser's mapping files.
var alienKeys = map[string]string{
	"document": `tosca_definitions_version metadata description dsl_definitions repositories imports artifact_types data_types capability_types
		relationship_types node_types group_types policy_types@20 topology_template template_name template_author template_version
		tosca_default_namespace tags`,
	"import":     `file repository namespace_uri namespace_prefix`,
	"repository": `url description credential type`,

	"type":              `derived_from metadata description abstract tags version`,
	"node_type":         `properties attributes capabilities requirements interfaces artifacts portability`,
	"relationship_type": `properties attributes interfaces valid_target_types valid_target valid_targets valid_source_types valid_sources artifacts`,
	"capability_type":   `properties attributes valid_source_types`,
	"interface_type":    `inputs operations`,
	"data_type":         `properties constraints`,
	"artifact_type":     `mime_type file_ext properties`,
	"group_type":        `properties attributes members interfaces targets`,
	"policy_type":       `properties targets triggers`,

	"property":  `type description required default status constraints entry_schema suggestion value@30`,
	"attribute": `type description default status entry_schema required constraints`,
	"input":     `type description required default status constraints entry_schema value@30 suggestion`,
	"output":    `value description type`,
	"schema":    `type description constraints entry_schema required default`,

	"capability_definition":   `type description properties attributes valid_source_types valid_sources occurrences upper_bound upperBound lower_bound lowerBound`,
	"requirement_definition":  `capability node relationship occurrences node_filter description capability_name type target_type relationship_type lower_bound upper_bound lowerBound upperBound`,
	"relationship_in_def":     `type interfaces properties`,
	"interface_in_type":       `type inputs operations description`,
	"operation":               `description implementation inputs input dependencies outputs output operation_host portability`,
	"notification":            `description implementation outputs`,
	"implementation":          `primary dependencies timeout operation_host file type repository artifact`,
	"implementation_inline":   `type file repository description properties artifact`,
	"artifact":                `type file repository description deploy_path properties artifact_repository archive_name archive_version repository_url repository_credential`,
	"topology":                `description inputs node_templates groups policies@20 outputs substitution_mappings workflows input_artifacts tags@20`,
	"node_template":           `type description metadata properties attributes requirements capabilities interfaces artifacts directives tags name`,
	"relationship_template":   `type description metadata properties attributes interfaces`,
	"requirement":             `node capability relationship type_requirement properties artifacts interfaces relationship_type node_filter`,
	"relationship_assignment": `type properties attributes interfaces artifacts`,
	"capability_assignment":   `properties attributes type`,
	"node_filter":             `properties capabilities`,
	"group":                   `members policies`,
	"policy":                  `type description metadata properties targets triggers`,
	"trigger":                 `description event event_type schedule target_filter condition action`,
	"workflow":                `description metadata inputs steps preconditions outputs`,
	"step":                    `node target target_relationship operation_host filter activity activities on-success on_success on_failure on_cancel`,
	"substitution":            `node_type properties attributes capabilities requirements interfaces`,
}

// keyset is the keynames of one section at one level.
type keyset struct {
	known map[string]bool
	names []string
	// others are the keynames of other versions, for hints.
	others map[string]string
}

func (k *keyset) add(name string) {
	if !k.known[name] {
		k.known[name] = true
		k.names = append(k.names, name)
	}
}

// keysAt makes the tables of one level.
func keysAt(table map[string]string, level int) map[string]*keyset {
	out := make(map[string]*keyset, len(table))
	for section, text := range table {
		k := &keyset{known: map[string]bool{}, others: map[string]string{}}
		for f := range strings.FieldsSeq(text) {
			name, span, _ := strings.Cut(f, "@")
			from, to := levels(span)
			if level >= from && level <= to {
				k.add(name)
			} else {
				k.others[name] = span
			}
		}
		if len(k.names) > 0 || len(k.others) == 0 { // a section of other versions is none
			out[section] = k
		}
	}
	for _, kind := range []string{"node_type", "relationship_type", "capability_type", "interface_type", "data_type", "artifact_type", "group_type", "policy_type"} {
		for _, name := range out["type"].names {
			out[kind].add(name)
		}
	}
	return out
}

func levels(span string) (from, to int) {
	from, to = 0, 99
	lo, hi, isRange := strings.Cut(span, "-")
	if n, err := strconv.Atoi(lo); err == nil {
		from = n
	}
	if n, err := strconv.Atoi(hi); isRange && err == nil {
		to = n
	}
	return from, to
}

// union merges tables: Yorc reads both TOSCA's and Alien4Cloud's keynames.
func union(a, b map[string]*keyset) map[string]*keyset {
	out := map[string]*keyset{}
	for _, t := range []map[string]*keyset{a, b} {
		for section, k := range t {
			if out[section] == nil {
				out[section] = &keyset{known: map[string]bool{}, others: map[string]string{}}
			}
			for _, n := range k.names {
				out[section].add(n)
			}
		}
	}
	return out
}

// spanText says in which versions a keyname exists.
func spanText(span string, a4c bool) string {
	from, to := levels(span)
	v := func(n int) string { return strconv.Itoa(n/10) + "." + strconv.Itoa(n%10) }
	switch {
	case from > 0 && to < 99 && from != to:
		return "it exists in versions " + v(from) + " to " + v(to) + " only"
	case from > 0 && to < 99:
		return "it exists in version " + v(from) + " only"
	case from > 0:
		return "it exists from version " + v(from) + " on"
	}
	return "it exists until version " + v(to) + " only"
}

func (k *keyset) sorted() []string { return slices.Sorted(slices.Values(k.names)) }
