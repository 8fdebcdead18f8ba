package policy

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Condition of an instance.
const (
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Pulse follows the health of one instance by one policy.
//
//	(unknown) ──Successes──▶ healthy ──Failures──▶ unhealthy ──Successes──▶ healthy
type Pulse struct {
	Status  string    `json:"status,omitempty"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Generation of the instance that was checked: one made anew is another.
	Generation string `json:"generation,omitempty"`
	// Marked: the instance's state is error because of this.
	Marked    bool `json:"marked,omitempty"`
	good, bad int
}

// Take notes the outcome of a probe and reports whether the instance's health has changed.
func (p *Policy) Take(u *Pulse, err error, now time.Time) (changed bool) {
	if err == nil {
		u.good, u.bad = u.good+1, 0
		if u.Status != Healthy && u.good >= p.Successes {
			u.Status, u.Message, u.Since = Healthy, "", now
			return true
		}
		return false
	}
	u.bad, u.good = u.bad+1, 0
	if u.bad >= p.Failures {
		changed = u.Status != Unhealthy
		if changed {
			u.Status, u.Since = Unhealthy, now
		}
		u.Message = err.Error()
	}
	return changed
}

// Gauge follows the metric of a Scale policy.
type Gauge struct{ over, under int }

// Wanted decides how many instances there should be, for a value of the metric and the number that there is. The number is within the
// policy's bounds if it differs; why says what it is for.
func (p *Policy) Wanted(g *Gauge, value float64, have int) (want int, why string) {
	switch {
	case p.Above != nil && value > *p.Above:
		g.over, g.under = g.over+1, 0
	case p.Below != nil && value < *p.Below:
		g.over, g.under = 0, g.under+1
	default:
		g.over, g.under = 0, 0
	}
	switch {
	case p.Max > 0 && have > p.Max:
		return p.Max, fmt.Sprintf("at most %d", p.Max)
	case have < p.Min:
		return p.Min, fmt.Sprintf("at least %d", p.Min)
	case g.over >= p.Evaluations:
		want = have + p.Step
		if p.Max > 0 {
			want = min(want, p.Max)
		}
		return want, fmt.Sprintf("%s is %s, above %s", p.Metric, figure(value), figure(*p.Above))
	case g.under >= p.Evaluations:
		return max(have-p.Step, p.Min, 1), fmt.Sprintf("%s is %s, below %s", p.Metric, figure(value), figure(*p.Below))
	}
	return have, ""
}

// Reset begins to count anew, after an action.
func (g *Gauge) Reset() { *g = Gauge{} }

func figure(f float64) string { return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64) }

// Combine makes one value of those of the instances.
func (p *Policy) Combine(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	out := values[0]
	for _, v := range values[1:] {
		switch p.Aggregate {
		case "max":
			out = max(out, v)
		case "min":
			out = min(out, v)
		default:
			out += v
		}
	}
	if p.Aggregate != "max" && p.Aggregate != "min" && p.Aggregate != "sum" {
		out /= float64(len(values))
	}
	return out, true
}
