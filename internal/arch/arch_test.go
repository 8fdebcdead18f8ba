// Package arch holds the test of the house rules that no compiler checks: imports run downwards, third-party fences hold.
package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/orch-project/orch/"

// levels of the house, lowest first; a package may import its own level and those below. docs/architecture.md draws it.
var levels = [][]string{
	{"pkg/diag", "pkg/dag", "pkg/secret", "internal/spool", "internal/toolcache", "internal/version", "internal/layered"},
	{"pkg/event", "pkg/source"},
	{"pkg/topology", "pkg/plugin", "plugins"},
	{"pkg/tosca"},
	{"pkg/plan", "pkg/policy", "pkg/state"},
	{"pkg/driver", "pkg/openstack", "pkg/hostpool"},
	{"pkg/engine"},
	{"pkg/orch"},
	{"pkg/access", "pkg/client", "internal/server", "internal/cli", "internal/view", "internal/lsp", "internal/config", "internal/metrics", "internal/tracing", "internal/sandbox", "internal/orchtest"},
	{"cmd", "internal/cloudtest", "internal/e2e", "internal/bench", "tools"},
}

// upward names imports that go against the levels for a reason.
var upward = map[string]string{
	"pkg/plan -> pkg/driver": "a step names the driver's action and a plan carries its foreseen changes; the contract is data",
}

// fences: a module path prefix may be imported only by packages below these directories (tests included, except where noted).
var fences = map[string][]string{
	"github.com/labstack/echo":              {"internal/server"},
	"github.com/spf13/cobra":                {"internal/cli"},
	"github.com/hashicorp/consul":           {"pkg/state/consul"},
	"github.com/hashicorp/terraform-exec":   {"pkg/driver/terraform"},
	"github.com/gophercloud/gophercloud":    {"pkg/openstack", "internal/sandbox"},
	"gopkg.in/yaml.v3":                      {"pkg/source"},
	"github.com/vishvananda/netlink":        {"internal/sandbox/machine"},
	"github.com/google/nftables":            {"internal/sandbox/machine"},
	"go.etcd.io/bbolt":                      {"pkg/state/bolt"},
	"filippo.io/age":                        {"pkg/secret"},
	"github.com/sourcegraph/jsonrpc2":       {"internal/lsp"},
	"go.lsp.dev":                            {"internal/lsp"},                          // its test's client
	"github.com/santhosh-tekuri/jsonschema": {"pkg/topology", "pkg/diag", "pkg/tosca"}, // the constraint `schema`; tests hold what is written against schemas
	"github.com/coreos/go-oidc":             {"internal/server/auth"},
	"github.com/getkin/kin-openapi":         {"internal/server"},
}

func TestImportsRunDownwards(t *testing.T) {
	eachImport(t, func(file, from, imported string) {
		rest, ok := strings.CutPrefix(imported, module)
		if !ok || strings.HasSuffix(file, "_test.go") {
			return // tests may wire what they need
		}
		a, b := level(from), level(rest)
		if a < 0 || b < 0 || b <= a {
			return
		}
		if _, ok := upward[top(from)+" -> "+top(rest)]; ok {
			return
		}
		t.Errorf("%s: %s must not import %s: imports run downwards only (see docs/architecture.md)", file, from, rest)
	})
}

func TestEveryPackageHasALevel(t *testing.T) {
	eachImport(t, func(file, from, _ string) {
		if level(from) < 0 && from != "internal/arch" {
			t.Errorf("%s: package %s has no level; add it to levels", file, from)
		}
	})
}

func TestThirdPartyFences(t *testing.T) {
	eachImport(t, func(file, from, imported string) {
		for prefix, allowed := range fences {
			if !strings.HasPrefix(imported, prefix) {
				continue
			}
			inside := false
			for _, dir := range allowed {
				inside = inside || from == dir || strings.HasPrefix(from, dir+"/")
			}
			if !inside {
				t.Errorf("%s: %s may be imported only below %s", file, imported, strings.Join(allowed, ", "))
			}
		}
	})
}

// level of a package directory, by its longest listed prefix; -1 if none.
func level(dir string) int {
	best, at := -1, -1
	for i, names := range levels {
		for _, n := range names {
			if (dir == n || strings.HasPrefix(dir, n+"/")) && len(n) > best {
				best, at = len(n), i
			}
		}
	}
	return at
}

// top is the first two elements of a path: pkg/driver of pkg/driver/ssh.
func top(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// eachImport parses the imports of every Go file of the module.
func eachImport(t *testing.T, visit func(file, from, imported string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(p, "go.mod")); rel != "." && (strings.HasPrefix(d.Name(), ".") || err == nil || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			visit(filepath.ToSlash(rel), path.Dir(filepath.ToSlash(rel)), name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
