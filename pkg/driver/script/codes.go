package script

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "bad-implementation", Title: "An operation cannot run", Text: "The file that implements an operation is missing, is a directory, or is of a kind that no driver can run. Correct the path in the document or add the file to the archive."},
	)
}
