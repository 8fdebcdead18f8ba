package engine

import (
	"cmp"
	"slices"

	"github.com/orch-project/orch/pkg/plan"
)

// learn notes what the end of a predecessor means for a step.
//
// What is needed only to have ended (plan.Step.Tolerates) is no reason for or against the step.
//
//	predecessor          needed by the step            alternative to it (on_failure, on_cancel)
//	done                 ok                            nothing
//	failed, ignored      ok                            its occasion
//	failed, handled      this way is not taken         its occasion
//	failed               bad: the step is skipped      –
//	skipped for failure  bad: the step is skipped      nothing
//	not taken            this way is not taken         nothing
//	cancelled            bad: the step is cancelled    its occasion, if it had begun; also if it was done then
//
// Of a declared step that is done on several instances, one of which is the step's own, only that one makes ok: where it has failed and was
// handled, the step is not for this instance, whatever has become of the others.
//
// While a cancelled task cleans up, only those occasions count and what follows from them.
func (r *run) learn(s, pred *step) {
	for _, n := range s.OnFailureOf {
		if n == pred.ID && pred.status == Failed {
			s.trigger, s.cleanup, s.mends = true, s.cleanup || pred.cleanup, cmp.Or(s.mends, pred.failure)
		}
	}
	for _, n := range s.OnCancelOf {
		if n == pred.ID && pred.struck {
			s.trigger, s.cleanup = true, true
		}
	}
	needed := false
	for _, n := range s.Needs {
		needed = needed || n == pred.ID
	}
	if !needed || slices.Contains(s.Tolerates, pred.ID) {
		return
	}
	switch pred.status {
	case Done:
		s.ok, s.cleanup, s.mends = s.ok || s.led(pred), s.cleanup || pred.cleanup, cmp.Or(s.mends, pred.mends)
	case Failed:
		switch {
		case pred.IgnoreFailure:
			s.ok, s.cleanup = s.ok || s.led(pred), s.cleanup || pred.cleanup
		case !pred.handled:
			r.blame(s, pred.ID)
		}
	case Cancelled:
		if !pred.cancelH {
			s.lost = true
			s.because = cmp.Or(s.because, pred.ID)
		}
	case Skipped:
		if pred.because != "" {
			r.blame(s, pred.because)
		}
	}
}

// led reports whether a predecessor can lead to the step, and not only to the same step of another instance.
func (s *step) led(pred *step) bool {
	return pred.Of() == s.Of() || !slices.Contains(s.ways, pred.WorkflowStep)
}

func (r *run) blame(s *step, cause string) {
	s.bad = true
	s.because = cmp.Or(s.because, cause)
}

// decide is called when nothing is left to wait for: the step becomes ready, or is skipped.
func (r *run) decide(st *step) {
	if st.decided { // the end of one predecessor may have ended another, which told it too
		return
	}
	st.decided = true
	bad := st.bad || st.lost && !st.cleanup
	switch {
	case bad && r.stop != goOn && !r.halted:
		r.ended(st, Cancelled)
	case bad:
		r.skip(st)
	case r.cleaning && !st.cleanup && (st.ok || !st.alt):
		r.ended(st, Cancelled) // what it would go on from was done before
	case st.trigger, st.ok, !st.alt && len(st.Needs) == len(st.Tolerates):
		r.enqueue(st)
	default:
		r.skip(st) // an alternative that is not taken
	}
}

// enqueue puts a step that may run where start finds it.
func (r *run) enqueue(st *step) {
	switch in, err := r.takesPart(st); {
	case err != nil:
		r.refuse(st, err)
		return
	case !in:
		st.leftOut = true
		r.ended(st, Done)
		return
	}
	switch {
	case !st.Acts():
		r.records = append(r.records, st)
	case r.batches(st):
		r.batcher(st).add(st)
	default:
		r.ready.push(st)
	}
}

// skip ends steps that will not run, and on.
func (r *run) skip(st *step) {
	r.ended(st, Skipped)
	if f := r.causes[st.because]; f != nil && st.Acts() {
		f.Skipped = append(f.Skipped, st.ID)
	}
}

// ended is the only way for a step to end: its followers are told and decided.
func (r *run) ended(st *step, status Status) {
	st.status = status
	r.open--
	if st.Kind != plan.Join {
		r.pending.transition(r, st)
	}
	if status != Done && st.Relationship == "" && r.job.Plan.Workflow == plan.Install && !r.working[st.Of()] {
		r.world.leaveOut(st.Of())
	}
	for _, s := range r.tell(st) {
		if s.waits == 0 && s.status == Pending {
			r.decide(s)
		}
	}
}

// tell lets the followers of a step that has ended learn it.
func (r *run) tell(st *step) []*step {
	for _, s := range st.succ {
		s.waits--
		r.learn(s, st)
	}
	return st.succ
}
