package tosca

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/source"
)

// Alien4Cloud's archives import the types of Yorc's clouds. Those that orch does not deploy on are all named, each for what it is, and none is
// taken for a slip of the pen.
func TestTypesOfOtherClouds(t *testing.T) {
	b, list := source.OpenFS("csar", fstest.MapFS{"topology.yml": {Data: []byte("tosca_definitions_version: alien_dsl_3_0_0\n" +
		"imports: [ <normative-types.yml>, <yorc-types.yml>, <yorc-google-types.yml>, <yorc-aws-types.yml>, <yorc-slurm-types.yml>, <yorc-kubernetes-types.yml>, <yorc-typs.yml> ]\n")}}, "topology.yml")
	if list.HasErrors() {
		t.Fatal(list)
	}
	_, list = Load(t.Context(), Options{Bundle: b, Libraries: Builtin()})
	hints := map[string]string{}
	for _, d := range list {
		if d.Code == "missing-import" {
			hints[strings.TrimPrefix(d.Message, "no plugin provides ")] = d.Hint
		}
	}
	for _, cloud := range []string{"google", "aws", "slurm", "kubernetes"} {
		if h := hints["<yorc-"+cloud+"-types.yml>"]; !strings.Contains(h, "no types for "+cloud) || strings.Contains(h, "did you mean") {
			t.Errorf("%s: %q", cloud, h)
		}
	}
	if h := hints["<yorc-typs.yml>"]; len(hints) != 5 || !strings.Contains(h, "<yorc-types.yml>") {
		t.Errorf("%v", hints)
	}
}
