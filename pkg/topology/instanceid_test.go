package topology

import "testing"

// Ids are the same wherever they are shown, and do not depend on the tenant's mark; users may write them otherwise.
func TestInstanceID(t *testing.T) {
	in := Instance{Node: "app", Index: "0"}
	if id := InstanceID("d", in); id != "app_4tb5lz" || id != InstanceID("team~d", in) {
		t.Errorf("ids %s %s", id, InstanceID("team~d", in))
	}
	for _, text := range []string{"app_4tb5lz", "app_0", "app[0]"} {
		if !IsInstanceID(text, "d", in) {
			t.Errorf("%s is not known", text)
		}
	}
	if IsInstanceID("app_4tb5lz", "e", in) || IsInstanceID("app_1", "d", in) {
		t.Error("an id of another instance")
	}
}
