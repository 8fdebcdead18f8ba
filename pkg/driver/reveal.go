package driver

import (
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Reveal makes an evaluated value plain: secrets in clear, what is not known yet as nil. The result goes to a host or into a login, never into
// a file, a log or an event.
func Reveal(v any) any {
	switch t := v.(type) {
	case secret.Value:
		return t.Reveal()
	case topology.Unknown:
		return nil
	case []any:
		out := make([]any, len(t))
		for i, x := range t {
			out[i] = Reveal(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, x := range t {
			out[k] = Reveal(x)
		}
		return out
	}
	return v
}
