package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Handled is a failure that something was done about, and what.
type Handled struct {
	Failure Failure `json:"failure"`
	How     string  `json:"how"` // "attempt 2 has succeeded"
}

// maxHandled bounds what a task's record keeps of them.
const maxHandled = 20

// attempted notes the failure of an attempt that is not the last one: the first, or the first of which the cloud or the server's console has
// told why.
func (r *run) attempted(st *step, err error) {
	f := r.failure(st, err)
	f.Attempts = st.retries // those before the next one
	if st.earlier == nil || !st.earlier.told() && f.told() {
		st.earlier = f
	}
}

func (f *Failure) told() bool { return len(f.Console) > 0 || f.Detail != "" }

// recall adds what an earlier attempt has told to the failure of the last one: the next attempt has often removed what would tell it again, and
// fails of something else.
func (f *Failure) recall(earlier *Failure) {
	if earlier == nil || f.told() && f.Detail == earlier.Detail {
		return
	}
	if len(f.Console) == 0 {
		f.Console = earlier.Console
	}
	if earlier.Message == f.Message {
		return
	}
	was := fmt.Sprintf("attempt %d had failed of: %s", earlier.Attempts, earlier.Message)
	if earlier.Detail != "" && !strings.Contains(was, earlier.Detail) {
		was += ": " + earlier.Detail
	}
	if f.Detail != "" {
		was = f.Detail + "\n" + was
	}
	f.Detail = was
}

// retried notes that a step has succeeded after it had failed.
func (r *run) retried(st *step) {
	if st.earlier != nil {
		r.handled = append(r.handled, Handled{*st.earlier, fmt.Sprintf("attempt %d has succeeded", st.retries+1)})
		st.earlier = nil
	}
}

// handledFailures are those that the task went on in spite of. What an on_failure step could not mend is no such.
func (r *run) handledFailures() []Handled {
	out := slices.Clone(r.handled)
	for _, st := range r.steps {
		if f := st.failure; f != nil && !slices.Contains(r.failures, f) {
			out = append(out, Handled{*f, r.mending(f)})
		}
	}
	return out[:min(len(out), maxHandled)]
}

// mending says what on_failure has led to.
func (r *run) mending(f *Failure) string {
	var steps []string
	for _, st := range r.steps {
		if !st.trigger || st.mends != f || st.status == Pending {
			continue
		}
		name := st.WorkflowStep
		if name == "" {
			name = st.ID
		}
		if said := name + " is " + string(st.status); !slices.Contains(steps, said) {
			steps = append(steps, said)
		}
	}
	if len(steps) == 0 {
		return "the workflow went on without it"
	}
	return "on_failure has led to other steps: " + strings.Join(steps, ", ")
}

// Resumed is a task's failures for its next run: the last one was handled by whoever resumed the task.
func Resumed(t Task, skipped map[string]bool) []Handled {
	if t.Failure == nil {
		return t.Handled
	}
	out := slices.Clone(t.Handled)
	f := *t.Failure
	others := f.Others
	f.Others = nil
	for _, f := range append([]Failure{f}, others...) {
		how := "the task was resumed"
		if skipped[f.Step] {
			how = "the step was skipped"
		}
		out = append(out, Handled{f, how})
	}
	return out
}

// HandledBy adds what a run has handled to what its task had handled before. What has failed again is not handled.
func (o *Outcome) HandledBy(before []Handled) []Handled {
	failed := map[string]bool{}
	if o.Failure != nil {
		failed[o.Failure.Step] = true
		for _, f := range o.Failure.Others {
			failed[f.Step] = true
		}
	}
	out := slices.DeleteFunc(slices.Clone(before), func(h Handled) bool { return failed[h.Failure.Step] })
	out = append(out, o.Handled...)
	return out[max(0, len(out)-maxHandled):]
}
