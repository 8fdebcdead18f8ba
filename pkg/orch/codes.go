package orch

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "missing-secret", Title: "A secret has no value", Text: "The topology asks for it with get_secret, and the store has none of that name. Set it with `orch secrets set NAME`; the value comes from a prompt, standard input or a file. `orch inputs FILE` lists all secrets that a topology asks for."},
	)
}
