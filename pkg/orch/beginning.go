package orch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// beginning are the events that a task begins with: its status, with the instances that it will make, and what was found out about the request.
func (p *prepared) beginning(d record, t engine.Task) []event.Event {
	events := statusEvents(d, t)
	if p.req.Verb == Deploy && p.snapshot != nil {
		events[0].Message = instanceNames(p.newInstances())
	}
	said := slices.Clone(p.told)
	if p.req.Narrate {
		said = append(said, warnings(p.findings())...)
	}
	return append(events, of(t, said)...)
}

// of makes events those of a task.
func of(t engine.Task, events []event.Event) []event.Event {
	for i := range events {
		events[i].Time, events[i].Task, events[i].Workflow = now(), t.ID, t.Workflow
	}
	return events
}

// warnings as lines of a log.
func warnings(list diag.List) (out []event.Event) {
	for _, w := range list {
		if w.Severity == diag.Warning {
			out = append(out, event.Event{Type: event.Log, Level: event.Warn, Message: warningText(w)})
		}
	}
	return out
}

// preflightTime is how long a preflight beside its task may take.
const preflightTime = 2 * time.Minute

// preflightBeside looks for what a preflight warns of while the task of a request that did not wait for one runs already, and puts it into the
// deployment's log. What it finds wrong the task will find, too, and says it better.
func (l *Local) preflightBeside(asked *prepared, t engine.Task) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.tasks.Add(1)
	l.mu.Unlock()
	p := *asked
	p.diags, p.planned = nil, nil
	go func() {
		defer l.tasks.Done()
		ctx, cancel := context.WithTimeout(usedBy(withLocation(l.life, p.location), p.name), preflightTime)
		defer cancel()
		l.preflight(ctx, &p)
		found := of(t, warnings(p.findings()))
		if ctx.Err() != nil || len(found) == 0 {
			return // what is found out after its time is that there was none
		}
		err := l.store.Update(ctx, func(tx state.Tx) error {
			if _, found, err := engine.FindTaskTx(tx, p.name, t.ID); err != nil || !found {
				return err // purged meanwhile
			}
			_, err := state.AppendTx(tx, p.name, found...)
			return err
		})
		if err != nil {
			l.opts.Logger.Warn("cannot put warnings into a deployment's log", "deployment", p.name, "error", err)
		}
	}()
}

func warningText(w diag.Diagnostic) string {
	s := w.Message
	if !w.Pos.IsZero() {
		s = w.Pos.String() + ": " + s
	}
	if w.Hint != "" {
		s += " (" + w.Hint + ")"
	}
	return s
}

// newInstances are those that are wanted and not on record, in the order of the topology.
func (p *prepared) newInstances() (out []topology.Instance) {
	recorded := p.snapshot.Recorded()
	wanted := plan.Wanted(plan.Input{Topology: p.topology, Inputs: p.inputs, Recorded: recorded, Scale: p.scale()})
	for _, n := range p.topology.Nodes {
		for _, i := range wanted[n.Name] {
			if in := (topology.Instance{Node: n.Name, Index: i}); recorded[in] == nil {
				out = append(out, in)
			}
		}
	}
	return out
}

// instanceNames are the names of instances as an event tells them: NODE/INDEX, separated by spaces. Those that are too many for its text begin
// without having been named.
func instanceNames(ins []topology.Instance) string {
	const most = 10 << 10 // bytes; longer texts of events are cut
	var b strings.Builder
	for _, in := range ins {
		if strings.ContainsAny(in.Node, "/ \t\n") {
			continue // it could not be told apart
		}
		if b.Len()+len(in.Node)+len(in.Index) > most {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(in.Node + "/" + in.Index)
	}
	return b.String()
}
