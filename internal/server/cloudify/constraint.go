package cloudify

import (
	"maps"
	"net/http"
	"slices"
)

// searchBody is that of POST /searches/….
type searchBody struct {
	Rules       []rule         `json:"filter_rules"`
	Constraints map[string]any `json:"constraints"`
}

// namedBy is the attribute that the name patterns and valid values of a search are about; of other kinds it is the id.
var namedBy = map[string]string{"deployments": "display_name", "secrets": "key", "node-types": "type", "scaling-groups": "name"}

// ofDeployment are kinds that are searched within one deployment.
var ofDeployment = []string{"nodes", "node-types", "capabilities", "scaling-groups"}

// savedRules adds the rules of a query's saved filter, and of the body of a search.
func (s *Server) savedRules(q *request, kind string, l *listing) error {
	if id := q.QueryParam("_filter_id"); id != "" {
		if err := s.savedFilter(q, kind, id, l); err != nil {
			return err
		}
	}
	if q.Request().Method != http.MethodPost {
		return nil
	}
	var b searchBody
	if err := q.optionalBody(&b); err != nil {
		return err
	}
	for _, r := range b.Rules {
		if err := r.check(attributes[kind]); err != nil {
			return err
		}
	}
	l.rules = append(l.rules, b.Rules...)
	if id, ok := b.Constraints["filter_id"].(string); ok {
		if err := s.savedFilter(q, kind, id, l); err != nil {
			return err
		}
	}
	if err := l.constrain(kind, b.Constraints); err != nil {
		return err
	}
	if slices.Contains(ofDeployment, kind) && len(b.Constraints) > 0 && len(l.equal["deployment_id"])+len(l.equal["blueprint_id"]) == 0 {
		return badParameters("Please provide a valid 'deployment_id' parameter or have a relevant key in the constraints.")
	}
	return nil
}

func (s *Server) savedFilter(q *request, kind, id string, l *listing) error {
	r, found, err := s.shelf.filters.get(q.Request().Context(), q.tenant, kind+"/"+id)
	if err != nil {
		return err
	}
	if !found {
		return notFound("Filter", id)
	}
	l.rules = append(l.rules, r.Rules...)
	return nil
}

// constrain reads what the constraints of an input allow: names by pattern, labels, the deployment that things are of.
func (l *listing) constrain(kind string, constraints map[string]any) error {
	name := namedBy[kind]
	if name == "" {
		name = "id"
	}
	attr := func(key, operator string, values []string) {
		l.rules = append(l.rules, rule{Key: key, Values: values, Operator: operator, Type: "attribute"})
	}
	for _, key := range slices.Sorted(maps.Keys(constraints)) {
		v := constraints[key]
		switch key {
		case "name_pattern", "display_name_specs", "id_specs", "type_specs", "scaling_group_name_specs":
			about := map[string]string{"display_name_specs": "display_name", "id_specs": "id", "type_specs": "type", "scaling_group_name_specs": "name"}[key]
			if about == "" {
				about = name
			}
			patterns, err := namePatterns(key, v)
			if err != nil {
				return err
			}
			for _, p := range patterns {
				attr(about, p.operator, p.values)
			}
		case "labels":
			for _, m := range asMaps(v) {
				for _, k := range slices.Sorted(maps.Keys(m)) {
					l.rules = append(l.rules, rule{Key: k, Values: texts([]any{m[k]}), Operator: "any_of", Type: "label"})
				}
			}
		case "valid_values":
			attr(name, "any_of", texts(v))
		case "tenants":
			attr("tenant_name", "any_of", texts(v))
		case "deployment_id", "blueprint_id":
			if l.equal[key] != nil {
				return badParameters("You should provide either a valid '%s' parameter or have a '%s' key in the constraints, not both.", key, key)
			}
			id, ok := v.(string)
			if !ok {
				return badParameters("The constraint %s must be a text", key)
			}
			if slices.Contains(attributes[kind], key) {
				l.equal[key] = []string{id}
			}
		case "filter_id":
		default:
			return badParameters("Unknown constraint: %s", key)
		}
	}
	return nil
}

type namePattern struct {
	operator string
	values   []string
}

// namePatterns reads {"starts_with": "a", "ends_with": ["b", "c"]}.
func namePatterns(key string, v any) (out []namePattern, err error) {
	specs, ok := v.(map[string]any)
	if !ok {
		return nil, badParameters("The constraint %s must be a map of operators to texts", key)
	}
	for _, op := range slices.Sorted(maps.Keys(specs)) {
		values := texts(specs[op])
		if s, ok := specs[op].(string); ok {
			values = []string{s}
		}
		operator := op
		if op == "equals_to" {
			operator = "any_of"
		}
		if len(values) == 0 || !slices.Contains(operators["attribute"], operator) {
			return nil, badParameters("The constraint %s cannot be read: its operators are contains, starts_with, ends_with and equals_to, with texts", key)
		}
		out = append(out, namePattern{operator, values})
	}
	return out, nil
}

func asMaps(v any) (out []map[string]any) {
	list, _ := v.([]any)
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
