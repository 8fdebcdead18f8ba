package cloudify

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// filterRecord is a saved filter of blueprints or deployments.
type filterRecord struct {
	owned
	Kind  string `json:"kind"`
	Rules []rule `json:"rules"`
}

type filterDocument struct {
	common
	Value      []rule  `json:"value"`
	Labels     []rule  `json:"labels_filter_rules"`
	Attributes []rule  `json:"attrs_filter_rules"`
	Updated    *string `json:"updated_at"`
	System     bool    `json:"is_system_filter"`
}

func filterOf(r filterRecord) filterDocument {
	d := filterDocument{common: r.common(), Value: orEmpty(r.Rules), Labels: []rule{}, Attributes: []rule{}, Updated: stamp(r.Updated)}
	_, d.ID, _ = strings.Cut(r.ID, "/")
	for _, x := range r.Rules {
		if x.Type == "label" {
			d.Labels = append(d.Labels, x)
		} else {
			d.Attributes = append(d.Attributes, x)
		}
	}
	return d
}

// attributes that rules may name, by kind.
var attributes = map[string][]string{
	"blueprints":     {"id", "state", "created_by", "visibility", "tenant_name", "main_file_name", "description"},
	"deployments":    {"id", "display_name", "blueprint_id", "site_name", "created_by", "visibility", "tenant_name", "installation_status", "deployment_status", "latest_execution_status"},
	"executions":     {"id", "deployment_id", "workflow_id", "status", "created_by", "visibility", "tenant_name"},
	"nodes":          {"id", "deployment_id", "blueprint_id", "type", "created_by", "visibility", "tenant_name"},
	"node-instances": {"id", "deployment_id", "node_id", "state", "created_by", "visibility", "tenant_name"},
	"secrets":        {"id", "key", "created_by", "visibility", "tenant_name"},
	"node-types":     {"deployment_id", "type"},
	"capabilities":   {"deployment_id"},
	"scaling-groups": {"deployment_id", "name"},
}

// filterKind is what the saved filters of a path are about.
type filterKind string

// routes of the kind's filters.
func (k filterKind) routes() []route {
	base := "/filters/" + string(k)
	return []route{{http.MethodGet, base, v3_1, tenantly, everywhere(k.list)}, {http.MethodPut, base + "/:id", v3_1, tenantly, k.create},
		{http.MethodGet, base + "/:id", v3_1, tenantly, k.one}, {http.MethodPatch, base + "/:id", v3_1, tenantly, k.update}, {http.MethodDelete, base + "/:id", v3_1, tenantly, k.remove}}
}

func (k filterKind) key(q *request) string { return string(k) + "/" + q.param("id") }

type filterBody struct {
	Rules      []rule `json:"filter_rules"`
	Visibility string `json:"visibility"`
}

func (k filterKind) body(q *request) (b filterBody, err error) {
	if err := q.body(&b); err != nil {
		return b, err
	}
	for _, r := range b.Rules {
		if err := r.check(attributes[string(k)]); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (k filterKind) list(s *Server, q *request) (any, error) {
	l, err := listingOf[filterDocument](q)
	if err != nil {
		return nil, err
	}
	all, err := s.shelf.filters.all(q.Request().Context(), q.tenant)
	if err != nil {
		return nil, err
	}
	docs := []filterDocument{}
	for _, r := range all {
		if r.Kind == string(k) {
			docs = append(docs, filterOf(r))
		}
	}
	return answerList(q.Request().Context(), q, l, docs, nil)
}

func (k filterKind) create(s *Server, q *request) (any, error) {
	if err := checkID("filter_id", q.param("id"), false); err != nil {
		return nil, err
	}
	b, err := k.body(q)
	if err != nil {
		return nil, err
	}
	if len(b.Rules) == 0 {
		return nil, badParameters("A filter must have a rule at least")
	}
	vis, err := visibility(b.Visibility, false)
	if err != nil {
		return nil, err
	}
	now := s.opts.now()
	r := filterRecord{owned: owned{ID: k.key(q), Tenant: q.tenant, By: q.user(), Visibility: vis, Created: now, Updated: now}, Kind: string(k), Rules: b.Rules}
	err = s.shelf.filters.change(q.Request().Context(), q.tenant, r.ID, func(have *filterRecord) (*filterRecord, error) {
		if have != nil {
			return nil, existing("filter", q.param("id"))
		}
		return &r, nil
	})
	if err != nil {
		return nil, err
	}
	return filterOf(r), nil
}

func (k filterKind) one(s *Server, q *request) (any, error) {
	r, found, err := s.shelf.filters.get(q.Request().Context(), q.tenant, k.key(q))
	if err == nil && !found {
		err = notFound("Filter", q.param("id"))
	}
	if err != nil {
		return nil, err
	}
	return answerOne(q, filterOf(r))
}

func (k filterKind) update(s *Server, q *request) (any, error) {
	b, err := k.body(q)
	if err != nil {
		return nil, err
	}
	r, err := s.shelf.filters.edit(q.Request().Context(), "Filter", q.tenant, k.key(q), func(r *filterRecord) error {
		if b.Rules != nil {
			r.Rules = b.Rules
		}
		if b.Visibility != "" {
			v, err := visibility(b.Visibility, false)
			if err != nil {
				return err
			}
			r.Visibility = v
		}
		r.Updated = s.opts.now()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return filterOf(r), nil
}

func (k filterKind) remove(s *Server, q *request) (any, error) {
	ctx := q.Request().Context()
	if _, err := s.shelf.filters.edit(ctx, "Filter", q.tenant, k.key(q), func(*filterRecord) error { return nil }); err != nil {
		return nil, err
	}
	if err := s.shelf.filters.remove(ctx, q.tenant, k.key(q)); err != nil {
		return nil, err
	}
	return nothing()
}

// labelKeys lists the keys of the labels of a kind, or the values of one key.
func labelKeys(of func(ctx context.Context, s *Server, tenant string) ([][]labelRecord, error)) handler {
	return func(s *Server, q *request) (any, error) {
		reserved, err := q.flag("_reserved")
		if err != nil {
			return nil, err
		}
		var items []string
		if reserved {
			items = slices.Clone(reservedLabels)
		} else {
			all, err := of(q.Request().Context(), s, q.tenant)
			if err != nil {
				return nil, err
			}
			found := map[string]bool{}
			for _, list := range all {
				for _, l := range list {
					switch key := strings.ToLower(q.param("key")); key {
					case "":
						found[l.Key] = true
					case l.Key:
						found[l.Value] = true
					}
				}
			}
			items = slices.Sorted(maps.Keys(found))
		}
		var l listing
		l.size = defaultSize
		if err := l.page(q.QueryParams()); err != nil {
			return nil, err
		}
		total := len(items)
		from := min(l.offset, total)
		return page{Items: orEmpty(items[from : from+min(l.size, total-from)]), Metadata: metadata{Pagination: pagination{total, l.size, l.offset}}}, nil
	}
}

func deploymentLabels(ctx context.Context, s *Server, tenant string) (out [][]labelRecord, err error) {
	all, err := s.shelf.deployments.all(ctx, tenant)
	for _, d := range all {
		out = append(out, d.Labels)
	}
	return out, err
}

func blueprintLabels(ctx context.Context, s *Server, tenant string) (out [][]labelRecord, err error) {
	all, err := s.blueprintRecords(ctx)
	for _, b := range all {
		out = append(out, b.Labels)
	}
	return out, err
}

// summary counts documents by a field, and by a second one within it.
func summary[T any](kind string, docs func(*Server, *request) ([]T, error)) handler {
	return func(s *Server, q *request) (any, error) {
		have := indexOfDocument[T]()
		target, sub := q.QueryParam("_target_field"), q.QueryParam("_sub_field")
		for _, f := range []string{target, sub} {
			if _, ok := have[f]; f != "" && !ok || f == "" && target == "" {
				return nil, badParameters("Field %s is not summarizable; the fields are %s", f, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
			}
		}
		all, err := docs(s, q)
		if err != nil {
			return nil, err
		}
		return count(kind, target, sub, all), nil
	}
}

func count[T any](kind, target, sub string, docs []T) any {
	byTarget, bySub := map[string]int{}, map[string]map[string]int{}
	for _, d := range docs {
		t := attributeOf(d, target)
		byTarget[t]++
		if sub != "" {
			if bySub[t] == nil {
				bySub[t] = map[string]int{}
			}
			bySub[t][attributeOf(d, sub)]++
		}
	}
	items := []map[string]any{}
	for _, t := range slices.Sorted(maps.Keys(byTarget)) {
		item := map[string]any{target: t, kind: byTarget[t]}
		if sub != "" {
			parts := []map[string]any{}
			for _, v := range slices.Sorted(maps.Keys(bySub[t])) {
				parts = append(parts, map[string]any{sub: v, kind: bySub[t][v]})
			}
			item["by "+sub] = parts
		}
		items = append(items, item)
	}
	return page{Items: items, Metadata: metadata{Pagination: pagination{len(items), defaultSize, 0}}}
}
