package cloudify

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
)

// Namespaced returns a document with every name that can be referred to, and every reference to one, led by "ns--". Names that begin with
// "cloudify." stay, so do plugins, interfaces, properties and labels.
func Namespaced(root *source.Node, ns string) *source.Node {
	if ns == "" {
		return root
	}
	n := &renamer{prefix: ns + "--"}
	return n.each(root, func(section string, v *source.Node) *source.Node {
		switch section {
		case "inputs":
			return n.keys(v, n.schema)
		case "outputs", "capabilities":
			return n.keys(v, n.values)
		case "node_types", "relationships", "data_types", "policy_types":
			return n.keys(v, n.typeDef)
		case "node_templates":
			return n.keys(v, n.node)
		case "groups":
			return n.keys(v, n.group)
		case "policies":
			return n.keys(v, func(p *source.Node) *source.Node {
				return n.each(p, func(k string, v *source.Node) *source.Node {
					if k == "targets" {
						return n.list(v)
					}
					return n.values(v)
				})
			})
		case "workflows", "policy_triggers":
			return n.keys(v, func(w *source.Node) *source.Node { return w })
		case "labels", "deployment_settings", "resource_tags":
			return n.values(v)
		}
		return v
	})
}

type renamer struct{ prefix string }

// primitives are the types that no namespace has.
var primitives = []string{"string", "integer", "float", "boolean", "list", "dict", "regex", "textarea", "blueprint_id", "deployment_id", "capability_value",
	"scaling_group", "node_id", "node_type", "node_instance", "secret_key", "operation_name"}

func (r *renamer) text(s string) string {
	if s == "" || strings.HasPrefix(s, "cloudify.") {
		return s
	}
	return r.prefix + s
}

func (r *renamer) name(n *source.Node) *source.Node {
	if !n.Is(source.Scalar) {
		return n
	}
	c := *n
	c.Text = r.text(n.Text)
	return &c
}

func (r *renamer) list(n *source.Node) *source.Node {
	if !n.Is(source.Sequence) {
		return r.name(n)
	}
	c := *n
	c.Items = make([]*source.Node, len(n.Items))
	for i, it := range n.Items {
		c.Items[i] = r.name(it)
	}
	return &c
}

// each maps the values of a map.
func (r *renamer) each(n *source.Node, f func(key string, v *source.Node) *source.Node) *source.Node {
	if !n.Is(source.Mapping) {
		return n
	}
	c := *n
	c.Pairs = make([]source.Pair, len(n.Pairs))
	for i, p := range n.Pairs {
		c.Pairs[i] = source.Pair{Key: p.Key, Value: f(p.Key.Text, p.Value)}
	}
	return &c
}

// keys renames a map's keys and maps its values.
func (r *renamer) keys(n *source.Node, f func(*source.Node) *source.Node) *source.Node {
	c := r.each(n, func(_ string, v *source.Node) *source.Node { return f(v) })
	if c.Is(source.Mapping) {
		for i, p := range c.Pairs {
			c.Pairs[i].Key = r.name(p.Key)
		}
	}
	return c
}

func (r *renamer) schema(n *source.Node) *source.Node {
	return r.each(n, func(k string, v *source.Node) *source.Node {
		if k == "type" && v.Is(source.Scalar) && !slices.Contains(primitives, v.Text) {
			return r.name(v)
		}
		return r.values(v)
	})
}

func (r *renamer) typeDef(n *source.Node) *source.Node {
	return r.each(n, func(k string, v *source.Node) *source.Node {
		switch k {
		case "derived_from":
			return r.name(v)
		case "properties", "runtime_properties":
			return r.each(v, func(_ string, p *source.Node) *source.Node { return r.schema(p) })
		}
		return r.values(v)
	})
}

func (r *renamer) node(n *source.Node) *source.Node {
	return r.each(n, func(k string, v *source.Node) *source.Node {
		switch {
		case k == "type":
			return r.name(v)
		case k == "relationships" && v.Is(source.Sequence):
			c := *v
			c.Items = make([]*source.Node, len(v.Items))
			for i, it := range v.Items {
				c.Items[i] = r.each(it, func(k string, v *source.Node) *source.Node {
					if k == "type" || k == "target" {
						return r.name(v)
					}
					return r.values(v)
				})
			}
			return &c
		}
		return r.values(v)
	})
}

func (r *renamer) group(n *source.Node) *source.Node {
	return r.each(n, func(k string, v *source.Node) *source.Node {
		switch k {
		case "members":
			return r.list(v)
		case "policies":
			return r.each(v, func(_ string, p *source.Node) *source.Node {
				return r.each(p, func(k string, v *source.Node) *source.Node {
					switch k {
					case "type":
						return r.name(v)
					case "triggers":
						return r.each(v, func(_ string, t *source.Node) *source.Node {
							return r.each(t, func(k string, v *source.Node) *source.Node {
								if k == "type" {
									return r.name(v)
								}
								return r.values(v)
							})
						})
					}
					return r.values(v)
				})
			})
		}
		return v
	})
}

// values renames what functions refer to, at any depth.
func (r *renamer) values(n *source.Node) *source.Node {
	switch {
	case n.Is(source.Sequence):
		c := *n
		c.Items = make([]*source.Node, len(n.Items))
		for i, it := range n.Items {
			c.Items[i] = r.values(it)
		}
		return &c
	case n.Is(source.Mapping):
		call := len(n.Pairs) == 1 || len(n.Pairs) == 2 && n.Get("type") != nil
		return r.each(n, func(k string, v *source.Node) *source.Node {
			switch {
			case call && k == "get_input":
				return r.first(v)
			case call && (k == "get_property" || strings.HasPrefix(k, "get_attribute")) && v.Is(source.Sequence):
				return r.first(v)
			}
			return r.values(v)
		})
	}
	return n
}

// first renames the entity that a function's arguments begin with.
func (r *renamer) first(n *source.Node) *source.Node {
	if n.Is(source.Scalar) {
		return r.name(n)
	}
	v := r.values(n)
	if !v.Is(source.Sequence) || len(v.Items) == 0 || !v.Items[0].Is(source.Scalar) {
		return v
	}
	if !slices.Contains([]string{"SELF", "SOURCE", "TARGET"}, v.Items[0].Text) {
		v.Items[0] = r.name(v.Items[0])
	}
	return v
}
