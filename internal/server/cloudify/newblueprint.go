package cloudify

import (
	"context"
	"path"
	"slices"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

func (s *Server) uploadBlueprint(q *request) (any, error) { return s.takeBlueprint(q, false) }

// validateBlueprint is an upload of which nothing is kept but its result.
func (s *Server) validateBlueprint(q *request) (any, error) { return s.takeBlueprint(q, true) }

func (s *Server) takeBlueprint(q *request, onlyValidate bool) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	if err := checkID("blueprint_id", id, false); err != nil {
		return nil, err
	}
	p, archive, err := q.upload()
	if err != nil {
		return nil, err
	}
	if archive == nil {
		return nil, badParameters("Missing application archive in request body or \"blueprint_archive_url\" in query parameters")
	}
	vis, err := visibility(p.Visibility, bool(p.Private))
	if err != nil {
		return nil, err
	}
	if have, err := s.blueprintRecord(ctx, id); err == nil && !have.failed() && !onlyValidate {
		return nil, existing("blueprint", id) // or one of another tenant that is global
	} else if err != nil && !isMissing(err) {
		return nil, err
	}
	if have, hidden, err := s.shelf.blueprints.get(ctx, q.tenant, id); err != nil {
		return nil, err
	} else if hidden && !s.sees(ctx, have.owned) && !onlyValidate {
		return nil, existing("blueprint", id)
	}
	now := s.opts.now()
	r := blueprintRecord{owned: owned{ID: id, Tenant: q.tenant, By: q.user(), Visibility: vis, Created: now, Updated: now}, Size: int(archive.Size()), Began: now,
		FileName: id + extension(archive)}
	t, why := s.examine(ctx, &r, p, archive)
	r.Ended = s.opts.now()
	if why != nil && !bool(p.Async) && !onlyValidate {
		return nil, why
	}
	if t != nil {
		wished := wishedLabels{}
		for _, l := range literalLabels(t.BlueprintLabels) {
			wished = append(wished, l)
		}
		r.Labels = append(wished, p.Labels...).records(nil, q.user(), now)
	}
	if onlyValidate {
		return s.validated(q, r, why)
	}
	if err := s.keepBlueprint(ctx, r, archive); err != nil {
		return nil, err
	}
	return created(blueprintOf(r))
}

func existing(kind, id string) error {
	return conflict("%s with id=%s already exists in this tenant or with global visibility", kind, id)
}

// examine opens and resolves a blueprint and notes in its record what came of it.
func (s *Server) examine(ctx context.Context, r *blueprintRecord, p uploadParams, archive orch.Content) (*topology.Topology, error) {
	b, err := openBlueprint(r.ID, p.Main, archive)
	r.Main = cmpOr(path.Clean(fileName(p.Main)), defaultMain)
	if err != nil {
		r.State, r.Error = blueprintBroken, problemOf(err).message
		return nil, err
	}
	r.Main, r.Path = b.Entry, path.Join(b.Dir, b.Entry)
	r.Imports, r.Plugins = importedBlueprints(b.FS), importedPlugins(b.FS)
	if b.Bundle, err = s.withImports(ctx, b.Bundle); err != nil {
		r.State, r.Error = blueprintInvalid, problemOf(err).message
		return nil, err
	}
	t, list := s.opts.Engine.Resolve(ctx, b.Bundle)
	if t == nil || list.HasErrors() {
		r.State, r.Error = blueprintInvalid, diagnostics(list)
		return nil, refused("invalid_blueprint_error", "Blueprint `%s` is invalid. Error: %s", r.ID, r.Error)
	}
	r.State, r.Description, r.Secrets = blueprintUploaded, t.Description, secretsOf(t)
	return t, nil
}

func cmpOr(s, otherwise string) string {
	if s == "" || s == "." {
		return otherwise
	}
	return s
}

// keepBlueprint puts a blueprint into the catalogue, which has each id once, and keeps the record.
func (s *Server) keepBlueprint(ctx context.Context, r blueprintRecord, archive orch.Content) error {
	if !r.failed() {
		// It was checked with the tenant's plugins, which the catalogue does not know.
		_, err := s.opts.Service.Blueprints().Upload(ctx, orch.NewBlueprint{Name: r.ID, Filename: r.FileName, Entry: r.Path, Content: archive, Size: archive.Size(), New: true, Unchecked: true,
			Private: r.Visibility == visiblePrivate})
		if isConflict(err) {
			return existing("blueprint", r.ID)
		}
		if err != nil {
			return err
		}
	}
	return s.shelf.blueprints.put(ctx, s.opts.Tenant, r.ID, r)
}

// validated answers a validation: its result is that of an execution, as of an upload's, which is kept although the blueprint is not.
func (s *Server) validated(q *request, r blueprintRecord, why error) (any, error) {
	if q.api < v3_1 {
		if why != nil {
			return nil, why
		}
		return nothing()
	}
	x := executionRecord{owned: owned{ID: newID(), Tenant: q.tenant, By: q.user(), Created: r.Began}, Workflow: "upload_blueprint", Status: "terminated",
		Started: r.Began, Ended: r.Ended, System: true, Blueprint: r.ID}
	if why != nil {
		x.Status, x.Error = "failed", problemOf(why).message
	}
	if err := s.shelf.executions.put(q.Request().Context(), q.tenant, x.ID, x); err != nil {
		return nil, err
	}
	d := blueprintOf(r)
	up := s.recorded(x, deploymentRecord{})
	d.Upload = &up
	return created(d)
}

// secretsOf lists the secrets that a blueprint asks for.
func secretsOf(t *topology.Topology) (out []string) {
	topology.Walk(t, func(v *topology.Value) {
		if v.Kind == topology.CallValue && v.Call.Fn == "get_secret" && len(v.Call.Args) > 0 {
			if name, ok := v.Call.Args[0].Lit.(string); ok && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	})
	slices.Sort(out)
	return out
}

func literalLabels(params []*topology.Parameter) (out [][2]string) {
	for _, p := range params {
		if p.Value == nil {
			continue
		}
		for _, v := range p.Value.List {
			if s, ok := v.Lit.(string); ok {
				out = append(out, [2]string{p.Name, s})
			}
		}
		if s, ok := p.Value.Lit.(string); ok && p.Value.Kind == topology.LitValue {
			out = append(out, [2]string{p.Name, s})
		}
	}
	return out
}

// extension of an archive by its first bytes.
func extension(archive orch.Content) string {
	switch data := head(archive); {
	case len(data) > 1 && data[0] == 'P' && data[1] == 'K':
		return ".zip"
	case len(data) > 1 && data[0] == 0x1f && data[1] == 0x8b:
		return ".tar.gz"
	case len(data) > 2 && string(data[:3]) == "BZh":
		return ".tar.bz2"
	}
	return ".tar"
}
