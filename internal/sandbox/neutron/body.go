package neutron

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/rest"
)

// opt is an attribute that may be absent, null or a value.
type opt[T any] struct {
	Set, Null bool
	V         T
}

func (o *opt[T]) UnmarshalJSON(data []byte) error {
	o.Set = true
	if string(data) == "null" {
		o.Null = true
		return nil
	}
	return json.Unmarshal(data, &o.V)
}

// or is the value, or other when it is absent or null.
func (o opt[T]) or(other T) T {
	if !o.Set || o.Null {
		return other
	}
	return o.V
}

// boolean accepts OpenStack's spellings of truth.
type boolean bool

func (b *boolean) UnmarshalJSON(data []byte) error {
	v, err := rest.ParseBool(strings.Trim(string(data), `"`))
	if err != nil || string(data) == `""` {
		return &valueError{strings.Trim(string(data), `"`), "cannot be converted to boolean"}
	}
	*b = boolean(v)
	return nil
}

// integer accepts numbers and their texts, as Neutron's converters do.
type integer int

func (n *integer) UnmarshalJSON(data []byte) error {
	var v int
	if _, err := fmt.Sscanf(strings.Trim(string(data), `"`), "%d", &v); err != nil {
		return &valueError{strings.Trim(string(data), `"`), "is not an integer"}
	}
	*n = integer(v)
	return nil
}

// valueError is a value that a type refuses.
type valueError struct{ value, reason string }

func (e *valueError) Error() string { return fmt.Sprintf("'%s' %s", e.value, e.reason) }

// decode reads an attribute body; each attribute on its own, so that errors name it.
func decode(body json.RawMessage, into map[string]any) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return rest.Bad("Resource body required")
	}
	for _, name := range slices.Sorted(maps.Keys(into)) {
		value, ok := raw[name]
		if !ok {
			continue
		}
		err := json.Unmarshal(value, into[name])
		var bad *valueError
		var typ *json.UnmarshalTypeError
		switch {
		case err == nil:
		case errors.As(err, &bad):
			return badInput("%s", bad)
		case errors.As(err, &typ):
			return rest.Bad("Invalid input for %s. Reason: '%s' is not a valid %s.", name, strings.Trim(string(value), `"`), typeName(typ))
		default:
			return rest.Bad("Invalid input for %s. Reason: '%s' is not valid.", name, strings.Trim(string(value), `"`))
		}
	}
	return nil
}

func typeName(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "string"
	case "slice":
		return "list"
	case "map", "struct":
		return "dictionary"
	}
	return e.Type.Kind().String()
}

// common are the attributes of every kind.
var common = map[string]string{"name": "cu", "description": "cu", "tenant_id": "c", "project_id": "c"}

// readOnly are shown, and refused with a text of their own in bodies.
var readOnly = []string{"id", "status", "tags", "created_at", "updated_at", "revision_number"}

// check verifies a body's attribute names against the table and returns the project it is for.
func (k *kind) check(c *rest.Call, body json.RawMessage, method string) (string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return "", rest.Bad("Resource body required")
	}
	flag, verb := "c", "create"
	if method == "PUT" {
		flag, verb = "u", "update"
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		flags, ok := k.attrs[name]
		if !ok {
			flags, ok = common[name]
		}
		switch {
		case !ok && !slices.Contains(readOnly, name):
			unknown = append(unknown, "'"+name+"'")
		case !strings.Contains(flags, flag):
			return "", rest.Bad("Attribute '%s' not allowed in %s", name, method)
		case (strings.Contains(flags, "a") || strings.Contains(flags, "A") && method == "PUT") && !c.Admin() && !harmless(raw[name]):
			return "", disallowed(fmt.Sprintf("(rule:%s_%s and rule:%s_%s:%s)", verb, k.one, verb, k.one, name))
		}
	}
	if unknown != nil {
		return "", rest.Bad("Unrecognized attribute(s) '%s'", strings.Trim(strings.Join(unknown, ", "), "'"))
	}
	if method == "POST" {
		for _, name := range k.required {
			if _, ok := raw[name]; !ok {
				return "", rest.Bad("Failed to parse request. Required attribute '%s' not specified", name)
			}
		}
	}
	return k.projectOf(c, raw)
}

// harmless values of administrators' attributes are what policy takes for their default.
func harmless(raw json.RawMessage) bool { return string(raw) == "false" || string(raw) == "null" }

func (k *kind) projectOf(c *rest.Call, raw map[string]json.RawMessage) (string, error) {
	project := c.Project()
	for _, name := range []string{"tenant_id", "project_id"} {
		var want string
		if raw[name] == nil || json.Unmarshal(raw[name], &want) != nil || want == "" || want == project {
			continue
		}
		if !c.Admin() {
			return "", rest.Bad("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges")
		}
		project = want
	}
	return project, nil
}

// setText copies name and description when given.
func setText(name, description *string, n, d opt[string]) {
	if n.Set {
		*name = n.V
	}
	if d.Set {
		*description = d.V
	}
}

func parseAddr(attr, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return a, rest.Bad("Invalid input for %s. Reason: '%s' is not a valid IP address.", attr, text)
	}
	return a, nil
}

// parsePrefix reads a block; bits behind the prefix are dropped, as Neutron's converter does.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, badInput("%s is not in a CIDR format", text)
	}
	return p.Masked(), nil
}
