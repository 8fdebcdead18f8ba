package cloudify

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
)

// pluginRecord is an uploaded plugin. Its code is Python, which orch does not run: what counts are its definitions, which blueprints import as
// plugin:NAME. Archive and definitions are blobs.
type pluginRecord struct {
	owned
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Title        string   `json:"title"`
	Platform     string   `json:"platform,omitempty"`
	Distribution string   `json:"distribution,omitempty"`
	DistVersion  string   `json:"dist_version,omitempty"`
	DistRelease  string   `json:"dist_release,omitempty"`
	Archive      string   `json:"archive"`
	Source       string   `json:"source,omitempty"`
	Wheels       []string `json:"wheels,omitempty"`
	Excluded     []string `json:"excluded,omitempty"`
	Pythons      []string `json:"pythons,omitempty"`
	// Files are the YAML documents of the upload.
	Files []string `json:"files,omitempty"`
}

type pluginDocument struct {
	common
	Name            string           `json:"package_name"`
	Version         string           `json:"package_version"`
	Title           string           `json:"title"`
	Distribution    *string          `json:"distribution"`
	DistVersion     *string          `json:"distribution_version"`
	DistRelease     *string          `json:"distribution_release"`
	Platform        *string          `json:"supported_platform"`
	Archive         string           `json:"archive_name"`
	Source          *string          `json:"package_source"`
	Wheels          []string         `json:"wheels"`
	Excluded        []string         `json:"excluded_wheels"`
	Pythons         []string         `json:"supported_py_versions"`
	Uploaded        *string          `json:"uploaded_at"`
	YAML            *string          `json:"yaml_url_path"`
	YAMLs           []map[string]any `json:"yaml_files_paths"`
	Installation    []map[string]any `json:"installation_state"`
	Labels          map[string]any   `json:"labels"`
	BlueprintLabels map[string]any   `json:"blueprint_labels"`
	ResourceTags    map[string]any   `json:"resource_tags"`
	FileServer      string           `json:"file_server_path"`
}

func text0(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func pluginOf(r pluginRecord) pluginDocument {
	d := pluginDocument{common: r.common(), Name: r.Name, Version: r.Version, Title: r.Title, Distribution: text0(r.Distribution), DistVersion: text0(r.DistVersion),
		DistRelease: text0(r.DistRelease), Platform: text0(r.Platform), Archive: r.Archive, Source: text0(r.Source), Wheels: orEmpty(r.Wheels), Excluded: orEmpty(r.Excluded),
		Pythons: orEmpty(r.Pythons), Uploaded: stamp(r.Created), YAMLs: []map[string]any{}, Installation: []map[string]any{}, Labels: map[string]any{},
		BlueprintLabels: map[string]any{}, ResourceTags: map[string]any{}}
	if len(r.Files) > 0 {
		d.YAML = text0("plugin:" + r.Name + "?version=" + r.Version + "&distribution=" + r.Distribution)
		for _, f := range r.Files {
			d.YAMLs = append(d.YAMLs, map[string]any{"dsl_version": dslOf(f), "file_path": f})
		}
	}
	return d
}

// dslOf is the version of the language that a plugin's document is for.
func dslOf(file string) string {
	if _, v, ok := strings.Cut(strings.TrimSuffix(file, ".yaml"), "plugin_"); ok {
		return "cloudify_dsl_" + v
	}
	return ""
}

// wagonMeta is a wagon's package.json.
type wagonMeta struct {
	Archive  string   `json:"archive_name"`
	Name     string   `json:"package_name"`
	Version  string   `json:"package_version"`
	Source   string   `json:"package_source"`
	Platform string   `json:"supported_platform"`
	Wheels   []string `json:"wheels"`
	Excluded []string `json:"excluded_wheels"`
	Pythons  []string `json:"supported_python_versions"`
	Build    struct {
		Distribution string `json:"distribution"`
		Version      string `json:"distribution_version"`
		Release      string `json:"distribution_release"`
	} `json:"build_server_os_properties"`
}

// maxDefinitions bounds a YAML document of a plugin in bytes, and a wagon's package.json.
const maxDefinitions = 8 << 20

func (s *Server) uploadPlugin(q *request) (any, error) {
	ctx := q.Request().Context()
	query := q.QueryParams()
	private, err := q.flag("private_resource")
	if err != nil {
		return nil, err
	}
	vis, err := visibility(query.Get("visibility"), private)
	if err != nil {
		return nil, err
	}
	archive, err := orch.ReadContent(http.MaxBytesReader(q.Response(), q.Request().Body, s.opts.MaxUpload))
	if err != nil {
		return nil, uploadError(err)
	}
	if address := query.Get("plugin_archive_url"); address != "" {
		if sent(archive) {
			return nil, badParameters("Can't pass both a plugin URL via query parameters and plugin data via the request body at the same time")
		}
		if archive, err = q.fetch(address); err != nil {
			return nil, err
		}
	}
	if !sent(archive) {
		return nil, badParameters("Missing plugin archive in request body or \"plugin_archive_url\" in query parameters")
	}
	r, files, err := readPlugin(archive)
	if err != nil {
		return nil, err
	}
	r.owned = owned{ID: newID(), Tenant: q.tenant, By: q.user(), Visibility: vis, Created: s.opts.now()}
	if r.Title = query.Get("title"); r.Title == "" {
		r.Title = r.Name
	}
	all, err := s.shelf.plugins.all(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.Name == r.Name && p.Version == r.Version && p.Distribution == r.Distribution && p.DistRelease == r.DistRelease && p.Platform == r.Platform {
			return nil, conflict("a plugin archive by the name of %s for package with name %s, version %s, and target distribution %s, already exists",
				r.Archive, r.Name, r.Version, r.Distribution)
		}
	}
	if _, err := s.shelf.blobs.Put(ctx, archiveBlob("plugin", q.tenant, r.ID), archive); err != nil {
		return nil, fmt.Errorf("cannot keep the plugin: %w", err)
	}
	for name, data := range files {
		if _, err := s.shelf.blobs.Put(ctx, archiveBlob("plugin-yaml", q.tenant, r.ID+"/"+name), bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("cannot keep the plugin: %w", err)
		}
	}
	if err := s.shelf.plugins.put(ctx, q.tenant, r.ID, r); err != nil {
		return nil, err
	}
	return created(pluginOf(r))
}

// readPlugin reads an upload: a zip of a wagon with its YAML documents, or a wagon alone.
func readPlugin(archive orch.Content) (pluginRecord, map[string][]byte, error) {
	bad := func(format string, args ...any) (pluginRecord, map[string][]byte, error) {
		return pluginRecord{}, nil, refused("invalid_plugin_error", format, args...)
	}
	files := map[string][]byte{}
	wagon := archive
	if z, err := zip.NewReader(archive, archive.Size()); err == nil && !slices.ContainsFunc(z.File, isPackageJSON) {
		wagon = nil
		for _, f := range z.File {
			base := path.Base(f.Name)
			switch ext := path.Ext(base); {
			case f.FileInfo().IsDir():
			case ext == ".wgn":
				if wagon != nil {
					return bad("Archive must include one wgn file. A caravan is not supported: upload its plugins one by one")
				}
				if wagon, err = unpackEntry(f, maxWagon); err != nil {
					return bad("The archive's %s cannot be read: %v", f.Name, err)
				}
			case ext == ".yaml" || ext == ".yml":
				data, err := readEntry(f, maxDefinitions)
				if err != nil {
					return bad("The archive's %s cannot be read: %v", f.Name, err)
				}
				if _, list := source.Parse(base, data); list.HasErrors() {
					return pluginRecord{}, nil, refused("invalid_yaml_format", "The plugin's %s is no valid YAML: %s", base, diagnostics(list))
				}
				files[base] = data
			}
		}
		if wagon == nil {
			return bad("Archive must include one wgn file and one yaml file, at least")
		}
	}
	m, err := readWagon(wagon)
	if err != nil {
		return bad("The wagon cannot be read: %v", err)
	}
	r := pluginRecord{Name: m.Name, Version: m.Version, Platform: m.Platform, Archive: m.Archive, Source: m.Source, Wheels: m.Wheels, Excluded: m.Excluded, Pythons: m.Pythons,
		Distribution: strings.ToLower(m.Build.Distribution), DistVersion: strings.ToLower(m.Build.Version), DistRelease: strings.ToLower(m.Build.Release)}
	for name := range files {
		r.Files = append(r.Files, name)
	}
	slices.Sort(r.Files)
	if !plainName.MatchString(r.Name) || r.Version == "" || strings.ContainsAny(r.Version, "\"\n") {
		return bad("The wagon's package.json has no usable package_name and package_version")
	}
	return r, files, nil
}

var plainName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]*$`)

func isPackageJSON(f *zip.File) bool { return path.Base(f.Name) == "package.json" }

func readEntry(f *zip.File, limit int64) ([]byte, error) {
	c, err := unpackEntry(f, limit)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

// maxWagon bounds a wagon in bytes: what it is packed into makes hardly less of it.
const maxWagon = 1 << 30

func unpackEntry(f *zip.File, limit int64) (orch.Content, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c, err := orch.ReadContent(io.LimitReader(r, limit+1))
	if err == nil && c.Size() > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return c, err
}

// readWagon finds package.json in a wagon: a zip or a tar.gz.
func readWagon(wagon orch.Content) (m wagonMeta, err error) {
	raw, err := packageJSON(wagon)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("its package.json is no valid JSON: %w", err)
	}
	return m, nil
}

var errNoPackage = errors.New("it has no package.json")

func packageJSON(wagon orch.Content) ([]byte, error) {
	if z, err := zip.NewReader(wagon, wagon.Size()); err == nil {
		if i := slices.IndexFunc(z.File, isPackageJSON); i >= 0 {
			return readEntry(z.File[i], maxDefinitions)
		}
		return nil, errNoPackage
	}
	gz, err := gzip.NewReader(io.NewSectionReader(wagon, 0, wagon.Size()))
	if err != nil {
		return nil, errors.New("it is neither zip nor tar.gz")
	}
	// A wagon is mostly wheels: what is read of it is bounded like any archive.
	for t := tar.NewReader(io.LimitReader(gz, wagon.Size()*200+maxDefinitions)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, errNoPackage
		}
		if err != nil {
			return nil, err
		}
		if path.Base(h.Name) == "package.json" && h.Typeflag == tar.TypeReg {
			return io.ReadAll(io.LimitReader(t, maxDefinitions))
		}
	}
}

// pluginRecord finds one of this tenant, or a global one of another.
func (s *Server) pluginRecord(ctx context.Context, id string) (pluginRecord, error) {
	all, err := visibleOf(ctx, s, s.shelf.plugins, func(r pluginRecord) owned { return r.owned })
	for _, r := range all {
		if r.ID == id {
			return r, nil
		}
	}
	if err == nil {
		err = notFound("Plugin", id)
	}
	return pluginRecord{}, err
}

func (s *Server) plugins(q *request) (any, error) {
	l, err := listingOf[pluginDocument](q)
	if err != nil {
		return nil, err
	}
	docs, err := s.pluginDocuments(q.Request().Context())
	if err != nil {
		return nil, err
	}
	return answerList(q.Request().Context(), q, l, docs, nil)
}

func (s *Server) pluginDocuments(ctx context.Context) ([]pluginDocument, error) {
	all, err := visibleOf(ctx, s, s.shelf.plugins, func(r pluginRecord) owned { return r.owned })
	docs := []pluginDocument{}
	for _, r := range all {
		docs = append(docs, pluginOf(r))
	}
	slices.SortFunc(docs, func(a, b pluginDocument) int { return compare(value(a.Uploaded), value(b.Uploaded)) })
	return docs, err
}

func (s *Server) plugin(q *request) (any, error) {
	r, err := s.pluginRecord(q.Request().Context(), q.param("id"))
	if err != nil {
		return nil, err
	}
	return answerOne(q, pluginOf(r))
}

func (s *Server) downloadPlugin(q *request) (any, error) {
	r, err := s.pluginRecord(q.Request().Context(), q.param("id"))
	if err != nil {
		return nil, err
	}
	return s.sendBlob(q, archiveBlob("plugin", r.Tenant, r.ID), cmpOr(r.Archive, r.Name+".zip"))
}

// pluginYAML sends the document for a version of the language.
func (s *Server) pluginYAML(q *request) (any, error) {
	r, err := s.pluginRecord(q.Request().Context(), q.param("id"))
	if err != nil {
		return nil, err
	}
	file := ""
	want := q.QueryParam("dsl_version")
	for _, f := range r.Files {
		if want != "" && dslOf(f) == want || file == "" || want == "" && f == "plugin.yaml" {
			file = f
		}
	}
	if file == "" {
		return nil, notFound("Plugin YAML of", r.ID)
	}
	return s.sendBlob(q, archiveBlob("plugin-yaml", r.Tenant, r.ID+"/"+file), file)
}

// unused refuses to delete a plugin whose definitions a deployment's blueprint imports.
func (s *Server) unused(ctx context.Context, r pluginRecord) error {
	used, err := s.deploymentsOf(ctx)
	if err != nil {
		return err
	}
	var by []string
	for _, d := range used {
		if slices.Contains(by, d.record.Blueprint) {
			continue
		}
		b, _, err := s.shelf.blueprints.get(ctx, s.opts.Tenant, d.record.Blueprint)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(b.Plugins, r.meant) {
			by = append(by, b.ID)
		}
	}
	if len(by) == 0 {
		return nil
	}
	return &problem{http.StatusMethodNotAllowed, "plugin_in_use", fmt.Sprintf("Plugin \"%s\" is currently in use in blueprints: %s. You can \"force\" plugin removal if needed.", r.ID, strings.Join(by, ", "))}
}

// meant reports whether an import can mean the plugin: NAME, or NAME?version=…&distribution=….
func (r pluginRecord) meant(ref string) bool {
	name, query, _ := strings.Cut(ref, "?")
	if name != r.Name && name != strings.TrimPrefix(r.Name, "cloudify-") {
		return false
	}
	for part := range strings.SplitSeq(query, "&") {
		key, want, _ := strings.Cut(part, "=")
		if key == "version" && plainName.MatchString(want) && want != r.Version { // any other is a range
			return false
		}
	}
	return true
}

// deletePlugin forgets a plugin. Deployments have copies of the definitions that they use.
func (s *Server) deletePlugin(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Force flag `json:"force"`
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	r, err := s.pluginRecord(ctx, q.param("id"))
	if err == nil {
		err = q.foreign("plugin", r.owned)
	}
	if err == nil && !bool(b.Force) {
		err = s.unused(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.shelf.plugins.remove(ctx, q.tenant, r.ID), s.shelf.blobs.Delete(ctx, archiveBlob("plugin", q.tenant, r.ID)))
	for _, f := range r.Files {
		err = errors.Join(err, s.shelf.blobs.Delete(ctx, archiveBlob("plugin-yaml", q.tenant, r.ID+"/"+f)))
	}
	if err != nil {
		return nil, err
	}
	if q.api < v3_1 {
		return pluginOf(r), nil
	}
	return nothing()
}

func (s *Server) showPlugin(q *request) (any, error) {
	to, err := q.wishedVisibility()
	if err != nil {
		return nil, err
	}
	have, err := s.pluginRecord(q.Request().Context(), q.param("id"))
	if err == nil {
		err = q.foreign("plugin", have.owned)
	}
	if err != nil {
		return nil, err
	}
	r, err := s.shelf.plugins.edit(q.Request().Context(), "Plugin", q.tenant, q.param("id"), func(r *pluginRecord) error {
		if err := widen("plugin", r.ID, r.Visibility, to); err != nil {
			return err
		}
		r.Visibility = to
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pluginOf(r), nil
}

// pluginImports are the definitions of the plugins that who asks may use, as libraries that a blueprint can import from.
func (s *Server) pluginImports(ctx context.Context) ([]fs.FS, error) {
	all, err := visibleOf(ctx, s, s.shelf.plugins, func(r pluginRecord) owned { return r.owned })
	if err != nil {
		return nil, err
	}
	var out []fs.FS
	for _, r := range all {
		main := ""
		files := fstest.MapFS{}
		for _, f := range r.Files {
			data, _, err := s.shelf.blobs.ReadAll(ctx, archiveBlob("plugin-yaml", r.Tenant, r.ID+"/"+f), maxDefinitions)
			if err != nil {
				return nil, fmt.Errorf("cannot read the plugin %s: %w", r.Name, err)
			}
			files[f] = &fstest.MapFile{Data: data, Mode: 0o644}
			if main == "" || f == "plugin.yaml" {
				main = f
			}
		}
		if main == "" {
			continue
		}
		files["library.yaml"] = &fstest.MapFile{Mode: 0o644, Data: []byte(fmt.Sprintf("name: %s-%s\nprovides:\n  - name: %s\n    also: [%s]\n    versions: [\"%s\"]\n    cloudify: true\n    file: %s\n",
			r.Name, r.Version, r.Name, strings.TrimPrefix(r.Name, "cloudify-"), r.Version, main))}
		out = append(out, files)
	}
	return out, nil
}
