package cloudify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// blueprintRecord is what Cloudify knows of a blueprint and the catalogue does not. One that could not be read is nothing but a record.
type blueprintRecord struct {
	owned
	Description string        `json:"description,omitempty"`
	Main        string        `json:"main"`
	Path        string        `json:"path"` // of the main file in the archive
	State       string        `json:"state"`
	Error       string        `json:"error,omitempty"`
	Labels      []labelRecord `json:"labels,omitempty"`
	Secrets     []string      `json:"secrets,omitempty"`
	Imports     []string      `json:"imports,omitempty"` // blueprints
	Plugins     []string      `json:"plugins,omitempty"` // imported, "NAME" or "NAME?version=…"
	Size        int           `json:"size"`
	FileName    string        `json:"file_name"` // of the archive
	HasIcon     bool          `json:"has_icon,omitempty"`
	// Upload began and ended at these times.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
}

// States of a blueprint; those that failed can be uploaded again.
const (
	blueprintUploaded = "uploaded"
	blueprintInvalid  = "invalid"
	blueprintBroken   = "failed_extracting"
)

func (b *blueprintRecord) failed() bool { return b.State != blueprintUploaded }

type blueprintDocument struct {
	common
	Description  string             `json:"description"`
	Main         string             `json:"main_file_name"`
	State        string             `json:"state"`
	Error        *string            `json:"error"`
	Traceback    *string            `json:"error_traceback"`
	Updated      *string            `json:"updated_at"`
	Hidden       bool               `json:"is_hidden"`
	Labels       []label            `json:"labels"`
	Upload       *executionDocument `json:"upload_execution"`
	Requirements map[string]any     `json:"requirements"`
	Plan         any                `json:"plan"`
}

func (b blueprintDocument) labels() []label { return b.Labels }

func blueprintOf(r blueprintRecord) blueprintDocument {
	d := blueprintDocument{common: r.common(), Description: r.Description, Main: r.Main, State: r.State, Updated: stamp(r.Updated), Labels: labels(r.Labels),
		Requirements: map[string]any{"secrets": orEmpty(r.Secrets), "parent_capabilities": []string{}}}
	if r.Error != "" {
		d.Error = &r.Error
	}
	up := uploadExecution(r)
	d.Upload = &up
	return d
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) blueprints(q *request) (any, error) {
	l, err := listingOf[blueprintDocument](q)
	if err != nil {
		return nil, err
	}
	return s.listBlueprints(q, l)
}

func (s *Server) listBlueprints(q *request, l listing) (any, error) {
	ctx := q.Request().Context()
	if err := s.savedRules(q, "blueprints", &l); err != nil {
		return nil, err
	}
	records, err := s.blueprintRecords(ctx)
	if err != nil {
		return nil, err
	}
	docs := make([]blueprintDocument, 0, len(records))
	for _, r := range records {
		docs = append(docs, blueprintOf(r))
	}
	return answerList(ctx, q, l, docs, nil)
}

func (s *Server) blueprint(q *request) (any, error) {
	ctx := q.Request().Context()
	names, err := includes[blueprintDocument](q.QueryParams())
	if err != nil {
		return nil, err
	}
	r, err := s.blueprintRecord(ctx, q.param("id"))
	if err != nil {
		return nil, err
	}
	d := blueprintOf(r)
	if !r.failed() && (len(names) == 0 || slices.Contains(names, "plan")) {
		t, err := s.resolveBlueprint(ctx, r)
		if err != nil {
			return nil, err
		}
		d.Plan = planOf(ctx, t)
	}
	return project(d, names), nil
}

// blueprintRecords are those of the catalogue, and of what could not be read.
func (s *Server) blueprintRecords(ctx context.Context) ([]blueprintRecord, error) {
	list, err := s.opts.Service.Blueprints().List(ctx)
	if err != nil {
		return nil, err
	}
	records, err := s.shelf.blueprints.all(ctx, s.opts.Tenant)
	if err != nil {
		return nil, err
	}
	global, err := visibleOf(ctx, s, s.shelf.blueprints, func(r blueprintRecord) owned { return r.owned })
	if err != nil {
		return nil, err
	}
	known := map[string]blueprintRecord{}
	out := []blueprintRecord{}
	for _, r := range global {
		if r.Tenant != s.opts.Tenant && !r.failed() {
			out = append(out, r)
		}
	}
	for _, r := range records {
		known[r.ID] = r
		if r.failed() && s.sees(ctx, r.owned) {
			out = append(out, r)
		}
	}
	for _, b := range list {
		r, ok := known[b.Name]
		switch {
		case !ok:
			out = append(out, s.catalogued(b))
		case !r.failed() && s.sees(ctx, r.owned):
			out = append(out, r)
		}
	}
	return out, nil
}

// catalogued makes up the record of a blueprint that was not uploaded through this endpoint.
func (s *Server) catalogued(b orch.Blueprint) blueprintRecord {
	user := b.User
	if user == "" {
		user = "admin"
	}
	r := blueprintRecord{owned: owned{ID: b.Name, Tenant: s.opts.Tenant, By: user, Created: b.Created, Updated: b.Created}, Description: b.Description, Main: b.Entry,
		State: blueprintUploaded, Size: int(b.Size), FileName: b.Filename, Began: b.Created, Ended: b.Created}
	for _, k := range sorted(b.Labels) {
		r.Labels = append(r.Labels, labelRecord{Key: k, Value: b.Labels[k], Created: b.Created, By: user})
	}
	return r
}

func (s *Server) blueprintRecord(ctx context.Context, id string) (blueprintRecord, error) {
	r, found, err := s.shelf.blueprints.get(ctx, s.opts.Tenant, id)
	if err == nil && found && !s.sees(ctx, r.owned) {
		return blueprintRecord{}, notFound("Blueprint", id)
	}
	if err != nil || found && r.failed() {
		return r, err
	}
	b, err := s.opts.Service.Blueprints().Get(ctx, id, "")
	if isNotFound(err) {
		return s.globalBlueprint(ctx, id)
	}
	if err == nil && !found {
		r = s.catalogued(b)
	}
	return r, err
}

// globalBlueprint is one that another tenant has made global.
func (s *Server) globalBlueprint(ctx context.Context, id string) (blueprintRecord, error) {
	all, err := visibleOf(ctx, s, s.shelf.blueprints, func(r blueprintRecord) owned { return r.owned })
	for _, r := range all {
		if r.ID == id && r.Tenant != s.opts.Tenant && !r.failed() {
			return r, nil
		}
	}
	if err == nil {
		err = notFound("Blueprint", id)
	}
	return blueprintRecord{}, err
}

// bundleOf opens the archive of a blueprint.
func (s *Server) bundleOf(ctx context.Context, r blueprintRecord) (orch.Bundle, error) {
	if r.failed() {
		return orch.Bundle{}, refused("invalid_blueprint_error", "Required blueprint `%s` is not uploaded: its state is %s", r.ID, r.State)
	}
	b, err := s.openCatalogued(ctx, r)
	if err != nil {
		return b, err
	}
	return s.withImports(ctx, b)
}

// openCatalogued opens the archive, without what it imports.
func (s *Server) openCatalogued(ctx context.Context, r blueprintRecord) (orch.Bundle, error) {
	if r.Tenant != s.opts.Tenant && s.opts.Peer != nil {
		return s.opts.Peer(r.Tenant).openCatalogued(ctx, r)
	}
	b, data, err := s.opts.Service.Blueprints().Download(ctx, r.ID, "")
	if err != nil {
		return orch.Bundle{}, err
	}
	if extension(data) == ".tar" && !isTar(head(data)) { // a document without an archive
		text, err := io.ReadAll(data)
		return orch.Bundle{FS: fstest.MapFS{b.Entry: {Data: text, Mode: 0o644}}, Entry: b.Entry, Name: r.ID}, err
	}
	open, err := openBlueprint(r.ID, r.Main, data)
	return open.Bundle, err
}

// head is how an archive begins.
func head(archive orch.Content) []byte {
	data := make([]byte, 512)
	n, _ := archive.ReadAt(data, 0) // what cannot be read is no archive
	return data[:n]
}

func isTar(data []byte) bool { return len(data) >= 262 && string(data[257:262]) == "ustar" }

func (s *Server) resolveBlueprint(ctx context.Context, r blueprintRecord) (*topology.Topology, error) {
	b, err := s.bundleOf(ctx, r)
	if err != nil {
		return nil, err
	}
	t, list := s.opts.Engine.Resolve(ctx, b)
	if list.HasErrors() {
		return nil, refused("invalid_blueprint_error", "Blueprint `%s` is invalid. Error: %s", r.ID, diagnostics(list))
	}
	return t, nil
}

func (s *Server) deleteBlueprint(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	force, err := q.flag("force")
	if err != nil {
		return nil, err
	}
	r, err := s.blueprintRecord(ctx, id)
	if err == nil {
		err = q.foreign("blueprint", r.owned)
	}
	if err == nil && !force {
		err = s.unimported(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	used, err := s.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	var by []string
	for _, d := range used {
		if d.record.Blueprint == id {
			by = append(by, d.record.ID)
		}
	}
	if len(by) > 0 {
		return nil, refused("dependent_exists_error", "Can't delete blueprint %s - There exist deployments for this blueprint; Deployments ids: %s", id, strings.Join(by, ","))
	}
	if !r.failed() {
		if err := s.opts.Service.Blueprints().Remove(ctx, id, ""); err != nil && !isNotFound(err) {
			return nil, err
		}
	}
	if err := errors.Join(s.shelf.blueprints.remove(ctx, q.tenant, id), s.shelf.blobs.Delete(ctx, archiveBlob("icon", q.tenant, id))); err != nil {
		return nil, err
	}
	if q.api < v3_1 {
		return blueprintOf(r), nil // older clients read what is gone
	}
	return nothing()
}

// unimported refuses to delete what other blueprints import: they could not be deployed any more.
func (s *Server) unimported(ctx context.Context, id string) error {
	all, err := s.blueprintRecords(ctx)
	if err != nil {
		return err
	}
	var by []string
	for _, b := range all {
		if b.ID != id && !b.failed() && slices.Contains(b.Imports, id) {
			by = append(by, b.ID)
		}
	}
	if len(by) == 0 {
		return nil
	}
	return &problem{http.StatusMethodNotAllowed, "blueprint_in_use", fmt.Sprintf("Blueprint `%s` is currently in use. It is imported by the following blueprints: %s. You can force blueprint removal.",
		id, strings.Join(by, ", "))}
}

// changeBlueprint changes a blueprint's record, making it for one that has none.
func (s *Server) changeBlueprint(q *request, fn func(*blueprintRecord) error) (out blueprintRecord, err error) {
	ctx, id := q.Request().Context(), q.param("id")
	r, err := s.blueprintRecord(ctx, id)
	if err == nil {
		err = q.foreign("blueprint", r.owned)
	}
	if err != nil {
		return r, err
	}
	err = s.shelf.blueprints.change(ctx, q.tenant, id, func(have *blueprintRecord) (*blueprintRecord, error) {
		if have == nil {
			have = &r
		}
		err := fn(have)
		out = *have
		return have, err
	})
	return out, err
}

// editBlueprint changes labels, description and visibility.
func (s *Server) editBlueprint(q *request) (any, error) {
	var b struct {
		Labels      *wishedLabels `json:"labels"`
		Description *string       `json:"description"`
		Visibility  *string       `json:"visibility"`
		Creator     *string       `json:"creator"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	r, err := s.changeBlueprint(q, func(r *blueprintRecord) error {
		if b.Labels != nil {
			if r.failed() {
				return conflict("Labels can only be updated when the blueprint is uploaded; its state is %s", r.State)
			}
			r.Labels = b.Labels.records(r.Labels, q.user(), s.opts.now())
		}
		if b.Description != nil {
			r.Description = *b.Description
		}
		if b.Creator != nil {
			r.By = *b.Creator
		}
		if b.Visibility != nil {
			v, err := visibility(*b.Visibility, false)
			if err != nil {
				return err
			}
			r.Visibility = v
		}
		r.Updated = s.opts.now()
		return nil
	})
	if err == nil && b.Visibility != nil {
		err = s.hideInCatalogue(q.Request().Context(), r)
	}
	if err != nil {
		return nil, err
	}
	return blueprintOf(r), nil
}

// hideInCatalogue lets the catalogue show a blueprint to those who may see it, by other ways than this endpoint, too.
func (s *Server) hideInCatalogue(ctx context.Context, r blueprintRecord) error {
	if r.failed() {
		return nil // it is not there
	}
	catalogue := s.opts.Service.Blueprints()
	b, data, err := catalogue.Download(ctx, r.ID, "")
	if err != nil || b.Private == (r.Visibility == visiblePrivate) {
		return err
	}
	_, err = catalogue.Upload(ctx, orch.NewBlueprint{Name: r.ID, Filename: b.Filename, Entry: b.Entry, Content: data, Size: data.Size(), Unchecked: true, Private: r.Visibility == visiblePrivate})
	return err
}

func (s *Server) showBlueprint(q *request) (any, error) {
	to, err := q.wishedVisibility()
	if err != nil {
		return nil, err
	}
	r, err := s.changeBlueprint(q, func(r *blueprintRecord) error {
		if err := widen("blueprint", r.ID, r.Visibility, to); err != nil {
			return err
		}
		r.Visibility, r.Updated = to, s.opts.now()
		return nil
	})
	if err == nil {
		err = s.hideInCatalogue(q.Request().Context(), r)
	}
	if err != nil {
		return nil, err
	}
	return blueprintOf(r), nil
}

// wishedVisibility reads {"visibility": "global"}, which Cloudify 4 says by the path.
func (q *request) wishedVisibility() (string, error) {
	if strings.HasSuffix(q.Path(), "/set-global") {
		return visibleGlobal, nil
	}
	var b struct {
		Visibility string `json:"visibility"`
	}
	if err := q.body(&b); err != nil {
		return "", err
	}
	if b.Visibility == "" {
		return "", badParameters("Missing visibility in json request body")
	}
	return visibility(b.Visibility, false)
}

// maxIcon bounds a blueprint's icon in bytes.
const maxIcon = 5 << 20

// setIcon keeps or, without a body, removes a blueprint's icon.
func (s *Server) setIcon(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	data, err := io.ReadAll(http.MaxBytesReader(q.Response(), q.Request().Body, maxIcon))
	if err != nil {
		return nil, err
	}
	r, err := s.changeBlueprint(q, func(r *blueprintRecord) error {
		r.HasIcon, r.Updated = len(data) > 0, s.opts.now()
		return nil
	})
	if err != nil {
		return nil, err
	}
	key := archiveBlob("icon", q.tenant, id)
	if len(data) == 0 {
		err = s.shelf.blobs.Delete(ctx, key)
	} else {
		_, err = s.shelf.blobs.Put(ctx, key, strings.NewReader(string(data)))
	}
	if err != nil {
		return nil, err
	}
	return blueprintOf(r), nil
}
