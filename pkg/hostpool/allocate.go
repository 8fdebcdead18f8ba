package hostpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

// Placement policies.
const (
	// Balanced gives the host with the fewest allocations: the default.
	Balanced = "balanced"
	// Packed fills one host before it takes the next.
	Packed = "packed"
)

// Asked is what an instance needs of a host.
type Asked struct {
	Location                   string
	Deployment, Node, Instance string
	Filters                    []*Filter
	// Shareable: others that are shareable, too, may have the same host.
	Shareable bool
	// Resources wanted of the host's labels of the same name. On a shared host those of all must fit.
	Resources map[string]Quantity
	Policy    string
	// Instead names an operation that wants another host than the one that the instance has, if any fits. The same operation asking again gets
	// the same answer.
	Instead string
}

func (a *Asked) id() string { return a.Deployment + "/" + a.Node + "/" + a.Instance }

// Allocate gives a host to an instance: the one it has, or the best that is free and fits. Without one the error is ErrNoHost and says why
// each of them is none. Who wants another one, of which there is none, keeps what it has.
func (p *Pool) Allocate(ctx context.Context, a Asked) (*Host, error) {
	var given *Host
	err := p.opts.Store.Update(ctx, func(tx state.Tx) error {
		given = nil
		all, err := hostsOf(tx, a.Location)
		if err != nil {
			return err
		}
		mine := func(x Allocation) bool { return x.ID == a.id() }
		var has *Host
		for _, h := range all {
			if i := slices.IndexFunc(h.Allocations, mine); i >= 0 {
				if has = h; a.Instead == "" || h.Allocations[i].Instead == a.Instead {
					given = h
					return nil
				}
			}
		}
		h, err := choose(slices.DeleteFunc(all, func(h *Host) bool { return h == has }), &a)
		switch {
		case err != nil && has == nil:
			return err
		case err != nil:
			h = has
		}
		if has != nil {
			has.Allocations = slices.DeleteFunc(has.Allocations, mine)
			if err := state.Put(tx, hostKey(has.Location, has.Name), *has); err != nil {
				return err
			}
		}
		took := map[string]float64{}
		for k, q := range a.Resources {
			took[k] = q.N
		}
		h.Allocations = append(h.Allocations, Allocation{ID: a.id(), Deployment: a.Deployment, Node: a.Node, Instance: a.Instance,
			Shareable: a.Shareable, Resources: took, Policy: a.Policy, Instead: a.Instead, Since: p.opts.Now().UTC()})
		given = h
		return errors.Join(state.Put(tx, hostKey(h.Location, h.Name), *h), touch(tx, h.Location))
	})
	if err != nil {
		return nil, err
	}
	return given, nil
}

// Release takes the hosts of an instance back. It reports whether there was one.
func (p *Pool) Release(ctx context.Context, location, deployment, node, instance string) (bool, error) {
	id, found := (&Asked{Deployment: deployment, Node: node, Instance: instance}).id(), false
	err := p.opts.Store.Update(ctx, func(tx state.Tx) error {
		found = false
		all, err := hostsOf(tx, location)
		if err != nil {
			return err
		}
		for _, h := range all {
			n := len(h.Allocations)
			h.Allocations = slices.DeleteFunc(h.Allocations, func(x Allocation) bool { return x.ID == id })
			if len(h.Allocations) == n {
				continue
			}
			found = true
			if err := errors.Join(state.Put(tx, hostKey(h.Location, h.Name), *h), touch(tx, h.Location)); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// Held returns what a deployment holds of a pool: "host NAME (node[instance])".
func (p *Pool) Held(ctx context.Context, location, deployment string) ([]string, error) {
	all, _, err := p.Hosts(ctx, location)
	var out []string
	for _, h := range all {
		for _, x := range h.Allocations {
			if x.Deployment == deployment {
				out = append(out, fmt.Sprintf("host %s (%s[%s])", h.Name, x.Node, x.Instance))
			}
		}
	}
	return out, err
}

// Check tells whether all of several instances could have a host, all at once, without giving any. The result has an error for each that
// could not, by index.
func (p *Pool) Check(ctx context.Context, location string, asked []Asked) (map[int]error, error) {
	all, _, err := p.Hosts(ctx, location)
	if err != nil {
		return nil, err
	}
	out := map[int]error{}
	for i := range asked {
		a := &asked[i]
		if slices.ContainsFunc(all, func(h *Host) bool {
			return slices.ContainsFunc(h.Allocations, func(x Allocation) bool { return x.ID == a.id() })
		}) {
			continue
		}
		h, err := choose(all, a)
		if err != nil {
			out[i] = err
			continue
		}
		took := map[string]float64{}
		for k, q := range a.Resources {
			took[k] = q.N
		}
		h.Allocations = append(h.Allocations, Allocation{ID: a.id(), Shareable: a.Shareable, Resources: took})
	}
	return out, nil
}

// choose returns the host that the policy prefers among those that fit.
func choose(all []*Host, a *Asked) (*Host, error) {
	var fit []*Host
	var why []string
	for _, h := range all {
		if reason := unfit(h, a); reason != "" {
			why = append(why, h.Name+": "+reason)
			continue
		}
		fit = append(fit, h)
	}
	if len(fit) == 0 {
		if len(all) == 0 {
			return nil, fmt.Errorf("%w %s: the pool %s has no hosts", ErrNoHost, a.id(), a.Location)
		}
		return nil, fmt.Errorf("%w %s: %s", ErrNoHost, a.id(), strings.Join(why, "; "))
	}
	slices.SortStableFunc(fit, func(x, y *Host) int {
		d := len(x.Allocations) - len(y.Allocations)
		if a.Policy == Packed {
			d = -d
		}
		if d != 0 {
			return d
		}
		return strings.Compare(x.Name, y.Name)
	})
	return fit[0], nil
}

// unfit says why an instance cannot have a host, "" if it can.
func unfit(h *Host, a *Asked) string {
	if h.Reason != "" {
		return "cannot be reached (" + h.Reason + ")"
	}
	for _, f := range a.Filters {
		if !f.Matches(h.Labels) {
			return "does not fulfil " + f.String()
		}
	}
	for _, x := range h.Allocations {
		if !x.Shareable || !a.Shareable {
			return "is given to " + x.ID
		}
	}
	for k, q := range a.Resources {
		label, ok := h.Labels[k]
		if !ok {
			continue // what nobody says of a host is not asked of it
		}
		has, ok := Measure(label)
		if !ok || has.Kind != q.Kind {
			return fmt.Sprintf("its label %s, %q, is no such quantity", k, label)
		}
		for _, x := range h.Allocations {
			has.N -= x.Resources[k]
		}
		if has.N < q.N {
			return fmt.Sprintf("has too little %s left", k)
		}
	}
	return ""
}
