package topology

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: CodeValueType, Title: "A value is not of its declared type", Text: "For example a map where an integer is declared. Numbers are accepted where a text, version or float is declared."},
		diag.Code{ID: CodeValueFormat, Title: "A value is malformed", Text: "Values of the scalar-unit types need a number and a known unit (4 GB, 2.5 GHz, 30 s), versions begin with numbers separated by dots, timestamps look like 2026-01-31T12:00:00Z, ranges are lists [lower, upper]."},
		diag.Code{ID: CodeConstraint, Title: "A value breaks a constraint", Text: "The property's or data type's definition restricts its values (equal, in_range, valid_values, length, pattern … or a TOSCA 2.0 validation clause). Values that are computed later are checked when they are known."},
		diag.Code{ID: CodeUnknownKey, Title: "A data type has no such property", Text: "The value of a structured data type has a key that the type does not declare, or an expression asks for one."},
		diag.Code{ID: CodeMissingKey, Title: "A structured value lacks a required property", Text: "The data type declares the property as required and without a default. A warning in Alien4Cloud's dialects."},
		diag.Code{ID: "expression", Title: "An expression cannot be evaluated", Text: "A function refers to something that does not exist, or its arguments do not fit."},
		diag.Code{ID: "foreign-workflow", Title: "A workflow is code of another orchestrator", Text: "A Cloudify blueprint maps workflows of its own to Python code, which runs inside Cloudify only. The blueprint loads and its built-in workflows run; this one is refused when it is asked for."},
		diag.Code{ID: "unknown-delegate", Title: "There is no such part of the life cycle", Text: "A delegate activity names what is done with the node: install (deploy), uninstall (undeploy), start, stop, restart, run or cancel. A workflow of the topology is run by an inline activity."},
		diag.Code{ID: "unknown-input", Title: "There is no such input", Text: "get_input, a value given for a deployment, or a call names an input that is not declared."},
		diag.Code{ID: "missing-input", Title: "A required input has no value", Text: "The input is declared without a default and not as optional. Give it with --input name=value or in an inputs file. Validation alone needs no inputs."},
	)
}
