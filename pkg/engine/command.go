package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
)

// Command to a running task.
type Command string

const (
	// CommandCancel starts nothing more and waits for what runs.
	CommandCancel Command = "cancel"
	// CommandForce does not wait: operations are killed, infrastructure is let go of and observed by whoever comes next.
	CommandForce Command = "force"
	// CommandDetach does not wait and kills nothing.
	CommandDetach Command = "detach"
)

// stopping is how far a cancellation has come.
//
//	goOn ──cancel──▶ stopStarting ──force──▶ stopNow
type stopping int

const (
	goOn stopping = iota
	stopStarting
	stopNow
)

var errForced = errors.New("killed by a forced cancellation")

func (r *run) command(c Command) {
	halted := r.halted
	r.halted = false // whoever steers the task now does not wait for it to go on
	switch c {
	case CommandCancel:
		if r.stop == goOn || halted {
			ends := r.quitWaiting()
			r.strike(ends)
			r.stop = stopStarting
			r.tellWaiting(ends)
		}
	case CommandForce:
		if r.stop == goOn || halted {
			r.strike(nil)
		}
		r.stop, r.forced = stopNow, !r.cleaning
		r.opStop(errForced)
		r.actStop(driver.ErrDetach)
	case CommandDetach:
		r.stop = stopNow
		r.actStop(driver.ErrDetach)
	}
	for _, st := range r.later.drop() { // nobody waits for another attempt
		r.fail(st, st.err)
	}
}

// strike marks what runs when the task is cancelled: that is the occasion of its on_cancel steps, however it ends (Yorc's
// MonitorTaskCancellation). What only waited had not begun.
func (r *run) strike(waiting map[*step]bool) {
	for _, st := range r.steps {
		st.struck = st.struck || st.status == Doing && !waiting[st] || st.unfinished
	}
}

// halt stops starting steps after a failure.
func (r *run) halt() {
	if !r.job.Halt || r.stop != goOn {
		return
	}
	r.stop, r.halted = stopStarting, true
	r.quitWaiting()
	r.pending.transitions = append(r.pending.transitions, Transition{Status: Failed, At: time.Now().UTC(), Halt: r.firstCause()})
	for _, st := range r.later.drop() { // nobody waits for another attempt
		r.fail(st, st.err)
	}
}

// quitWaiting ends what only waits to begin, and returns it.
func (r *run) quitWaiting() map[*step]bool {
	ends := map[*step]bool{}
	for _, st := range r.steps {
		if st.status == Doing && st.pauses != nil && st.pauses.Quit() {
			ends[st] = true
		}
	}
	return ends
}

// tellWaiting says what a cancellation still waits for.
func (r *run) tellWaiting(ends map[*step]bool) {
	r.pending.event(event.Event{Type: event.TaskStatus, Status: string(Cancelling)})
	for _, st := range r.steps {
		if st.status == Doing && !ends[st] {
			e := r.stepEvent(st)
			e.Type, e.Message = event.Waiting, fmt.Sprintf("the cancellation waits for %s to end", st.ID)
			r.pending.event(e)
		}
	}
}

// cancelRest ends what was never begun, once nothing runs any more. Steps that the document wants on cancellation still run, and what they lead
// to; where the cancellation was forced, too, which killed only what ran then. The next one kills them.
func (r *run) cancelRest() {
	r.cleaning = true
	if r.forced {
		r.forced = false
		r.contexts()
	}
	r.ready = queue{}
	for _, b := range r.infra {
		b.ready = nil
	}
	r.slots.parked = map[slotKey]*queue{}
	for _, st := range r.steps {
		if st.status == Pending && st.waits == 0 && !st.cleanup {
			r.ended(st, Cancelled)
		}
	}
	for _, st := range r.steps {
		if st.status == Pending && st.waits == 0 && st.cleanup && !r.queued(st) {
			r.enqueue(st)
		}
	}
}

func (r *run) queued(st *step) bool {
	for _, l := range [][]*step{r.ready.steps, r.records} {
		for _, s := range l {
			if s == st {
				return true
			}
		}
	}
	return false
}
