package terraform

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

// tracker turns Terraform's messages into events and finds out when each request is done.
type tracker struct {
	b *batch
	// addresses that each request waits for; nil for requests that are not part of the run.
	addresses [][]string
	// pending changes by address: what is still to happen ("create", "delete" …).
	pending map[string][]string
	changed map[string]bool
	// updated in place: what the state still has of them as it was at the beginning is not yet what came of it.
	updated map[string]bool
	before  *tfState
	planned bool
	// failed diagnostics, in order.
	failed []diagnostic
	seen   map[string]bool
	// owners of addresses, also of those that are being removed.
	owners map[string]topology.Instance
	// check asks to look at the state, because something ended.
	check bool
	// held are addresses that stay, with the reason.
	held map[string]string
	// later are addresses that the next run removes.
	later map[string]bool
}

func (b *batch) track(addresses [][]string) *tracker {
	t := &tracker{b: b, addresses: addresses, pending: map[string][]string{}, changed: map[string]bool{}, updated: map[string]bool{},
		before: b.bundle.state, seen: map[string]bool{}, owners: map[string]topology.Instance{}}
	for k, e := range b.bundle.Manifest.Entries {
		for _, a := range b.bundle.Manifest.addresses(k) {
			t.owners[a] = e.Instance
		}
	}
	for a, k := range b.bundle.Manifest.Gone {
		node, index, _ := strings.Cut(k, "/")
		if i := strings.LastIndexByte(k, '/'); i >= 0 && node != "*" {
			node, index = k[:i], k[i+1:]
		}
		if index == "*" || node == "*" {
			index = ""
		}
		if node == "*" {
			node = ""
		}
		t.owners[a] = topology.Instance{Node: node, Index: index}
	}
	return t
}

// steps of a planned action.
var steps = map[string][]string{"create": {"create"}, "update": {"update"}, "delete": {"delete"}, "replace": {"delete", "create"},
	"remove": {}, "read": {}, "noop": {}, "move": {}, "import": {}}

// verbs of events.
var verbs = map[string][2]string{"create": {"creating", "created"}, "update": {"updating", "updated"}, "delete": {"deleting", "deleted"}}

// handle takes one message.
func (t *tracker) handle(m message) {
	switch m.Type {
	case "planned_change":
		if m.Change != nil {
			t.pending[m.Change.Resource.Addr] = slices.Clone(steps[m.Change.Action])
			if len(steps[m.Change.Action]) > 0 {
				t.changed[m.Change.Resource.Addr] = true
			}
			t.updated[m.Change.Resource.Addr] = m.Change.Action == "update"
		}
	case "change_summary":
		t.planned, t.check = true, true
	case "apply_start", "apply_complete", "apply_errored", "apply_progress":
		if m.Hook != nil {
			t.hook(m)
		}
	case "diagnostic":
		if m.Diagnostic != nil {
			t.diagnose(m.Diagnostic)
		}
	case "log":
		t.b.emit(t.event(event.Log, "", func(e *event.Event) { e.Level, e.Message = event.Debug, m.Text }))
	}
}

func (t *tracker) hook(m message) {
	addr, verb := m.Hook.Resource.Addr, verbs[m.Hook.Action]
	if verb[0] == "" || strings.HasPrefix(addr, "data.") {
		return
	}
	switch m.Type {
	case "apply_start":
		t.b.emit(t.event(event.Resource, addr, func(e *event.Event) { e.Status = verb[0] }))
	case "apply_progress":
		t.b.emit(t.event(event.Waiting, addr, func(e *event.Event) {
			e.Message = fmt.Sprintf("%s: still %s, %.0f s", addr, verb[0], m.Hook.Elapsed)
			if e.Step == "" {
				e.Step = t.waiter() // what all share is waited for as well
			}
		}))
	case "apply_errored":
		t.check = true
		t.b.emit(t.event(event.Resource, addr, func(e *event.Event) { e.Status = "failed" }))
	case "apply_complete":
		if i := slices.Index(t.pending[addr], m.Hook.Action); i >= 0 {
			t.pending[addr] = slices.Delete(t.pending[addr], i, i+1)
		}
		t.check = true
		t.b.emit(t.event(event.Resource, addr, func(e *event.Event) {
			e.Status = verb[1]
			if m.Hook.IDKey == "id" {
				e.Value = m.Hook.IDValue
			}
		}))
	}
}

func (t *tracker) diagnose(d *diagnostic) {
	if d.Severity != "error" || t.seen[d.Address+d.Summary+d.Detail] {
		if d.Severity == "warning" && !strings.Contains(d.Summary, "targeting") && !strings.Contains(d.Summary, "incomplete") {
			t.b.emit(t.event(event.Log, d.Address, func(e *event.Event) {
				e.Level, e.Message = event.Warn, strings.TrimSpace(d.Summary+": "+firstLine(d.Detail))
			}))
		}
		return
	}
	t.seen[d.Address+d.Summary+d.Detail] = true
	t.failed = append(t.failed, *d)
	t.b.emit(t.event(event.Log, d.Address, func(e *event.Event) {
		e.Level, e.Message = event.Error, strings.TrimSpace(d.Summary+" "+firstLine(d.Detail))
	}))
}

func firstLine(s string) string { l, _, _ := strings.Cut(strings.TrimSpace(s), "\n"); return l }

// event about an address, on behalf of the request that it belongs to.
func (t *tracker) event(typ event.Type, addr string, fill func(*event.Event)) event.Event {
	r := t.b.reqs[0]
	owner := t.owners[addr]
	e := event.Event{Time: time.Now(), Type: typ, Deployment: t.b.deployment, Task: r.Task, Node: owner.Node, Instance: owner.Index, Key: addr}
	for _, r := range t.b.reqs {
		if r.ID() == owner {
			e.Step, e.Task = r.Step, r.Task
		}
	}
	fill(&e)
	return e
}

// waiter is the step of the first request that the run has still to answer.
func (t *tracker) waiter() string {
	for i, r := range t.b.reqs {
		if t.mine(i) && !t.b.reported[i] {
			return r.Step
		}
	}
	return ""
}

// hush is how long Terraform may say nothing at all before that is said: it refreshes and plans without a word, and a cloud that does not answer
// keeps it waiting for many minutes.
const hush = 20 * time.Second

// silent says for how long Terraform has said nothing.
func (t *tracker) silent(d time.Duration) {
	cloud := "the cloud"
	if t.b.cloud != nil {
		if url, ok := t.b.cloud.Environ()["OS_AUTH_URL"]; ok {
			cloud += " at " + url.Reveal()
		}
	}
	t.b.emit(t.event(event.Waiting, "", func(e *event.Event) {
		e.Step, e.Message = t.waiter(), fmt.Sprintf("waiting for Terraform, which waits for %s, %.0f s", cloud, d.Seconds())
	}))
}

// ready reports the requests whose resources have all got where they should, as the state shows.
func (t *tracker) ready(ctx context.Context, s *tfState) {
	if !t.planned {
		return
	}
	for i, r := range t.b.reqs {
		if !t.b.reported[i] && t.mine(i) && t.through(i, s) {
			t.succeed(ctx, i, r, s)
		}
	}
}

// through reports whether a request's resources have got where they should in the middle of a run. Terraform says that a resource is done before it
// writes its state.
func (t *tracker) through(i int, s *tfState) bool {
	return t.arrived(i, s) && !slices.ContainsFunc(t.addresses[i], func(a string) bool {
		return len(t.pending[a]) > 0 || t.updated[a] && reflect.DeepEqual(s.find(a), t.before.find(a))
	})
}

// mine reports whether the request is part of the run.
func (t *tracker) mine(i int) bool { return t.addresses[i] != nil }

func (t *tracker) arrived(i int, s *tfState) bool {
	for _, a := range t.addresses[i] {
		if t.b.reqs[i].Action == driver.Delete {
			if s.find(a) != nil {
				return false
			}
		} else if !s.good(a) {
			return false
		}
	}
	return true
}

// settle reports all remaining requests of the run. failure is nil when Terraform ended well.
func (t *tracker) settle(ctx context.Context, failure error) {
	s := t.b.bundle.state
	for i, r := range t.b.reqs {
		switch {
		case t.b.reported[i] || !t.mine(i) || failure == nil && t.waits(i):
		case t.arrived(i, s) && !t.touchedBy(i) && (failure == nil || r.Action != driver.Update && r.Action != driver.Replace && r.Action != driver.Start && r.Action != driver.Stop):
			t.succeed(ctx, i, r, s)
		default:
			t.b.done(i, driver.Result{}, t.explain(ctx, i, failure))
		}
	}
}

// waits reports a request for the next run.
func (t *tracker) waits(i int) bool {
	return t.heldOf(i) == nil && slices.ContainsFunc(t.addresses[i], func(a string) bool { return t.later[a] })
}

// touchedBy reports whether a failure names one of the request's resources.
func (t *tracker) touchedBy(i int) bool {
	return slices.ContainsFunc(t.failed, func(d diagnostic) bool { return d.Address != "" && slices.Contains(t.addresses[i], d.Address) })
}

func (t *tracker) succeed(ctx context.Context, i int, r *driver.Request, s *tfState) {
	changed := slices.ContainsFunc(t.addresses[i], func(a string) bool { return t.changed[a] })
	var res driver.Result
	if r.Action != driver.Delete {
		var err error
		if res, err = t.b.result(ctx, t.b.renderer, r.ID(), s); err != nil {
			t.b.done(i, driver.Result{}, err)
			return
		}
	}
	res.Changed, res.Replaced = changed, r.Action == driver.Replace
	var others []topology.Instance
	// What is deleted but stays until something else is (the floating IP of a server that scripts still run on) changes nothing yet.
	if r.Action != driver.Delete || t.b.bundle.Manifest.Entries[plugin.EntryKey(r.ID())] == nil {
		known, err := t.b.renderer, error(nil)
		if known.Topology.NodeNamed(r.Node.Name) == nil {
			known = t.b.rendererFor(r)
		}
		if others, err = known.Refreshes(ctx, r.ID()); err != nil {
			t.b.done(i, driver.Result{}, err)
			return
		}
	}
	renderer := t.b.renderer
	if r.Action == driver.Delete {
		renderer = renderer.Fresh() // what it has evaluated is of a world with the instance
		renderer.Gone = t.b.removed()
	}
	if e := t.b.bundle.Manifest.Entries[plugin.EntryKey(r.ID())]; e != nil && r.Action != driver.Delete {
		others = append(others, e.Tells...)
	}
	for _, o := range others {
		if _, told := res.Also[o]; told {
			continue
		}
		e := t.b.bundle.Manifest.Entries[plugin.EntryKey(o)]
		if e == nil || r.Action == driver.Delete && !e.Wanted || o == r.ID() || renderer.Topology.NodeNamed(o.Node) == nil || slices.ContainsFunc(t.b.bundle.Manifest.addresses(plugin.EntryKey(o)), func(a string) bool { return !s.good(a) }) {
			continue
		}
		also, err := t.b.result(ctx, renderer, o, s)
		if err != nil {
			t.b.done(i, driver.Result{}, err)
			return
		}
		if res.Also == nil {
			res.Also = map[topology.Instance]driver.Result{}
		}
		res.Also[o] = also
	}
	t.b.done(i, res, nil)
}

// removed are the instances that the batch deletes.
func (b *batch) removed() map[topology.Instance]bool {
	gone := map[topology.Instance]bool{}
	for _, r := range b.reqs {
		if r.Action == driver.Delete {
			gone[r.ID()] = true
		}
	}
	return gone
}

// result publishes an instance's attributes and host from the state.
func (b *batch) result(ctx context.Context, r *plugin.Renderer, id topology.Instance, s *tfState) (driver.Result, error) {
	r.State = s.attributes
	p, err := r.Publish(ctx, id)
	if err != nil {
		return driver.Result{}, err
	}
	res := driver.Result{Attributes: p.Attributes, Unset: p.Unset}
	if h := p.Host; h != nil {
		res.Host = &driver.Host{Instance: id, Addresses: h.Addresses, Port: h.Port, User: h.User, KeyRef: h.Key, PasswordRef: h.Password,
			HostKeys: h.HostKeys, HostKeySource: h.HostKeySource, ServerID: h.ServerID, CloudInit: h.CloudInit, Sudo: h.Sudo}
	}
	return res, nil
}
