package main

import (
	"bytes"
	"encoding/json"

	"github.com/orch-project/orch/pkg/source"
)

// plainJSON turns a value into maps, lists and scalars through its JSON form, so that YAML and JSON output have the same keys and the same
// masked secrets.
func plainJSON(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		return v
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return v
	}
	return source.Numbers(out)
}
