package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// Status paints a deployment's or task's status.
func (p *Printer) Status(s string) string {
	switch s {
	case "deployed", "done", "started":
		return p.Paint(Good, s)
	case "failed", "error":
		return p.Paint(Bad, s)
	case "undeployed":
		return p.Paint(Quiet, s)
	}
	return p.Paint(Warm, s)
}

// StatusReport is what `orch status` shows; its JSON form is what -o json prints.
type StatusReport struct {
	*orch.Detail
	Task  *orch.Task        `json:"last_task,omitempty"`
	Steps []orch.StepStatus `json:"steps,omitempty"`
	// Undone is the failed task that Task rolls back.
	Undone *orch.Task `json:"undone_task,omitempty"`
	// Others are further tasks that have not ended: running beside Task, paused or queued.
	Others []orch.Task `json:"other_tasks,omitempty"`
}

// StatusOf prints a deployment: its instances by node, then what runs or why it failed.
func (p *Printer) StatusOf(r StatusReport, allSteps bool, now time.Time) {
	d := r.Detail
	p.Printf("%s  %s", p.Paint(Bold, d.Name), p.Status(d.Status))
	if d.Topology != "" {
		p.Printf("  %s", d.Topology)
	}
	p.Printf("  revision %d, changed %s ago", d.Revision, Age(d.Updated, now))
	if d.OnFailure != "" && d.OnFailure != orch.Keep {
		p.Printf(", on failure: %s", d.OnFailure)
	}
	if d.Owner != "" {
		p.Printf(", held by %s", d.Owner)
	}
	p.Println()
	p.instances(d)
	p.policies(d, now)
	p.running(r, allSteps, now)
	p.left(r)
	p.others(r, now)
	switch t := r.Task; {
	case t == nil || t.Failure == nil:
	case d.Status == "failed" || d.Status == "paused":
		p.Failure(*t)
	case t.Status == "failed": // it has changed nothing of what the deployment is
		p.Printf("\n%s\n", p.Paint(Bad, fmt.Sprintf("✗ %s failed %s ago: %s: %s", askedFor(t.Workflow, t.Doing), Age(t.Ended, now), t.Failure.Step, firstLine(t.Failure.Message))))
		p.Printf("`orch why %s` says why\n", t.Deployment)
	}
	if d.Cause != "" && r.Undone != nil {
		p.Printf("\n%s\n", p.Paint(Warm, d.Cause))
	}
}

// instances lists them, with their health where a policy checks it.
func (p *Printer) instances(d *orch.Detail) {
	var rows [][]string
	checked := false
	for _, n := range d.Nodes {
		for _, i := range n.Instances {
			health := i.Health
			if health != "" {
				checked = true
				health = p.Paint(healthStyle(health), strings.TrimSuffix(health+": "+i.HealthCause, ": "))
			}
			rows = append(rows, []string{n.Name + "[" + i.Index + "]", p.Status(i.State), i.Address, n.Host, n.Type, health})
		}
	}
	head := []string{"INSTANCE", "STATE", "ADDRESS", "ON", "TYPE", "HEALTH"}
	if !checked {
		head = head[:5]
		for i := range rows {
			rows[i] = rows[i][:5]
		}
	}
	if len(rows) > 0 {
		p.Println()
		p.Table(head, rows)
	}
}

// policies lists what they have found and done.
func (p *Printer) policies(d *orch.Detail, now time.Time) {
	if len(d.Policies) == 0 {
		return
	}
	var rows [][]string
	for _, s := range d.Policies {
		value, note := "", s.Did
		if s.Value != nil {
			value = strconv.FormatFloat(*s.Value, 'g', 6, 64)
		}
		if !s.Acted.IsZero() && s.Did != "" {
			note = Age(s.Acted, now) + " ago: " + s.Did
		}
		if !s.Rests.IsZero() {
			note += fmt.Sprintf(" (rests for %s)", Duration(s.Rests.Sub(now)))
		}
		if s.Message != "" {
			note = s.Message
		}
		if s.Watched == "" {
			note = strings.TrimSpace("not evaluated yet: orch server does that, from some seconds after an install on. " + note)
		}
		rows = append(rows, []string{s.Name, s.Type[strings.LastIndexByte(s.Type, '.')+1:], value, note})
	}
	p.Println()
	p.Table([]string{"POLICY", "KIND", "VALUE", ""}, rows)
}

// running lists the steps at work and what they wait for; all steps when asked.
func (p *Printer) running(r StatusReport, all bool, now time.Time) {
	var rows [][]string
	for _, s := range r.Steps {
		if !all && s.Status != "doing" && s.Waiting == "" {
			continue
		}
		took, note := "", s.Waiting
		switch {
		case !s.Ended.IsZero() && !s.Started.IsZero():
			took = Duration(s.Ended.Sub(s.Started))
		case !s.Started.IsZero():
			took = Duration(now.Sub(s.Started))
		}
		if s.Waiting != "" && !s.Since.IsZero() {
			note = fmt.Sprintf("%s, for %s", s.Waiting, Duration(now.Sub(s.Since)))
		}
		if s.Error != "" {
			note = s.Error
		}
		rows = append(rows, []string{s.ID, p.Status(s.Status), took, note})
	}
	if len(rows) == 0 {
		return
	}
	if t := r.Task; t != nil {
		p.Printf("\ntask %s (%s): %d of %d steps done\n", t.ID, askedFor(t.Workflow, t.Doing), t.Steps.Done, t.Steps.Total)
	}
	p.Table([]string{"STEP", "STATUS", "TIME", "NOTE"}, rows)
}

// left says of a task that its process has left that nobody works on it, and what to do.
func (p *Printer) left(r StatusReport) {
	t := r.Task
	if t == nil || r.Owner != "" {
		return
	}
	switch t.Status {
	case "pending", "running", "cancelling":
		p.Printf("\n%s\n", p.Paint(Warm, fmt.Sprintf("Nobody works on task %s (%s): the process that did has ended.", t.ID, askedFor(t.Workflow, t.Doing))))
		p.Printf("`orch resume %s` goes on with it, and does not repeat what is done; an `orch server` does so by itself\n", t.Deployment)
	}
}
