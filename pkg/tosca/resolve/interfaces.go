package resolve

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// interfaceType makes the operations of an interface type, the ancestors' first.
func (r *resolver) interfaceType(t *typ, inherited []*topology.Interface) []*topology.Interface {
	i := &topology.Interface{Name: topology.InterfaceName(t.def.Name.Text), Type: t.chain, Inputs: topology.NewValues()}
	if len(inherited) == 1 {
		i.Operations = inherited[0].Operations
		for k, v := range inherited[0].Inputs.All() {
			i.Inputs.Set(k, v)
		}
	}
	if t.def.Interface != nil {
		r.overlayInterface(&context{file: t.file, inType: t}, i, t.def.Interface, nil, "")
	}
	return []*topology.Interface{i}
}

// typeInterfaces merges a type's interfaces over the inherited ones. The result is shared by all templates of the type: never change it.
func (r *resolver) typeInterfaces(t *typ, inherited []*topology.Interface) []*topology.Interface {
	ctx := &context{file: t.file, inType: t, artifacts: t.artifacts}
	return r.mergeInterfaces(ctx, inherited, t.def.Interfaces, true)
}

// mergeInterfaces lays definitions over interfaces. Inherited interfaces that are not mentioned are shared, the others copied.
func (r *resolver) mergeInterfaces(ctx *context, inherited []*topology.Interface, defs []*document.Interface, declare bool) []*topology.Interface {
	if len(defs) == 0 {
		return inherited
	}
	out := append([]*topology.Interface{}, inherited...)
	for _, def := range defs {
		name := topology.InterfaceName(def.Name.Text)
		at := -1
		for i, in := range out {
			if in.Name == name || in.Type.Name() == def.Name.Text {
				at = i
			}
		}
		i := &topology.Interface{Name: name, Inputs: topology.NewValues()}
		it := r.interfaceTypeOf(ctx, def, at >= 0)
		switch {
		case at >= 0:
			i.Name, i.Type, i.Operations = out[at].Name, out[at].Type, out[at].Operations
			for k, v := range out[at].Inputs.All() {
				i.Inputs.Set(k, v)
			}
			if it != nil {
				i.Type, i.Operations = it.chain, withOperations(i, it)
			}
		case it != nil && len(it.ifaces) == 1:
			i.Type, i.Operations = it.chain, it.ifaces[0].Operations
			for k, v := range it.ifaces[0].Inputs.All() {
				i.Inputs.Set(k, v)
			}
			if i.Name == def.Name.Text && len(it.chain) > 0 && topology.InterfaceName(it.chain.Name()) != it.chain.Name() && def.Name.Text == it.chain.Name() {
				i.Name = topology.InterfaceName(it.chain.Name())
			}
		case declare && def.Type.IsZero() && ctx.file.Doc.Traits.Strict && !ctx.broken():
			r.errorf("missing-keyname", def.Name.Pos, def.Path, "the interface %s of %s has no type", def.Name.Text, ctx.owner())
		case !declare && !ctx.file.Doc.Traits.Lenient && !ctx.file.Doc.Traits.Open && !ctx.broken():
			names := make([]string, len(out))
			for j, in := range out {
				names[j] = in.Name
			}
			d := r.errorf("unknown-interface", def.Name.Pos, def.Path, "%s has no interface %q", ctx.owner(), def.Name.Text)
			if d.Hint = diag.Suggest(def.Name.Text, names); d.Hint == "" {
				d.Hint = "declare it in the type"
			}
		}
		closed := it
		if at >= 0 && closed == nil && len(out[at].Type) > 0 {
			closed = ctx.file.lookup(document.InterfaceType, out[at].Type.Name())
		}
		r.overlayInterface(ctx, i, def, closed, ctx.owner())
		if at >= 0 {
			out[at] = i
		} else {
			out = append(out, i)
		}
	}
	return out
}

// withOperations are an interface's operations with those that the type it is refined to has beside them.
func withOperations(i *topology.Interface, t *typ) []*topology.Operation {
	if len(t.ifaces) != 1 {
		return i.Operations
	}
	out := i.Operations
	for _, o := range t.ifaces[0].Operations {
		if !slices.ContainsFunc(i.Operations, func(have *topology.Operation) bool { return have.Name == o.Name }) {
			copied := *o
			copied.Interface = i.Name
			out = append(slices.Clip(out), &copied)
		}
	}
	return out
}

func (c *context) owner() string {
	switch {
	case c.rel != nil:
		return "the relationship " + c.rel.Source + "." + c.rel.Name
	case c.node != nil:
		return c.node.Name
	case c.inType != nil:
		return "the " + c.inType.def.Kind.String() + " " + c.inType.def.Name.Text
	}
	return "the template"
}

// broken contexts lack what a type that is unknown or wrong would have declared; that was said there.
func (c *context) broken() bool { return c.untyped || c.inType != nil && c.inType.broken }

// interfaceTypeOf finds the interface type of a definition: named, or meant by the interface's name.
func (r *resolver) interfaceTypeOf(ctx *context, def *document.Interface, known bool) *typ {
	if !def.Type.IsZero() {
		return r.typeRef(ctx.file, document.InterfaceType, def.Type, def.Path+".type")
	}
	if known {
		return nil
	}
	for _, name := range []string{def.Name.Text, standardTypes[topology.InterfaceName(def.Name.Text)]} {
		if name == "" {
			continue
		}
		if t := ctx.file.lookup(document.InterfaceType, name); t != nil {
			return r.flatten(t)
		}
	}
	return nil
}

var standardTypes = map[string]string{
	"Standard":  "tosca.interfaces.node.lifecycle.Standard",
	"Configure": "tosca.interfaces.relationship.Configure",
	"Runnable":  "tosca.interfaces.node.lifecycle.Runnable",
}

// overlayInterface lays a definition's inputs and operations over an interface that nobody else holds.
func (r *resolver) overlayInterface(ctx *context, i *topology.Interface, def *document.Interface, closed *typ, owner string) {
	scope := *ctx
	scope.inputs = map[string]bool{}
	for _, in := range def.Inputs {
		scope.inputs[in.Name.Text] = true
		i.Inputs.Set(in.Name.Text, r.input(ctx, in, i.Inputs.Get(in.Name.Text), def.Path+".inputs"))
	}
	ops := append([]*topology.Operation{}, i.Operations...)
	for _, list := range [][]*document.Operation{def.Operations, def.Notifications} {
		for _, od := range list {
			at := -1
			for j, o := range ops {
				if o.Name == od.Name.Text {
					at = j
				}
			}
			if at < 0 && closed != nil && !closed.broken && !ctx.file.Doc.Traits.Lenient && owner != "" {
				names := make([]string, len(ops))
				for j, o := range ops {
					names[j] = o.Name
				}
				d := r.errorf("unknown-operation", od.Name.Pos, od.Path, "the interface %s has no operation %q", closed.def.Name.Text, od.Name.Text)
				if d.Hint = diag.Suggest(od.Name.Text, names); d.Hint == "" {
					d.Hint = hintList("it has", names)
				}
			}
			o := &topology.Operation{Interface: i.Name, Name: od.Name.Text, Retries: -1, Inputs: topology.NewValues()}
			if at >= 0 && ctx.file.Doc.Traits.Replace && !r.extends(ctx, ops[at], od) {
				ops[at] = o
			} else if at >= 0 {
				copied := *ops[at]
				o = &copied
				o.Interface = i.Name
				inputs := topology.NewValues()
				for k, v := range ops[at].Inputs.All() {
					inputs.Set(k, v)
				}
				o.Inputs = inputs
				ops[at] = o
			} else {
				ops = append(ops, o)
			}
			r.overlayOperation(ctx, o, od)
		}
	}
	// Interface inputs are inputs of every operation that does not have its own.
	if len(def.Inputs) > 0 || i.Inputs.Len() > 0 {
		for j, o := range ops {
			missing := false
			for k := range i.Inputs.All() {
				missing = missing || o.Inputs.Get(k) == nil
			}
			if missing {
				copied := *o
				copied.Inputs = topology.NewValues()
				for k, v := range i.Inputs.All() {
					copied.Inputs.Set(k, v)
				}
				for k, v := range o.Inputs.All() {
					copied.Inputs.Set(k, v)
				}
				ops[j] = &copied
			}
		}
	}
	i.Operations = ops
}

// extends reports a template's operation that keeps the type's inputs, where definitions otherwise replace what they redefine: it has the
// same implementation, or only inputs and settings.
func (r *resolver) extends(ctx *context, o *topology.Operation, def *document.Operation) bool {
	if ctx.node == nil && ctx.rel == nil {
		return false // a type's definition replaces its parent's
	}
	if def.Call.IsZero() && def.Implementation == nil {
		return len(def.Inputs) > 0 || def.Executor != "" || def.Retries != nil || def.RetryInterval != nil || def.Timeout != nil
	}
	if !def.Call.IsZero() {
		return o.Call == def.Call.Text
	}
	a := o.Implementation
	return a != nil && (def.Implementation.Source != "" && a.Source == def.Implementation.Source ||
		a.File != "" && (a.File == def.Implementation.File.Text || strings.HasSuffix(a.File, "/"+def.Implementation.File.Text)))
}

// number reads a whole number that is at least the given one.
func (r *resolver) number(n *source.Node, least int64, docPath string) int64 {
	i, ok := n.Int()
	if !ok || i < least {
		r.errorf("value-type", n.At(), docPath, "the value must be a whole number from %d on, not %s", least, n)
	}
	return i
}

func (r *resolver) overlayOperation(ctx *context, o *topology.Operation, def *document.Operation) {
	o.Pos = def.Name.Pos
	if def.Description != "" {
		o.Description = def.Description
	}
	if def.Implementation != nil {
		o.Implementation = r.artifactUse(ctx, def.Implementation)
		o.Dependencies = nil
	}
	for _, dep := range def.Dependencies {
		if a := r.artifactUse(ctx, dep); a != nil {
			o.Dependencies = append(o.Dependencies, a)
		}
	}
	if !def.Call.IsZero() {
		o.Call, o.Implementation, o.Dependencies = def.Call.Text, nil, nil
	} else if def.Implementation != nil {
		o.Call = ""
	}
	if def.Executor != "" {
		o.Executor = def.Executor
	}
	if def.Retries != nil {
		o.Retries = int(r.number(def.Retries, -1, def.Path+".max_retries"))
		if o.Retries < 0 {
			o.Retries = math.MaxInt32 // -1 is "without end" here
		}
	}
	if def.RetryInterval != nil {
		o.RetryInterval = time.Duration(r.number(def.RetryInterval, 0, def.Path+".retry_interval")) * time.Second
	}
	if def.Host != "" {
		o.Host = def.Host
	}
	if def.Timeout != nil {
		o.Timeout = r.timeout(def.Timeout, def.Path)
	}
	for _, in := range def.Inputs {
		o.Inputs.Set(in.Name.Text, r.input(ctx, in, o.Inputs.Get(in.Name.Text), def.Path+".inputs"))
	}
	for _, out := range def.Outputs {
		if len(out.Target) == 0 {
			continue
		}
		o.Outputs = append(o.Outputs[:len(o.Outputs):len(o.Outputs)], topology.OutputMapping{Output: out.Name.Text, Target: out.Target, Pos: out.Pos})
	}
}

// timeout in seconds, or with a unit.
func (r *resolver) timeout(n *source.Node, docPath string) time.Duration {
	if f, ok := n.Float(); ok && f >= 0 {
		return time.Duration(f * float64(time.Second))
	}
	if s, _, err := topology.ParseUnit("scalar-unit.time", n.Str()); err == nil && s >= 0 {
		return time.Duration(s * float64(time.Second))
	}
	r.errorf("value-type", n.At(), docPath, "timeout must be a number of seconds, not %s", n)
	return 0
}

// input is an operation's input: its value, or its default, or a null literal that carries the schema.
func (r *resolver) input(ctx *context, in *document.Input, inherited *topology.Value, docPath string) *topology.Value {
	docPath += "." + in.Name.Text
	var s *topology.Schema
	def := in.Def
	if def != nil {
		if def.Short != nil {
			// A plain value fixes the input; one that names a data type where nothing was declared is taken for the type.
			def = expandShort(def, inherited != nil || def.Short.Tag != "!!str")
		}
		s = r.refinement(ctx.file, def.Schema, inherited != nil)
	}
	if inherited != nil {
		s = mergeSchema(inherited.Schema, s)
	}
	switch {
	case in.Value != nil:
		return r.value(ctx, in.Value, s, docPath)
	case def != nil && def.Value != nil:
		return r.value(ctx, def.Value, s, docPath)
	case def != nil && def.Default != nil:
		return r.value(ctx, def.Default, s, docPath+".default")
	case inherited != nil && !(inherited.Kind == topology.LitValue && inherited.Lit == nil):
		return inherited
	}
	v := &topology.Value{Schema: s, Pos: in.Name.Pos}
	if in.Def != nil && (in.Def.Required == nil || *in.Def.Required) {
		r.requiredInputs[v] = true
	}
	return v
}
