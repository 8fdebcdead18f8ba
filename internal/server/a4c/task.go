package a4c

import (
	"context"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
)

type taskDocument struct {
	ID           string            `json:"id"`
	Target       string            `json:"target_id"`
	Type         string            `json:"type"`
	Status       string            `json:"status"`
	ErrorMessage string            `json:"error_message,omitempty"`
	Outputs      map[string]string `json:"outputs,omitempty"`
}

// findTask finds a task of a deployment. One of another deployment is a mistake of the client, not something missing.
func (s *Server) findTask(c echo.Context) (orch.Task, error) {
	ctx, id, name := c.Request().Context(), param(c, "id"), param(c, "task")
	if t, err := s.taskOf(ctx, id, name); err == nil || !isMissing(err) {
		return t, err
	}
	all, err := s.opts.Service.Deployments(ctx)
	if err != nil {
		return orch.Task{}, err
	}
	for _, d := range all {
		if t, err := s.taskOf(ctx, d.Name, name); err == nil && d.Name != id {
			return t, badRequest(fmt.Sprintf("task %s does not belong to deployment %s", name, id))
		}
	}
	return orch.Task{}, notFound("Requested content not found.")
}

func (s *Server) taskOf(ctx context.Context, id, task string) (orch.Task, error) {
	ts, err := s.opts.Service.Tasks(ctx, id)
	if err != nil {
		return orch.Task{}, err
	}
	for _, t := range ts {
		if t.ID == task {
			return t, nil
		}
	}
	return orch.Task{}, notFound(fmt.Sprintf("deployment %s has no task %q", id, task))
}

func (s *Server) task(c echo.Context) error {
	t, err := s.findTask(c)
	if err != nil {
		return err
	}
	down := false
	if t.Doing == doingScale || t.Doing == doingUpdate {
		steps, err := s.opts.Service.Steps(c.Request().Context(), t.Deployment, t.ID)
		if err != nil {
			return err
		}
		down = takesDown(steps)
	}
	doc := taskDocument{ID: t.ID, Target: t.Deployment, Type: taskType(t, down), Status: taskStatus(t.Status)}
	if t.Failure != nil {
		doc.ErrorMessage = failureText(t)
	}
	for name, v := range t.Outputs {
		if doc.Outputs == nil {
			doc.Outputs = map[string]string{}
		}
		doc.Outputs[name] = text(v)
	}
	return answer(c, http.StatusOK, doc)
}

// takesDown reports whether steps remove instances and make none.
func takesDown(steps []orch.StepStatus) bool {
	down := false
	for _, st := range steps {
		switch {
		case st.Kind == plan.Infra && st.Action == driver.Create, st.StateAfter == "started":
			return false
		case st.Kind == plan.Infra && st.Action == driver.Delete, st.StateAfter == "deleted":
			down = true
		}
	}
	return down
}

// cancel kills what the task runs. The plugin waits for the event that the deployment has failed before it goes on.
func (s *Server) cancel(c echo.Context) error {
	t, err := s.findTask(c)
	if err != nil {
		return err
	}
	if st := taskStatus(t.Status); st != "INITIAL" && st != "RUNNING" {
		return badRequest(fmt.Sprintf("cannot cancel a task with status %q", st))
	}
	if err := s.opts.Service.Control(c.Request().Context(), orch.Control{Deployment: t.Deployment, Task: t.ID, Verb: "force"}); err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusAccepted, t)
}

// resume goes on with a failed task.
func (s *Server) resume(c echo.Context) error {
	t, err := s.findTask(c)
	if err != nil {
		return err
	}
	if st := taskStatus(t.Status); st != "FAILED" {
		return badRequest(fmt.Sprintf("cannot resume a task with status %q: only failed tasks can be resumed", st))
	}
	if err := s.opts.Service.Control(c.Request().Context(), orch.Control{Deployment: t.Deployment, Task: t.ID, Verb: "resume"}); err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusAccepted, t)
}
