package lsp

import (
	"context"
	"strings"

	"github.com/orch-project/orch/pkg/source"
)

// symbols are the document's sections with the names that they declare.
func (s *server) symbols(ctx context.Context, d *openDocument, _ position) ([]documentSymbol, error) {
	s.analysis(ctx, d)
	out := []documentSymbol{}
	for k, v := range d.parsed.All() {
		out = append(out, d.symbol(k, v, 0))
	}
	return out, ctx.Err()
}

// declares are the sections whose keys are names of the document's own; the kind is that of the names.
var declares = map[string]int{
	"node_types": symbolClass, "relationship_types": symbolClass, "capability_types": symbolClass, "data_types": symbolClass, "interface_types": symbolClass,
	"artifact_types": symbolClass, "group_types": symbolClass, "policy_types": symbolClass, "node_templates": symbolObject, "relationship_templates": symbolObject,
	"inputs": symbolVariable, "outputs": symbolVariable, "workflows": symbolFunction, "groups": symbolObject, "policies": symbolObject, "steps": symbolFunction,
	"properties": symbolProperty, "attributes": symbolProperty, "capabilities": symbolProperty, "operations": symbolFunction, "relationships": symbolClass,
	"plugins": symbolModule, "repositories": symbolModule,
}

// maxSymbolDepth bounds the tree: deeper values are no symbols.
const maxSymbolDepth = 6

func (d *openDocument) symbol(k, v *source.Node, depth int) documentSymbol {
	sym := documentSymbol{Name: k.Text, Kind: symbolModule, SelectionRange: d.text.token(k.Pos.Line, k.Pos.Col)}
	if sym.Name == "" {
		sym.Name = "(no name)" // the protocol has no empty names
	}
	sym.Range = span{sym.SelectionRange.Start, d.end(v, sym.SelectionRange.End)}
	if t := v.Get("type"); t.Is(source.Scalar) {
		sym.Detail = t.Text
	}
	if depth >= maxSymbolDepth || !v.Is(source.Mapping) {
		return sym
	}
	kind, names := declares[k.Text]
	for ck, cv := range v.All() {
		if ck.Pos.Line < k.Pos.Line || ck.Pos.File != k.Pos.File {
			continue // from an anchor elsewhere
		}
		_, section := declares[ck.Text]
		if !names && !section {
			continue
		}
		c := d.symbol(ck, cv, depth+1)
		if names {
			c.Kind = kind
		}
		sym.Children = append(sym.Children, c)
		if after(c.Range.End, sym.Range.End) {
			sym.Range.End = c.Range.End
		}
	}
	return sym
}

// end of a value: that of its last line.
func (d *openDocument) end(v *source.Node, least position) position {
	line, last := 0, v
	var walk func(n *source.Node, depth int)
	walk = func(n *source.Node, depth int) {
		if n == nil || depth > 60 {
			return
		}
		if n.Pos.Line > line {
			line, last = n.Pos.Line, n
		}
		for _, it := range n.Items {
			walk(it, depth+1)
		}
		for _, p := range n.Pairs {
			walk(p.Key, depth+1)
			walk(p.Value, depth+1)
		}
	}
	walk(v, 0)
	if line == 0 || line-1 < least.Line {
		return least
	}
	if last.Is(source.Scalar) && last.Quoted { // a text of several lines
		line += strings.Count(strings.TrimRight(last.Text, "\n"), "\n")
	}
	line = min(line, len(d.text.lines))
	end := position{line - 1, units(d.text.line(line - 1))}
	if after(least, end) {
		return least
	}
	return end
}

func after(a, b position) bool {
	return a.Line > b.Line || a.Line == b.Line && a.Character > b.Character
}
