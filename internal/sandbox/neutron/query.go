package neutron

import (
	"reflect"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/rest"
)

// notFilters are query parameters that shape the list and do not choose from it.
var notFilters = []string{"fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse"}

// filter chooses by any attribute; values of one parameter are alternatives, parameters must all hold.
func (k *kind) filter(docs []rest.Doc, c *rest.Call) ([]rest.Doc, error) {
	out := docs
	for name, values := range c.Query {
		if slices.Contains(notFilters, name) {
			continue
		}
		match := k.matcher(name, values)
		if match == nil {
			// Unknown names are refused (the filter-validation extension), or a typing error would choose everything.
			if len(docs) > 0 && !k.knows(docs[0], name) {
				return nil, rest.Bad("['%s'] is invalid attribute for filtering", name)
			}
			match = func(d rest.Doc) bool { return matches(d[name], values) }
		}
		out = slices.DeleteFunc(slices.Clone(out), func(d rest.Doc) bool { return !match(d) })
	}
	return out, nil
}

func (k *kind) knows(doc rest.Doc, name string) bool {
	if _, ok := doc[name]; ok {
		return true
	}
	_, ok := k.attrs[name]
	return ok
}

func (k *kind) matcher(name string, values []string) func(rest.Doc) bool {
	if f := k.filters[name]; f != nil {
		return func(d rest.Doc) bool { return f(d, values) }
	}
	var want []string
	for _, v := range values {
		want = append(want, strings.Split(v, ",")...)
	}
	has := func(d rest.Doc) func(string) bool {
		return func(tag string) bool { return slices.Contains(d["tags"].([]string), tag) }
	}
	all := func(d rest.Doc) bool { return !slices.ContainsFunc(want, func(t string) bool { return !has(d)(t) }) }
	any := func(d rest.Doc) bool { return slices.ContainsFunc(want, has(d)) }
	switch name {
	case "tags":
		return all
	case "tags-any":
		return any
	case "not-tags":
		return func(d rest.Doc) bool { return !all(d) }
	case "not-tags-any":
		return func(d rest.Doc) bool { return !any(d) }
	case "changed_since":
		return func(d rest.Doc) bool { return rest.Text(d["updated_at"]) >= values[0] }
	}
	return nil
}

// matches compares an attribute with the alternatives; a list matches when it contains one.
func matches(v any, values []string) bool {
	if list := reflect.ValueOf(v); v != nil && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			if matches(list.Index(i).Interface(), values) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(values, func(want string) bool { return rest.Equal(v, want) })
}

func sortDocs(docs []rest.Doc, c *rest.Call, k *kind) error {
	names, dirs := c.Query["sort_key"], c.Query["sort_dir"]
	if len(dirs) != len(names) {
		return rest.Bad("The number of sort_keys and sort_dirs must be same")
	}
	var keys []rest.SortKey
	for i, name := range names {
		if len(docs) > 0 && !k.knows(docs[0], name) {
			return rest.Bad("['%s'] is invalid attribute for sort_keys", name)
		}
		if dirs[i] != "asc" && dirs[i] != "desc" {
			return rest.Bad("%s is invalid value for sort_dirs, valid value is 'asc' and 'desc'", dirs[i])
		}
		keys = append(keys, rest.SortKey{Name: name, Desc: dirs[i] == "desc"})
	}
	rest.Sort(docs, keys)
	return nil
}

// selectFields keeps the wanted attributes only.
func selectFields(docs []rest.Doc, fields []string) []rest.Doc {
	if len(fields) == 0 {
		if docs == nil {
			return []rest.Doc{}
		}
		return docs
	}
	out := []rest.Doc{}
	for _, d := range docs {
		small := rest.Doc{}
		for _, f := range fields {
			if v, ok := d[f]; ok {
				small[f] = v
			}
		}
		out = append(out, small)
	}
	return out
}
