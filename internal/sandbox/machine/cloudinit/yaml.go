package cloudinit

import (
	"errors"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// decodeYAML reads a document into plain values.
func decodeYAML(data []byte) (any, error) {
	n, problems := source.Parse("user-data", data)
	var errs []error
	for _, p := range problems {
		if p.Severity == diag.Error {
			errs = append(errs, errors.New(p.String()))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return plain(n), nil
}

// plain differs from Node.Any in one rule: cloud-init reads YAML 1.1, where 0644 is octal.
func plain(n *source.Node) any {
	switch {
	case n.IsNull():
		return nil
	case n.Is(source.Sequence):
		out := make([]any, len(n.Items))
		for i, it := range n.Items {
			out[i] = plain(it)
		}
		return out
	case n.Is(source.Mapping):
		out := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			out[p.Key.Text] = plain(p.Value)
		}
		return out
	}
	if s := n.Str(); !n.Quoted && len(s) > 1 && s[0] == '0' && strings.Trim(s, "01234567") == "" {
		if i, err := strconv.ParseInt(s, 8, 64); err == nil {
			return i
		}
	}
	return n.Any()
}
