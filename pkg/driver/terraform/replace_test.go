package terraform_test

import (
	"slices"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
)

// Provider 3 rebuilds a server in place when its image changes, as provider 1.15 renames a security group in place. What a plugin says is made
// anew is made anew, and planned so, also by the next attempt after one that failed.
func TestArgumentsThatTheProviderChangesInPlaceButThePluginDoesNot(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	for _, res := range r.set.Plugin("openstack").Mapping("security_group").Resources {
		if res.ID == "group" {
			res.ReplaceOn = []string{"name"}
		}
	}
	named := func(name string) []*driver.Request {
		group := keyAndGroup()[1]
		group.props["name"] = name
		return requests(r.topology(group), env{}, driver.Update, name+"-")
	}
	first := named("before")
	first[0].Action = driver.Create
	made := run(t.Context(), r.driver, first)
	made.must(t, first)
	id := made.results["sg[0]"].Attributes["security_group_id"]

	changes, err := r.driver.Plan(t.Context(), named("after"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(changes, func(c driver.Change) bool { return c.Address == "openstack_networking_secgroup_v2.sg_0_group" })
	if i < 0 || changes[i].Action != "replace" || !slices.Contains(changes[i].Fields, driver.FieldChange{Path: "name", From: "before", To: "after", Forces: true}) {
		t.Fatalf("plan: %+v", changes)
	}
	second := named("after")
	run(t.Context(), r.newDriver(), second).must(t, second)
	third := named("after")
	o := run(t.Context(), r.newDriver(), third)
	o.must(t, third)
	if now := o.results["sg[0]"].Attributes["security_group_id"]; now == id || now == nil {
		t.Errorf("the group is %v, as before", now)
	}
	if left, err := r.cloud.Inventory(t.Context(), "app"); err != nil || count(left, "security group") != 1 {
		t.Errorf("%v: %+v", err, left)
	}
	if again, err := r.driver.Plan(t.Context(), named("after")); err != nil || len(again) > 0 {
		t.Errorf("%v: %+v", err, again)
	}
}
