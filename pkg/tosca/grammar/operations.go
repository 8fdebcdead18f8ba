package grammar

import (
	"strconv"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// interfaces reads the interfaces of a type (def) or template.
func (d *decoder) interfaces(n *source.Node, path string, def bool) []*document.Interface {
	if n == nil {
		return nil
	}
	var out []*document.Interface
	if d.a4c && n.Is(source.Sequence) { // names of interfaces, of which nothing more is said
		for i, it := range n.Items {
			p := path + "[" + strconv.Itoa(i) + "]"
			if it.Is(source.Mapping) && len(it.Pairs) == 1 && it.Pairs[0].Value.Is(source.Mapping) {
				out = append(out, d.interfaceBody(key(it.Pairs[0].Key), it.Pairs[0].Value, p, "interface_in_type", def))
			} else if name := d.name(it, p); !name.IsZero() {
				out = append(out, &document.Interface{Name: name, Path: p})
			}
		}
		return out
	}
	for _, e := range d.entries(n, path) {
		if e.value.IsNull() {
			out = append(out, &document.Interface{Name: key(e.key), Path: e.path})
			continue
		}
		if !d.isMap(e.value, e.path) {
			continue
		}
		out = append(out, d.interfaceBody(key(e.key), e.value, e.path, "interface_in_type", def))
	}
	return out
}

// interfaceBody reads operations given directly or under `operations`, inputs and notifications.
func (d *decoder) interfaceBody(name document.Name, n *source.Node, path, section string, def bool) *document.Interface {
	i := &document.Interface{Name: name, Path: path}
	keys := d.keys[section]
	grouped := n.Get("operations") != nil && keys.known["operations"]
	for k, v := range n.All() {
		p := path + "." + k.Text
		switch {
		case k.Text == "type" && v.Is(source.Scalar) && section == "interface_in_type":
			i.Type = d.name(v, p)
		case k.Text == "description" && !v.Is(source.Mapping):
			i.Description = d.text(v, p)
		case k.Text == "metadata" && keys.known["metadata"]:
			d.metadata(v, p)
		case k.Text == "inputs":
			i.Inputs = d.inputs(v, p, def)
		case k.Text == "operations" && keys.known["operations"]:
			for _, e := range d.entries(v, p) {
				i.Operations = append(i.Operations, d.operation(e, "operation", def))
			}
		case k.Text == "notifications" && keys.known["notifications"]:
			for _, e := range d.entries(v, p) {
				i.Notifications = append(i.Notifications, d.operation(e, "notification", def))
			}
		case section == "interface_type" && d.keys["type"].known[k.Text]:
			// derived_from, version, metadata: the type's own
		case d.v2:
			d.unknownKeyname(k, keys, section, path)
		case grouped && v.Is(source.Scalar) && d.level == 13 && !d.a4c && keys.known[k.Text]:
		default:
			i.Operations = append(i.Operations, d.operation(entry{key: k, value: v, path: p}, "operation", def))
		}
	}
	return i
}

func (d *decoder) operation(e entry, section string, def bool) *document.Operation {
	o := &document.Operation{Name: key(e.key), Path: e.path}
	n := e.value
	switch {
	case n.IsNull():
		if d.v2 && !def {
			d.wrong(n, e.path, "an operation")
		}
		return o
	case n.Is(source.Sequence) && len(n.Items) == 0 && !d.v2:
		return o // as descriptors of network functions write an operation that does nothing
	case n.Is(source.Scalar):
		o.Implementation = d.use(n, e.path)
		return o
	case !d.known(n, section, e.path):
		return o
	}
	o.Description = d.text(n.Get("description"), e.path+".description")
	d.metadata(d.get(n, section, "metadata"), e.path+".metadata")
	d.implementation(o, n.Get("implementation"), e.path+".implementation")
	if deps := n.Get("dependencies"); deps != nil {
		o.Dependencies = append(o.Dependencies, d.uses(deps, e.path+".dependencies")...)
	}
	ins := n.Get("inputs")
	if ins == nil {
		ins = n.Get("input")
	}
	o.Inputs = d.inputs(ins, e.path+".inputs", def)
	o.Outputs = d.outputs(n.Get("outputs"), e.path+".outputs")
	if h := n.Get("operation_host"); h != nil && d.a4c {
		o.Host = d.text(h, e.path+".operation_host")
	}
	return o
}

// implementation: a file or artifact name, an inline artifact, or {primary, dependencies, timeout, operation_host}.
func (d *decoder) implementation(o *document.Operation, n *source.Node, path string) {
	switch {
	case n.IsNull():
		return
	case n.Is(source.Scalar):
		o.Implementation = d.use(n, path)
		return
	case !d.isMap(n, path):
		return
	case n.Get("file") != nil && n.Get("primary") == nil:
		if d.known(n, "implementation_inline", path) {
			o.Implementation = d.use(n, path)
		}
		return
	}
	if d.a4c && n.Get("primary") == nil && n.Get("type") != nil {
		o.Implementation = d.use(n, path)
		return
	}
	if !d.known(n, "implementation", path) {
		return
	}
	d.noted(n, "implementation", path)
	o.Implementation = d.use(n.Get("primary"), path+".primary")
	o.Dependencies = d.uses(n.Get("dependencies"), path+".dependencies")
	o.Host = d.text(n.Get("operation_host"), path+".operation_host")
	o.Timeout = n.Get("timeout")
}

func (d *decoder) uses(n *source.Node, path string) []*document.Artifact {
	switch {
	case n.IsNull():
		return nil
	case n.Is(source.Scalar) && !d.v2:
		return []*document.Artifact{d.use(n, path)}
	case !n.Is(source.Sequence):
		d.wrong(n, path, "a list")
		return nil
	}
	var out []*document.Artifact
	for i, it := range n.Items {
		if a := d.use(it, path+"["+strconv.Itoa(i)+"]"); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// use reads an artifact where an operation names one.
func (d *decoder) use(n *source.Node, path string) *document.Artifact {
	switch {
	case n.IsNull():
		return nil
	case n.Is(source.Scalar):
		return &document.Artifact{File: d.name(n, path), Use: true, Path: path}
	case n.Is(source.Mapping):
		a := d.artifactBody(n, path, "implementation_inline")
		a.Use = true
		return a
	}
	d.wrong(n, path, "an artifact: a file, an artifact's name or a map")
	return nil
}

func (d *decoder) artifacts(n *source.Node, path string) []*document.Artifact {
	var es []entry
	if d.a4c && n.Is(source.Sequence) {
		es = d.listEntries(n, path, true)
	} else {
		es = d.entries(n, path)
	}
	var out []*document.Artifact
	for _, e := range es {
		v := e.merged("file")
		var a *document.Artifact
		switch {
		case v.IsNull():
			a = &document.Artifact{Path: e.path}
			if d.v2 {
				d.wrong(v, e.path, "an artifact")
			}
		case v.Is(source.Scalar):
			a = &document.Artifact{File: d.name(v, e.path), Path: e.path}
		case v.Is(source.Mapping):
			a = d.artifactBody(v, e.path, "artifact")
		default:
			d.wrong(v, e.path, "an artifact: a file or a map")
			continue
		}
		a.Name = key(e.key)
		out = append(out, a)
	}
	return out
}

func (d *decoder) artifactBody(n *source.Node, path, section string) *document.Artifact {
	d.known(n, section, path)
	for _, k := range []string{"type", "file"} {
		if n.Get(k) == nil && d.v2 && !d.slipped(n, section, k) {
			d.diags.Errorf(CodeMissingKeyname, n.Pos, "the artifact %s has no %s", last(path), k).Path = path
		}
	}
	d.metadata(d.get(n, section, "metadata"), path+".metadata")
	file := n.Get("file")
	var input document.Name
	if d.a4c && file.Is(source.Mapping) && file.Get("get_input_artifact") != nil {
		input, file = d.name(file.Get("get_input_artifact"), path+".file"), nil
	}
	return &document.Artifact{
		Input:       input,
		Path:        path,
		Type:        d.name(n.Get("type"), path+".type"),
		File:        d.name(file, path+".file"),
		Repository:  d.name(n.Get("repository"), path+".repository"),
		Description: d.text(n.Get("description"), path+".description"),
		DeployPath:  d.text(n.Get("deploy_path"), path+".deploy_path"),
		Version:     d.text(n.Get("artifact_version"), path+".artifact_version"),
		Checksum:    d.text(n.Get("checksum"), path+".checksum"),
		ChecksumAlg: d.text(n.Get("checksum_algorithm"), path+".checksum_algorithm"),
		Properties:  d.assigns(n.Get("properties"), path+".properties"),
	}
}

// inputs of operations: in types a map with `type` is a definition, anything else a value; in templates they are values.
func (d *decoder) inputs(n *source.Node, path string, def bool) []*document.Input {
	if n == nil {
		return nil
	}
	var out []*document.Input
	for _, e := range d.entries(n, path) {
		in := &document.Input{Name: key(e.key)}
		v := e.value
		switch {
		case def && d.v2 && v.Is(source.Scalar) && !d.isValue(v):
			in.Def = d.param(e, "input")
		case v.Is(source.Mapping) && d.isDefinition(v, def):
			in.Def = d.param(e, "input")
			in.Value = in.Def.Value
			if in.Value == nil && !def {
				in.Value = in.Def.Default
			}
		default:
			in.Value = v
			if v == nil {
				in.Value = &source.Node{Pos: e.key.Pos}
			}
		}
		out = append(out, in)
	}
	return out
}

func (d *decoder) isValue(v *source.Node) bool {
	_, _, _, _, call := d.traits.Expressions.Call(v)
	return call
}

// isDefinition tells {type: …, default: …} from a map that is a value.
func (d *decoder) isDefinition(v *source.Node, def bool) bool {
	if v.Get("type") == nil {
		return def && !d.isValue(v) && len(v.Pairs) > 0 && d.allKnown(v, "input")
	}
	if def || d.v2 {
		return def && v.Get("type").Is(source.Scalar)
	}
	// A template assigns values; a map whose only key is type is one, unless it names a type that every document knows.
	return v.Get("type").Is(source.Scalar) && d.allKnown(v, "input") && (len(v.Pairs) > 1 || topology.IsPrimitive(v.Get("type").Text))
}

func (d *decoder) allKnown(v *source.Node, section string) bool {
	for k := range v.All() {
		if !d.keys[section].known[k.Text] {
			return false
		}
	}
	return true
}

// outputs map results to attributes: name: [SELF, attribute] (1.3), or definitions with `mapping` (2.0).
func (d *decoder) outputs(n *source.Node, path string) []*document.Output {
	if n == nil {
		return nil
	}
	var out []*document.Output
	for _, e := range d.entries(n, path) {
		o := &document.Output{Name: key(e.key), Pos: e.key.Pos}
		switch v := e.value; {
		case v.Is(source.Sequence):
			o.Target = d.texts(v, e.path)
		case v.Is(source.Mapping) && v.Get("mapping") != nil && v.Get("mapping").Is(source.Sequence):
			o.Target = d.texts(v.Get("mapping"), e.path+".mapping")
			if d.known(v, "output", e.path) {
				o.Def = &document.Param{Name: o.Name, Path: e.path}
				d.paramBody(o.Def, v)
			}
		case v.Is(source.Mapping):
			o.Def = d.param(e, "output")
		case v.Is(source.Scalar):
			o.Target = []string{"SELF", v.Text}
		}
		out = append(out, o)
	}
	return out
}
