package a4c

import (
	"strconv"
	"strings"
)

// link is a reference to another resource of the API.
type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
	Type string `json:"type"`
}

// to makes a link of a base path and further parts of the path.
func to(rel, base string, parts ...string) link {
	return link{rel, strings.Join(append([]string{base}, parts...), "/"), jsonType}
}

func deploymentPath(id string) string { return "/deployments/" + id }

// plain reports whether a name can be part of a link. The plugin hands links to a template engine, for which '{', '}' and '%' mean
// something else, so names that would have to be escaped get no link.
func plain(name string) bool {
	if name == "" {
		return false
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.~:@!$&'()*+,;=", r):
		default:
			return false
		}
	}
	return true
}

func quote(s string) string { return strconv.Quote(s) }
