package a4c

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// started answers that a task was started; the plugin takes its id from the location's last part.
func started(c echo.Context, status int, t orch.Task) error {
	c.Response().Header().Set(echo.HeaderLocation, deploymentPath(t.Deployment)+"/tasks/"+t.ID)
	return c.NoContent(status)
}

// deploy makes a new deployment of an archive. The cloud is not asked before the answer: what it refuses fails the installation.
func (s *Server) deploy(c echo.Context) error { return s.create(c, param(c, "id")) }

// deployUnnamed chooses the id itself.
func (s *Server) deployUnnamed(c echo.Context) error { return s.create(c, newID()) }

func newID() string { return "d-" + strings.ToLower(rand.Text()) }

func (s *Server) create(c echo.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	switch _, err := s.detail(c.Request().Context(), id); {
	case err == nil: // before an archive is read that nobody needs
		return withStatus(http.StatusConflict, fmt.Sprintf("Deployment with id %q already exists", id))
	case !isNotFound(err):
		return err
	}
	b, err := s.archive(c, id)
	if err != nil {
		return err
	}
	defer b.Close()
	req, err := s.request(c, id, b)
	if err != nil {
		return err
	}
	req.New, req.SkipPreflight = true, true
	t, err := s.opts.Service.Apply(c.Request().Context(), req)
	if err != nil {
		return err
	}
	return started(c, http.StatusCreated, t)
}

// update deploys another topology over what exists.
func (s *Server) update(c echo.Context) error {
	id := param(c, "id")
	if _, err := s.known(c.Request().Context(), id); err != nil {
		return err
	}
	b, err := s.archive(c, id)
	if err != nil {
		return err
	}
	defer b.Close()
	req, err := s.request(c, id, b)
	if err != nil {
		return err
	}
	t, err := s.opts.Service.Apply(c.Request().Context(), req)
	if err != nil {
		return err
	}
	return started(c, http.StatusAccepted, t)
}

// known is a deployment that exists.
func (s *Server) known(ctx context.Context, id string) (*orch.Detail, error) {
	if err := checkID(id); err != nil {
		return nil, notFound("Requested content not found.")
	}
	return s.detail(ctx, id)
}

// undeploy goes on over failing scripts unless ?stopOnError says otherwise. An undeployment that runs already is answered with its task:
// the plugin sends one of its own when it sees that somebody else undeploys.
func (s *Server) undeploy(c echo.Context) error {
	id := param(c, "id")
	purge, err := flag(c, "purge")
	if err != nil {
		return err
	}
	stop, err := flag(c, "stopOnError")
	if err != nil {
		return err
	}
	d, err := s.known(c.Request().Context(), id)
	if err != nil {
		return err
	}
	if orch.Status(d.Status) == orch.StatusUndeployed && !purge {
		return badRequest("Deployment already undeployed")
	}
	if running, err := s.undeploying(c.Request().Context(), id); err != nil || running.ID != "" {
		if err != nil {
			return err
		}
		return started(c, http.StatusAccepted, running)
	}
	t, err := s.opts.Service.Apply(c.Request().Context(), orch.Request{Verb: orch.Undeploy, Deployment: id, Force: !stop, Purge: purge, SkipPreflight: true, User: user(c)})
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusAccepted, t)
}

// undeploying is the undeployment that runs or waits, however it was asked for; without an ID there is none.
func (s *Server) undeploying(ctx context.Context, id string) (orch.Task, error) {
	tasks, err := s.opts.Service.Tasks(ctx, id)
	if err != nil {
		return orch.Task{}, err
	}
	for _, t := range tasks {
		if t.Verb == orch.Undeploy && t.Ended.IsZero() {
			return t, nil
		}
	}
	return orch.Task{}, nil
}

type purgeDocument struct {
	Errors []errorEntry `json:"errors"`
}

// purge forgets an undeployed deployment before it answers. With ?force anything that is left of it is undeployed first: orch never forgets
// what still exists in the cloud.
func (s *Server) purge(c echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	force, err := flag(c, "force")
	if err != nil {
		return err
	}
	switch d, err := s.known(ctx, id); {
	case isMissing(err) && force:
		return answer(c, http.StatusOK, purgeDocument{})
	case isMissing(err):
		return withStatus(http.StatusInternalServerError, fmt.Sprintf("can't purge deployment %q: it does not exist", id))
	case err != nil:
		return err
	case orch.Status(d.Status) != orch.StatusUndeployed && !force:
		return s.purgeFailed(ctx, id, fmt.Sprintf("can't purge a deployment not in %q state, actual status is %q", "UNDEPLOYED", statusOf(d.Status, d.Doing)))
	}
	t, err := s.opts.Service.Apply(ctx, orch.Request{Verb: orch.Undeploy, Deployment: id, Force: true, Purge: true, SkipPreflight: true, User: user(c)})
	if isMissing(err) {
		return answer(c, http.StatusOK, purgeDocument{})
	}
	if err != nil {
		return s.purgeFailed(ctx, id, problemOf(err).detail)
	}
	t, err = s.opts.Service.Wait(ctx, id, t.ID)
	switch {
	case isMissing(err), err == nil && t.Status == "done":
		return answer(c, http.StatusOK, purgeDocument{})
	case err != nil:
		return s.purgeFailed(ctx, id, problemOf(err).detail)
	}
	return withStatus(http.StatusInternalServerError, failureText(t)) // the task's own event says that the purge has failed
}

// purgeFailed also announces it: the plugin waits for the event.
func (s *Server) purgeFailed(ctx context.Context, id, why string) error {
	e := event.Event{Type: event.DeploymentStatus, Status: string(orch.StatusFailed), Key: doingPurge}
	if err := s.opts.Feed.Announce(ctx, id, e); err != nil {
		s.opts.Logger.Warn("cannot announce that a purge has failed", "deployment", id, "error", err)
	}
	return withStatus(http.StatusInternalServerError, why)
}

func isMissing(err error) bool {
	if err == nil {
		return false
	}
	return isNotFound(err) || problemOf(err).status == http.StatusNotFound
}

func failureText(t orch.Task) string {
	if t.Failure == nil {
		return fmt.Sprintf("task %s is %s", t.ID, t.Status)
	}
	return strings.Join(append([]string{t.Failure.Step + ": " + t.Failure.Message}, t.Failure.Stderr...), "\n")
}

// scale adds or removes instances of a node and of what is hosted on it.
func (s *Server) scale(c echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	delta, err := strconv.Atoi(c.QueryParam("delta"))
	if err != nil || delta == 0 || delta > math.MaxInt32 || delta < math.MinInt32 {
		return badParameter("delta", "a number other than 0 is needed")
	}
	if _, err := s.known(ctx, id); err != nil {
		return err
	}
	at, err := s.opts.Feed.Scaling(ctx, id, param(c, "node"))
	if err != nil {
		return err
	}
	want := max(min(at.Now+delta, at.Max), at.Min)
	if want == at.Now {
		return badRequest(fmt.Sprintf("node %s has %d instances; between %d and %d are allowed", at.Node, at.Now, at.Min, at.Max))
	}
	t, err := s.opts.Service.Apply(ctx, orch.Request{Verb: orch.Deploy, Deployment: id, NoQueue: true, Scale: map[string]int{at.Node: want}, SkipPreflight: true, Narrate: true, User: user(c)})
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusAccepted, t)
}
