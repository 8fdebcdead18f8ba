package config

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "bad-setting", Title: "A setting has a value that cannot be", Text: "The message names the setting, where its value comes from (the file, a variable or a flag), and what it can be. docs/configuration.md lists every setting."},
		diag.Code{ID: "unknown-location", Title: "There is no such location", Text: "The default location must be among the `locations` of the configuration. `orch config show` lists them."},
		diag.Code{ID: "location", Title: "The location cannot be used", Text: "A topology is bound to a location before anything is planned. The message says what is wrong with the one that was asked for: its name is not configured, its clouds.yaml entry or its plugin cannot be found, or a setting is wrong. `orch doctor` checks every location."},
	)
}
