package view

import (
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// Lines shows progress as plain lines: one when a step begins to wait or ends, one per failure; script output only when Verbose.
type Lines struct {
	P *Printer
	// Verbose prints every line of output, too.
	Verbose bool

	mu      sync.Mutex
	started map[string]time.Time
	waits   map[string]string
}

// NewLines returns a plain progress.
func NewLines(p *Printer, verbose bool) *Lines {
	return &Lines{P: p, Verbose: verbose, started: map[string]time.Time{}, waits: map[string]string{}}
}

// Handle prints the event if it says something new.
func (l *Lines) Handle(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Type {
	case event.StepStatus:
		l.step(e)
	case event.Waiting:
		// The same reason comes again and again with a growing time at its end: print each reason once.
		if reason, _ := cutLast(e.Message, ", "); l.waits[e.Step] != reason {
			l.waits[e.Step] = reason
			if e.Status == event.Over {
				delete(l.waits, e.Step)
			}
			l.line(e, Quiet, e.Message)
		}
	case event.Resource:
		l.line(e, Quiet, strings.TrimSpace(e.Status+" "+e.Key+" "+e.Value))
	case event.Log:
		if l.Verbose || e.Level == event.Warn || e.Level == event.Error && e.Stream == "" {
			l.line(e, styleOf(e), e.Message)
		}
	case event.Health:
		l.line(e, healthStyle(e.Status), strings.TrimSpace(e.Status+" "+e.Message))
	case event.TaskStatus:
		if e.Status == "pending" {
			return
		}
		text := "task " + askedFor(e.Workflow, e.Key) + " " + e.Status
		if e.Message != "" {
			text += ": " + e.Message
		}
		l.line(e, Bold, text)
	}
}

func (l *Lines) step(e event.Event) {
	op := operationOf(e)
	switch e.Status {
	case "doing":
		l.started[e.Step] = e.Time
		l.line(e, "", op+" …")
	case "done":
		l.line(e, Good, op+" done"+l.took(e))
	case "failed":
		l.line(e, Bad, op+" FAILED"+l.took(e)+": "+e.Message)
	case "skipped":
		text := op + " not run"
		if e.Message != "" { // an alternative that is not taken has no cause
			text += ": " + e.Message
		}
		l.line(e, Quiet, text)
	case "cancelled":
		l.line(e, Warm, op+" cancelled")
	}
}

func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return s, ""
}

func (l *Lines) took(e event.Event) string {
	t, ok := l.started[e.Step]
	if !ok {
		return ""
	}
	delete(l.started, e.Step)
	delete(l.waits, e.Step)
	return " (" + Duration(e.Time.Sub(t)) + ")"
}

func (l *Lines) line(e event.Event, s Style, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		l.P.Printf("%s %s %s\n", l.P.Paint(Quiet, e.Time.Local().Format("15:04:05")), l.P.Paint(Bold, instanceOf(e)), l.P.Paint(s, line))
	}
}

func healthStyle(status string) Style {
	if status == "unhealthy" {
		return Bad
	}
	return Good
}

// Close does nothing: every line is already out.
func (l *Lines) Close() {}

func styleOf(e event.Event) Style {
	switch e.Level {
	case event.Error:
		return Bad
	case event.Warn:
		return Warm
	}
	if e.Stream == "stderr" {
		return Warm
	}
	return ""
}

// Log prints one event as `orch logs` and `orch events` do.
func (p *Printer) Log(e event.Event) {
	text := e.Message
	if e.Type != event.Log {
		text = describe(e)
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		p.Printf("%s %s %s\n", p.Paint(Quiet, e.Time.Local().Format("2006-01-02T15:04:05.000")), p.Paint(Bold, prefix(e)), p.Paint(styleOf(e), line))
	}
}

// describe puts a typed event into words.
func describe(e event.Event) string {
	parts := []string{string(e.Type)}
	for _, s := range []string{e.Status, e.Key} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Step != "" && e.Type == event.StepStatus {
		parts = append(parts, e.Step)
	}
	if e.Value != "" {
		parts = append(parts, "= "+e.Value)
	}
	if e.Message != "" {
		parts = append(parts, "- "+e.Message)
	}
	return strings.Join(parts, " ")
}
