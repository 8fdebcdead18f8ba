package tosca

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "missing-import", Title: "An import cannot be found", Text: "Relative imports are looked for beside the importing document, then at the root of its archive. Archives (name:version) and internal documents (<name.yml>) are looked for in the directories given by --import-path, then in the installed plugins."},
		diag.Code{ID: "other-version", Title: "An import is answered by another version", Text: "The document imports name:version, and what is in the import path or in the installed plugins has the same name and major version, but another version. It is used, as types of one major version seldom differ in what a document needs; Alien4Cloud itself would refuse the import. Name a directory that holds the very version by --import-path, or import the version that is used. A version of another major number is refused as `missing-import`."},
		diag.Code{ID: "network-import", Title: "An import needs the network", Text: "Documents are not fetched from the network unless that is allowed with --allow-network. What a deployment has imported so is kept with it, by its SHA-256 sum, and is taken when the deployment is planned, updated, healed or undeployed; an update with --allow-network reads it anew."},
		diag.Code{ID: CodeUnpacked, Title: "Something that the topology needs is not in the archive", Text: "An archive holds the document, what it imports by path, and the files that these name. Archives of an import path, documents of the network and repositories stay where they are: whoever opens the archive must have them, too."},
	)
}
