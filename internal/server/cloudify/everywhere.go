package cloudify

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
)

// everywhere makes a list answer _all_tenants: it asks for the list of each tenant in which the user has a role, and sorts and cuts what comes back.
func everywhere(list handler) handler {
	return func(s *Server, q *request) (any, error) {
		all, err := q.flag("_all_tenants")
		if err != nil {
			return nil, err
		}
		if !all || s.opts.Peer == nil {
			return list(s, q)
		}
		ctx := q.Request().Context()
		who, err := s.roles(ctx, q)
		if err != nil {
			return nil, err
		}
		var l listing
		l.size, l.equal = defaultSize, map[string][]string{}
		if err := l.page(q.QueryParams()); err != nil {
			return nil, err
		}
		var items []any
		hidden := 0
		seen := map[string]bool{}
		for _, tenant := range slices.Sorted(maps.Keys(who)) {
			part, err := s.opts.Peer(tenant).listFor(ctx, q, list, who[tenant])
			if err != nil {
				return nil, err
			}
			if part.Metadata.Filtered != nil {
				hidden += *part.Metadata.Filtered
			}
			for _, x := range part.Items.([]any) { // each tenant shows what is global
				key := attributeOf(x, "tenant_name") + "\x00" + attributeOf(x, "deployment_id") + "\x00" + attributeOf(x, "id")
				if !seen[key] || attributeOf(x, "id") == "" {
					seen[key] = true
					items = append(items, x)
				}
			}
		}
		return l.cut(q, items, hidden)
	}
}

// roles are the tenants that who asks may look into, with the role in each.
func (s *Server) roles(ctx context.Context, q *request) (map[string]orch.Role, error) {
	if !q.who.Allows(orch.ServerAdmin) {
		out := maps.Clone(q.who.Tenants)
		if len(out) == 0 {
			out = map[string]orch.Role{q.tenant: q.who.Role}
		}
		maps.DeleteFunc(out, func(_ string, r orch.Role) bool { return !r.Allows(orch.Viewer) })
		return out, nil
	}
	all, err := s.accounts().Tenants(ctx)
	out := map[string]orch.Role{orch.DefaultTenant: orch.ServerAdmin}
	for _, t := range all {
		out[t.Name] = orch.ServerAdmin
	}
	return out, err
}

// listFor is the whole list of this server's tenant, as the request has asked for that of all.
func (s *Server) listFor(ctx context.Context, q *request, list handler, role orch.Role) (page, error) {
	who := q.who
	who.Tenant, who.Role = s.opts.Tenant, role
	query := url.Values{"_get_all_results": {"true"}}
	for key, vals := range q.QueryParams() {
		switch key {
		case "_all_tenants", "_size", "_offset", "_sort", "_include", "_get_all_results":
		default:
			query[key] = vals
		}
	}
	r := q.Request().Clone(orch.WithTenant(orch.WithIdentity(ctx, who), s.opts.Tenant))
	r.URL.RawQuery = query.Encode()
	if q.Request().Method == http.MethodPost {
		body, err := q.repeatable()
		if err != nil {
			return page{}, err
		}
		r.Body = body
	}
	c := s.echo.NewContext(r, q.Response())
	res, err := list(s, &request{Context: c, Server: s, api: max(q.api, v2), who: who, tenant: s.opts.Tenant})
	p, _ := res.(page)
	if p.Items == nil {
		p.Items = []any{}
	}
	return p, err
}

// cut sorts documents as a query asks, and returns its page of them.
func (l *listing) cut(q *request, items []any, hidden int) (any, error) {
	include := strings.FieldsFunc(strings.Join(q.QueryParams()["_include"], ","), func(r rune) bool { return r == ',' })
	for _, s := range q.QueryParams()["_sort"] {
		for one := range strings.SplitSeq(s, ",") {
			l.sort = append(l.sort, order{strings.TrimPrefix(strings.TrimLeft(one, "+- "), "@"), strings.HasPrefix(one, "-")})
		}
	}
	if len(items) > 0 {
		have := indexOf(reflect.TypeOf(items[0]))
		for _, o := range l.sort {
			if _, ok := have[o.field]; !ok && !strings.HasPrefix(o.field, "label:") {
				return nil, badParameters("Cannot sort by `%s`: there is no such field", o.field)
			}
		}
		for _, name := range include {
			if _, ok := have[name]; !ok {
				return nil, refused("no_such_include_field_error", "Field `%s` does not exist; the fields are %s", name, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
			}
		}
		l.order(items, func(i int) reflect.Value { return reflect.ValueOf(items[i]) }, func(i int) []label { return labelsOf(items[i]) })
	}
	total := len(items)
	from := min(l.offset, total)
	out := make([]any, 0, min(l.size, total-from))
	for _, x := range items[from : from+min(l.size, total-from)] {
		out = append(out, project(x, include))
	}
	p := page{Items: out, Metadata: metadata{Pagination: pagination{total, l.size, l.offset}}}
	if hidden > 0 {
		p.Metadata.Filtered = &hidden
	}
	return p, nil
}
