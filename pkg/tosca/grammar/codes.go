package grammar

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: CodeVersion, Title: "The tosca_definitions_version is missing or unknown", Text: "Every document begins with tosca_definitions_version, which selects its dialect: tosca_simple_yaml_1_0 to 1_3, tosca_2_0, alien_dsl_1_2_0 to 3_0_0, yorc_tosca_simple_yaml_1_0, cloudify_dsl_1_0 to 1_5."},
		diag.Code{ID: CodeUnknownKeyname, Title: "An unknown keyname", Text: "The section has no such keyname in this version of the language. An error in TOSCA, a warning in Alien4Cloud's dialects, whose parser ignores unknown keynames. The hint says whether another version has it."},
		diag.Code{ID: CodeMissingKeyname, Title: "A required keyname is missing", Text: "For example a node template without type, or an output without value."},
		diag.Code{ID: CodeForm, Title: "A section or value has the wrong form", Text: "For example a list where the language has a map. Requirements and policies are lists of one-key maps (lines that begin with a dash); most other sections are maps."},
		diag.Code{ID: CodeEmpty, Title: "A section is empty", Text: "In TOSCA 2.0 a keyname without a value is an error: remove it or fill it in."},
		diag.Code{ID: CodeProfile, Title: "A profile with a service template", Text: "A document with the keyname `profile` names a collection of types for others to import, and TOSCA 2.0 says that it must not have a service_template (§6.1, §6.7.1). It is only a warning, as OASIS' own tests have such documents: the template can be deployed, and whoever imports the document by its profile does not see it."},
		diag.Code{ID: CodeFunction, Title: "A function call is malformed", Text: "The function is unknown or has the wrong number of arguments. In TOSCA 1.x a call is a map with one key, such as { get_input: name }; in TOSCA 2.0 the name begins with a dollar sign, and $$ escapes it."},
		diag.Code{ID: "unknown-node", Title: "There is no such node template", Text: "A requirement, group, policy, workflow step or expression names a node template (or group) that the topology does not have."},
	)
}

func init() {
	diag.Register(
		diag.Code{ID: "unknown-plugin", Title: "No such plugin is declared", Text: "A Cloudify operation is mapped to plugin.module.function, but no plugin of that name is declared or imported, and there is no such file either."},
		diag.Code{ID: "self-relationship", Title: "A node has a relationship to itself", Text: "The target of a relationship must be another node template."},
		diag.Code{ID: "unknown-group", Title: "There is no such group", Text: "A scaling policy's targets are groups of the blueprint."},
	)
}
