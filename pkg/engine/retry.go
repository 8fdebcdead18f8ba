package engine

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/orch-project/orch/pkg/driver"
)

// retry says whether and when a failed step is tried again. Failures that may pass have the engine's attempts; any other has those that
// its operation declares. A new attempt of an operation that has ended gets a new OpID; where only the connection was lost, the old one
// finds out how it ended.
func (r *run) retry(st *step, err error) (time.Duration, bool) {
	var de *driver.Error
	_ = errors.As(err, &de)
	passes := de != nil && de.Retryable
	if de != nil && de.Final {
		return 0, false
	}
	if st.taken && errors.Is(err, driver.ErrInterrupted) {
		// Its host restarted meanwhile. Whoever resumed the deployment has asked for the step to be done: that is a new attempt.
		st.taken, st.opID = false, ""
		return 0, true
	}
	most := max(st.Retries, 0)
	if passes {
		most = max(most, r.e.opts.Retry.Max)
	}
	if st.retries >= most {
		return 0, false
	}
	st.retries++
	if de == nil || de.ExitCode > 0 || !passes {
		st.opID = ""
	}
	delay := r.backoff(st.retries)
	if st.RetryInterval > 0 && !passes {
		delay = st.RetryInterval
	}
	if de != nil && de.RetryAfter > delay {
		delay = min(de.RetryAfter, r.e.opts.Retry.MaxAfter)
	}
	return delay, true
}

// backoff doubles from Base to Cap; half of it is jitter.
func (r *run) backoff(n int) time.Duration {
	o := r.e.opts.Retry
	d := o.Cap
	if n < 30 {
		d = min(o.Base<<(n-1), o.Cap)
	}
	half := d / 2
	if half <= 0 {
		return d
	}
	if r.e.opts.Rand != nil {
		return half + time.Duration(r.e.opts.Rand.Int64N(int64(half)+1))
	}
	return half + rand.N(half+1)
}
