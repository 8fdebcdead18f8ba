package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/state/open"
)

// Setting is one value in force and where it comes from.
type Setting struct {
	Key   string `json:"key"` // dotted name in the file: terraform.binary
	Value any    `json:"value"`
	// Origin is a place of the file ("config.yaml:3:8"), a variable ("ORCH_STORE"), a flag ("--store"), or "default".
	Origin string `json:"origin"`
	Env    string `json:"env,omitempty"`
	Doc    string `json:"doc,omitempty"`
}

const fromDefault = "default"

// Settings lists every setting in the order of the struct, then the locations by name. The store is shown without its token.
func (c *Config) Settings() []Setting {
	var out []Setting
	_ = eachField("", reflect.ValueOf(c).Elem(), func(f field) error {
		out = append(out, Setting{Key: f.name, Value: plain(f), Origin: c.origin(f.name), Env: f.env, Doc: f.doc})
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(c.Locations)) {
		node := c.Locations[name]
		out = append(out, Setting{Key: "locations." + name, Value: node.Any(), Origin: node.At().String()})
	}
	return out
}

func (c *Config) origin(key string) string {
	if from, ok := c.origins[key]; ok {
		return from
	}
	return fromDefault
}

// recordOrigins remembers the places of the keys of the file.
func (c *Config) recordOrigins(prefix string, n *source.Node) {
	for key, value := range n.All() {
		name := prefix + key.Str()
		c.origins[name] = key.At().String()
		c.places[name] = key.At()
		if name != "locations" {
			c.recordOrigins(name+".", value)
		}
	}
}

func plain(f field) any {
	switch v := f.value.Interface().(type) {
	case time.Duration:
		return v.String()
	case string:
		if f.name == "store" {
			return open.Name(v) // without its token
		}
		return v
	case []string:
		return strings.Join(v, f.sep) // as in the variable
	default:
		return v
	}
}
