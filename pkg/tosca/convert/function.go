package convert

import (
	"path"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// ownCall writes the call of a function that a document defines.
func (c *converter) ownCall(f, home *resolve.File, def *document.Function, n *source.Node, args []*source.Node) *source.Node {
	if !c.v2 {
		c.lost(n.Pos, "", "the function %s", def.Name.Text)
		return nil
	}
	name := c.define(home, def)
	if out := c.arguments(f, args); out != nil {
		return one("$"+name, out)
	}
	return nil
}

// definedFunction is a function with the file that defines it.
type definedFunction struct {
	def  *document.Function
	home *resolve.File
}

// define has a function written and returns its name.
func (c *converter) define(home *resolve.File, def *document.Function) string {
	if name, ok := c.defined[def]; ok {
		return name
	}
	name := def.Name.Text
	for _, other := range c.defined {
		if other == name {
			name = strings.TrimSuffix(path.Base(home.Path), path.Ext(home.Path)) + "." + name
			c.diags.Warnf(CodeLost, def.Name.Pos, "two functions are called %s; this one becomes %s", def.Name.Text, name).Path = def.Path
		}
	}
	c.defined[def] = name
	if !c.v2 {
		c.lost(def.Name.Pos, def.Path, "the function %s", def.Name.Text)
		return name
	}
	c.calls = append(c.calls, definedFunction{def, home})
	return name
}

// definitions writes the functions that are called, those that a service template refines as they are then.
func (c *converter) definitions(out m) {
	for len(c.calls) > 0 {
		d := c.calls[0]
		c.calls = c.calls[1:]
		list := seq()
		home, outside := d.home.Refined(d.def)
		if outside != nil {
			for i, s := range outside.Signatures {
				x := c.signature(home, s)
				if i < len(d.def.Signatures) && d.def.Signatures[i].Implementation != nil && d.def.Signatures[i].Implementation.Implementation != nil {
					m{x}.put("implementation", c.signature(d.home, d.def.Signatures[i]).Get("implementation"))
				}
				list.Items = append(list.Items, x)
			}
		}
		for _, s := range d.def.Signatures[min(len(list.Items), len(d.def.Signatures)):] {
			list.Items = append(list.Items, c.signature(d.home, s))
		}
		out.put(c.defined[d.def], one("signatures", list))
	}
}

func (c *converter) signature(f *resolve.File, s *document.Signature) *source.Node {
	x := newMap()
	schemas := func(list []*document.Schema) *source.Node {
		if len(list) == 0 {
			return nil
		}
		out := seq()
		for _, a := range list {
			y := newMap()
			c.schema(f, y, a)
			out.Items = append(out.Items, y.n)
		}
		return out
	}
	x.put("arguments", schemas(s.Arguments))
	x.put("optional_arguments", schemas(s.Optional))
	if s.Variadic {
		x.put("variadic", flag(true))
	}
	if s.Result != nil {
		y := newMap()
		c.schema(f, y, s.Result)
		x.put("result", y.or())
	}
	if s.Implementation != nil {
		x.put("implementation", c.operation(f, s.Implementation, true).Get("implementation"))
	}
	return x.n
}
