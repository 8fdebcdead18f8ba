package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// askedFor is what a task is called: the workflow that it runs, but an update or a scaling, which run the install workflow, by what they do.
func askedFor(workflow, doing string) string {
	if workflow == "install" && (doing == "update" || doing == "scale") {
		return doing
	}
	return workflow
}

// Tasks prints the tasks of a deployment, newest first: what they do, how far they are, and what those that wait wait for.
func (p *Printer) Tasks(tasks []orch.Task, now time.Time) {
	if len(tasks) == 0 {
		p.Println("No tasks.")
		return
	}
	var rows [][]string
	for _, t := range tasks {
		rows = append(rows, []string{t.ID, askedFor(t.Workflow, t.Doing), p.Status(t.Status), fmt.Sprintf("%d of %d", t.Steps.Done, t.Steps.Total), t.User,
			Age(t.Created, now), taskTook(t, now), taskNote(t)})
	}
	p.Table([]string{"TASK", "WORKFLOW", "STATUS", "STEPS", "BY", "ASKED", "TOOK", "NOTE"}, rows)
}

func taskTook(t orch.Task, now time.Time) string {
	switch {
	case t.Started.IsZero():
		return ""
	case t.Ended.IsZero():
		return Duration(now.Sub(t.Started))
	}
	return Duration(t.Ended.Sub(t.Started))
}

// taskNote is what a task waits for, works on, or failed of.
func taskNote(t orch.Task) string {
	switch {
	case t.Waits != "":
		return "waits for " + t.Waits
	case t.Failure != nil:
		return t.Failure.Step + ": " + firstLine(t.Failure.Message)
	case t.Ended.IsZero() && len(t.Touches) > 0:
		return "works on " + some(t.Touches, skippedShown)
	case !t.Changed && t.Status == "done":
		return "nothing to do"
	}
	return ""
}

// others lists the tasks beside the reported one that have not ended: what runs at the same time, and what waits.
func (p *Printer) others(r StatusReport, now time.Time) {
	if len(r.Others) > 0 {
		p.Println()
		p.Tasks(r.Others, now)
	}
}

// WorksFor tells what a command that is done still does for others.
func (p *Printer) WorksFor(tasks []orch.Task) {
	p.Printf("this command is done; it goes on with what others have asked it for: %s; Ctrl-C leaves that to the next command\n", named(tasks))
}

// LeftTo tells what a command was made to leave.
func (p *Printer) LeftTo(tasks []orch.Task) {
	for _, t := range tasks {
		p.Printf("%s of %s is left as it is; `orch resume %s` goes on with it\n", askedFor(t.Workflow, t.Doing), t.Deployment, t.Deployment)
	}
}

func named(tasks []orch.Task) string {
	var names []string
	for _, t := range tasks {
		names = append(names, fmt.Sprintf("%s of %s (task %s)", askedFor(t.Workflow, t.Doing), t.Deployment, t.ID))
	}
	return strings.Join(names, ", ")
}

// WaitsFor tells what a cancelled task still waits for.
func (p *Printer) WaitsFor(t orch.Task, steps []orch.StepStatus, now time.Time) {
	var rows [][]string
	for _, s := range steps {
		if s.Status != "doing" {
			continue
		}
		row := []string{s.ID, "", ""}
		if s.Host != "" {
			row[1] = "on " + s.Host
		}
		if !s.Started.IsZero() {
			row[2] = "for " + Duration(now.Sub(s.Started))
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		p.Printf("task %s (%s) of %s ends: nothing of it runs\n", t.ID, askedFor(t.Workflow, t.Doing), t.Deployment)
		return
	}
	p.Printf("task %s (%s) of %s begins nothing more; it waits for:\n", t.ID, askedFor(t.Workflow, t.Doing), t.Deployment)
	for _, row := range rows {
		p.Printf("  %s\n", strings.TrimRight(strings.Join(row, "  "), " "))
	}
	p.Printf("`orch cancel %s --force` does not wait; `orch status %s` shows what is left\n", t.Deployment, t.Deployment)
}
