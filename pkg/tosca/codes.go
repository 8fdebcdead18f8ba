package tosca

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "missing-import", Title: "An import cannot be found", Text: "Relative imports are looked for beside the importing document, then at the root of its archive. Archives (name:version) and internal documents (<name.yml>) are looked for in the directories given by --import-path, then in the installed plugins."},
		diag.Code{ID: "network-import", Title: "An import needs the network", Text: "Documents are not fetched from the network unless that is allowed with --allow-network."},
	)
}
