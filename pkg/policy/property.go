package policy

import (
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/topology"
)

func (r *reader) bad(property, what string) {
	pos := r.p.Pos
	if v := r.p.Properties.Get(property); v != nil && !v.Pos.IsZero() {
		pos = v.Pos
	}
	r.diags.Errorf(CodeBad, pos, "the policy %s: %s %s", r.p.Name, property, what)
}

func (r *reader) eval(v *topology.Value) any {
	if v == nil {
		return nil
	}
	x, err := topology.Eval(r.ctx, topology.Scope{Topology: r.t}, v, r.env)
	if err != nil {
		r.diags.Errorf(CodeBad, v.Pos, "the policy %s: %v", r.p.Name, err)
		return nil
	}
	if _, unknown := x.(topology.Unknown); unknown {
		return nil
	}
	return x
}

// value of a property; nil for none.
func (r *reader) value(name string) any { return r.eval(r.p.Properties.Get(name)) }

func (r *reader) text(name, otherwise string) string {
	v := r.value(name)
	if v == nil {
		return otherwise
	}
	text, _ := topology.Text(v)
	return text
}

func (r *reader) integer(name string, otherwise int) int {
	v := r.value(name)
	if v == nil {
		return otherwise
	}
	n, ok := whole(v)
	if !ok {
		r.bad(name, "must be a whole number")
	}
	return n
}

func (r *reader) number(name string) *float64 {
	v := r.value(name)
	if v == nil {
		return nil
	}
	f, ok := topology.Number(v)
	if !ok {
		r.bad(name, "must be a number")
		return nil
	}
	return &f
}

// duration is a scalar-unit.time ("30 s"), or a number of seconds.
func (r *reader) duration(name string, otherwise time.Duration) time.Duration {
	v := r.value(name)
	if v == nil {
		return otherwise
	}
	return r.asDuration(name, v, otherwise)
}

func (r *reader) asDuration(name string, v any, otherwise time.Duration) time.Duration {
	if f, ok := topology.Number(v); ok {
		return time.Duration(f * float64(time.Second))
	}
	text, _ := topology.Text(v)
	seconds, _, err := topology.ParseUnit("scalar-unit.time", text)
	if err == nil {
		return time.Duration(seconds * float64(time.Second))
	}
	if d, err := time.ParseDuration(strings.ReplaceAll(text, " ", "")); err == nil {
		return d
	}
	r.bad(name, "must be a time, such as 30 s")
	return otherwise
}

func whole(v any) (int, bool) {
	f, ok := topology.Number(v)
	return int(f), ok && f == float64(int(f))
}
