// Package cloudify makes one document of a Cloudify blueprint and what it imports: it reads import strings, prefixes the names of
// namespaced files and merges sections, as Cloudify's parser does before it looks at anything else.
//
// It works on source nodes, so that every position stays; it does no I/O (package tosca finds the files) and does not know what the
// sections mean (package grammar does).
package cloudify

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Codes of this package.
const (
	CodeImport  = "blueprint-import"
	CodeMerge   = "blueprint-merge"
	CodePlugin  = "missing-plugin"
	CodeVersion = "plugin-version"
)

func init() {
	diag.Register(
		diag.Code{ID: CodeImport, Title: "An import of a blueprint is malformed", Text: "An import is [namespace--]target, where the target is a path, a URL, plugin:NAME[?version=CONDITIONS] or blueprint:ID. A namespace holds no \"--\"; blueprint imports need one of their own; the built-in types take none."},
		diag.Code{ID: CodeMerge, Title: "Two files of a blueprint say the same thing", Text: "The files that a blueprint imports are merged into it. A name may be declared once; before cloudify_dsl_1_3 inputs, outputs and node_templates may be in one file only."},
		diag.Code{ID: CodePlugin, Title: "A plugin or blueprint that is imported is not here", Text: "Type definitions of plugins are looked for in the directories given by --import-path (NAME/plugin.yaml), then in what comes with orch. Imported blueprints are looked for there as ID.yaml or ID/blueprint.yaml."},
		diag.Code{ID: CodeVersion, Title: "No version of a plugin fits", Text: "The import asks for a version of the plugin that is not here; the nearest one is used instead, whose types may differ."},
	)
}

// Is reports a document of one of Cloudify's dialects.
func Is(root *source.Node) bool {
	return strings.HasPrefix(root.Get("tosca_definitions_version").Str(), "cloudify_dsl_")
}

// Newest is the version that documents without one are read as.
const Newest = "cloudify_dsl_1_5"

// IsTypes reports a document that blueprints import, as plugins have one: without version, with plugins or with types that derive from
// Cloudify's own, and without node templates.
func IsTypes(root *source.Node) bool {
	if root.Get("tosca_definitions_version") != nil || root.Get("node_templates") != nil || root.Get("topology_template") != nil {
		return false
	}
	for _, p := range root.Get("plugins").All() {
		if p.Get("executor") != nil {
			return true
		}
	}
	for _, section := range []string{"node_types", "relationships"} {
		for _, t := range root.Get(section).All() {
			if strings.HasPrefix(t.Get("derived_from").Str(), "cloudify.") {
				return true
			}
		}
	}
	return false
}

// Level of a version: 13 for cloudify_dsl_1_3; 0 for others.
func Level(version string) int {
	n, err := strconv.Atoi(strings.Replace(strings.TrimPrefix(version, "cloudify_dsl_"), "_", "", 1))
	if err != nil {
		return 0
	}
	return n
}

// Import is one entry of imports, taken apart.
type Import struct {
	Text, Namespace, Target string
	// Plugin with its condition, or Blueprint; both empty: a path or URL.
	Plugin, Blueprint, Condition string
	Properties                   *source.Node
	Pos                          diag.Pos
	Path                         string
}

// Imports reads the section; version is that of the main blueprint.
func Imports(root *source.Node, version string, diags *diag.List) []Import {
	n := root.Get("imports")
	if n.IsNull() {
		return nil
	}
	if !n.Is(source.Sequence) {
		diags.Errorf(CodeImport, n.Pos, "imports must be a list").Path = "imports"
		return nil
	}
	var out []Import
	seen := map[string]bool{}
	for i, it := range n.Items {
		im := Import{Pos: it.At(), Path: "imports[" + strconv.Itoa(i) + "]"}
		switch {
		case it.Is(source.Scalar):
			im.Text = strings.TrimSpace(it.Text)
		case it.Is(source.Mapping) && len(it.Pairs) == 1:
			im.Text, im.Properties = strings.TrimSpace(it.Pairs[0].Key.Text), it.Pairs[0].Value
			if Level(version) < 15 {
				diags.Errorf(CodeImport, it.Pos, "imports with properties exist from cloudify_dsl_1_5 on").Path = im.Path
			}
			for k, v := range im.Properties.All() {
				if !v.Is(source.Scalar) && !(v.Is(source.Mapping) && len(v.Pairs) == 1) {
					diags.Errorf(CodeImport, v.At(), "the import's property %s must be a scalar", k.Text).Path = im.Path
				}
			}
		default:
			diags.Errorf(CodeImport, it.At(), "an import is a text, or a map of one import to properties").Path = im.Path
			continue
		}
		if seen[im.Text] {
			diags.Errorf(CodeImport, im.Pos, "%s is imported twice", im.Text).Path = im.Path
			continue
		}
		seen[im.Text] = true
		if im.parse(diags) {
			out = append(out, im)
		}
	}
	return out
}

func (im *Import) parse(diags *diag.List) bool {
	im.Target = im.Text
	if ns, target, ok := strings.Cut(im.Text, "--"); ok && namespace.MatchString(ns) {
		im.Namespace, im.Target = ns, target
		if strings.Contains(target, "--") && !strings.Contains(target, "/") {
			diags.Errorf(CodeImport, im.Pos, "a namespace may not hold \"--\"").Path = im.Path
			return false
		}
	}
	if spec, ok := strings.CutPrefix(im.Target, "plugin:"); ok {
		name, query, _ := strings.Cut(spec, "?")
		im.Plugin = strings.TrimSpace(name)
		for part := range strings.SplitSeq(query, "&") {
			k, v, _ := strings.Cut(part, "=")
			switch strings.TrimSpace(k) {
			case "version":
				im.Condition = strings.TrimSpace(v)
			case "distribution", "":
			default:
				diags.Errorf(CodeImport, im.Pos, "a plugin import takes version and distribution, not %q", k).Path = im.Path
			}
		}
		return true
	}
	if id, ok := strings.CutPrefix(im.Target, "blueprint:"); ok {
		im.Blueprint = strings.TrimSpace(id)
		if im.Namespace == "" {
			d := diags.Errorf(CodeImport, im.Pos, "the import of the blueprint %s needs a namespace", im.Blueprint)
			d.Path, d.Hint = im.Path, "write "+suggestNamespace(im.Blueprint)+"--"+im.Target
			return false
		}
		return true
	}
	if im.Target == "" {
		diags.Errorf(CodeImport, im.Pos, "the import names nothing").Path = im.Path
		return false
	}
	return true
}

var namespace = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func suggestNamespace(id string) string { return strings.Trim(strings.ReplaceAll(id, "--", "-"), "-") }

var (
	typesURL  = regexp.MustCompile(`^https?://[^/]+/spec/cloudify/([^/]+)/types\.ya?ml$`)
	pluginURL = regexp.MustCompile(`^https?://.*?/([a-z0-9-]+-plugin)/(?:.*?/)??(?:v?([0-9][0-9a-zA-Z.]*|master|main|[^/]+)/)?([^/]+\.ya?ml)$`)
)

// TypesPath reports whether a target means the built-in types: the path that every blueprint imports, or one of their URLs.
func TypesPath(target string) bool {
	return target == "cloudify/types/types.yaml" || strings.HasPrefix(target, "cloudify/types/types_1_") || typesURL.MatchString(target)
}

// PluginURL reads the name, version and file of a plugin's document from its URL: the specification's sites and GitHub's forms.
func PluginURL(target string) (name, version, file string, ok bool) {
	m := pluginURL.FindStringSubmatch(target)
	if m == nil {
		return "", "", "", false
	}
	name = m[1]
	if !strings.HasPrefix(name, "cloudify-") && !strings.HasPrefix(name, "tosca-") {
		name = "cloudify-" + name
	}
	version = m[2]
	if version != "" && (version[0] < '0' || version[0] > '9') {
		version = ""
	}
	return name, version, m[3], true
}
