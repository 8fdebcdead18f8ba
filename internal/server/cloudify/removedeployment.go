package cloudify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
)

// deleteDeployment forgets a deployment that is uninstalled. It is gone when the answer is there.
func (s *Server) deleteDeployment(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	force, err := q.flag("force")
	if err != nil {
		return nil, err
	}
	var b struct {
		Force       flag `json:"force"`
		IgnoreLive  flag `json:"ignore_live_nodes"` // of older clients
		DeleteLogs  flag `json:"delete_logs"`
		DeleteDBNow flag `json:"delete_db_mode"`
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	ignore, err := q.flag("ignore_live_nodes")
	if err != nil {
		return nil, err
	}
	force = force || ignore || bool(b.Force) || bool(b.IgnoreLive)
	r, m, err := s.model(ctx, id)
	if err != nil {
		return nil, err
	}
	doc, err := s.cheap(ctx, knownDeployment{m.Deployment, r})
	if err != nil {
		return nil, err
	}
	if err := s.removeDeployment(ctx, q, id, force); err != nil {
		return nil, err
	}
	if q.api < v3_1 {
		return doc, nil
	}
	return nothing()
}

// removeDeployment forgets a deployment with all that belongs to it.
func (s *Server) removeDeployment(ctx context.Context, q *request, id string, force bool) error {
	r, m, err := s.model(ctx, id)
	if err != nil {
		return err
	}
	if err := s.deletable(ctx, r, m, force); err != nil {
		return err
	}
	t, err := s.opts.Service.Apply(ctx, orch.Request{Verb: orch.Undeploy, Deployment: id, Purge: true, Force: force, User: q.user()})
	if err != nil {
		return err
	}
	if t, err = s.opts.Service.Wait(ctx, id, t.ID); err != nil && !isNotFound(err) {
		return err
	}
	if t.Status == "failed" || t.Status == "cancelled" {
		return refused("dependent_exists_error", "Can't delete deployment %s: %s", id, errorText(t.Failure))
	}
	if err := s.shelf.forgetDeployment(ctx, r); err != nil {
		return err
	}
	s.feeds.forget(id)
	return nil
}

// deletable refuses to delete what runs or lives.
func (s *Server) deletable(ctx context.Context, r deploymentRecord, m *orch.Model, force bool) error {
	all, err := s.executionsOf(ctx, r, m.Deployment)
	if err != nil {
		return err
	}
	var running []string
	for _, x := range all {
		if !ended(x.Status) && x.Status != "scheduled" {
			running = append(running, fmt.Sprintf("%s (%s, %s)", x.ID, x.Workflow, x.Status))
		}
	}
	if len(running) > 0 {
		return refused("dependent_exists_error", "Can't delete deployment %s - There are running or queued executions for this deployment. Running executions ids: %s",
			r.ID, strings.Join(running, ", "))
	}
	var alive []string
	for _, i := range instancesOf(r, m) {
		if i.State != "uninitialized" && i.State != "deleted" {
			alive = append(alive, i.ID)
		}
	}
	if len(alive) > 0 && !force {
		return refused("dependent_exists_error", "Can't delete deployment %s - There are live nodes for this deployment. Live nodes ids: %s", r.ID, strings.Join(alive, ","))
	}
	return nil
}

// forgetDeployment removes all records about a deployment.
func (sh *shelf) forgetDeployment(ctx context.Context, r deploymentRecord) error {
	err := sh.deployments.remove(ctx, r.Tenant, r.ID)
	xs, xerr := sh.executions.all(ctx, r.Tenant)
	for _, x := range xs {
		if x.Deployment == r.ID {
			err = errors.Join(err, sh.executions.remove(ctx, r.Tenant, x.ID), sh.timers.remove(ctx, r.Tenant, x.ID))
		}
	}
	us, uerr := sh.updates.all(ctx, r.Tenant)
	for _, u := range us {
		if u.Deployment == r.ID {
			err = errors.Join(err, sh.updates.remove(ctx, r.Tenant, u.ID))
		}
	}
	ss, serr := sh.schedules.all(ctx, r.Tenant)
	for _, x := range ss {
		if x.Deployment == r.ID {
			err = errors.Join(err, sh.forgetSchedule(ctx, r.Tenant, x.ID))
		}
	}
	gs, gerr := sh.groups.all(ctx, r.Tenant)
	for _, g := range gs {
		if slices.Contains(g.Deployments, r.ID) {
			_, lerr := sh.groups.edit(ctx, "DeploymentGroup", r.Tenant, g.ID, func(g *groupRecord) error {
				g.Deployments = slices.DeleteFunc(g.Deployments, func(d string) bool { return d == r.ID })
				return nil
			})
			err = errors.Join(err, lerr)
		}
	}
	return errors.Join(err, xerr, uerr, serr, gerr)
}
