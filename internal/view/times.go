package view

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/dag"
	"github.com/orch-project/orch/pkg/orch"
)

// Times says where the time of a task went.
type Times struct {
	Task     string  `json:"task"`
	Workflow string  `json:"workflow"`
	Status   string  `json:"status"`
	Seconds  float64 `json:"seconds"` // from the start to the end, or until now
	// Critical is the chain of steps that took longest, in order; CriticalSeconds their sum.
	Critical        []string `json:"critical_path"`
	CriticalSeconds float64  `json:"critical_seconds"`
	// Work is the sum of all steps.
	WorkSeconds float64    `json:"work_seconds"`
	Steps       []StepTime `json:"steps"` // longest first
	// Waits by reason, longest first.
	Waits []WaitTime `json:"waits,omitempty"`
}

// WaitTime is how long steps have waited for one thing, all together.
type WaitTime struct {
	For     string  `json:"for"`
	Seconds float64 `json:"seconds"`
	Steps   int     `json:"steps"`
}

// StepTime of one step that ran.
type StepTime struct {
	ID       string  `json:"id"`
	Status   string  `json:"status"`
	Offset   float64 `json:"offset_seconds"` // after the task's start
	Seconds  float64 `json:"seconds"`
	Attempts int     `json:"attempts,omitempty"`
	Critical bool    `json:"critical,omitempty"`
}

// TimesOf measures a task by its steps. A step that still runs counts until now.
func TimesOf(t orch.Task, steps []orch.StepStatus, now time.Time) (Times, error) {
	end := t.Ended
	if end.IsZero() {
		end = now
	}
	out := Times{Task: t.ID, Workflow: t.Workflow, Status: t.Status, Critical: []string{}, Steps: []StepTime{}}
	if !t.Started.IsZero() {
		out.Seconds = seconds(end.Sub(t.Started))
	}
	took, ended := map[string]time.Duration{}, map[string]time.Time{}
	for _, s := range steps {
		if s.Started.IsZero() {
			continue
		}
		until := s.Ended
		if until.IsZero() {
			until = end
		}
		took[s.ID], ended[s.ID] = max(0, until.Sub(s.Started)), until
	}
	path, length, err := critical(steps, took, ended)
	if err != nil {
		return out, fmt.Errorf("cannot find the critical path: %w", err)
	}
	out.CriticalSeconds = seconds(length)
	out.Critical = append(out.Critical, path...)
	for _, s := range steps {
		d, ok := took[s.ID]
		if !ok {
			continue
		}
		out.WorkSeconds += seconds(d)
		out.Steps = append(out.Steps, StepTime{ID: s.ID, Status: s.Status, Offset: seconds(max(0, s.Started.Sub(t.Started))), Seconds: seconds(d), Attempts: s.Attempts,
			Critical: slices.Contains(out.Critical, s.ID)})
	}
	slices.SortStableFunc(out.Steps, func(a, b StepTime) int {
		switch {
		case a.Seconds > b.Seconds:
			return -1
		case a.Seconds < b.Seconds:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	out.Waits = waitsOf(steps, end)
	return out, nil
}

// details of a reason that differ from one attempt to the next: "SSH (connection refused)", "another attempt in 4s: exit code 3".
var details = regexp.MustCompile(` \(.*| in [0-9.]+m?s: .*`)

// resource is what the cloud still makes; the report is about why, not about which.
var resource = regexp.MustCompile(`^\S+: still `)

// waitsOf sums up the waits by reason. What is shorter than a tenth of a second is not worth a line.
func waitsOf(steps []orch.StepStatus, end time.Time) []WaitTime {
	times, by := map[string]time.Duration{}, map[string]map[string]bool{}
	for _, s := range steps {
		for _, w := range s.Waits {
			until, why := w.Until, details.ReplaceAllString(resource.ReplaceAllString(w.For, "the cloud: still "), "")
			if until.IsZero() {
				until = end
			}
			if by[why] == nil {
				by[why] = map[string]bool{}
			}
			times[why] += max(0, until.Sub(w.Since))
			by[why][s.ID] = true
		}
	}
	var out []WaitTime
	for why, d := range times {
		if d >= 100*time.Millisecond {
			out = append(out, WaitTime{For: why, Seconds: seconds(d), Steps: len(by[why])})
		}
	}
	slices.SortFunc(out, func(a, b WaitTime) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), strings.Compare(a.For, b.For))
	})
	return out
}

// critical finds the chain of steps that decided when the task ended. Infrastructure is made in one go, so that a step may begin, and even
// end, before what it needs has ended: only what it took beyond that counts. Steps that add nothing are not in the path.
func critical(steps []orch.StepStatus, took map[string]time.Duration, ended map[string]time.Time) ([]string, time.Duration, error) {
	var g dag.Graph[string]
	weight := map[string]time.Duration{}
	for _, s := range steps {
		g.Add(s.ID)
		began := s.Started
		for _, n := range slices.Concat(s.Needs, s.OnFailureOf, s.OnCancelOf) {
			g.Edge(n, s.ID)
			if ended[n].After(began) {
				began = ended[n]
			}
		}
		if _, ran := took[s.ID]; ran {
			weight[s.ID] = max(0, ended[s.ID].Sub(began))
		}
	}
	path, length, err := g.CriticalPath(func(id string) time.Duration { return weight[id] })
	return slices.DeleteFunc(path, func(id string) bool { return weight[id] == 0 }), length, err
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

func span(s float64) string { return Duration(time.Duration(s * float64(time.Second))) }

// longest is how many steps a report shows unless all are asked for.
const longest = 15

// Times prints the critical path and the longest steps.
func (p *Printer) Times(t Times, all bool) {
	p.Printf("%s  %s in %s; all steps together %s\n", p.Paint(Bold, t.Workflow), p.Status(t.Status), span(t.Seconds), span(t.WorkSeconds))
	byID := map[string]StepTime{}
	for _, s := range t.Steps {
		byID[s.ID] = s
	}
	if len(t.Critical) > 0 {
		p.Printf("\n%s\n", p.Paint(Bold, fmt.Sprintf("Critical path: %s in %s", Plural(len(t.Critical), "step"), span(t.CriticalSeconds))))
		rows := make([][]string, len(t.Critical))
		for i, id := range t.Critical {
			s := byID[id]
			rows[i] = []string{"+" + span(s.Offset), span(s.Seconds), id}
		}
		p.Table([]string{"BEGAN", "TIME", "STEP"}, rows)
	}
	if len(t.Waits) > 0 {
		p.Printf("\n%s\n", p.Paint(Bold, "Waiting, all steps together"))
		rows := make([][]string, len(t.Waits))
		for i, w := range t.Waits {
			rows[i] = []string{span(w.Seconds), Plural(w.Steps, "step"), w.For}
		}
		p.Table([]string{"TIME", "BY", "FOR"}, rows)
	}
	shown := t.Steps
	title := "Steps, longest first"
	if !all && len(shown) > longest {
		shown = shown[:longest]
		title = fmt.Sprintf("The longest %d of %d steps (--all shows the rest)", longest, len(t.Steps))
	}
	if len(shown) == 0 {
		return
	}
	p.Printf("\n%s\n", p.Paint(Bold, title))
	rows := make([][]string, len(shown))
	for i, s := range shown {
		mark := ""
		if s.Critical {
			mark = "critical"
		}
		if s.Attempts > 1 {
			mark = strings.TrimSpace(mark + " " + Plural(s.Attempts, "attempt"))
		}
		rows[i] = []string{span(s.Seconds), "+" + span(s.Offset), p.Status(s.Status), s.ID, mark}
	}
	p.Table([]string{"TIME", "BEGAN", "STATUS", "STEP", ""}, rows)
}
