package view

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// stderrShown is how many of the last lines of stderr a failure shows, skippedShown how many steps that were not run; `orch why` has all
// that is kept, `orch logs` every line.
const (
	stderrShown  = 12
	skippedShown = 6
)

// Failure explains the first cause of a failed task and what to do next, on about one screen.
func (p *Printer) Failure(t orch.Task) { p.failure(t, false) }

// Why explains the last task of a deployment: why it failed, in full, or what it waits for.
func (p *Printer) Why(r StatusReport, now time.Time) {
	t := r.Task
	switch {
	case t == nil:
		p.Printf("nothing has been done with %s yet\n", r.Name)
	case t.Failure != nil:
		p.failure(*t, true)
		p.undone(r)
		p.handled(*t)
	case r.Undone != nil:
		p.Outcome(*t)
		p.undone(r)
	case t.Ended.IsZero():
		p.Printf("%s of %s is %s\n", askedFor(t.Workflow, t.Doing), t.Deployment, t.Status)
		p.running(r, false, now)
		p.left(r)
		p.handled(*t)
	default:
		p.Outcome(*t)
		p.handled(*t)
	}
}

// handled explains the failures that something was done about.
func (p *Printer) handled(t orch.Task) {
	for _, h := range t.Handled {
		p.Printf("\n%s\n\n", p.Paint(Warm, "• failed, and was handled: "+h.Failure.Message))
		p.failureFields(h.Failure, math.MaxInt, skippedShown)
		p.field("handled", h.How)
	}
}

// undone explains the task that was rolled back.
func (p *Printer) undone(r StatusReport) {
	if u := r.Undone; u != nil && u.Failure != nil {
		p.Printf("\n%s\n\n", p.Paint(Bad, fmt.Sprintf("✗ it rolls back %s of %s, which failed: %s", askedFor(u.Workflow, u.Doing), u.Deployment, u.Failure.Message)))
		p.failureFields(*u.Failure, math.MaxInt, math.MaxInt)
	}
}

// failure prints everything that is known when full, else the end of stderr and some of the steps that were not run.
func (p *Printer) failure(t orch.Task, full bool) {
	f := t.Failure
	if f == nil {
		return
	}
	stderr, skipped := stderrShown, skippedShown
	if full {
		stderr, skipped = math.MaxInt, math.MaxInt
	}
	ended := "failed"
	if t.Status == "paused" {
		ended = "is paused, a step failed"
	}
	p.Printf("\n%s\n\n", p.Paint(Bad, fmt.Sprintf("✗ %s of %s %s: %s", askedFor(t.Workflow, t.Doing), t.Deployment, ended, f.Message)))
	for i, g := range folded(*f) {
		if i > 0 {
			p.Printf("\n%s\n\n", p.Paint(Bad, "✗ also failed: "+g.Message))
		}
		p.failureFields(g.Failure, stderr, skipped)
		if len(g.like) > 0 {
			p.field("likewise", fmt.Sprintf("%s: %s", Plural(len(g.like), "step"), some(g.like, skipped)))
		}
	}
	p.next(t)
}

// alike is a failure with the steps that have failed in the same way: other instances, as a rule.
type alike struct {
	orch.Failure
	like []string
}

// folded are a failure and the others, those of one cause at one place as one.
func folded(f orch.Failure) (out []*alike) {
	at := map[string]*alike{}
	for _, o := range append([]orch.Failure{f}, f.Others...) {
		message := o.Message
		for _, own := range []string{o.Step, o.Node + "[" + o.Instance + "]", o.Host} {
			if own != "" {
				message = strings.ReplaceAll(message, own, "…")
			}
		}
		key := fmt.Sprint(o.Operation, "\n", o.Pos, "\n", o.ExitCode, "\n", message, "\n", strings.Join(o.Stderr, "\n"), strings.Join(o.Console, "\n"))
		g := at[key]
		if g == nil {
			g = &alike{Failure: o}
			at[key] = g
			out = append(out, g)
			continue
		}
		g.like = append(g.like, o.Step)
		g.Skipped = append(slices.Clone(g.Skipped), o.Skipped...)
	}
	return out
}

func (p *Printer) failureFields(f orch.Failure, stderr, skipped int) {
	node, label := f.Node, "node"
	if node == "" {
		label = "place" // a precondition is no node's
	}
	if f.Instance != "" {
		node += "[" + f.Instance + "]"
	}
	if !f.Pos.IsZero() {
		node = strings.TrimSpace(node + "   " + p.Paint(Link, f.Pos.String()))
	}
	p.field(label, node)
	step := f.Step
	if f.WorkflowStep != "" {
		step += "   " + p.Paint(Dim, "of the workflow's step "+f.WorkflowStep)
	}
	p.field("step", step)
	p.field("operation", f.Operation)
	p.field("host", f.Host)
	if f.ExitCode > 0 {
		p.field("exit code", fmt.Sprint(f.ExitCode))
	}
	if f.Attempts > 1 {
		p.field("attempts", fmt.Sprint(f.Attempts))
	}
	if f.Detail != "" && f.Detail != f.Message {
		p.field("detail", f.Detail)
	}
	lines := f.Stderr
	if len(lines) > stderr {
		lines = lines[len(lines)-stderr:]
	}
	p.field("stderr", strings.Join(lines, "\n"))
	p.field("console", strings.Join(f.Console, "\n"))
	if n := len(f.Skipped); n > 0 {
		p.field("not run", fmt.Sprintf("%s because of it: %s", Plural(n, "step"), some(f.Skipped, skipped)))
	}
	p.field("hint", f.Hint)
}

// field prints a labelled, possibly many-lined text; nothing when it is empty.
func (p *Printer) field(label, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			label = ""
		}
		p.Printf("  %s %s\n", p.Paint(Dim, fmt.Sprintf("%-10s", label)), line)
	}
}

// next lists the commands that make sense after a failure.
func (p *Printer) next(t orch.Task) {
	d, f := t.Deployment, t.Failure
	type cmd struct{ line, what string }
	cmds := []cmd{{"orch logs " + d, "everything that was printed"}}
	if f.Node != "" {
		cmds[0] = cmd{"orch logs " + d + " --node " + f.Node, "everything it printed"}
	}
	if f.Host != "" && f.Host != "orchestrator" && f.Node != "" {
		at := f.Node
		if f.Instance != "" {
			at += " " + f.Instance
		}
		cmds = append(cmds, cmd{"orch ssh " + d + " " + at, "look at the host"})
	}
	switch {
	case t.Undo != "":
		cmds = append(cmds, cmd{"orch tasks " + d, "what it did is rolled back by task " + t.Undo})
	case t.Status == "paused":
		cmds = append(cmds, cmd{"orch resume " + d, "go on: the failed step again, then the rest"}, cmd{"orch retry " + d + " '" + f.Step + "'", "the same"},
			cmd{"orch skip " + d + " '" + f.Step + "'", "take the step as done, and go on"}, cmd{"orch rollback " + d, "undo what the task has done"},
			cmd{"orch cancel " + d, "end the task, leave everything as it is"})
	case t.Verb == orch.Undo:
		cmds = append(cmds, cmd{"orch resume " + d, "go on with the rollback"}, cmd{"orch undeploy " + d, "remove everything"})
	case t.Verb == orch.Undeploy:
		cmds = append(cmds, cmd{"orch undeploy " + d, "try again from where it stopped"},
			cmd{"orch undeploy " + d + " --force", "go on although scripts fail"})
	default:
		cmds = append(cmds, cmd{"orch resume " + d, "go on from where it stopped, nothing is repeated"})
		if t.Failure.Step != "" {
			cmds = append(cmds, cmd{fmt.Sprintf("orch skip %s '%s'", d, t.Failure.Step), "take that step as done, and go on"})
		}
		cmds = append(cmds, cmd{"orch undeploy " + d, "remove everything"})
	}
	p.Printf("\n%s\n", p.Paint(Bold, "What next:"))
	for _, c := range cmds {
		p.Printf("  %-44s %s\n", c.line, p.Paint(Dim, c.what))
	}
}

// some joins the first n items and counts the rest.
func some(items []string, n int) string {
	if len(items) <= n {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:n], ", "), len(items)-n)
}

// Outcome prints how a task ended, in one or two lines; failures have their own form.
func (p *Printer) Outcome(t orch.Task) {
	took := ""
	if !t.Started.IsZero() && !t.Ended.IsZero() {
		took = " in " + Duration(t.Ended.Sub(t.Started))
	}
	switch {
	case t.Status == "failed" || t.Status == "paused":
		p.Failure(t)
	case t.Status == "cancelled":
		p.Printf("%s\n", p.Paint(Warm, fmt.Sprintf("%s of %s was cancelled after %d of %d steps; `orch resume %s` goes on, `orch undeploy %s` removes everything",
			askedFor(t.Workflow, t.Doing), t.Deployment, t.Steps.Done, t.Steps.Total, t.Deployment, t.Deployment)))
	case t.Verb == orch.Undo:
		p.Printf("%s\n", p.Paint(Good, fmt.Sprintf("✓ %s is rolled back: %s%s", t.Deployment, Plural(t.Steps.Done, "step"), took)))
		if len(t.Checked) > 0 {
			p.Printf("%s\n", p.Paint(Good, "✓ 0 resources left, checked in "+strings.Join(t.Checked, ", ")))
		}
	case t.Verb == orch.Undeploy:
		p.undeployed(t, took)
	case !t.Changed && (t.Verb == orch.Workflow || t.Verb == orch.Operate):
		p.Printf("%s\n", p.Paint(Good, fmt.Sprintf("✓ %s of %s done: there was nothing to do", askedFor(t.Workflow, t.Doing), t.Deployment)))
	case !t.Changed:
		p.Printf("%s\n", p.Paint(Good, fmt.Sprintf("✓ %s is as wanted: nothing to do", t.Deployment)))
	default:
		p.Printf("%s\n", p.Paint(Good, fmt.Sprintf("✓ %s of %s done: %s%s", askedFor(t.Workflow, t.Doing), t.Deployment, Plural(t.Steps.Done, "step"), took)))
	}
}

// undeployed proves that nothing is left, or lists what is.
func (p *Printer) undeployed(t orch.Task, took string) {
	if len(t.Left) > 0 {
		p.Printf("%s\n", p.Paint(Bad, fmt.Sprintf("✗ %s is undeployed, but %s left in the cloud:", t.Deployment, Plural(len(t.Left), "resource"))))
		for _, l := range t.Left {
			p.Printf("  %s\n", l)
		}
		return
	}
	p.Printf("%s\n", p.Paint(Good, fmt.Sprintf("✓ %s is undeployed%s", t.Deployment, took)))
	if len(t.Checked) > 0 {
		p.Printf("%s\n", p.Paint(Good, "✓ 0 resources left, checked in "+strings.Join(t.Checked, ", ")))
	}
	if len(t.Kept) > 0 {
		p.Printf("%s\n", p.Paint(Warm, fmt.Sprintf("• %s kept, because the topology says so (deletable: false); use it again by its id:", Plural(len(t.Kept), "resource"))))
		for _, l := range t.Kept {
			p.Printf("  %s\n", l)
		}
	}
}
