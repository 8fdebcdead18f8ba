package terraform_test

import (
	"slices"
	"strings"
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

// A volume grows while it is attached; that it is to shrink is said before anything is touched.
func TestVolumesGrowInPlaceAndNeverShrink(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	sized := func(size string) []*driver.Request {
		return requests(r.topology(
			node{name: "web", typ: "orch.nodes.openstack.Compute"},
			node{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": size}, requires: []string{"attachment=web"}},
		), env{}, driver.Update, size)
	}
	first := sized("2 GB")
	for _, q := range first {
		q.Action = driver.Create
	}
	made := run(t.Context(), r.driver, first)
	made.must(t, first)
	second := sized("3 GB")
	grown := run(t.Context(), r.driver, second)
	grown.must(t, second)
	if was, is := made.results["data[0]"].Attributes, grown.results["data[0]"].Attributes; was["volume_id"] != is["volume_id"] || is["size"] != int64(3) {
		t.Errorf("%v became %v", was, is)
	}
	_, err := r.driver.Plan(t.Context(), sized("1 GB"))
	if err == nil || !strings.Contains(err.Error(), "its size is 3 and cannot become 1: it can only grow (app.yaml:20:3)") {
		t.Errorf("%v", err)
	}
}
