package cloudify

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/orch"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made := s.call(200, "PUT", v31+"/secrets/db_password", object{"value": "hunter22", "update_if_exists": false, "is_hidden_value": false, "visibility": "tenant"})
	if made["key"] != "db_password" || made["visibility"] != "tenant" || made["created_by"] != "admin" {
		t.Errorf("created %v", made)
	}
	s.refused(409, "conflict_error", "PUT", v31+"/secrets/db_password", object{"value": "x", "update_if_exists": "false"})
	s.call(200, "PUT", v31+"/secrets/db_password", object{"value": "hunter23", "update_if_exists": true})
	s.refused(400, "bad_parameters_error", "PUT", v31+"/secrets/empty", object{"value": ""})
	rule := object{"type": "object", "properties": object{"port": object{"type": "integer"}}}
	if e := s.refused(400, "bad_parameters_error", "PUT", v31+"/secrets/rich", object{"value": object{"port": "hunter"}, "schema": rule}); !strings.Contains(fmt.Sprint(e["message"]), "/port") {
		t.Errorf("a value that breaks its schema: %v", e)
	}
	s.refused(400, "bad_parameters_error", "PUT", v31+"/secrets/rich", object{"value": "x", "schema": object{"type": "nothing"}})
	s.refused(404, "not_found_error", "GET", v31+"/secrets/rich", nil)
	s.call(200, "PUT", v31+"/secrets/rich", object{"value": object{"user": "u", "port": 5432}, "schema": rule})
	s.refused(400, "bad_parameters_error", "PATCH", v31+"/secrets/rich", object{"value": "text"})
	s.refused(400, "bad_parameters_error", "PUT", v31+"/secrets/rich", object{"value": "text", "update_if_exists": true})
	if d := cmp.Diff(rule, s.get("/secrets/rich")["schema"]); d != "" {
		t.Error(d)
	}
	if v := s.get("/secrets/db_password"); v["value"] != "hunter23" {
		t.Errorf("got %v", v)
	}
	if v := s.get("/secrets/rich")["value"].(object); v["port"] != 5432.0 {
		t.Errorf("got %v", v)
	}
	if v := s.get("/secrets/db_password?_skip_value=true"); v["value"] != "" {
		t.Errorf("skipped %v", v)
	}
	all := s.get("/secrets?_sort=key")
	if got := pick(items(all), "key"); !slices.Equal(got, []string{"db_password", "rich"}) || strings.Contains(fmt.Sprint(all), "hunter") {
		t.Errorf("list %v", all)
	}
	s.refused(400, "illegal_action_error", "PATCH", v31+"/secrets/db_password", object{})
	s.call(200, "PATCH", v31+"/secrets/db_password", object{"value": "hunter24", "is_hidden_value": true})
	s.call(200, "PATCH", v31+"/secrets/db_password/set-visibility", object{"visibility": "global"})
	s.refused(400, "illegal_action_error", "PATCH", v31+"/secrets/db_password/set-visibility", object{"visibility": "tenant"})

	// What one exports another imports.
	r := s.send("GET", v31+"/secrets/share/export?_passphrase=a+long+phrase", "", nil)
	if r.Status != 200 || strings.Contains(r.Body, "hunter") || !strings.Contains(r.Body, `"encrypted":true`) {
		t.Fatalf("export: %d %s", r.Status, r.Body)
	}
	s.call(204, "DELETE", v31+"/secrets/rich", nil)
	s.call(200, "PUT", v31+"/secrets/rich", object{"value": "free"})
	if v := s.get("/secrets/rich"); v["schema"] != nil {
		t.Errorf("a new secret has the schema of the old: %v", v)
	}
	s.call(204, "DELETE", v31+"/secrets/rich", nil)
	s.refused(404, "not_found_error", "GET", v31+"/secrets/rich", nil)
	body := `{"secrets_list":` + r.Body + `,"passphrase":"a long phrase","tenant_map":null,"override_collisions":false}`
	in := s.send("POST", v31+"/secrets/share/import", "application/json", []byte(body))
	if in.Status != 200 || !strings.Contains(in.Body, `"colliding_secrets":{"default_tenant":["db_password"]}`) || !strings.Contains(in.Body, `"secrets_errors":{}`) {
		t.Errorf("import: %d %s", in.Status, in.Body)
	}
	if v := s.get("/secrets/rich")["value"]; fmt.Sprint(v) != `{"port":5432,"user":"u"}` {
		t.Errorf("imported %v", v)
	}
	wrong := s.send("POST", v31+"/secrets/share/import", "application/json", []byte(strings.Replace(body, "a long phrase", "another phrase", 1)))
	if wrong.Status != 200 || !strings.Contains(wrong.Body, "wrong passphrase") {
		t.Errorf("import with the wrong passphrase: %d %s", wrong.Status, wrong.Body)
	}

	// A hidden one is not shown to others.
	s.who = orch.Identity{User: "bob", Tenant: orch.DefaultTenant, Role: orch.Operator, Via: "basic"}
	if v := s.get("/secrets/db_password"); v["value"] != "" {
		t.Errorf("bob sees %v", v)
	}
	s.refused(403, "forbidden_error", "DELETE", v31+"/secrets/db_password", nil)
}

// wagon is a plugin as cfy uploads it.
func wagon(t testing.TB, files map[string]string) []byte {
	t.Helper()
	inner := tarball(t, "cloudify-shop-plugin", map[string]string{"package.json": `{"archive_name":"shop-1.2.0-py3-none-linux_x86_64.wgn","package_name":"cloudify-shop-plugin","package_version":"1.2.0",
		"supported_platform":"linux_x86_64","wheels":["shop.whl"],"build_server_os_properties":{"distribution":"CentOS","distribution_version":"7","distribution_release":"core"}}`})
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	write := func(name string, data []byte) {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	write("shop.wgn", inner)
	for name, text := range files {
		write(name, []byte(text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const shopPlugin = `plugins:
  shop: { executor: central_deployment_agent, package_name: cloudify-shop-plugin, package_version: 1.2.0 }
node_types:
  shop.nodes.Shelf:
    derived_from: cloudify.nodes.Root
    properties: { height: { type: integer, default: 2 } }
`

// TestPlugins: what a plugin declares can be imported once it is uploaded, also by what is deployed after it is gone.
func TestPlugins(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	bp := map[string]string{"blueprint.yaml": `tosca_definitions_version: cloudify_dsl_1_3
imports: [ cloudify/types/types.yaml, "plugin:cloudify-shop-plugin?version= >=1.0.0" ]
node_templates:
  shelf: { type: shop.nodes.Shelf }
`}
	if r := s.send("PUT", v31+"/blueprints/b?application_file_name=blueprint.yaml", "application/octet-stream", tarball(t, "blueprint", bp)); r.Status != 400 || !strings.Contains(r.Body, "cloudify-shop-plugin") {
		t.Errorf("without the plugin: %d %s", r.Status, r.Body)
	}
	for _, bad := range [][]byte{[]byte("nothing"), tarball(t, "x", map[string]string{"a": "b"}), wagon(t, map[string]string{"plugin.yaml": "a: [ b"})} {
		if r := s.send("POST", v31+"/plugins?visibility=tenant", "application/octet-stream", bad); r.Status != 400 {
			t.Errorf("a bad plugin: %d %s", r.Status, r.Body)
		}
	}
	data := wagon(t, map[string]string{"plugin.yaml": shopPlugin})
	r := s.send("POST", v31+"/plugins?visibility=tenant&title=Shop", "application/octet-stream", data)
	if r.Status != 201 || !strings.Contains(r.Body, `"package_name":"cloudify-shop-plugin"`) || !strings.Contains(r.Body, `"distribution":"centos"`) || !strings.Contains(r.Body, `"title":"Shop"`) {
		t.Fatalf("upload: %d %s", r.Status, r.Body)
	}
	if r := s.send("POST", v31+"/plugins?visibility=tenant", "application/octet-stream", data); r.Status != 409 {
		t.Errorf("uploaded twice: %d %s", r.Status, r.Body)
	}
	all := items(s.get("/plugins?package_name=cloudify-shop-plugin&_sort=-uploaded_at"))
	if len(all) != 1 {
		t.Fatalf("plugins %v", all)
	}
	id := fmt.Sprint(all[0]["id"])
	s.get("/plugins/" + id)
	if r := s.send("GET", v31+"/plugins/"+id+"/archive", "", nil); r.Body != string(data) {
		t.Error("the archive is another")
	}
	if r := s.send("GET", v31+"/plugins/"+id+"/yaml?dsl_version=cloudify_dsl_1_3", "", nil); r.Body != shopPlugin {
		t.Errorf("yaml: %d %s", r.Status, r.Body)
	}
	s.upload("b", "blueprint.yaml", tarball(t, "blueprint", bp), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "b"})
	if e := s.call(405, "DELETE", v31+"/plugins/"+id, object{"force": false}); e["error_code"] != "plugin_in_use" || !strings.Contains(fmt.Sprint(e["message"]), "blueprints: b.") {
		t.Errorf("a plugin in use: %v", e)
	}
	s.call(204, "DELETE", v31+"/plugins/"+id, object{"force": true})
	s.Restart()
	if n := items(s.get("/nodes?deployment_id=d")); len(n) != 1 || n[0]["properties"].(object)["height"] != 2.0 {
		t.Errorf("nodes %v", n)
	}
	if x, _ := s.run("d", "install", nil, nil); x["status"] != "terminated" {
		t.Errorf("install %v", x)
	}
}

func TestSitesAndLabels(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	if site := s.call(200, "PUT", v31+"/sites/bologna", object{"location": "44.49, 11.34", "visibility": "tenant"}); site["latitude"] != 44.49 || site["location"] != "44.49, 11.34" {
		t.Errorf("site %v", site)
	}
	s.refused(400, "bad_parameters_error", "PUT", v31+"/sites/moon", object{"location": "95, 0"})
	s.refused(409, "conflict_error", "PUT", v31+"/sites/bologna", object{})
	d := s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "site_name": "bologna", "labels": []object{{"env": []string{"a", "b"}}}})
	if d["site_name"] != "bologna" || len(d["labels"].([]any)) != 4 { // two are the blueprint's
		t.Errorf("deployment %v %v", d["site_name"], d["labels"])
	}
	s.call(200, "POST", v31+"/sites/bologna", object{"new_name": "roma"})
	if d := s.get("/deployments/d"); d["site_name"] != "roma" {
		t.Errorf("moved to %v", d["site_name"])
	}
	s.refused(400, "bad_parameters_error", "POST", v31+"/deployments/d/set-site", object{})
	if d := s.call(200, "POST", v31+"/deployments/d/set-site", object{"detach_site": true}); d["site_name"] != nil {
		t.Errorf("detached from %v", d["site_name"])
	}
	s.call(204, "DELETE", v31+"/sites/roma", nil)
	if n := len(items(s.get("/sites"))); n != 0 {
		t.Errorf("%d sites", n)
	}
	if d := s.call(200, "PATCH", v31+"/deployments/d", object{"labels": []object{{"env": "c"}}}); len(d["labels"].([]any)) != 1 {
		t.Errorf("labels %v", d["labels"])
	}
	s.refused(409, "conflict_error", "PATCH", v31+"/deployments/d", object{"outputs": object{}})
	s.refused(400, "illegal_action_error", "PATCH", v31+"/deployments/d", object{})
	if got := pick(items(s.call(200, "POST", v31+"/searches/deployments", object{"filter_rules": []object{{"key": "env", "values": []string{"c"}, "operator": "any_of", "type": "label"}}})), "id"); !slices.Equal(got, []string{"d"}) {
		t.Errorf("found %v", got)
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.call(201, "PUT", v31+"/users", object{"username": "admin", "password": "long enough", "role": "sys_admin"})
	s.call(201, "PUT", v31+"/users", object{"username": "eve", "password": "long enough", "role": "default"})
	s.refused(409, "conflict_error", "PUT", v31+"/users", object{"username": "eve", "password": "long enough"})
	s.refused(400, "bad_parameters_error", "PUT", v31+"/users", object{"username": "eva", "password": "long enough", "role": "queen"})
	s.call(201, "POST", v31+"/tenants/red", object{})
	s.refused(404, "not_found_error", "PATCH", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve", "role": "user"})
	s.call(200, "PUT", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve", "role": "user"})
	s.refused(409, "conflict_error", "PUT", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve", "role": "viewer"})
	red := s.call(200, "PATCH", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve", "role": "viewer"})
	if d := cmp.Diff(object{"direct": object{"eve": "viewer"}, "groups": object{}}, red["user_roles"]); d != "" {
		t.Error(d)
	}
	for _, u := range items(s.get("/users?_get_data=true")) {
		if direct := u["tenant_roles"].(object)["direct"].(object); u["username"] == "eve" && direct["red"] != "viewer" {
			t.Errorf("%v", u)
		}
	}
	s.call(200, "POST", v31+"/users/unlock/eve", nil)
	if u := s.get("/users/eve?_get_data=true"); u["tenants"].(object)["red"].(object)["tenant-role"] != "viewer" {
		t.Errorf("eve %v", u)
	}
	if got := pick(items(s.get("/tenants")), "name"); !slices.Equal(got, []string{"default_tenant", "red"}) {
		t.Errorf("tenants %v", got)
	}
	s.refused(400, "bad_parameters_error", "PUT", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve", "role": "owner"})
	s.call(200, "DELETE", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve"})
	s.refused(404, "not_found_error", "DELETE", v31+"/tenants/users", object{"tenant_name": "red", "username": "eve"})
	s.call(200, "POST", v31+"/users/active/eve", object{"action": "deactivate"})
	if u := s.get("/users/eve"); u["active"] != false {
		t.Errorf("eve %v", u)
	}
	tok := s.call(200, "POST", v31+"/tokens", object{"description": "ci", "expiration_date": nil})
	list := items(s.get("/tokens"))
	if len(list) != 1 || list[0]["id"] != tok["id"] || list[0]["value"] == tok["value"] || list[0]["description"] != "ci" {
		t.Errorf("tokens %v", list)
	}
	for text, want := range map[string]time.Duration{"+10h": 10 * time.Hour, "+30 minutes": 30 * time.Minute, "+1 day": 24 * time.Hour, time.Now().UTC().Add(72 * time.Hour).Format("2006-01-02 15:04:05"): 72 * time.Hour} {
		tok := s.call(200, "POST", v31+"/tokens", object{"expiration_date": text})
		at, err := time.Parse(time.RFC3339, fmt.Sprint(tok["expiration_date"]))
		if late := time.Until(at) - want; err != nil || late > 2*time.Second || late < -5*time.Minute {
			t.Errorf("%s: %v", text, tok)
		}
	}
	for _, bad := range []string{"+x", "+1 eon", "+99999999999999999999 s", "yesterday", "2020-01-01"} {
		s.refused(400, "bad_parameters_error", "POST", v31+"/tokens", object{"expiration_date": bad})
	}
	s.call(204, "DELETE", v31+"/tokens/"+fmt.Sprint(tok["id"]), nil)
	s.refused(404, "not_found_error", "DELETE", v31+"/tokens/"+fmt.Sprint(tok["id"]), nil)
	s.call(204, "DELETE", v31+"/users/eve", nil)
	s.call(204, "DELETE", v31+"/tenants/red", nil)
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		want         orch.Role
	}{
		{"GET", "/api/version", orch.Public}, {"GET", "/api/v3.1/ok", orch.Public}, {"GET", "/api/v3.1/status", orch.Known}, {"POST", "/api/v3.1/tokens", orch.Known},
		{"GET", "/api/v3.1/deployments", orch.Viewer}, {"POST", "/api/v3.1/searches/deployments", orch.Viewer}, {"GET", "/api/v3.1/secrets", orch.Viewer},
		{"GET", "/api/v3.1/secrets/x", orch.Operator}, {"GET", "/api/v3.1/secrets/share/export", orch.Operator}, {"PUT", "/api/v3.1/deployments/x", orch.Operator},
		{"POST", "/api/v3/executions", orch.Operator}, {"PUT", "/api/v3.1/users", orch.ServerAdmin}, {"GET", "/api/v3.1/users", orch.ServerAdmin},
		{"GET", "/api/v3.1/tenants", orch.Known}, {"DELETE", "/api/v3.1/tenants/x", orch.ServerAdmin}, {"GET", "/api/v2.1/events", orch.Viewer},
	} {
		if got := Needs(httptest.NewRequest(c.method, c.path, nil)); got != c.want {
			t.Errorf("%s %s needs %s, want %s", c.method, c.path, got, c.want)
		}
	}
	// Every route has a role, and none is public but those two.
	for _, r := range routes() {
		need := Needs(httptest.NewRequest(r.method, "/api/v3.1"+strings.NewReplacer(":id", "x", ":name", "x", ":key", "x", ":node", "x").Replace(r.path), nil))
		if need == "" || need == orch.Public && r.path != "/ok" {
			t.Errorf("%s %s needs %q", r.method, r.path, need)
		}
		if r.method != http.MethodGet && !strings.HasPrefix(r.path, "/searches") && !strings.HasPrefix(r.path, "/tokens") && r.path != "/evaluate/functions" && !need.Allows(orch.Operator) {
			t.Errorf("%s %s changes something and needs only %s", r.method, r.path, need)
		}
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind orch.Kind
		code string
		want int
	}{{orch.KindUnauthenticated, "unauthorized_error", 401}, {orch.KindForbidden, "forbidden_error", 403}, {orch.KindNotFound, "forbidden_error", 403}} {
		w := httptest.NewRecorder()
		Refuse(w, nil, orch.ProblemOf(&orch.Error{Kind: c.kind, Msg: "no"}))
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.code) || !strings.Contains(w.Body.String(), `"server_traceback":null`) {
			t.Errorf("%s: %d %s", c.kind, w.Code, w.Body)
		}
	}
}

// TestBlueprintImports: a blueprint may import an uploaded one, and keeps what it has taken of it.
func TestBlueprintImports(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	bp := map[string]string{"blueprint.yaml": `tosca_definitions_version: cloudify_dsl_1_4
imports: [ cloudify/types/types.yaml, "base--blueprint:shop" ]
node_templates:
  guest: { type: cloudify.nodes.Root, relationships: [ { type: cloudify.relationships.connected_to, target: base--db } ] }
`}
	if r := s.send("PUT", v31+"/blueprints/guest?application_file_name=blueprint.yaml", "application/octet-stream", tarball(t, "blueprint", bp)); r.Status != 400 || !strings.Contains(r.Body, "blueprint shop is not here") {
		t.Errorf("without it: %d %s", r.Status, r.Body)
	}
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	if up := s.upload("guest", "blueprint.yaml", tarball(t, "blueprint", bp), nil); up["state"] != "uploaded" {
		t.Fatalf("with it: %v", up)
	}
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "guest"})
	bp["scripts/create.sh"] = "another"
	if r := s.send("PUT", v31+"/blueprints/other?application_file_name=blueprint.yaml", "application/octet-stream", tarball(t, "blueprint", bp)); r.Status != 400 || !strings.Contains(r.Body, "both have a file scripts/create.sh") {
		t.Errorf("two scripts of one name: %d %s", r.Status, r.Body)
	}
	if e := s.refused(405, "blueprint_in_use", "DELETE", v31+"/blueprints/shop?force=False", nil); !strings.Contains(fmt.Sprint(e["message"]), "guest") {
		t.Errorf("in use: %v", e)
	}
	s.call(204, "DELETE", v31+"/blueprints/shop?force=True", nil)
	s.Restart()
	if got := pick(items(s.get("/nodes?deployment_id=d&_sort=id")), "id"); !slices.Equal(got, []string{"base--app", "base--db", "guest"}) {
		t.Errorf("nodes %v", got)
	}
}
