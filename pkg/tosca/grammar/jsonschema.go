package grammar

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SchemaID is where the schemas are published.
const SchemaID = "https://raw.githubusercontent.com/orch-project/orch/main/docs/schema/"

type object = map[string]any

// JSONSchema writes a dialect's form as JSON Schema (draft 7, which editors read), for what it can say: keynames, kinds of values, what must be
// there. Names and types of values are the validator's.
func (o *Outline) JSONSchema() map[string]any {
	defs := object{}
	for _, name := range slices.Sorted(maps.Keys(o.Sections)) {
		defs[name] = o.section(o.Sections[name])
	}
	defs["constraint"] = o.constraint()
	defs["activity"] = o.activity()
	root := defs["document"].(object)
	delete(defs, "document")
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["$id"] = SchemaID + o.SchemaFile()
	root["title"] = o.Title
	root["definitions"] = defs
	return root
}

// SchemaFile is the name of the dialect's schema.
func (o *Outline) SchemaFile() string { return o.name() + ".json" }

// name is the dialect's usual version.
func (o *Outline) name() string {
	for _, v := range o.Versions {
		if !strings.Contains(v, "/") {
			return v
		}
	}
	return o.Versions[0]
}

// AnySchema chooses the schema of a document's own tosca_definitions_version.
func AnySchema() map[string]any {
	var versions, cases []any
	for _, o := range Outlines() {
		var own []any
		for _, v := range o.Versions {
			own = append(own, v)
		}
		versions = append(versions, own...)
		cases = append(cases, object{
			"if":   object{"properties": object{"tosca_definitions_version": object{"enum": own}}, "required": []any{"tosca_definitions_version"}},
			"then": object{"$ref": o.SchemaFile()},
		})
	}
	return object{
		"$schema": "http://json-schema.org/draft-07/schema#", "$id": SchemaID + "tosca.json", "title": "TOSCA, Alien4Cloud, Yorc and Cloudify documents",
		"type": "object", "required": []any{"tosca_definitions_version"},
		"properties": object{"tosca_definitions_version": object{"enum": versions}}, "allOf": cases,
	}
}

func (o *Outline) section(s *Section) object {
	props := object{}
	for _, k := range slices.Sorted(maps.Keys(s.Keynames)) {
		p := o.shape(s.Keynames[k])
		if text := KeynameText(s.Name, k); text != "" {
			if p["$ref"] != nil { // draft 7 ignores what stands beside a reference
				p = object{"allOf": []any{p}}
			}
			p["description"] = text
		}
		props[k] = p
	}
	out := object{"type": "object", "properties": props}
	switch {
	case s.Extra != nil:
		out["additionalProperties"] = o.shape(s.Extra)
	case !s.Open:
		out["additionalProperties"] = false
	}
	switch {
	case len(s.Required) > 0 && s.Keynames["copy"] != nil: // what is copied has it
		out["anyOf"] = []any{object{"required": list(s.Required)}, required("copy")}
	case len(s.Required) > 0:
		out["required"] = list(s.Required)
	}
	return out
}

func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// scalars are the types of what YAML reads from a text without quotes.
func (o *Outline) scalars(more ...string) []any {
	out := []any{"string", "number", "boolean", "null"}
	return append(out, list(more)...)
}

// null adds the null that most dialects let stand for an empty section.
func (o *Outline) null(schema object) object {
	if !o.Nulls {
		return schema
	}
	return object{"anyOf": []any{schema, object{"type": "null"}}}
}

// shape is a value that may be null.
func (o *Outline) shape(s *Shape) object {
	switch s.Kind {
	case TextShape:
		return object{"type": o.scalars()}
	case VersionShape:
		return object{"enum": list(o.Versions)}
	case FlagShape:
		if o.Nulls {
			return object{"enum": []any{true, false, nil, "true", "false", "True", "False", "yes", "no", "on", "off"}}
		}
		return object{"enum": []any{true, false, nil}}
	case AnyShape:
		return object{}
	case RangeShape:
		return object{"type": []any{"array", "null"}, "items": object{"type": []any{"string", "integer"}}, "minItems": 2, "maxItems": 2}
	case EitherShape:
		return o.alternatives(s)
	}
	return o.null(o.strict(s))
}

// strict is a section, map or list that is there.
func (o *Outline) strict(s *Shape) object {
	switch s.Kind {
	case SectionShape:
		return object{"$ref": "#/definitions/" + s.Section}
	case ConstraintShape, ActivityShape:
		return object{"$ref": "#/definitions/" + map[ShapeKind]string{ConstraintShape: "constraint", ActivityShape: "activity"}[s.Kind]}
	case MapShape:
		return object{"type": "object", "additionalProperties": o.shape(s.Of)}
	case ListShape:
		return object{"type": "array", "items": o.shape(s.Of)}
	case OneKeyShape:
		if o.Short { // entries may have further keys, and a map may stand for the list
			return object{"type": []any{"array", "object"}, "items": object{"type": "object", "minProperties": 1}}
		}
		return object{"type": "array", "items": object{"type": "object", "additionalProperties": o.shape(s.Of), "minProperties": 1, "maxProperties": 1}}
	}
	return o.shape(s)
}

func (o *Outline) alternatives(s *Shape) object {
	var alts []any
	for _, a := range s.Alts {
		if a.Kind == AnyShape {
			return object{}
		}
		alts = append(alts, o.strict(a))
	}
	if o.Nulls {
		alts = append(alts, object{"type": "null"})
	}
	return object{"anyOf": alts}
}

// constraint is a map with one operator (filters also take a plain value).
func (o *Outline) constraint() object {
	ops := object{}
	for op, args := range constraintOps {
		ops[op] = object{}
		if args == 2 {
			ops[op] = object{"type": "array", "minItems": 2, "maxItems": 2}
		}
	}
	if o.Short {
		for camel, op := range camelOps {
			ops[camel] = ops[op]
		}
	}
	return object{"type": "object", "properties": ops, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}
}

func (o *Outline) activity() object {
	named := func(key string) object {
		return object{"anyOf": []any{
			object{"type": "string"},
			object{"type": "object", "properties": object{key: object{"type": "string"}, "inputs": object{"type": []any{"object", "null"}}}, "required": []any{key}},
		}}
	}
	return object{
		"type": "object", "minProperties": 1,
		"properties": object{
			"delegate": named("workflow"), "inline": named("workflow"), "call_operation": named("operation"), "set_state": object{"type": "string"},
		},
		"anyOf": []any{required("delegate"), required("inline"), required("call_operation"), required("set_state")},
	}
}

func required(key string) object { return object{"required": []any{key}} }

// String names a shape in messages and completions.
func (s *Shape) String() string {
	switch s.Kind {
	case SectionShape:
		return strings.ReplaceAll(s.Section, "_", " ")
	case MapShape:
		return fmt.Sprintf("map of %s", s.Of)
	case ListShape, OneKeyShape:
		return fmt.Sprintf("list of %s", s.Of)
	case EitherShape:
		var parts []string
		for _, a := range s.Alts {
			parts = append(parts, a.String())
		}
		return strings.Join(parts, " or ")
	case TextShape:
		if s.Ref != "" {
			return strings.ReplaceAll(s.Ref, "_", " ")
		}
		return "text"
	}
	return map[ShapeKind]string{
		AnyShape: "any value", FlagShape: "true or false", RangeShape: "[least, most]", VersionShape: "version", ConstraintShape: "constraint", ActivityShape: "activity",
	}[s.Kind]
}
