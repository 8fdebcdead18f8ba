package a4c

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
)

// stepStatusDocument is a step of a workflow: orch's steps on all instances of a node are one for Alien4Cloud.
type stepStatusDocument struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// stepName is the declared step's name. Steps of generated workflows are called as Alien4Cloud would.
func stepName(workflowStep, node, relationship, operation string) string {
	switch {
	case workflowStep != "":
		return workflowStep
	case relationship != "":
		return node + "_" + relationship + "_" + operation
	}
	return node + "_" + operation
}

// delegateName is the name of what Alien4Cloud delegates to the infrastructure.
func delegateName(action string) string {
	switch driver.Action(action) {
	case driver.Create, driver.Update:
		return "install"
	case driver.Delete:
		return "uninstall"
	}
	return action
}

func planStepName(s *plan.Step) string {
	switch s.Kind {
	case plan.Infra:
		return stepName(s.WorkflowStep, s.Node, "", delegateName(string(s.Action)))
	case plan.Op:
		return stepName(s.WorkflowStep, s.Node, s.Relationship, s.Operation)
	case plan.SetState:
		return stepName(s.WorkflowStep, s.Node, "", s.StateAfter)
	}
	return s.WorkflowStep // "" for what only orch knows
}

// grouped are the steps of a task under their names for Alien4Cloud, in the order of the plan.
type grouped struct {
	order []string
	steps map[string][]orch.StepStatus
}

func group(steps []orch.StepStatus) grouped {
	g := grouped{steps: map[string][]orch.StepStatus{}}
	for _, st := range steps {
		name := planStepName(st.Step)
		if name == "" {
			continue
		}
		if g.steps[name] == nil {
			g.order = append(g.order, name)
		}
		g.steps[name] = append(g.steps[name], st)
	}
	return g
}

// status of a group: the worst of what has become of its steps. Nothing runs of one that a failure has kept from being done on some instances.
func (g grouped) status(name string) string {
	count := map[string]int{}
	for _, st := range g.steps[name] {
		if st.Status == "cancelled" && st.Started.IsZero() {
			count["INITIAL"]++ // never begun
			continue
		}
		if st.Status == "skipped" {
			if count["left"]++; strings.HasPrefix(st.Error, "skipped because") {
				count["kept"]++ // by a failure; else it is not for this instance
			}
			continue
		}
		count[stepStatus(st.Status)]++
	}
	for _, s := range []string{"ERROR", "CANCELED", "RUNNING"} {
		if count[s] > 0 {
			return s
		}
	}
	switch done := count["DONE"]; {
	case done > 0 && done+count["left"] == len(g.steps[name]) && count["kept"] == 0:
		return "DONE"
	case done+count["left"] == len(g.steps[name]):
		return "INITIAL" // a resumption does the rest of it
	case done > 0:
		return "RUNNING"
	}
	return "INITIAL"
}

// steps lists them. Declared steps that do nothing, and so are not in the plan, count as done with the task.
func (s *Server) steps(c echo.Context) error {
	t, err := s.findTask(c)
	if err != nil {
		return err
	}
	all, err := s.opts.Service.Steps(c.Request().Context(), t.Deployment, t.ID)
	if err != nil {
		return err
	}
	g := group(all)
	docs := []stepStatusDocument{}
	for _, name := range g.order {
		docs = append(docs, stepStatusDocument{name, g.status(name)})
	}
	if top, err := s.opts.Feed.Topology(c.Request().Context(), t.Deployment); err == nil && top.Workflows[t.Workflow] != nil {
		idle := "INITIAL"
		if t.Status == "done" {
			idle = "DONE"
		}
		for _, st := range top.Workflows[t.Workflow].Steps {
			if g.steps[st.Name] == nil {
				docs = append(docs, stepStatusDocument{st.Name, idle})
			}
		}
	}
	return answer(c, http.StatusOK, docs)
}

// fixes are the changes of a step's status that are allowed, and how the Service calls them.
var fixes = map[[2]string]string{
	{"ERROR", "DONE"}: "settle", {"ERROR", "INITIAL"}: "reopen", {"DONE", "INITIAL"}: "reopen",
}

// fixStep lets a failed step count as done, or a step be done again. Resuming the task goes on with that.
func (s *Server) fixStep(c echo.Context) error {
	ctx := c.Request().Context()
	t, err := s.findTask(c)
	if err != nil {
		return err
	}
	var b struct {
		Status string `json:"status"`
	}
	if err := body(c, &b); err != nil {
		return err
	}
	all, err := s.opts.Service.Steps(ctx, t.Deployment, t.ID)
	if err != nil {
		return err
	}
	g, name := group(all), param(c, "step")
	if g.steps[name] == nil {
		return notFound(fmt.Sprintf("task %s has no step %q", t.ID, name))
	}
	if st := taskStatus(t.Status); st == "RUNNING" || st == "INITIAL" {
		return badRequest("the step cannot be changed while its task runs")
	}
	have, want := g.status(name), strings.ToUpper(b.Status)
	verb := fixes[[2]string{have, want}]
	if verb == "" {
		return &problem{http.StatusUnauthorized, "forbidden", fmt.Sprintf("The status of step %q cannot be changed from %q to %q", name, have, want)}
	}
	for _, st := range g.steps[name] {
		now := stepStatus(st.Status)
		if !st.Acts() || now == want || fixes[[2]string{now, want}] == "" && now != "INITIAL" {
			continue // instances on which nothing is to be changed
		}
		if err := s.opts.Service.Control(ctx, orch.Control{Deployment: t.Deployment, Task: t.ID, Verb: verb, Step: st.ID}); err != nil {
			return turned(err, orch.KindConflict, http.StatusBadRequest)
		}
	}
	return c.NoContent(http.StatusOK)
}
