package grammar

import (
	"strconv"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// function reads the definition of a function (TOSCA 2.0 §10.4): one signature or several.
func (d *decoder) function(e entry) *document.Function {
	f := &document.Function{Name: key(e.key), Path: e.path}
	if !d.known(e.value, "function", e.path) {
		return f
	}
	d.noted(e.value, "function", e.path)
	list := e.value.Get("signatures")
	switch {
	case list == nil:
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the function %s has no signatures", e.key.Text).Path = e.path
	case !list.Is(source.Sequence) || len(list.Items) == 0:
		d.wrong(list, e.path+".signatures", "a list of signatures")
	default:
		for i, n := range list.Items {
			if s := d.signature(n, e.path+".signatures["+strconv.Itoa(i)+"]"); s != nil {
				f.Signatures = append(f.Signatures, s)
			}
		}
	}
	return f
}

func (d *decoder) signature(n *source.Node, path string) *document.Signature {
	if n.IsNull() {
		return &document.Signature{Pos: n.Pos, Path: path} // one that a service template does not refine
	}
	if !d.known(n, "signature", path) {
		return nil
	}
	s := &document.Signature{Pos: n.Pos, Path: path}
	d.noted(n, "signature", path)
	s.Arguments = d.schemas(n.Get("arguments"), path+".arguments")
	s.Optional = d.schemas(n.Get("optional_arguments"), path+".optional_arguments")
	if b := d.flag(n.Get("variadic"), path+".variadic"); b != nil {
		s.Variadic = *b
	}
	s.Result = d.schema(n.Get("result"), path+".result")
	s.Implementation = &document.Operation{Path: path}
	d.implementation(s.Implementation, n.Get("implementation"), path+".implementation")
	return s
}

func (d *decoder) schemas(n *source.Node, path string) []*document.Schema {
	switch {
	case n.IsNull():
		return nil
	case !n.Is(source.Sequence):
		d.wrong(n, path, "a list of types or schemas")
		return nil
	}
	var out []*document.Schema
	for i, it := range n.Items {
		out = append(out, d.schema(it, path+"["+strconv.Itoa(i)+"]"))
	}
	return out
}
