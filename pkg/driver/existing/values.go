package existing

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// values evaluates expressions; what is not known is nil.
type values struct {
	ctx context.Context
	sc  topology.Scope
	env topology.Env
}

func (v values) eval(x *topology.Value) any {
	if x == nil {
		return nil
	}
	r, err := topology.Eval(v.ctx, v.sc, x, v.env)
	if err != nil {
		return nil
	}
	return driver.Reveal(r)
}

// address of a server under a name: what runs says, else what its template gives.
func (v values) address(n *topology.Node, in topology.Instance, name string) string {
	if x, ok := v.env.Attribute(in, "", name); ok {
		if s := text(driver.Reveal(x)); s != "" {
			return s
		}
	}
	for _, from := range []*topology.Values{n.Properties, n.Attributes} {
		if from == nil {
			continue
		}
		if s := text(v.eval(from.Get(name))); s != "" {
			return s
		}
	}
	return ""
}

func text(v any) string {
	if v == nil {
		return ""
	}
	switch v.(type) {
	case string, int64, int, float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}
