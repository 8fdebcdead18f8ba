package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Location is a place to deploy to: a plugin with settings. Credentials are not part of it.
type Location struct {
	Name   string
	Plugin string
	// Settings as the user gave them; Setting adds the plugin's defaults after Bind or Complete.
	Settings map[string]any
	Pos      diag.Pos
}

// Setting returns a setting, or nil.
func (l Location) Setting(name string) any { return plain(l.Settings[name]) }

// Complete returns the location with the plugin's defaults filled in and texts brought to the declared types.
func (s *Set) Complete(l Location) (Location, diag.List) {
	list := s.checkLocation(l)
	p := s.Plugin(l.Plugin)
	if p == nil {
		return l, list
	}
	settings := maps.Clone(l.Settings)
	if settings == nil {
		settings = map[string]any{}
	}
	for _, st := range p.Settings {
		v, ok := settings[st.Name]
		if !ok || v == nil {
			if st.Default != nil {
				settings[st.Name] = st.Default
			}
			continue
		}
		if c, err := st.coerce(v); err == nil {
			settings[st.Name] = c
		}
	}
	l.Settings = settings
	return l, list
}

func (s *Set) checkLocation(l Location) diag.List {
	var list diag.List
	p := s.Plugin(l.Plugin)
	if p == nil {
		var known []string
		for _, o := range s.Plugins {
			known = append(known, o.Name)
		}
		list.Errorf(CodeManifest, l.Pos, "the location %q needs the plugin %q, which is not loaded", l.Name, l.Plugin).Hint =
			suggest(l.Plugin, known, "plugins: "+strings.Join(known, ", "))
		return list
	}
	var known []string
	for _, st := range p.Settings {
		known = append(known, st.Name)
	}
	for _, k := range slices.Sorted(maps.Keys(l.Settings)) {
		i := slices.Index(known, k)
		if i < 0 {
			list.Errorf(CodeManifest, l.Pos, "the location %q has the unknown setting %q", l.Name, k).Hint = suggest(k, known, "settings: "+strings.Join(known, ", "))
			continue
		}
		if _, err := p.Settings[i].coerce(l.Settings[k]); l.Settings[k] != nil && err != nil {
			list.Errorf(CodeManifest, l.Pos, "the setting %s of the location %q: %v", k, l.Name, err)
		}
	}
	return list
}

// coerce brings a value to the setting's type; texts come from flags and environments.
func (st Setting) coerce(v any) (any, error) {
	s, scalar := text(v)
	if len(st.Values) > 0 && !slices.Contains(st.Values, s) {
		return nil, fmt.Errorf("%q is not one of %s", s, strings.Join(st.Values, ", "))
	}
	switch st.Type {
	case "integer":
		if n, ok := topology.Number(v); ok {
			return int64(n), nil
		}
	case "boolean":
		if b, err := strconv.ParseBool(s); scalar && err == nil {
			return b, nil
		}
	case "list":
		if scalar {
			return applySplit([]any{s, ","})
		}
		if l, ok := v.([]any); ok {
			return l, nil
		}
		if l, ok := v.([]string); ok {
			out := make([]any, len(l))
			for i, e := range l {
				out[i] = e
			}
			return out, nil
		}
	case "map":
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
	default:
		if scalar {
			return s, nil
		}
	}
	article := "a"
	if st.Type == "integer" {
		article = "an"
	}
	return nil, fmt.Errorf("%v is not %s %s", v, article, st.Type)
}
