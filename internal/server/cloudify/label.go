package cloudify

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// label of a blueprint or deployment.
type label struct {
	Key     string  `json:"key"`
	Value   string  `json:"value"`
	Created *string `json:"created_at"`
	By      string  `json:"created_by"`
}

// labelRecord is a label as it is stored.
type labelRecord struct {
	Key     string    `json:"k"`
	Value   string    `json:"v"`
	Created time.Time `json:"t"`
	By      string    `json:"by"`
}

func labels(list []labelRecord) []label {
	out := []label{}
	for _, l := range list {
		out = append(out, label{l.Key, l.Value, stamp(l.Created), l.By})
	}
	return out
}

// wishedLabels are those in a body, in all forms that clients write: [{"k": "v"}], [{"k": ["v", "w"]}], [{"key": "k", "value": "v"}].
type wishedLabels [][2]string

var labelKey = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z._-]*$`)

// UnmarshalJSON reads every form.
func (w *wishedLabels) UnmarshalJSON(b []byte) error {
	var list []map[string]any
	if err := json.Unmarshal(b, &list); err != nil {
		return badParameters("Labels must be a list of 1-entry maps: [{<key>: <value>}, …]")
	}
	*w = wishedLabels{}
	for _, m := range list {
		if k, ok := m["key"].(string); ok && len(m) >= 2 {
			if v, ok := m["value"].(string); ok {
				*w = append(*w, [2]string{k, v})
				continue
			}
		}
		if len(m) != 1 {
			return badParameters("Labels must be a list of 1-entry maps: [{<key>: <value>}, …]")
		}
		for k, v := range m {
			if err := w.add(k, v); err != nil {
				return err
			}
		}
	}
	return w.check()
}

func (w *wishedLabels) add(key string, v any) error {
	switch t := v.(type) {
	case string:
		*w = append(*w, [2]string{key, t})
		return nil
	case []any:
		for _, x := range t {
			s, ok := x.(string)
			if !ok {
				return badParameters("The value of label `%s` must be a text", key)
			}
			*w = append(*w, [2]string{key, s})
		}
		return nil
	}
	return badParameters("The value of label `%s` must be a text or a list of texts", key)
}

// check refuses keys that cannot be written in filters, and brings the keys to lower case as Cloudify does.
func (w wishedLabels) check() error {
	for i := range w {
		w[i][0] = strings.ToLower(strings.TrimSpace(w[i][0]))
		key, value := w[i][0], w[i][1]
		switch {
		case len(key) == 0 || len(key) > 256 || len(value) == 0 || len(value) > 256:
			return badParameters("The key and the value of a label must have from 1 to 256 characters")
		case !labelKey.MatchString(key):
			return badParameters("The label's key `%s` contains illegal characters. Only letters, digits and the characters `-`, `_` and `.` are allowed", key)
		case strings.ContainsAny(value, "\"\n\t"):
			return badParameters("The label's value %q contains illegal characters", value)
		case strings.HasPrefix(key, "csys-") && !slices.Contains(reservedLabels, key):
			return badParameters("All labels with a `csys-` prefix are reserved for internal use. Allowed `csys-` prefixed labels are: %s", strings.Join(reservedLabels, ", "))
		}
	}
	return nil
}

var reservedLabels = []string{"csys-obj-name", "csys-obj-type", "csys-env-type", "csys-wrcp-services", "csys-location-name", "csys-location-lat", "csys-location-long",
	"csys-obj-parent", "csys-consumer-id", "csys-blueprint-icon"}

// records makes labels of wished ones; those that exist keep their age.
func (w wishedLabels) records(have []labelRecord, by string, at time.Time) []labelRecord {
	out := []labelRecord{}
	for _, kv := range w {
		l := labelRecord{Key: kv[0], Value: kv[1], Created: at, By: by}
		if i := slices.IndexFunc(have, func(h labelRecord) bool { return h.Key == l.Key && h.Value == l.Value }); i >= 0 {
			l = have[i]
		}
		if !slices.ContainsFunc(out, func(o labelRecord) bool { return o.Key == l.Key && o.Value == l.Value }) {
			out = append(out, l)
		}
	}
	return out
}

// rule of a filter.
type rule struct {
	Key      string   `json:"key"`
	Values   []string `json:"values"`
	Operator string   `json:"operator"`
	Type     string   `json:"type"`
}

var operators = map[string][]string{
	"label":     {"any_of", "not_any_of", "is_null", "is_not_null", "is_not"},
	"attribute": {"any_of", "not_any_of", "contains", "not_contains", "starts_with", "ends_with", "is_not_empty"},
}

// check refuses rules that mean nothing; attributes are the ones a rule may name.
func (r rule) check(attributes []string) error {
	bad := func(why string) error {
		return refused("invalid_filter_rule", "The filter rule %s is not in the right format. %s", r, why)
	}
	ops := operators[r.Type]
	switch {
	case ops == nil:
		return bad("Its type must be label or attribute")
	case r.Key == "":
		return bad("It has no key")
	case !slices.Contains(ops, r.Operator):
		return bad("The operator of a rule of type " + r.Type + " must be one of " + strings.Join(ops, ", "))
	case r.Type == "attribute" && !slices.Contains(attributes, r.Key):
		return bad("The attribute must be one of " + strings.Join(attributes, ", "))
	}
	empty := r.Operator == "is_null" || r.Operator == "is_not_null" || r.Operator == "is_not_empty"
	if empty && len(r.Values) > 0 {
		return bad("An operator " + r.Operator + " has no values")
	}
	if !empty && len(r.Values) == 0 {
		return bad("It has no values")
	}
	return nil
}

// String is the rule as clients wrote it.
func (r rule) String() string {
	return fmt.Sprintf("{'key': '%s', 'values': %q, 'operator': '%s', 'type': '%s'}", r.Key, r.Values, r.Operator, r.Type)
}

func holdAll(rules []rule, doc any) bool {
	return !slices.ContainsFunc(rules, func(r rule) bool { return !r.holds(doc) })
}

func (r rule) holds(doc any) bool {
	if r.Type == "label" {
		return r.label(labelsOf(doc))
	}
	v := attributeOf(doc, r.Key)
	some := func(test func(have, want string) bool) bool {
		return slices.ContainsFunc(r.Values, func(want string) bool { return test(v, want) })
	}
	switch r.Operator {
	case "any_of":
		return slices.Contains(r.Values, v)
	case "not_any_of":
		return !slices.Contains(r.Values, v)
	case "contains":
		return some(func(a, b string) bool { return strings.Contains(strings.ToLower(a), strings.ToLower(b)) })
	case "not_contains":
		return !some(func(a, b string) bool { return strings.Contains(strings.ToLower(a), strings.ToLower(b)) })
	case "starts_with":
		return some(func(a, b string) bool { return strings.HasPrefix(strings.ToLower(a), strings.ToLower(b)) })
	case "ends_with":
		return some(func(a, b string) bool { return strings.HasSuffix(strings.ToLower(a), strings.ToLower(b)) })
	}
	return v != ""
}

func (r rule) label(list []label) bool {
	has := slices.ContainsFunc(list, func(l label) bool { return l.Key == r.Key })
	any := slices.ContainsFunc(list, func(l label) bool { return l.Key == r.Key && slices.Contains(r.Values, l.Value) })
	switch r.Operator {
	case "any_of":
		return any
	case "not_any_of": // of those that have the label
		return has && !any
	case "is_not": // also of those that do not
		return !any
	case "is_null":
		return !has
	}
	return has
}
