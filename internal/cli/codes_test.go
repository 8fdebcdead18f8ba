package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	_ "github.com/orch-project/orch/internal/config" // registers codes
	"github.com/orch-project/orch/pkg/diag"
	_ "github.com/orch-project/orch/pkg/plan"
	_ "github.com/orch-project/orch/pkg/tosca/convert"
)

// TestEveryCodeIsExplained finds the codes that the source gives to diagnostics and asks for each one's text.
func TestEveryCodeIsExplained(t *testing.T) {
	used := map[string]string{}
	for _, dir := range []string{"../../pkg", "../../internal", "../../cmd"} {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return err
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, p, nil, 0)
			if err != nil {
				return err
			}
			for code, pos := range codesIn(f) {
				used[code] = fset.Position(pos).String()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(used) < 60 {
		t.Errorf("only %d codes were found in the source: the search is broken", len(used))
	}
	for code, where := range used {
		c, ok := diag.Explain(code)
		if !ok {
			t.Errorf("%s: the code %q has no explanation; register it with diag.Register", where, code)
		} else if c.Title == "" || len(c.Text) < 40 {
			t.Errorf("the explanation of %q says too little: %q, %q", code, c.Title, c.Text)
		}
	}
}

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// codesIn finds the codes of a file: constants CodeX, first arguments of Errorf, Warnf and their like, and the Code of a Diagnostic literal.
func codesIn(f *ast.File) map[string]token.Pos {
	out := map[string]token.Pos{}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && codeForm.MatchString(s) {
				out[s] = lit.Pos()
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if strings.HasPrefix(name.Name, "Code") && i < len(n.Values) {
					add(n.Values[i])
				}
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 2 {
				switch sel.Sel.Name {
				case "Errorf", "Warnf", "errorf", "warnf":
					add(n.Args[0])
				}
			}
		case *ast.CompositeLit:
			if !isDiagnostic(n.Type) {
				return true
			}
			for _, el := range n.Elts {
				if kv, ok := el.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Code" {
						add(kv.Value)
					}
				}
			}
		}
		return true
	})
	return out
}

// isDiagnostic: diag.Diagnostic, or an element of a diag.List, whose type is left out.
func isDiagnostic(e ast.Expr) bool {
	switch e := e.(type) {
	case nil:
		return true
	case *ast.SelectorExpr:
		return e.Sel.Name == "Diagnostic"
	case *ast.Ident:
		return e.Name == "Diagnostic"
	}
	return false
}
