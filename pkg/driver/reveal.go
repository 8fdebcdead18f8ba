package driver

import (
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Reveal makes an evaluated value plain: secrets in clear, what is not known yet as nil. The result goes to a host or into a login, never into
// a file, a log or an event.
func Reveal(v any) any {
	return topology.MapLeaves(v, func(leaf any) any {
		switch t := leaf.(type) {
		case secret.Value:
			return t.Reveal()
		case topology.Unknown:
			return nil
		}
		return leaf
	})
}
