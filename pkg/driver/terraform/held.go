package terraform

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
)

// How often, and how long after each other, the cloud is asked before something is taken to hold what is to go: what has just been deleted is
// still there for a moment.
const (
	heldLooks = 3
	heldEvery = 2 * time.Second
)

// spare takes out of the goal what cannot go, because something that is not the deployment's uses it, with all that it depends on. Terraform would
// wait for it until its time is up. The rest goes; the requests that wait for what stays fail with who holds it. What this apply itself takes off
// goes in the next one: Terraform removes first, and changes what has used it afterwards.
func (b *batch) spare(ctx context.Context, g *goal) {
	holder, ok := b.cloud.(driver.Holder)
	if !ok || len(g.manifest.Gone) == 0 {
		return
	}
	going, addresses := b.resources(g.manifest, func(a string) bool { _, goes := g.manifest.Gone[a]; return goes })
	if len(going) == 0 {
		return
	}
	changing, _ := b.resources(g.manifest, func(a string) bool { _, goes := g.manifest.Gone[a]; return !goes && slices.Contains(g.own, a) })
	holds, err := b.holds(ctx, holder, going, changing)
	if err != nil {
		b.warn(g.manifest, "", err.Error())
		return
	}
	g.held, g.later = map[string]string{}, map[string]bool{}
	for _, h := range holds {
		address, what := addresses[h.Held.Kind+" "+h.Held.ID], h.Held.Kind+" "+h.Held.ID
		switch {
		case isOf(changing, h.By):
			g.later[address] = g.later[address] || h.Blocks
		case !h.Blocks:
			b.warn(g.manifest, address, what+" goes: "+h.Text+", and is not of this deployment")
		case g.held[address] == "":
			g.held[address] = what + " cannot go, because of what is not of this deployment: " + h.Text
		default:
			g.held[address] += "; " + h.Text
		}
	}
	for _, a := range slices.Sorted(maps.Keys(g.held)) {
		if needs := b.bundle.state.needs(a); !slices.ContainsFunc(needs, func(o string) bool { return g.held[o] != "" }) {
			b.warn(g.manifest, a, g.held[a])
		}
	}
	maps.DeleteFunc(g.later, func(a string, blocks bool) bool { return !blocks || g.held[a] != "" })
	for _, a := range slices.Concat(slices.Sorted(maps.Keys(g.held)), slices.Sorted(maps.Keys(g.later))) {
		for _, needed := range b.bundle.state.needs(a) {
			if _, goes := g.manifest.Gone[needed]; !goes || g.held[needed] != "" {
				continue
			}
			if g.held[a] != "" {
				g.held[needed] = g.held[a]
			} else {
				g.later[needed] = true
			}
		}
	}
	if len(g.held)+len(g.later) > 0 {
		g.targets = slices.DeleteFunc(slices.Clone(g.own), func(a string) bool { return g.held[a] != "" || g.later[a] })
	}
}

func isOf(list []driver.CloudResource, r driver.CloudResource) bool {
	return slices.ContainsFunc(list, func(o driver.CloudResource) bool { return o.Kind == r.Kind && o.ID == r.ID })
}

// heldError of an address that cannot go.
func heldError(address, text string) error {
	return &driver.Error{Op: "delete " + address, Host: "orchestrator", ExitCode: -1, Detail: text, Err: &CloudError{Class: ClassConflict, Address: address, Text: text},
		Hint: "remove what holds it, or take it off, and undeploy again; everything else goes meanwhile"}
}

// heldOf is why what a request is to remove stays, nil if nothing of it does. Of a network and its subnet it is the network.
func (t *tracker) heldOf(i int) error {
	held := slices.DeleteFunc(slices.Clone(t.addresses[i]), func(a string) bool { return t.held[a] == "" })
	for _, a := range held {
		needs := t.b.bundle.state.needs(a)
		if !slices.ContainsFunc(held, func(o string) bool { return o != a && slices.Contains(needs, o) }) {
			return heldError(a, t.held[a])
		}
	}
	return nil
}

// holds asks until the cloud says twice the same, or nothing but what is changing now.
func (b *batch) holds(ctx context.Context, holder driver.Holder, going, changing []driver.CloudResource) ([]driver.Hold, error) {
	var stay []driver.Hold
	for look := range heldLooks {
		found, err := holder.Holding(ctx, going)
		if err != nil {
			return nil, err
		}
		if look > 0 {
			found = slices.DeleteFunc(found, func(h driver.Hold) bool {
				return !slices.ContainsFunc(stay, func(o driver.Hold) bool { return o.Text == h.Text && o.Held.ID == h.Held.ID })
			})
		}
		stay = found
		if look == heldLooks-1 || !slices.ContainsFunc(stay, func(h driver.Hold) bool { return !isOf(changing, h.By) }) {
			break
		}
		t := time.NewTimer(heldEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		case <-t.C:
		}
	}
	return stay, nil
}

// needs are the addresses that a resource depends on, directly or not.
func (s *tfState) needs(address string) []string {
	in := s.find(address)
	if in == nil {
		return nil
	}
	return in.Dependencies // Terraform writes all of them
}

// warn on behalf of the instance whose resource is at an address that goes.
func (b *batch) warn(m *manifest, address, text string) {
	e := event.Event{Type: event.Log, Level: event.Warn, Deployment: b.deployment, Task: b.reqs[0].Task, Key: address, Message: text}
	for _, r := range b.reqs {
		if m.Gone[address] == plugin.EntryKey(r.ID()) {
			e.Node, e.Instance, e.Step = r.Node.Name, r.Instance, r.Step
		}
	}
	b.emit(e)
}
