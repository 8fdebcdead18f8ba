package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// as is somebody with a role in tenants.
func (s *site) as(user, tenant string, tenants map[string]orch.Role) {
	s.who = orch.Identity{User: user, Tenant: tenant, Role: tenants[tenant], Tenants: tenants, Via: "basic"}
}

// What is private is its maker's and the admins', what is global every tenant's, and lists over all tenants show what one may see.
func TestVisibility(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, err := s.Local.Accounts().CreateTenant(t.Context(), orch.Tenant{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	ann := map[string]orch.Role{"team": orch.Operator}
	both := map[string]orch.Role{"team": orch.Operator, orch.DefaultTenant: orch.Viewer}
	s.as("ann", "team", ann)
	s.upload("mine", "blueprint.yaml", tarball(t, "blueprint", shop), object{"visibility": "private"})
	s.upload("ours", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.upload("all", "blueprint.yaml", tarball(t, "blueprint", shop), object{"visibility": "global"})
	ids := func(path string) string {
		list := pick(items(s.get(path)), "id")
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	if got := ids("/blueprints"); got != "all mine ours" {
		t.Errorf("ann sees %s", got)
	}

	s.as("bob", "team", both)
	if got := ids("/blueprints"); got != "all ours" {
		t.Errorf("bob sees %s", got)
	}
	s.refused(404, "not_found_error", "GET", v31+"/blueprints/mine", nil)
	// The same holds for the catalogue that orch's own API shows.
	native := func(user string, role orch.Role) string {
		ctx := orch.WithTenant(orch.WithIdentity(t.Context(), orch.Identity{User: user, Tenant: "team", Role: role}), "team")
		catalogue := s.Local.Blueprints()
		all, err := catalogue.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range all {
			names = append(names, b.Name)
		}
		_, _, err = catalogue.Download(ctx, "mine", "1")
		if _, verr := catalogue.Versions(ctx, "mine"); (verr == nil) != (err == nil) {
			t.Errorf("%s may see the versions: %v, and the archive: %v", user, verr, err)
		}
		return fmt.Sprint(names, " ", err == nil)
	}
	for who, want := range map[string]string{"ann": "[all mine ours] true", "bob": "[all ours] false"} {
		if got := native(who, orch.Operator); got != want {
			t.Errorf("%s sees %s in the catalogue, want %s", who, got, want)
		}
	}
	if got := native("eve", orch.Admin); got != "[all mine ours] true" {
		t.Errorf("the tenant's admin sees %s", got)
	}
	ctx := orch.WithTenant(orch.WithIdentity(t.Context(), orch.Identity{User: "bob", Tenant: "team", Role: orch.Operator}), "team")
	if err := s.Local.Blueprints().Remove(ctx, "mine", ""); err == nil {
		t.Error("bob removes what is hidden from him")
	}
	if _, err := s.Local.Blueprints().Upload(ctx, orch.NewBlueprint{Name: "mine", Filename: "x.tar.gz", Data: tarball(t, "blueprint", shop), Unchecked: true}); err == nil {
		t.Error("bob takes over a hidden name")
	}
	s.refused(404, "not_found_error", "PUT", v31+"/deployments/d", object{"blueprint_id": "mine"})
	s.refused(404, "not_found_error", "DELETE", v31+"/blueprints/mine", nil)
	if r := s.send("PUT", v31+"/blueprints/mine?application_file_name=blueprint.yaml", "application/octet-stream", tarball(t, "blueprint", shop)); r.Status != 409 {
		t.Errorf("a hidden name is taken over: %d %s", r.Status, r.Body)
	}
	if got := ids("/blueprints?_all_tenants=true"); got != "all ours" {
		t.Errorf("bob sees of all tenants %s", got)
	}

	s.as("cat", orch.DefaultTenant, map[string]orch.Role{orch.DefaultTenant: orch.Operator})
	if got := ids("/blueprints"); got != "all" {
		t.Errorf("another tenant sees %s", got)
	}
	if bp := s.get("/blueprints/all"); bp["tenant_name"] != "team" || bp["plan"] == nil {
		t.Errorf("a global blueprint: %v %v", bp["tenant_name"], bp["plan"] != nil)
	}
	s.refused(403, "forbidden_error", "DELETE", v31+"/blueprints/all", nil)
	s.refused(403, "forbidden_error", "PATCH", v31+"/blueprints/all", object{"labels": []object{}})
	if d := s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "all"}); d["tenant_name"] != "default_tenant" || d["blueprint_id"] != "all" {
		t.Errorf("a deployment of a global blueprint: %v", d)
	}
	if r := s.send("GET", v31+"/blueprints/all/archive", "", nil); r.Status != 200 || len(r.Body) == 0 {
		t.Errorf("its archive: %d", r.Status)
	}

	s.as("bob", "team", both)
	s.call(201, "PUT", v31+"/deployments/e", object{"blueprint_id": "ours"})
	list := s.get("/deployments?_all_tenants=true&_sort=-id&_include=id,tenant_name&_size=1&_offset=0")
	if fmt.Sprint(list["items"]) != "[map[id:e tenant_name:team]]" || list["metadata"].(object)["pagination"].(object)["total"] != 2.0 {
		t.Errorf("a page of all tenants' deployments: %v", list)
	}
	if got := ids("/node-instances?_all_tenants=true&_sort=node_id"); strings.Count(got, "app_") != 2 {
		t.Errorf("instances of all tenants: %s", got)
	}
	s.refused(400, "no_such_include_field_error", "GET", v31+"/deployments?_all_tenants=true&_include=colour", nil)
	s.refused(400, "bad_parameters_error", "GET", v31+"/deployments?_all_tenants=true&_sort=colour", nil)
	rules := object{"filter_rules": []object{{"key": "blueprint_id", "values": []string{"all"}, "operator": "any_of", "type": "attribute"}}}
	if found := items(s.call(200, "POST", v31+"/searches/deployments?_all_tenants=true", rules)); len(found) != 1 || found[0]["id"] != "d" {
		t.Errorf("a search in all tenants: %v", pick(found, "id"))
	}
	s.as("ann", "team", ann)
	if got := ids("/deployments?_all_tenants=true"); got != "e" {
		t.Errorf("of tenants without a role: %s", got)
	}
	// What is shared later is shared there, too.
	s.call(200, "PATCH", v31+"/blueprints/mine/set-visibility", object{"visibility": "tenant"})
	if got := native("bob", orch.Operator); got != "[all mine ours] true" {
		t.Errorf("bob sees %s of what is shared", got)
	}
	s.call(204, "DELETE", v31+"/blueprints/mine", nil)
}
