package cli

import "strings"

// splitInstance reads web, web[1] or web/1 (as Juju writes it).
func splitInstance(s string) (node, index string) {
	if n, rest, ok := strings.Cut(s, "["); ok && strings.HasSuffix(rest, "]") {
		return n, strings.TrimSuffix(rest, "]")
	}
	if n, i, ok := strings.Cut(s, "/"); ok {
		return n, i
	}
	return s, ""
}

// splitOperation reads Interface.operation; a bare operation belongs to the standard lifecycle.
func splitOperation(s string) (iface, op string) {
	if i := strings.LastIndex(s, "."); i >= 0 {
		return s[:i], s[i+1:]
	}
	return "Standard", s
}
