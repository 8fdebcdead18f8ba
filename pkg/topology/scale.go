package topology

import (
	"context"
	"fmt"
	"math"
)

// Scale says how many instances a node may have and has at first: the template's own count, or the Scalable capability of the node at the end
// of its chain of hosts (see ScaleRoot), or one. Inputs that the numbers depend on come from env; an Unknown one is an error.
func (t *Topology) Scale(ctx context.Context, node string, env Env) (min, max, def int, err error) {
	n := t.NodeNamed(node)
	if n == nil {
		return 0, 0, 0, &EvalError{Message: fmt.Sprintf("there is no node %q", node)}
	}
	root := t.ScaleRoot(n)
	if root.Count != nil {
		c, err := t.scaleNumber(ctx, root, root.Count, env, 1)
		return c, c, c, err
	}
	for _, c := range root.Capabilities {
		if !c.Type.Is("tosca.capabilities.Scalable") {
			continue
		}
		if min, err = t.scaleNumber(ctx, root, c.Properties.Get("min_instances"), env, 1); err != nil {
			return 0, 0, 0, err
		}
		if v := c.Properties.Get("max_instances"); v != nil && (v.Lit == int64(-1) || v.Lit == Unbounded) {
			max = math.MaxInt32
		} else if max, err = t.scaleNumber(ctx, root, v, env, 1); err != nil {
			return 0, 0, 0, err
		}
		def, err = t.scaleNumber(ctx, root, c.Properties.Get("default_instances"), env, min)
		if err != nil {
			return 0, 0, 0, err
		}
		if max == 1 && def > max { // the type's default maximum, beside a number that the user set
			max = def
		}
		if min < 0 || def < min || def > max {
			return 0, 0, 0, &EvalError{Pos: root.Pos, Message: fmt.Sprintf(
				"%s cannot scale: default_instances %d must be within min_instances %d and max_instances %d", root.Name, def, min, max)}
		}
		return min, max, def, nil
	}
	return 1, 1, 1, nil
}

func (t *Topology) scaleNumber(ctx context.Context, n *Node, v *Value, env Env, otherwise int) (int, error) {
	if isNull(v) {
		return otherwise, nil
	}
	r, err := Eval(ctx, Scope{Topology: t, Node: n}, v, env)
	if err != nil {
		return 0, err
	}
	f, ok := Number(r)
	if r == nil {
		return otherwise, nil
	}
	if !ok || f != float64(int(f)) || f < 0 {
		return 0, &EvalError{Pos: v.Pos, Message: fmt.Sprintf("%s: %v is not a number of instances", n.Name, r)}
	}
	return int(f), nil
}

// PerContainer is how many instances a node has in each instance of what it is contained in (Cloudify): its own count, or one.
func (t *Topology) PerContainer(ctx context.Context, n *Node, env Env) (int, error) {
	if n.Host() == "" || n.Host() != n.ScalesWith && n.ScalesWith != "" {
		return 1, nil
	}
	if n.Count != nil {
		return t.scaleNumber(ctx, n, n.Count, env, 1)
	}
	for _, c := range n.Capabilities {
		if c.Type.Is("tosca.capabilities.Scalable") {
			return t.scaleNumber(ctx, n, c.Properties.Get("default_instances"), env, 1)
		}
	}
	return 1, nil
}
