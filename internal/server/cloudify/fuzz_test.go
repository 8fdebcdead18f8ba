package cloudify

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/driver/fake"
)

// FuzzRequests sends any query and any body to every route of a site with an installed deployment. Nothing that a client sends is the server's fault,
// and everything that is refused is refused in Cloudify's form.
func FuzzRequests(f *testing.F) {
	all := routes()
	for i, r := range all {
		for _, s := range seedsOf(r) {
			f.Add(uint(i), "", s[0], []byte(s[1]))
		}
	}
	f.Add(uint(3), "../x", "_size=0&_sort=-id,label:a&_include=id&_search=%25&_all_tenants=true&_get_all_results=1", []byte(`null`))
	f.Fuzz(func(t *testing.T, n uint, id, query string, body []byte) {
		if len(body) > 1<<14 || len(query) > 1<<10 || len(id) > 300 {
			return
		}
		defer bounded.Input(t)()
		r := all[n%uint(len(all))]
		s := newSite(t)
		s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
		s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
		s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
		target := &url.URL{Path: v31 + pathOf(r, id), RawQuery: strings.Map(printable, query)}
		req, err := http.NewRequestWithContext(t.Context(), r.method, s.HTTP.URL+target.String(), bytes.NewReader(body))
		if err != nil {
			return // no client could send it
		}
		req.Header.Set("Tenant", defaultTenant)
		req.Header.Set("Content-Type", "application/json")
		got := s.Do(req)
		var doc errorDocument
		switch {
		case got.Status >= 500:
			t.Errorf("%s %s %s: %d %s", r.method, target, body, got.Status, got.Body)
		case got.Status >= 400:
			if err := json.Unmarshal([]byte(got.Body), &doc); err != nil || doc.Code == "" || doc.Message == "" {
				t.Errorf("%s %s %s: %d %s", r.method, target, body, got.Status, got.Body)
			}
		case strings.HasPrefix(got.Header.Get("Content-Type"), "application/json") && !json.Valid([]byte(got.Body)):
			t.Errorf("%s %s: no JSON: %s", r.method, target, got.Body)
		}
	})
}

// printable takes out what Go's client would not send in a request's first line.
func printable(r rune) rune {
	if r <= ' ' || r == 0x7f || r > 0x7f {
		return -1
	}
	return r
}

// pathOf is a route's path about something that is there, or about what id names.
func pathOf(r route, id string) string {
	there := map[string]string{"deployments": "d", "blueprints": "shop", "deployment-updates": "d", "nodes": "d", "tenants": "default_tenant"}
	first, _, _ := cut2(r.path)
	named := id
	if named == "" {
		if named = there[first]; named == "" {
			named = "x"
		}
	}
	node := id
	if node == "" {
		node = "db"
	}
	return strings.NewReplacer(":id", named, ":name", named, ":key", named, ":node", node, ":role", named, ":permission", named, ":state", named).Replace(r.path)
}

// seedsOf are queries and bodies that a route understands.
func seedsOf(r route) [][2]string {
	if r.method == http.MethodGet {
		return [][2]string{{"_size=1&_offset=1&_sort=-created_at&_include=id&_search=d&deployment_id=d&_range=@timestamp,2020-01-01,&type=cloudify_event&_target_field=id", ""}}
	}
	bodies := map[string]string{
		"PUT /deployments/:id":                         `{"blueprint_id":"shop","inputs":{"port":1},"labels":[{"a":["b"]}],"visibility":"tenant","site_name":null,"display_name":"x","runtime_only_evaluation":"true"}`,
		"PATCH /deployments/:id":                       `{"labels":[{"a":"b"}],"display_name":"x"}`,
		"POST /executions":                             `{"deployment_id":"d","workflow_id":"execute_operation","parameters":{"operation":"admin.backup","operation_kwargs":{"a":1},"node_ids":["db"]},"force":"true","dry_run":"false","queue":"false","scheduled_time":"202801010000+0000"}`,
		"POST /executions/:id":                         `{"action":"force-cancel"}`,
		"DELETE /executions":                           `{"keep_last":1}`,
		"POST /deployment-updates/:id/update/initiate": `{"blueprint_id":"shop","inputs":{"port":2},"preview":true,"reinstall_list":["app"],"skip_install":"true","workflow_id":"x"}`,
		"PATCH /node-instances/:id":                    `{"version":1,"runtime_properties":{"a":[1]},"state":"started"}`,
		"PUT /secrets/:key":                            `{"value":{"a":1},"schema":{"type":"object"},"is_hidden_value":true,"update_if_exists":"true","visibility":"global"}`,
		"PATCH /secrets/:key":                          `{"value":"x","is_hidden_value":false}`,
		"POST /secrets/share/import":                   `{"secrets_list":[{"key":"a","value":"b","visibility":"tenant","tenant_name":"t","is_hidden_value":false,"encrypted":true}],"tenant_map":{"t":"default_tenant"},"passphrase":"long enough","override_collisions":true}`,
		"PUT /sites/:name":                             `{"location":"1, 2","visibility":"tenant"}`,
		"POST /sites/:name":                            `{"location":"","new_name":"y"}`,
		"POST /deployments/:id/set-site":               `{"site_name":"x","detach_site":true}`,
		"PUT /users":                                   `{"username":"ann","password":"long enough","role":"default","created_at":null}`,
		"POST /users/:name":                            `{"password":"long enough","role":"sys_admin"}`,
		"POST /users/active/:name":                     `{"action":"deactivate"}`,
		"PUT /tenants/users":                           `{"username":"ann","tenant_name":"default_tenant","role":"user"}`,
		"POST /tokens":                                 `{"description":"x","expiration_date":"+1d"}`,
		"PUT /deployment-groups/:id":                   `{"description":"x","blueprint_id":"shop","default_inputs":{"port":1},"labels":[{"a":"b"}],"deployment_ids":["d"],"new_deployments":[{"id":"n","inputs":{}}],"filter_id":"x"}`,
		"PATCH /deployment-groups/:id":                 `{"add":{"deployment_ids":["d"]},"remove":{"filter_rules":[]}}`,
		"POST /execution-groups":                       `{"deployment_group_id":"x","workflow_id":"install","default_parameters":{},"parameters":{"d":{}},"concurrency":5,"force":"true"}`,
		"POST /execution-groups/:id":                   `{"action":"cancel"}`,
		"PUT /execution-schedules/:id":                 `{"workflow_id":"install","execution_arguments":{"force":true},"parameters":{},"since":"2028-01-01T00:00:00","until":"2029-01-01T00:00:00","recurrence":"1 day","count":3,"weekdays":["mo","2-tu"],"rrule":"","slip":5,"stop_on_fail":true}`,
		"PATCH /execution-schedules/:id":               `{"enabled":false,"recurrence":"2 weeks"}`,
		"PUT /filters/deployments/:id":                 `{"filter_rules":[{"key":"a","values":["b"],"operator":"any_of","type":"label"}],"visibility":"tenant"}`,
		"PATCH /filters/blueprints/:id":                `{"filter_rules":[],"visibility":"global"}`,
		"PATCH /blueprints/:id":                        `{"labels":[{"a":"b"}],"description":"x","visibility":"global"}`,
		"POST /evaluate/functions":                     `{"deployment_id":"d","context":{"self":"x"},"payload":{"a":{"concat":["x",{"get_property":["db","b",0]}]},"b":{"get_secret":["a","b"]},"c":{"get_sys":["deployment","id"]},"d":{"string_replace":["a","b","c"]}}}`,
		"PATCH /executions/:id":                        `{"creator":"ann"}`,
		"PATCH /blueprints/:id/set-visibility":         `{"visibility":"global"}`,
		"DELETE /plugins/:id":                          `{"force":true}`,
		"DELETE /deployments/:id":                      `{"force":true}`,
		"POST /plugins":                                `PK`,
		"PUT /blueprints/:id":                          `PK`,
	}
	body, ok := bodies[r.method+" "+r.path]
	if !ok {
		body = `{"filter_rules":[{"key":"id","values":["d"],"operator":"contains","type":"attribute"}],"constraints":{"name_pattern":{"contains":"d"},"labels":[{"a":"b"}],"valid_values":["x"],"deployment_id":"d"}}`
	}
	return [][2]string{{"force=true&_size=1&type=cloudify_event&deployment_id=d&application_file_name=x&async_upload=1&labels=%5B%5D", body}}
}
