package grammar

import (
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (d *decoder) document(root *source.Node, o Options) *document.Document {
	traits := d.traits
	doc := &document.Document{Version: root.Get("tosca_definitions_version").Str(), Traits: &traits, Pos: root.Pos}
	d.known(root, "document", "")
	doc.Metadata = d.metadata(d.get(root, "document", "metadata"), "metadata")
	doc.Metadata = d.tags(d.get(root, "document", "tags"), doc.Metadata)
	doc.ArchiveName, doc.ArchiveVersion = doc.Metadata["template_name"], doc.Metadata["template_version"]
	if n := d.get(root, "document", "template_name"); n != nil {
		doc.ArchiveName = d.text(n, "template_name")
	}
	d.text(d.get(root, "document", "template_author"), "template_author")
	d.text(d.get(root, "document", "tosca_default_namespace"), "tosca_default_namespace")
	if n := d.get(root, "document", "template_version"); n != nil {
		doc.ArchiveVersion = d.text(n, "template_version")
	}
	doc.Description = d.text(d.get(root, "document", "description"), "description")
	doc.Namespace = d.name(d.get(root, "document", "namespace"), "namespace")
	doc.Profile = d.name(d.get(root, "document", "profile"), "profile")
	if n := d.get(root, "document", "dsl_definitions"); n != nil {
		d.isMap(n, "dsl_definitions")
	}
	for _, e := range d.entries(d.get(root, "document", "repositories"), "repositories") {
		if r := d.repository(e); r != nil {
			doc.Repositories = append(doc.Repositories, r)
		}
	}
	doc.Imports = d.imports(d.get(root, "document", "imports"))
	for kind := range document.Kinds {
		types := d.get(root, "document", kind.Section())
		if d.a4c {
			types = root.Get(kind.Section()) // archives of an old dialect have types for newer ones, which their own parser ignores
		}
		for _, e := range d.entries(types, kind.Section()) {
			if t := d.typeDef(kind, e); t != nil {
				doc.Types = append(doc.Types, t)
			}
		}
	}
	for _, e := range d.entries(d.get(root, "document", "functions"), "functions") {
		doc.Functions = append(doc.Functions, d.function(e))
	}
	section := "topology_template"
	if d.v2 {
		section = "service_template"
	}
	if n := d.get(root, "document", section); n != nil {
		if !doc.Profile.IsZero() {
			dg := d.diags.Warnf(CodeProfile, root.Key(section).Pos, "a document with a profile must not have a %s", section)
			dg.Path, dg.Hint = section, "put the template into a document of its own that imports this one"
			dg.Related = []diag.Related{{Pos: doc.Profile.Pos, Message: "the profile is declared here"}}
		}
		all := d.diags
		if o.Imported && !d.v2 {
			d.diags = &diag.List{}
		}
		doc.Topology = d.topology(n, section)
		d.diags = all
	}
	return doc
}

func (d *decoder) repository(e entry) *document.Repository {
	r := &document.Repository{Name: key(e.key)}
	if e.value.Is(source.Scalar) {
		r.URL = e.value.Text
		return r
	}
	if !d.known(e.value, "repository", e.path) {
		return nil
	}
	d.noted(e.value, "repository", e.path)
	url := e.value.Get("url")
	r.URL, r.Type = d.text(url, e.path+".url"), d.text(e.value.Get("type"), e.path+".type")
	r.Credential = e.value.Get("credential")
	if url.IsNull() {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the repository %s has no url", e.key.Text).Path = e.path
	}
	return r
}

func (d *decoder) imports(n *source.Node) []*document.Import {
	if n == nil {
		return nil
	}
	var out []*document.Import
	add := func(it *source.Node, path string) {
		if im := d.importDef(it, path); im != nil {
			out = append(out, im)
		}
	}
	switch {
	case n.Kind == source.Null:
		d.empty(n, "imports")
	case n.Kind == source.Sequence:
		for i, it := range n.Items {
			add(it, "imports["+strconv.Itoa(i)+"]")
		}
	case n.Kind == source.Mapping && !d.v2:
		for k, v := range n.All() { // name: file, as early documents have it
			add(v, "imports."+k.Text)
		}
	default:
		d.wrong(n, "imports", "a list")
	}
	return out
}

// importDef reads the forms of an import:
//
//	path/or/url.yaml    <internal.yml>    archive:version    {file: …, repository: …}    {name: path}    {name: {file: …}}
func (d *decoder) importDef(n *source.Node, path string) *document.Import {
	switch {
	case n.Is(source.Scalar):
		return d.importText(n, path)
	case !n.Is(source.Mapping):
		d.wrong(n, path, "a file name or a map")
		return nil
	case len(n.Pairs) == 1 && !d.v2 && !d.keys["import"].known[n.Pairs[0].Key.Text]:
		return d.importDef(n.Pairs[0].Value, join(path, n.Pairs[0].Key.Text))
	}
	d.known(n, "import", path)
	var im *document.Import
	file := n.Get("file")
	if file == nil {
		file = n.Get("url")
	}
	switch {
	case n.Get("profile") != nil:
		im = &document.Import{Profile: d.text(n.Get("profile"), path+".profile"), Pos: n.Get("profile").Pos, Path: path}
		if file != nil {
			d.diags.Errorf(CodeForm, n.Pos, "an import has either url or profile, not both").Path = path
		}
	case file.Is(source.Scalar):
		if im = d.importText(file, path+".file"); im == nil {
			return nil
		}
		im.Path = path
	case file != nil:
		d.wrong(file, path+".file", "a file name")
		return nil
	default:
		want := "file"
		if d.v2 {
			want = "url or profile"
		}
		if !d.slipped(n, "import", "file") && !d.slipped(n, "import", "url") {
			d.diags.Errorf(CodeMissingKeyname, n.Pos, "the import names no %s", want).Path = path
		}
		return nil
	}
	im.Repository = d.name(n.Get("repository"), path+".repository")
	if d.v2 && !im.Repository.IsZero() && (im.Profile != "" || strings.Contains(im.File, "://")) {
		d.diags.Errorf(CodeForm, im.Repository.Pos, "a repository is for imports of relative paths").Path = path + ".repository"
	}
	im.NamespaceURI = d.text(n.Get("namespace_uri"), path+".namespace_uri")
	im.Namespace = d.text(n.Get("namespace_prefix"), path+".namespace_prefix")
	switch {
	case d.v2:
		im.Namespace = d.text(n.Get("namespace"), path+".namespace")
	case im.Namespace == "tosca" && !d.a4c:
		d.diags.Errorf(CodeForm, n.Get("namespace_prefix").Pos, "the namespace prefix tosca is reserved for TOSCA's own types").Path = path + ".namespace_prefix"
	}
	d.noted(n, "import", path)
	return im
}

func (d *decoder) importText(n *source.Node, path string) *document.Import {
	im := &document.Import{Pos: n.Pos, Path: path}
	text := strings.TrimSpace(n.Text)
	switch name, version, colon := strings.Cut(text, ":"); {
	case text == "":
		d.wrong(n, path, "a file name")
		return nil
	case strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">"):
		im.Internal = text[1 : len(text)-1]
	case colon && !strings.Contains(text, "/") && !d.v2 && (d.a4c || !yamlName(text)):
		im.Archive, im.ArchiveVersion = name, version
	default:
		im.File = text
	}
	return im
}

func yamlName(s string) bool {
	s = strings.ToLower(s)
	return strings.HasSuffix(s, ".yaml") || strings.HasSuffix(s, ".yml")
}
