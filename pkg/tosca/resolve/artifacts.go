package resolve

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (r *resolver) typeArtifacts(t *typ, inherited []*topology.Artifact) []*topology.Artifact {
	return r.mergeArtifacts(&context{file: t.file, inType: t}, inherited, t.def.Artifacts)
}

func (r *resolver) mergeArtifacts(ctx *context, inherited []*topology.Artifact, defs []*document.Artifact) []*topology.Artifact {
	if len(defs) == 0 {
		return inherited
	}
	out := append([]*topology.Artifact{}, inherited...)
	for _, def := range defs {
		a := r.artifact(ctx, def)
		at := -1
		for i, o := range out {
			if o.Name == def.Name.Text {
				at = i
			}
		}
		if at < 0 {
			out = append(out, a)
			continue
		}
		if len(a.Type) == 0 {
			a.Type = out[at].Type
		}
		if a.File == "" {
			a.File, a.Repository = out[at].File, out[at].Repository
		}
		if a.DeployPath == "" {
			a.DeployPath = out[at].DeployPath
		}
		out[at] = a
	}
	return out
}

// withFile reports artifacts of a node template that have no file, neither of their own nor of the node type. TOSCA 2.0 requires one where
// the artifact is written, Alien4Cloud lets the deployment give it.
func (r *resolver) withFile(all []*topology.Artifact, defs []*document.Artifact) {
	if traits := r.in.Root.Doc.Traits; traits.Lenient || traits.Strict {
		return
	}
	for _, a := range all {
		for _, def := range defs {
			if a.Name == def.Name.Text && a.File == "" && def.File.IsZero() {
				r.errorf("missing-keyname", def.Name.Pos, def.Path, "the artifact %s has no file", a.Name).Hint = "add file; its node type gives none"
			}
		}
	}
}

// artifactUse is an operation's implementation or dependency. A text that is no file may name an artifact of the node, of the context.
func (r *resolver) artifactUse(ctx *context, def *document.Artifact) *topology.Artifact {
	if def.Source != "" {
		return &topology.Artifact{Source: def.Source, Pos: def.File.Pos}
	}
	if def.File.IsZero() && def.Type.IsZero() {
		return nil
	}
	if def.Type.IsZero() && def.Repository.IsZero() {
		for _, a := range ctx.artifacts {
			if a.Name == def.File.Text {
				return a
			}
		}
	}
	return r.artifact(ctx, def)
}

func (r *resolver) artifact(ctx *context, def *document.Artifact) *topology.Artifact {
	f := ctx.file
	a := &topology.Artifact{
		Name: def.Name.Text, DeployPath: def.DeployPath, Checksum: def.Checksum, ChecksumAlg: def.ChecksumAlg, Pos: def.File.Pos,
	}
	if a.Pos.IsZero() {
		a.Pos = def.Name.Pos
	}
	var t *typ
	if !def.Type.IsZero() {
		if t = r.typeRef(f, document.ArtifactType, def.Type, def.Path+".type"); t != nil {
			a.Type = t.chain
		}
	} else if t = r.artifactTypeOf(f, def.File.Text); t != nil {
		a.Type = t.chain
	}
	if t != nil {
		of := "the artifact type " + t.def.Name.Text
		for _, g := range def.Properties {
			if t.props.get(g.Name.Text) == nil && !t.broken {
				r.warnf("unknown-property", g.Name.Pos, def.Path+".properties", "%s has no property %q", of, g.Name.Text)
			}
		}
		a.Properties = r.assign(ctx, t.props, def.Properties, "property", of, def.Path+".properties", true)
	}
	if !def.Repository.IsZero() {
		a.Repository = r.repository(f, def.Repository, def.Path)
		a.File = def.File.Text
		return a
	}
	if !def.Input.IsZero() {
		r.inputArtifact(f, a, def)
		return a
	}
	if def.File.IsZero() {
		return a
	}
	a.File = r.artifactFile(ctx, def, a.Type)
	return a
}

// inputArtifact takes the file of a declared input artifact (Alien4Cloud's get_input_artifact).
func (r *resolver) inputArtifact(f *File, a *topology.Artifact, def *document.Artifact) {
	var names []string
	if t := r.in.Root.Doc.Topology; t != nil {
		for _, in := range t.InputArtifacts {
			if in.Name.Text == def.Input.Text {
				given := r.artifact(&context{file: r.in.Root}, in)
				a.File, a.Repository = given.File, given.Repository
				return
			}
			names = append(names, in.Name.Text)
		}
	}
	d := r.errorf("unknown-input", def.Input.Pos, def.Path+".file", "there is no input artifact %q", def.Input.Text)
	d.Hint = diag.Suggest(def.Input.Text, names)
}

// artifactTypeOf guesses an artifact's type by its file's extension.
func (r *resolver) artifactTypeOf(f *File, file string) *typ {
	ext := strings.TrimPrefix(path.Ext(file), ".")
	if ext == "" {
		return nil
	}
	if f.exts == nil {
		f.exts = map[string]*typ{}
		for _, at := range f.reachable() {
			for _, def := range at.file.Doc.Types {
				if def.Kind != document.ArtifactType {
					continue
				}
				for _, e := range def.FileExt {
					e = strings.TrimPrefix(e, ".")
					if f.exts[e] == nil {
						f.exts[e] = at.file.types[typeKey{document.ArtifactType, def.Name.Text}]
					}
				}
			}
		}
	}
	if t := f.exts[ext]; t != nil {
		return r.flatten(t)
	}
	return nil
}

func (r *resolver) repository(f *File, name document.Name, docPath string) *topology.Repository {
	var names []string
	for _, at := range f.reachable() {
		for _, d := range at.file.Doc.Repositories {
			if d.Name.Text == name.Text {
				repo := &topology.Repository{Name: d.Name.Text, URL: d.URL, Type: d.Type}
				if d.Credential != nil {
					repo.Credential = r.value(&context{file: at.file}, d.Credential, nil, "repositories."+d.Name.Text+".credential")
				}
				return repo
			}
			names = append(names, d.Name.Text)
		}
	}
	if strings.Contains(name.Text, "://") {
		return &topology.Repository{Name: name.Text, URL: name.Text}
	}
	d := r.severe(f, "unknown-repository", name.Pos, docPath+".repository", "there is no repository %q", name.Text)
	if d.Hint = diag.Suggest(name.Text, names); d.Hint == "" {
		d.Hint = "declare it under repositories"
	}
	return &topology.Repository{Name: name.Text}
}

// artifactFile finds the file: beside the document that names it, or from the root of its archive. URLs and image names stay as they are.
func (r *resolver) artifactFile(ctx *context, def *document.Artifact, t topology.Type) string {
	text := def.File.Text
	if strings.Contains(text, "://") || t.Is("tosca.artifacts.Deployment.Image") || t.Is("Deployment.Image") {
		return text
	}
	f := ctx.file
	clean := strings.TrimPrefix(text, "/")
	var tried string
	for _, base := range []string{f.dir(), f.Root} {
		p := path.Join(base, clean)
		if !fs.ValidPath(p) {
			if n := levelsUp(p); n > 0 && r.in.Escaped != nil && r.in.Escaped(n) {
				return p
			}
			continue
		}
		if tried == "" {
			tried = p
		}
		if r.exists(p) {
			return p
		}
	}
	if def.Use && !looksLikeFile(text) {
		names := make([]string, len(ctx.artifacts))
		for i, a := range ctx.artifacts {
			names[i] = a.Name
		}
		if !f.Library {
			r.diags.Add(diag.Diagnostic{
				Severity: r.in.MissingFiles, Code: "missing-file", Pos: def.File.Pos, Path: def.Path,
				Message: "there is neither a file nor an artifact " + text, Hint: diag.Suggest(text, names),
			})
		}
		return text
	}
	if f.Library {
		return tried
	}
	if tried == "" {
		r.errorf("bad-path", def.File.Pos, def.Path, "the file %s is outside of the archive", text)
		return text
	}
	r.diags.Add(diag.Diagnostic{
		Severity: r.in.MissingFiles, Code: "missing-file", Pos: def.File.Pos, Path: def.Path, Message: "there is no file " + text,
		Hint: r.suggestFile(tried),
	})
	return tried
}

func looksLikeFile(text string) bool { return strings.ContainsAny(text, "/") || path.Ext(text) != "" }

// levelsUp counts how far a cleaned path leaves its root: "../../x" is 2.
func levelsUp(p string) int {
	n := 0
	for strings.HasPrefix(p, "../") {
		p = p[3:]
		n++
	}
	return n
}

func (r *resolver) exists(p string) bool {
	if ok, seen := r.stat[p]; seen {
		return ok
	}
	_, err := fs.Stat(r.in.FS, p)
	ok := err == nil || !errors.Is(err, fs.ErrNotExist)
	r.stat[p] = ok
	if ok {
		r.used[p] = true
	}
	return ok
}

func (r *resolver) suggestFile(p string) string {
	entries, err := fs.ReadDir(r.in.FS, path.Dir(p))
	if err != nil {
		return "paths are relative to the document that names them"
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if h := diag.Suggest(path.Base(p), names); h != "" {
		return h
	}
	return "paths are relative to the document that names them"
}

// rebind gives operations the artifacts of a template where those of its type were redefined. Interfaces are copied before they change.
func rebind(in []*topology.Interface, artifacts []*topology.Artifact) []*topology.Interface {
	byName := map[string]*topology.Artifact{}
	for _, a := range artifacts {
		byName[a.Name] = a
	}
	out := append([]*topology.Interface{}, in...)
	for n, i := range out {
		copied := *i
		copied.Operations = append([]*topology.Operation{}, i.Operations...)
		for j, o := range copied.Operations {
			op := *o
			if a := o.Implementation; a != nil && a.Name != "" && byName[a.Name] != nil {
				op.Implementation = byName[a.Name]
			}
			op.Dependencies = append([]*topology.Artifact{}, o.Dependencies...)
			for k, a := range op.Dependencies {
				if a.Name != "" && byName[a.Name] != nil {
					op.Dependencies[k] = byName[a.Name]
				}
			}
			copied.Operations[j] = &op
		}
		out[n] = &copied
	}
	return out
}
