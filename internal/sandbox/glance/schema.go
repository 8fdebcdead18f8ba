package glance

import (
	"strings"

	"github.com/orch-project/orch/internal/sandbox/rest"
)

// imageProperties are the attributes of an image with their JSON types; "?" may be null.
var imageProperties = map[string]string{
	"id": "string", "name": "string?", "status": "string", "visibility": "string", "owner": "string?", "disk_format": "string?",
	"container_format": "string?", "min_disk": "integer", "min_ram": "integer", "protected": "boolean", "os_hidden": "boolean", "tags": "array",
	"created_at": "string", "updated_at": "string", "size": "integer?", "virtual_size": "integer?", "checksum": "string?",
	"os_hash_algo": "string?", "os_hash_value": "string?", "self": "string", "file": "string", "schema": "string", "direct_url": "string",
	"architecture": "string", "os_distro": "string", "os_version": "string", "instance_uuid": "string", "kernel_id": "string?", "ramdisk_id": "string?", "locations": "array",
}

var memberProperties = map[string]string{
	"image_id": "string", "member_id": "string", "status": "string", "created_at": "string", "updated_at": "string", "schema": "string",
}

func properties(types map[string]string) map[string]any {
	out := map[string]any{}
	for name, typ := range types {
		p := map[string]any{"description": strings.ReplaceAll(name, "_", " ")}
		if t, null := strings.CutSuffix(typ, "?"); null {
			p["type"] = []string{"null", t}
		} else {
			p["type"] = t
		}
		for _, ro := range fixed {
			if ro == name {
				p["readOnly"] = true
			}
		}
		out[name] = p
	}
	return out
}

func (s *Service) schema(c *rest.Call) (rest.Reply, error) {
	item := func(name string, types map[string]string) map[string]any {
		return map[string]any{"name": name, "properties": properties(types), "additionalProperties": map[string]any{"type": "string"}}
	}
	list := func(name, of string, types map[string]string) map[string]any {
		return map[string]any{"name": name, "properties": map[string]any{
			of:       map[string]any{"type": "array", "items": item(strings.TrimSuffix(name, "s"), types)},
			"first":  map[string]any{"type": "string"},
			"next":   map[string]any{"type": "string"},
			"schema": map[string]any{"type": "string"},
		}}
	}
	switch c.PathValue("name") {
	case "image":
		return rest.OK(item("image", imageProperties))
	case "images":
		return rest.OK(list("images", "images", imageProperties))
	case "member":
		return rest.OK(item("member", memberProperties))
	case "members":
		return rest.OK(list("members", "members", memberProperties))
	}
	return rest.Reply{}, rest.Missing("The resource could not be found.")
}
