package tosca_test

import (
	"testing"

	"github.com/orch-project/orch/pkg/tosca"
)

// Whoever adds a library of a request to the embedded ones must not give it to others.
func TestBuiltinLibrariesMayBeAppendedTo(t *testing.T) {
	mine := append(tosca.Builtin(), &tosca.Library{Name: "mine"})
	_ = append(tosca.Builtin(), &tosca.Library{Name: "yours"})
	if got := mine[len(mine)-1].Name; got != "mine" {
		t.Errorf("my library became %s", got)
	}
}
