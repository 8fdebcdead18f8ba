package convert

import (
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// standard are the interface types that interfaces of usual names have without saying so.
var standard = map[string]string{
	"Standard": "tosca.interfaces.node.lifecycle.Standard", "Configure": "tosca.interfaces.relationship.Configure", "Runnable": "tosca.interfaces.node.lifecycle.Runnable",
}

// interfaces of a type (def) or template.
func (c *converter) interfaces(f *resolve.File, list []*document.Interface, def bool) *source.Node {
	out := newMap()
	for _, i := range list {
		x := newMap()
		name := i.Name.Text
		typ := c.ref(f, document.InterfaceType, i.Type)
		if typ == "" && def {
			for _, n := range []string{name, standard[topology.InterfaceName(name)]} {
				if chain := f.Lookup(document.InterfaceType, n); n != "" && len(chain) > 0 {
					typ = c.use(chain[0])
					break
				}
			}
		}
		if typ == "" && i.Type.IsZero() {
			typ = c.loosen(i, def)
		}
		if def {
			x.text("type", typ)
		}
		x.text("description", i.Description)
		c.interfaceBody(x, f, i, def)
		out.put(name, x.n)
	}
	return out.or()
}

// loosen notes the operations of an interface that has no type in the source: Alien4Cloud's dialects have none. The other dialect wants to
// know every operation, and its own types of the usual names have fewer.
func (c *converter) loosen(i *document.Interface, def bool) string {
	if !c.Root.Doc.Traits.Lenient && !c.v2 {
		return ""
	}
	name := i.Name.Text
	if full := standard[topology.InterfaceName(name)]; full != "" {
		name = full
	}
	if !def && c.ops[name] == nil {
		return "" // a type of the source has it
	}
	if c.ops[name] == nil {
		c.loose = append(c.loose, name)
		c.ops[name] = []string{}
	}
	for _, o := range append(append([]*document.Operation{}, i.Operations...), i.Notifications...) {
		if !slices.Contains(c.ops[name], o.Name.Text) {
			c.ops[name] = append(c.ops[name], o.Name.Text)
		}
	}
	return name
}

// looseInterfaces adds the types of interfaces without one.
func (c *converter) looseInterfaces(n *source.Node) *source.Node {
	if len(c.loose) == 0 {
		return n
	}
	if n == nil {
		n = newMap().n
	}
	for _, name := range c.loose {
		if n.Get(name) != nil {
			continue
		}
		ops := newMap()
		for _, o := range c.ops[name] {
			ops.put(o, one("description", str("An operation.")))
		}
		x := newMap()
		x.text("description", "The operations that are used of "+name+".")
		x.put("operations", ops.or())
		m{n}.put(name, x.n)
	}
	return n
}

func (c *converter) interfaceBody(x m, f *resolve.File, i *document.Interface, def bool) {
	x.put("inputs", c.inputs(f, i.Inputs, def))
	for _, part := range []struct {
		key  string
		list []*document.Operation
	}{{"operations", i.Operations}, {"notifications", i.Notifications}} {
		ops := newMap()
		for _, o := range part.list {
			ops.put(o.Name.Text, c.operation(f, o, def))
		}
		x.put(part.key, ops.or())
	}
}

func (c *converter) operation(f *resolve.File, o *document.Operation, def bool) *source.Node {
	x := newMap()
	x.text("description", o.Description)
	x.put("inputs", c.inputs(f, o.Inputs, def))
	impl := newMap()
	primary := c.used(f, o.Implementation)
	deps := seq()
	for _, d := range o.Dependencies {
		if n := c.used(f, d); n != nil {
			deps.Items = append(deps.Items, n)
		}
	}
	impl.put("primary", primary)
	if len(deps.Items) > 0 {
		impl.put("dependencies", deps)
	}
	for _, part := range []source.Pair{{Key: plain("operation_host"), Value: textOrNil(o.Host)}, {Key: plain("timeout"), Value: c.value(f, o.Timeout, nil)}} {
		switch key := part.Key.Text; {
		case part.Value == nil:
		case c.v2:
			c.lost(o.Name.Pos, o.Path, "%s of the operation %s", key, o.Name.Text)
		default:
			impl.put(key, part.Value)
		}
	}
	switch {
	case len(impl.n.Pairs) == 1 && primary != nil:
		x.put("implementation", primary)
	default:
		x.put("implementation", impl.or())
	}
	outs := newMap()
	for _, v := range o.Outputs {
		if len(v.Target) > 0 {
			outs.put(v.Name.Text, texts(v.Target))
		} else if v.Def != nil {
			outs.put(v.Name.Text, c.param(f, v.Def, "output", nil))
		}
	}
	x.put("outputs", outs.or())
	return x.n
}

func textOrNil(s string) *source.Node {
	if s == "" {
		return nil
	}
	return str(s)
}

// used is an artifact that an operation runs or needs.
func (c *converter) used(f *resolve.File, a *document.Artifact) *source.Node {
	if a == nil {
		return nil
	}
	file := c.file(f, a.File, a.Path)
	c.byExtension(f, a)
	if a.Type.IsZero() && a.Repository.IsZero() && len(a.Properties) == 0 && a.DeployPath == "" && a.Checksum == "" && a.Version == "" {
		return textOrNil(file)
	}
	return c.artifactBody(f, a, file)
}

// byExtension has the types written that a file without one has by its name's extension.
func (c *converter) byExtension(f *resolve.File, a *document.Artifact) {
	ext := strings.TrimPrefix(path.Ext(a.File.Text), ".")
	if !a.Type.IsZero() || ext == "" {
		return
	}
	for _, name := range f.TypeNames(document.ArtifactType) {
		if chain := f.Lookup(document.ArtifactType, name); len(chain) > 0 && slices.Contains(chain[0].FileExt, ext) {
			c.use(chain[0])
		}
	}
}

func (c *converter) artifactBody(f *resolve.File, a *document.Artifact, file string) *source.Node {
	x := newMap()
	x.text("type", c.ref(f, document.ArtifactType, a.Type))
	x.text("file", file)
	x.text("repository", a.Repository.Text)
	x.text("description", a.Description)
	if c.v2 && a.DeployPath != "" {
		c.lost(a.Name.Pos, a.Path+".deploy_path", "where the artifact %s is put", a.Name.Text)
	} else {
		x.text("deploy_path", a.DeployPath)
	}
	x.text("artifact_version", a.Version)
	x.text("checksum", a.Checksum)
	x.text("checksum_algorithm", a.ChecksumAlg)
	x.put("properties", c.assigns(f, a.Properties, nil))
	if !a.Input.IsZero() {
		c.lost(a.Input.Pos, a.Path, "that the deployment gives the file (get_input_artifact)")
	}
	return x.n
}

// artifacts are those of a node type or a template; chain are the types that it inherits from, which may give what it does not say.
func (c *converter) artifacts(f *resolve.File, list []*document.Artifact, chain []resolve.Declared, inType bool) *source.Node {
	out := newMap()
	for _, a := range list {
		file := c.file(f, a.File, a.Path)
		c.byExtension(f, a)
		if a.Type.IsZero() && a.Repository.IsZero() && len(a.Properties) == 0 && a.DeployPath == "" && a.Checksum == "" && file != "" {
			out.put(a.Name.Text, str(file))
			continue
		}
		from, given := declaredIn(chain, func(t *document.Type) []*document.Artifact { return t.Artifacts }, func(o *document.Artifact) bool {
			return o.Name.Text == a.Name.Text && !o.File.IsZero()
		})
		if file == "" && given == nil && (c.v2 || !inType) {
			c.lost(a.Name.Pos, a.Path, "the artifact %s, which has no file,", a.Name.Text)
			continue
		}
		body := c.artifactBody(f, a, file)
		if c.v2 && file == "" { // what TOSCA 1.3 inherits, TOSCA 2.0 wants said
			x := m{body}
			x.text("file", c.file(from.File, given.File, given.Path))
			if a.Repository.IsZero() {
				x.text("repository", given.Repository.Text)
			}
		}
		if c.v2 && a.Type.IsZero() {
			if at, typed := declaredIn(chain, func(t *document.Type) []*document.Artifact { return t.Artifacts }, func(o *document.Artifact) bool {
				return o.Name.Text == a.Name.Text && !o.Type.IsZero()
			}); typed != nil {
				m{body}.text("type", c.ref(at.File, document.ArtifactType, typed.Type))
			}
		}
		out.put(a.Name.Text, body)
	}
	return out.or()
}

// inputs of operations and interfaces: definitions in types, values in templates.
func (c *converter) inputs(f *resolve.File, list []*document.Input, def bool) *source.Node {
	out := newMap()
	for _, in := range list {
		switch {
		case in.Def != nil && def:
			out.put(in.Name.Text, c.param(f, in.Def, "input", nil))
		case in.Value != nil && def:
			x := newMap()
			v := c.value(f, in.Value, nil)
			if v == nil { // it was lost; whoever calls the operation may give one
				x.text("type", "string")
				x.put("required", flag(false))
				out.put(in.Name.Text, x.n)
				continue
			}
			x.text("type", guess(v))
			if t := guess(v); c.v2 && (t == "list" || t == "map") {
				entry := "string"
				if v.Is(source.Sequence) && len(v.Items) > 0 {
					entry = guess(v.Items[0])
				}
				x.put("entry_schema", one("type", str(entry)))
			}
			if v != nil && v.Kind != source.Null {
				x.put("default", v)
			}
			out.put(in.Name.Text, x.n)
		case in.Value != nil:
			var s *document.Schema
			if in.Def != nil {
				s = in.Def.Schema
			}
			out.put(in.Name.Text, c.value(f, in.Value, s))
		}
	}
	return out.or()
}

// guess is the type of an input that a type gives a value without declaring it.
func guess(v *source.Node) string {
	switch {
	case v.Is(source.Sequence):
		return "list"
	case v.Is(source.Mapping) && len(v.Pairs) != 1:
		return "map"
	case v.Is(source.Scalar) && !v.Quoted:
		switch v.Tag { // a bare text is !!str
		case "!!int":
			return "integer"
		case "!!float":
			return "float"
		case "!!bool":
			return "boolean"
		}
	}
	return "string"
}

// assigns gives values to names, of the types that find knows.
func (c *converter) assigns(f *resolve.File, list []document.Assign, find func(name string) (*resolve.File, *document.Schema)) *source.Node {
	out := newMap()
	for _, a := range list {
		in, s := f, (*document.Schema)(nil)
		if find != nil {
			if at, schema := find(a.Name.Text); schema != nil {
				in, s = at, schema
			}
		}
		v := c.typed(f, in, a.Value, s)
		if v == nil && s != nil {
			c.fitted.gone[s] = true
		}
		out.put(a.Name.Text, v)
	}
	return out.or()
}

// typed writes a value of one file whose type another one declares: functions are of the first's dialect.
func (c *converter) typed(f, declared *resolve.File, n *source.Node, s *document.Schema) *source.Node {
	if declared == f || s == nil {
		return c.value(f, n, s)
	}
	lookup := *declared
	doc := *declared.Doc
	traits := *doc.Traits
	traits.Expressions, traits.YAML11 = f.Doc.Traits.Expressions, f.Doc.Traits.YAML11
	doc.Traits = &traits
	lookup.Doc = &doc
	return c.value(&lookup, n, s)
}
