package cloudify

import (
	"context"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// listing is what a client asks of a list:
//
//	_size=10&_offset=20          a page; _size=0 asks for the total only
//	_sort=-created_at            repeatable; label:key for labels
//	_include=id,state            only these fields
//	_search=text                 a part of the id (_search_name: of the display name)
//	field=value                  repeatable: any of the values
//	_filter_id=name              a saved filter; rules of a body count as well
type listing struct {
	size, offset int
	sort         []order
	include      []string
	equal        map[string][]string
	search, name string
	rules        []rule
	allTenants   bool
}

type order struct {
	field string
	down  bool
}

const defaultSize = 1000

// passed are the parameters of a list that mean something to single kinds only, or nothing here.
var passed = []string{"_size", "_offset", "_sort", "_include", "_search", "_search_name", "_search_or", "_filter_id", "_get_all_results", "_get_data", "_all_tenants",
	"_include_system_workflows", "_group_id", "_dependencies_of", "_evaluate_functions", "_instance_context", "_skip_value", "_range", "_reserved",
	"_node_instances_context", "_environments_only", "_in_any_group", "_include_hash", "_include_metadata"}

// listing reads the query for documents of type T.
func listingOf[T any](q *request) (listing, error) {
	l := listing{size: defaultSize, equal: map[string][]string{}}
	have := indexOf(reflect.TypeFor[T]())
	query := q.QueryParams()
	var err error
	if l.include, err = includes[T](query); err != nil {
		return l, err
	}
	if err := l.page(query); err != nil {
		return l, err
	}
	for _, s := range query["_sort"] {
		for one := range strings.SplitSeq(s, ",") {
			o := order{field: strings.TrimLeft(one, "+- "), down: strings.HasPrefix(one, "-")}
			o.field = strings.TrimPrefix(o.field, "@")
			if _, ok := have[o.field]; !ok && !strings.HasPrefix(o.field, "label:") {
				return l, badParameters("Cannot sort by `%s`: there is no such field", o.field)
			}
			l.sort = append(l.sort, o)
		}
	}
	for key, vals := range query {
		switch _, ok := have[key]; {
		case ok:
			l.equal[key] = vals
		case !slices.Contains(passed, key):
			return l, badParameters("Filter keys '%s' are not allowed; the fields are %s", key, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
		}
	}
	l.search, l.name = query.Get("_search"), query.Get("_search_name")
	l.allTenants, err = parseBool("_all_tenants", query.Get("_all_tenants"))
	return l, err
}

// includes reads _include.
func includes[T any](query url.Values) (out []string, err error) {
	have := indexOf(reflect.TypeFor[T]())
	for _, part := range query["_include"] {
		for name := range strings.SplitSeq(part, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if _, ok := have[name]; !ok {
				return nil, refused("no_such_include_field_error", "Field `%s` does not exist; the fields are %s", name, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
			}
			out = append(out, name)
		}
	}
	return out, nil
}

func (l *listing) page(query url.Values) error {
	for _, p := range []struct {
		name string
		into *int
	}{{"_size", &l.size}, {"_offset", &l.offset}} {
		s := query.Get(p.name)
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return badParameters("Invalid pagination %s: `%s` must be a number from 0 on", strings.TrimPrefix(p.name, "_"), s)
		}
		*p.into = n
	}
	all, err := parseBool("_get_all_results", query.Get("_get_all_results"))
	if all {
		l.size = int(^uint(0) >> 1)
	}
	return err
}

// wants reports whether a field is to be in the answer.
func (l *listing) wants(names ...string) bool {
	if len(l.include) == 0 {
		return true
	}
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(l.include, n) })
}

// uses reports whether the query looks at a field of documents that are not on the page.
func (l *listing) uses(names ...string) bool {
	for _, n := range names {
		if l.equal[n] != nil || slices.ContainsFunc(l.sort, func(o order) bool { return o.field == n }) ||
			slices.ContainsFunc(l.rules, func(r rule) bool { return r.Key == n }) {
			return true
		}
	}
	return false
}

// page of documents, as every list is answered.
type page struct {
	Items    any      `json:"items"`
	Metadata metadata `json:"metadata"`
}

type metadata struct {
	Pagination pagination `json:"pagination"`
	// Filtered documents are those that the filter rules hide.
	Filtered *int `json:"filtered,omitempty"`
}

type pagination struct {
	Total  int `json:"total"`
	Size   int `json:"size"`
	Offset int `json:"offset"`
}

// labelled documents can be chosen and sorted by their labels.
type labelled interface{ labels() []label }

// answerList filters, sorts and cuts documents; complete, if it is not nil, fills in what only those of the page need.
func answerList[T any](ctx context.Context, q *request, l listing, docs []T, complete func(context.Context, *T) error) (any, error) {
	kept := make([]T, 0, len(docs))
	hidden := 0
	for _, d := range docs {
		switch {
		case !l.matches(d):
		case !holdAll(l.rules, d):
			hidden++
		default:
			kept = append(kept, d)
		}
	}
	l.order(kept, func(i int) reflect.Value { return reflect.ValueOf(kept[i]) }, func(i int) []label { return labelsOf(kept[i]) })
	total := len(kept)
	from := min(l.offset, total)
	to := from + min(l.size, total-from)
	items := make([]any, 0, to-from)
	for i := from; i < to; i++ {
		if complete != nil {
			if err := complete(ctx, &kept[i]); err != nil {
				return nil, err
			}
		}
		items = append(items, project(kept[i], l.include))
	}
	if q.api == v1 {
		return items, nil
	}
	p := page{Items: items, Metadata: metadata{Pagination: pagination{total, l.size, l.offset}}}
	if len(l.rules) > 0 {
		p.Metadata.Filtered = &hidden
	}
	return p, nil
}

func labelsOf(doc any) []label {
	if x, ok := doc.(labelled); ok {
		return x.labels()
	}
	return nil
}

// matches checks the fields that a query names, and the searches.
func (l *listing) matches(doc any) bool {
	v := reflect.ValueOf(doc)
	for name, vals := range l.equal {
		have := text(field(v, name))
		if !slices.ContainsFunc(vals, func(s string) bool { return s == have || strings.EqualFold(s, have) && isBool(have) }) {
			return false
		}
	}
	id, name := l.text(v, "id", l.search), l.text(v, "display_name", l.name)
	if l.search != "" && l.name != "" {
		return id || name // either will do, as cfy's search means it
	}
	return id && name
}

func isBool(s string) bool { return s == "true" || s == "false" }

func (l *listing) text(doc reflect.Value, name, part string) bool {
	if _, ok := indexOf(doc.Type())[name]; !ok || part == "" {
		return true
	}
	return strings.Contains(strings.ToLower(text(field(doc, name))), strings.ToLower(part))
}

// order sorts stably by the wished fields.
func (l *listing) order(docs any, at func(int) reflect.Value, labels func(int) []label) {
	if len(l.sort) == 0 {
		return
	}
	v := reflect.ValueOf(docs)
	idx := make([]int, v.Len())
	for i := range idx {
		idx[i] = i
	}
	slices.SortStableFunc(idx, func(a, b int) int {
		for _, o := range l.sort {
			var c int
			if key, ok := strings.CutPrefix(o.field, "label:"); ok {
				c = compare(labelValue(labels(a), key), labelValue(labels(b), key))
			} else {
				c = compare(field(at(a), o.field), field(at(b), o.field))
			}
			if o.down {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	sorted := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	for i, j := range idx {
		sorted.Index(i).Set(v.Index(j))
	}
	reflect.Copy(v, sorted)
}

func labelValue(list []label, key string) string {
	for _, l := range list {
		if l.Key == key {
			return l.Value
		}
	}
	return ""
}

// answerOne answers with a document, or the fields of it that the client wants.
func answerOne[T any](q *request, doc T) (any, error) {
	names, err := includes[T](q.QueryParams())
	if err != nil {
		return nil, err
	}
	return project(doc, names), nil
}
