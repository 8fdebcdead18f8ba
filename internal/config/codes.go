package config

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "unknown-location", Title: "There is no such location", Text: "The default location must be among the `locations` of the configuration. `orch config show` lists them."},
	)
}
