// Package openstack embeds the OpenStack plugin: its manifest, TOSCA types and resource mappings. It has no code: see docs/plugins.md.
package openstack

import "embed"

// Files is the plugin's folder.
//
//go:embed plugin.yaml types resources
var Files embed.FS
