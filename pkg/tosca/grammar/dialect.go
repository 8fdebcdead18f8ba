// Package grammar reads the TOSCA family of dialects (TOSCA Simple Profile 1.0–1.3, TOSCA 2.0, Alien4Cloud's, Yorc's) and Cloudify's into documents.
//
// A dialect is a table: its names, the keynames of each section with the versions that have them, its functions, and a few switches for
// short forms. One decoder reads them all; it checks form (keynames, kinds of values, counts), never meaning, and looks nothing up.
package grammar

import (
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// Codes of this package.
const (
	CodeVersion        = "definitions-version"
	CodeUnknownKeyname = "unknown-keyname"
	CodeMissingKeyname = "missing-keyname"
	CodeForm           = "wrong-form"
	CodeEmpty          = "empty-section"
	CodeFunction       = "bad-function"
	CodeProfile        = "profile-template"
)

// Dialect decodes the documents of some tosca_definitions_versions.
type Dialect interface {
	// Versions are the values of tosca_definitions_version that select the dialect.
	Versions() []string
	// Decode reads a document. It returns one even if there are errors, with everything that could be read.
	Decode(root *source.Node, o Options, diags *diag.List) *document.Document
}

// Options of Decode.
type Options struct {
	// Imported documents give their types; what their templates hold is no concern of the importer (except in TOSCA 2.0).
	Imported bool
	// Version of the importing document, for imported ones that name none.
	Version string
}

var dialects = map[string]Dialect{}

// Register adds a dialect; the packages of dialects call it from init.
func Register(d Dialect) {
	for _, v := range d.Versions() {
		dialects[v] = d
	}
}

// Versions lists the known values of tosca_definitions_version.
func Versions() []string {
	var out []string
	for v := range dialects {
		if !strings.HasPrefix(v, "http") {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// Decode picks the dialect of a document and decodes it. It returns nil (and has said why) if there is none.
func Decode(root *source.Node, file string, o Options, diags *diag.List) *document.Document {
	if !root.Is(source.Mapping) {
		pos := root.At()
		if pos.IsZero() {
			pos = diag.Pos{File: file}
		}
		if root.IsNull() {
			diags.Errorf(CodeForm, pos, "the document is empty").Hint = "a document begins with tosca_definitions_version"
		} else {
			diags.Errorf(CodeForm, pos, "the document must be a map with the key tosca_definitions_version, not %s", root)
		}
		return nil
	}
	n := root.Get("tosca_definitions_version")
	key := root.Key("tosca_definitions_version")
	switch {
	case key == nil && o.Version != "" && o.Version != "tosca_2_0":
		diags.Warnf(CodeVersion, root.Pos, "the imported document has no tosca_definitions_version; it is read as %s", o.Version)
		return dialects[o.Version].Decode(root, o, diags)
	case key == nil:
		d := diags.Errorf(CodeVersion, root.Pos, "the document has no tosca_definitions_version")
		d.Hint = "begin it with one of " + known
		if root.Get("heat_template_version") != nil {
			d.Message, d.Hint = "this is a template of Heat, not of TOSCA", "orch reads "+known
		}
		for _, p := range root.Pairs {
			if h := diag.Suggest(p.Key.Text, []string{"tosca_definitions_version"}); h != "" {
				d.Pos, d.Hint = p.Key.Pos, h
			}
		}
		return nil
	case !n.Is(source.Scalar):
		diags.Errorf(CodeVersion, n.At(), "tosca_definitions_version must be a text such as tosca_simple_yaml_1_3, not %s", n).Path = key.Text
		return nil
	}
	d := dialects[n.Text]
	if d == nil {
		diags.Add(unknownVersion(n, key.Text))
		return nil
	}
	return d.Decode(root, o, diags)
}

const known = "tosca_simple_yaml_1_0 to 1_3, tosca_2_0, alien_dsl_1_2_0 to 3_0_0, yorc_tosca_simple_yaml_1_0, cloudify_dsl_1_0 to 1_5"

// others are dialects of other tools, by how their names begin.
var others = []struct{ prefix, owner string }{
	{"tosca_simple_unfurl_", "Unfurl"}, {"tosca_variability_", "OpenTOSCA Vintner"}, {"tosca_simple_profile_for_mec_", "tosca-parser"}, {"aria_", "ARIA"},
}

func unknownVersion(n *source.Node, path string) diag.Diagnostic {
	d := diag.Diagnostic{Code: CodeVersion, Pos: n.Pos, Path: path, Message: strconv.Quote(n.Text) + " is not a known tosca_definitions_version"}
	for _, o := range others {
		if strings.HasPrefix(n.Text, o.prefix) {
			d.Message, d.Hint = n.Text+" is a dialect of "+o.owner+", which orch does not read", "orch reads "+known
			return d
		}
	}
	var same []string // other versions of the dialect
	for _, v := range Versions() {
		if dialectOf(v) == dialectOf(n.Text) {
			same = append(same, v)
		}
	}
	if d.Hint = diag.Suggest(n.Text, Versions()); len(same) > 0 {
		d.Hint = "known are " + strings.Join(same, ", ")
	} else if d.Hint == "" {
		d.Hint = "known are " + known
	}
	return d
}

// dialectOf is a version without its number.
func dialectOf(version string) string { return strings.TrimRight(version, "0123456789_.") }

// family is a dialect of this package.
type family struct {
	versions []string
	// title is how messages name the dialect.
	title  string
	keys   map[string]*keyset // by section
	traits document.Traits
	// unknown is the severity of an unknown keyname.
	unknown diag.Severity
	// a4c reads Alien4Cloud's short forms: lists of one-key maps, sibling keys, archive imports.
	a4c bool
	// v2 is TOSCA 2.0: service_template, $functions, empty sections are errors.
	v2 bool
	// level of the version in the keyname tables.
	level int
}

func (f *family) Versions() []string { return f.versions }

func (f *family) Decode(root *source.Node, o Options, diags *diag.List) *document.Document {
	d := &decoder{family: f, diags: diags}
	doc := d.document(root, o)
	if f.a4c {
		d.repeatedKeynames()
	}
	return doc
}

// repeatedKeynames makes warnings of keynames that are written twice: SnakeYAML, which Alien4Cloud uses, never minded. Templates and types of
// the same name stay errors.
func (d *decoder) repeatedKeynames() {
	for i := range *d.diags {
		dg := &(*d.diags)[i]
		if dg.Code != source.CodeDuplicateKey {
			continue
		}
		for _, k := range d.keys {
			if name := strings.Trim(strings.TrimPrefix(strings.TrimSuffix(dg.Message, " appears twice in this map"), "the key "), `"`); k.known[name] {
				dg.Severity = diag.Warning
				dg.Hint = "the first one that is not empty counts; remove the other"
			}
		}
	}
}
