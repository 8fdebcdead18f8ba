// Package plugins embeds the plugins that come with orch: one folder each, data only. What the folders hold is defined by pkg/plugin
// (resource mappings) and pkg/tosca (library.yaml and type definitions).
package plugins

import "embed"

// FS holds every plugin's folder at its root.
//
//go:embed *
var FS embed.FS
