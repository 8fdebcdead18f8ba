package convert

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// interfaceName is how a node's interface is called in TOSCA.
func interfaceName(name string) string {
	if name == lifecycle {
		return "Standard"
	}
	return name
}

// blueprintNodeInterfaces writes interfaces of a node type (def) or template; types that others derive from declare all that are used.
func (c *converter) blueprintNodeInterfaces(f *resolve.File, list []*document.Interface, def, all bool) *source.Node {
	out := newMap()
	seen := map[string]bool{}
	if all {
		for _, name := range c.bp.interfaces {
			if name != relationLife && !strings.HasPrefix(name, topology.TargetEnd) && len(c.bp.operations[name]) > 0 {
				out.put(interfaceName(name), one("type", str(name)))
			}
		}
	}
	for _, i := range list {
		ops := newMap()
		for _, o := range i.Operations {
			if key := i.Name.Text + "." + o.Name.Text; seen[key] {
				continue
			} else {
				seen[key] = true
			}
			if n := c.blueprintOperation(f, i, o, def, o.Name.Text); n != nil {
				ops.put(o.Name.Text, n)
				if i.Name.Text == lifecycle && !slices.Contains(standardOperations, o.Name.Text) && o.Implementation != nil {
					c.lost(o.Name.Pos, o.Path, "that the operation %s belongs to the life cycle", o.Name.Text)
				}
			}
		}
		if ops.or() == nil {
			continue
		}
		name := interfaceName(i.Name.Text)
		x := out.n.Get(name)
		if x == nil {
			x = newMap().n
			if def {
				m{x}.text("type", i.Name.Text)
			}
			out.put(name, x)
		}
		m{x}.put("operations", ops.n)
	}
	return out.or()
}

// blueprintEnds writes the interfaces of a relationship.
func (c *converter) blueprintEnds(f *resolve.File, list []*document.Interface, def, all bool) *source.Node {
	out, ops := newMap(), newMap()
	for _, i := range list {
		name, target := strings.CutPrefix(i.Name.Text, topology.TargetEnd)
		for _, o := range i.Operations {
			if o.Implementation == nil && o.Call.IsZero() && len(o.Inputs) == 0 {
				continue
			}
			to, known := relationshipOperations[o.Name.Text]
			if name != relationLife || !known {
				c.lost(o.Name.Pos, o.Path, "the operation %s.%s of a relationship", name, o.Name.Text)
				continue
			}
			at := 0
			if target {
				at = 1
				if strings.HasSuffix(to[1], "configure_target") && o.Implementation != nil {
					c.lost(o.Name.Pos, o.Path, "that %s of the target runs when the source is configured (it becomes %s, which runs when the target is)", o.Name.Text, to[1])
				}
			}
			if ops.n.Get(to[at]) == nil {
				ops.put(to[at], c.blueprintOperation(f, i, o, def, to[at]))
			}
		}
	}
	if ops.or() == nil {
		return nil
	}
	x := newMap()
	if def {
		x.text("type", "tosca.interfaces.relationship.Configure")
	}
	x.put("operations", ops.n)
	out.put("Configure", x.n)
	return out.or()
}

// usesCtx are the calls by which a script asks Cloudify's agent.
var usesCtx = regexp.MustCompile(`(?m)(^|[\s$(` + "`" + `;|&])ctx[ .]|from cloudify|import cloudify`)

func (c *converter) blueprintOperation(f *resolve.File, i *document.Interface, o *document.Operation, def bool, as string) *source.Node {
	with := *o
	with.Name.Text = as
	switch {
	case !o.Call.IsZero():
		c.lost(o.Call.Pos, o.Path, "the plugin's function %s, which the operation %s calls,", o.Call.Text, o.Name.Text)
		return nil
	case o.Implementation != nil && o.Implementation.Source != "":
		c.lost(o.Name.Pos, o.Path, "the script that the operation %s has in the document", o.Name.Text)
		return nil
	case o.Implementation == nil && len(o.Inputs) == 0:
		return nil
	}
	if a := o.Implementation; a != nil {
		for _, dir := range []string{path.Dir(f.Path), f.Root} {
			if data, err := fs.ReadFile(c.Topology.Files, path.Join(dir, a.File.Text)); err == nil && usesCtx.Match(data) && !bytes.HasPrefix(data, []byte("\x7fELF")) && !c.ctx[a.File.Text] {
				c.ctx[a.File.Text] = true
				c.lost(a.File.Pos, o.Path, "what the script %s asks of Cloudify's ctx", a.File.Text)
			}
		}
	}
	for _, x := range []struct {
		what string
		n    *source.Node
	}{{"max_retries", o.Retries}, {"retry_interval", o.RetryInterval}} {
		if x.n != nil {
			c.lost(o.Name.Pos, o.Path, "%s of the operation %s", x.what, o.Name.Text)
		}
	}
	if o.Host != "ORCHESTRATOR" {
		with.Host = ""
	}
	with.Inputs = nil
	ins := newMap()
	for _, in := range o.Inputs {
		switch {
		case in.Def == nil:
			ins.put(in.Name.Text, c.value(f, in.Value, nil))
		case in.Def.Schema != nil && in.Def.Schema.Type.Text != "any" || in.Def.Default != nil:
			ins.put(in.Name.Text, c.blueprintParam(f, in.Def, in.Def, i.Path+"."+o.Name.Text))
		}
	}
	out := c.operation(f, &with, def)
	if ins.or() != nil {
		out.Pairs = append([]source.Pair{{Key: plain("inputs"), Value: ins.n}}, out.Pairs...)
	}
	return out
}

// blueprintInterfaces writes the interface types: all operations that are used of each.
func (c *converter) blueprintInterfaces(out m) {
	for _, name := range c.bp.interfaces {
		if name == relationLife || strings.HasPrefix(name, topology.TargetEnd) || len(c.bp.operations[name]) == 0 {
			continue
		}
		x, ops := newMap(), newMap()
		if name == lifecycle {
			x.text("derived_from", standardType)
		}
		for _, o := range c.bp.operations[name] {
			if name != lifecycle || !slices.Contains(standardOperations, o) {
				ops.put(o, one("description", str("An operation.")))
			}
		}
		x.put("operations", ops.or())
		if x.or() != nil {
			out.put(name, x.n)
		}
	}
}
