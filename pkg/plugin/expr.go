package plugin

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Expr is a parsed expression of a mapping. In YAML:
//
//	cidr: 10.0.0.0/24                      a literal
//	cidr: $property.cidr                   a path: a scalar that begins with $
//	name: {$concat: [$node.name, -net]}    a function: a map with one key that begins with $
//	text: $$literal                        a literal "$literal"
//
// Lists and maps of expressions are expressions.
type Expr struct {
	Kind ExprKind
	Lit  any      // LitExpr: nil, bool, int64, float64, string
	Path []string // PathExpr: the steps, without $
	Fn   *function
	Args []*Expr // ListExpr: the items; CallExpr: the arguments
	// Named holds a map's entries, or the named arguments of a call.
	Named *Named
	Pos   diag.Pos
}

// ExprKind tells which field of an Expr holds.
type ExprKind int

const (
	LitExpr ExprKind = iota
	PathExpr
	CallExpr
	ListExpr
	MapExpr
)

// roots of paths; the value says whether steps must follow.
var roots = map[string]bool{
	"property": true, "capability": true, "operation": true, "location": true, "input": true, "value": true, "resource": true, "resources": true,
	"link": true, "links": true, "all": true, "node": true, "instance": false, "deployment": false, "endpoints": false, "unique_name": false,
	"user_name": false, "stopped": false,
}

// scope of names while an expression is parsed.
type names struct {
	mapping *Mapping
	// items are the names that enclosing repetitions define.
	items []string
}

func (s names) with(item string) names {
	return names{s.mapping, append(slices.Clone(s.items), item)}
}

// parseExpr reads an expression; mistakes go to the list and yield a literal null.
func parseExpr(n *source.Node, s names, list *diag.List) *Expr {
	e := &Expr{Pos: n.At()}
	switch {
	case n.IsNull():
	case n.Kind == source.Scalar:
		parseScalar(e, n, s, list)
	case n.Kind == source.Sequence:
		e.Kind = ListExpr
		for _, it := range n.Items {
			e.Args = append(e.Args, parseExpr(it, s, list))
		}
	default:
		parseMap(e, n, s, list)
	}
	return e
}

func parseScalar(e *Expr, n *source.Node, s names, list *diag.List) {
	text := n.Text
	switch {
	case strings.HasPrefix(text, "$$"):
		e.Lit = text[1:]
	case strings.HasPrefix(text, "$"):
		e.Kind, e.Path = PathExpr, strings.Split(text[1:], ".")
		checkPath(e, s, list)
	default:
		e.Lit = n.Any()
	}
}

func checkPath(e *Expr, s names, list *diag.List) {
	root := e.Path[0]
	if slices.Contains(e.Path, "") {
		list.Errorf(CodeExpr, e.Pos, "the path $%s has an empty step", strings.Join(e.Path, "."))
		return
	}
	if slices.Contains(s.items, root) {
		return
	}
	more, ok := roots[root]
	if !ok {
		known := slices.Clone(s.items)
		for r := range roots {
			known = append(known, r)
		}
		slices.Sort(known)
		d := list.Errorf(CodeExpr, e.Pos, "unknown path root $%s", root)
		d.Hint = suggest(root, known, "write $$ for a literal $; roots: "+strings.Join(known, ", "))
		return
	}
	if more && len(e.Path) < 2 {
		list.Errorf(CodeExpr, e.Pos, "the path $%s needs a name after it", root).Hint = "for example $" + root + ".name"
		return
	}
	checkNames(e, s.mapping, list)
}

// checkNames reports names of links, resources and values that the mapping does not define.
func checkNames(e *Expr, m *Mapping, list *diag.List) {
	if m == nil || len(e.Path) < 2 {
		return
	}
	var known []string
	switch e.Path[0] {
	case "link", "links":
		for name := range m.links {
			known = append(known, name)
		}
	case "resource", "resources":
		for id := range m.byID {
			known = append(known, id)
		}
	case "value":
		known = m.Values.Keys
	case "location":
		for _, st := range m.Plugin.Settings {
			known = append(known, st.Name)
		}
	default:
		return
	}
	if name := e.Path[1]; !slices.Contains(known, name) {
		slices.Sort(known)
		d := list.Errorf(CodeExpr, e.Pos, "%s %q is not defined", e.Path[0], name)
		d.Hint = suggest(name, known, "defined: "+strings.Join(known, ", "))
	}
}

func parseMap(e *Expr, n *source.Node, s names, list *diag.List) {
	for _, p := range n.Pairs {
		if k := p.Key.Text; strings.HasPrefix(k, "$") && !strings.HasPrefix(k, "$$") {
			if len(n.Pairs) > 1 {
				list.Errorf(CodeExpr, p.Key.Pos, "the function %s must be the only key of its map", k).Hint = "write $$ for a literal $"
				return
			}
			parseCall(e, p.Key, p.Value, s, list)
			return
		}
	}
	e.Kind, e.Named = MapExpr, parseNamed(n, s, list)
	for i, k := range e.Named.Keys {
		if strings.HasPrefix(k, "$$") {
			e.Named.Keys[i] = k[1:]
			e.Named.Exprs[k[1:]] = e.Named.Exprs[k]
			delete(e.Named.Exprs, k)
		}
	}
}

// parseNamed reads a map whose values are expressions.
func parseNamed(n *source.Node, s names, list *diag.List) *Named {
	out := &Named{Exprs: map[string]*Expr{}}
	if n.IsNull() {
		return out
	}
	if n.Kind != source.Mapping {
		list.Errorf(CodeExpr, n.Pos, "a map of expressions is needed here, not a %s", n.Kind)
		return out
	}
	for k, v := range n.All() {
		out.Keys = append(out.Keys, k.Text)
		out.Exprs[k.Text] = parseExpr(v, s, list)
	}
	return out
}

func parseCall(e *Expr, key, arg *source.Node, s names, list *diag.List) {
	fn := functions[key.Text[1:]]
	if fn == nil {
		known := make([]string, 0, len(functions))
		for name := range functions {
			known = append(known, name)
		}
		slices.Sort(known)
		list.Errorf(CodeExpr, key.Pos, "unknown function %s", key.Text).Hint = suggest(key.Text[1:], known, "functions: "+strings.Join(known, ", "))
		return
	}
	e.Kind, e.Fn = CallExpr, fn
	if fn.named != nil {
		parseNamedArgs(e, key, arg, s, list)
		return
	}
	items := []*source.Node{arg}
	if arg.Is(source.Sequence) && !fn.single {
		items = arg.Items
	}
	if len(items) < fn.min || fn.max >= 0 && len(items) > fn.max {
		list.Errorf(CodeExpr, key.Pos, "%s takes %s, not %d", key.Text, fn.arity(), len(items)).Hint = fn.usage
		return
	}
	for _, it := range items {
		e.Args = append(e.Args, parseExpr(it, s, list))
	}
}

func parseNamedArgs(e *Expr, key, arg *source.Node, s names, list *diag.List) {
	e.Named = &Named{Exprs: map[string]*Expr{}}
	if !arg.Is(source.Mapping) {
		list.Errorf(CodeExpr, key.Pos, "%s takes a map", key.Text).Hint = fnUsage(e.Fn)
		return
	}
	inner := s
	if e.Fn.binds {
		item := "item"
		if as := arg.Get("as").Str(); as != "" {
			item = as
		}
		inner = s.with(item)
	}
	for k, v := range arg.All() {
		if !slices.Contains(e.Fn.named, k.Text) {
			list.Errorf(CodeExpr, k.Pos, "%s has no argument %q", key.Text, k.Text).Hint = suggest(k.Text, e.Fn.named, fnUsage(e.Fn))
			continue
		}
		sc := inner
		if k.Text == "in" || k.Text == "as" {
			sc = s
		}
		e.Named.Keys = append(e.Named.Keys, k.Text)
		e.Named.Exprs[k.Text] = parseExpr(v, sc, list)
	}
	for _, r := range e.Fn.required {
		if e.Named.Exprs[r] == nil {
			list.Errorf(CodeExpr, key.Pos, "%s needs the argument %q", key.Text, r).Hint = fnUsage(e.Fn)
		}
	}
}

func fnUsage(f *function) string { return f.usage }

func suggest(name string, known []string, otherwise string) string {
	if s := diag.Suggest(name, known); s != "" {
		return s
	}
	return otherwise
}
