package terraform

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

// bundle is what is kept of a deployment between applies: the manifest and Terraform's state. The caller's StateStore encrypts it.
type bundle struct {
	Format   int             `json:"format"`
	Manifest *manifest       `json:"manifest"`
	State    json.RawMessage `json:"state,omitempty"`

	state *tfState
}

// manifest holds the rendered blocks of every instance, so that a batch changes only its own.
//
// An entry stays while it is wanted (its node was created and not deleted) or while a wanted entry refers to it: a server's port is removed
// with the server, in whatever order the steps that delete them come. What is only made together with an entry
// (a server's floating IP) stays likewise, for scripts that still reach the server by it, unless an update takes it from a server that remains.
type manifest struct {
	Entries map[string]*entry `json:"entries"`
	Pins    plugin.Pins       `json:"pins,omitempty"`
	// Location that the deployment is in; it cannot change while resources exist.
	Location string `json:"location,omitempty"`
	// Gone are addresses that are no longer asked for but still exist, with the entry they belonged to.
	Gone map[string]string `json:"gone,omitempty"`
	// Differs are addresses of adopted resources that are not as the blocks ask for, with what the next apply has to do ("update", "replace").
	Differs map[string]string `json:"differs,omitempty"`
	// Uncertain are the keys of entries that applies which were cut off may have made without any state knowing, until somebody has looked.
	Uncertain []string `json:"uncertain,omitempty"`
	// Unblocked is the task of the undeployment that has removed what is not on record.
	Unblocked string `json:"unblocked,omitempty"`
	// Apply is set while one is under way.
	Apply *applyRecord `json:"apply,omitempty"`
}

type entry struct {
	Instance topology.Instance `json:"instance"`
	Plugin   string            `json:"plugin"`
	Wanted   bool              `json:"wanted,omitempty"`
	Stopped  bool              `json:"stopped,omitempty"`
	Blocks   []*block          `json:"blocks,omitempty"`
	Refs     []string          `json:"refs,omitempty"`
	// Awaits are the keys of entries that are complete before the instance is.
	Awaits []string `json:"awaits,omitempty"`
	// Tells are the instances that publish again when this one is done: those that it concerns, and those that it has concerned (the server from
	// which an address was moved to another).
	Tells []topology.Instance `json:"tells,omitempty"`
}

type block struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Name string `json:"name"`
	Data bool   `json:"data,omitempty"`
	// Keep: forgotten, not destroyed, when the block goes.
	Keep bool `json:"keep,omitempty"`
	// ReplaceOn are arguments of which a change makes the resource anew, whatever the provider would do.
	ReplaceOn []string `json:"replace_on,omitempty"`
	// OnlyGrows are numbers that must not become less.
	OnlyGrows []string       `json:"only_grows,omitempty"`
	Body      map[string]any `json:"body"`
	// Variables are the secret values that the body refers to.
	Variables map[string]string `json:"variables,omitempty"`
	// Quota is what the resource counts against the cloud's limits; nil where that was not noted.
	Quota map[string]float64 `json:"quota,omitempty"`
}

func (b *block) address() string {
	if b.Data {
		return "data." + b.Type + "." + b.Name
	}
	return b.Type + "." + b.Name
}

// applyRecord says who applies what.
type applyRecord struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"`
	// Ops are the requests by instance ("web[0]"), with their operation ids.
	Ops map[string]string `json:"ops"`
	// Held are addresses that were to go and cannot, with the reason.
	Held map[string]string `json:"held,omitempty"`
	// Later are addresses that go in the next run, after this one has taken off what holds them.
	Later map[string]bool `json:"later,omitempty"`
	// Relayed: the store is told of the run.
	Relayed bool `json:"relayed,omitempty"`
	// Dead: it was silent for so long that somebody else goes on. If it lives all the same, it has to stop.
	Dead bool `json:"dead,omitempty"`
}

func newBundle() *bundle {
	return &bundle{Format: 1, Manifest: &manifest{Entries: map[string]*entry{}, Pins: plugin.Pins{}}, state: &tfState{}}
}

func decodeBundle(data []byte) (*bundle, error) {
	if len(data) == 0 {
		return newBundle(), nil
	}
	b := newBundle()
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("cannot read the deployment's Terraform state record: %w", err)
	}
	if b.Format != 1 {
		return nil, fmt.Errorf("the deployment's Terraform state record has format %d; this orch knows format 1", b.Format)
	}
	if b.Manifest.Entries == nil {
		b.Manifest.Entries = map[string]*entry{}
	}
	if b.Manifest.Pins == nil {
		b.Manifest.Pins = plugin.Pins{}
	}
	var err error
	b.state, err = parseState(b.State)
	return b, err
}

func (b *bundle) encode() ([]byte, error) {
	data, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("cannot write the deployment's Terraform state record: %w", err)
	}
	return data, nil
}

// clone is a deep copy.
func (b *bundle) clone() (*bundle, error) {
	data, err := b.encode()
	if err != nil {
		return nil, err
	}
	return decodeBundle(data)
}

// empty reports that nothing is left to keep.
func (b *bundle) empty() bool {
	return len(b.Manifest.Entries) == 0 && len(b.state.managed()) == 0 && b.Manifest.Apply == nil
}

// merge takes rendered entries over: those of the requested instances and the shared ones as rendered, others only if they are new.
func (m *manifest) merge(rendered []*plugin.Entry, requested map[string]bool) {
	for _, r := range rendered {
		old := m.Entries[r.Key]
		if old != nil && !requested[r.Key] && r.Instance.Index != "" {
			continue
		}
		e := &entry{Instance: r.Instance, Plugin: r.Plugin, Refs: r.Refs}
		if old != nil {
			e.Wanted, e.Stopped, e.Awaits, e.Tells = old.Wanted, old.Stopped, old.Awaits, old.Tells
		}
		for _, b := range r.Blocks {
			nb := &block{ID: b.ID, Type: b.Type, Name: b.Label, Data: b.Data, Keep: b.Keep, ReplaceOn: b.ReplaceOn, OnlyGrows: b.OnlyGrows, Body: normalBody(b.Body), Quota: b.Quota}
			for k, v := range b.Variables {
				if nb.Variables == nil {
					nb.Variables = map[string]string{}
				}
				nb.Variables[k] = v.Reveal()
			}
			e.Blocks = append(e.Blocks, nb)
		}
		m.Entries[r.Key] = e
	}
}

// normalBody brings values to what JSON decodes them to, so that a stored body equals a rendered one.
func normalBody(b map[string]any) map[string]any {
	data, err := json.Marshal(b)
	if err != nil {
		return b
	}
	out := map[string]any{}
	if json.Unmarshal(data, &out) != nil {
		return b
	}
	return out
}

// unwant takes note that an instance is deleted. Where the topology goes on without it, entries of nodes that remain let go of it.
func (m *manifest) unwant(id topology.Instance, wanted *topology.Topology) {
	key := plugin.EntryKey(id)
	if e := m.Entries[key]; e != nil {
		e.Wanted = false
	}
	if wanted == nil {
		return
	}
	for _, e := range m.Entries {
		if wanted.NodeNamed(e.Instance.Node) != nil && !e.mentions(m.addresses(key)) {
			e.Refs = slices.DeleteFunc(e.Refs, func(k string) bool { return k == key })
		}
	}
}

// mentions reports whether a block of the entry refers to one of the addresses.
func (e *entry) mentions(addresses []string) bool {
	for _, b := range e.Blocks {
		body, err := json.Marshal(b.Body)
		if err != nil {
			return true
		}
		for _, a := range addresses {
			for _, after := range strings.Split(string(body), a)[1:] {
				if after == "" || !strings.ContainsRune("_-", rune(after[0])) && !unicode.IsLetter(rune(after[0])) && !unicode.IsDigit(rune(after[0])) {
					return true
				}
			}
		}
	}
	return false
}

// sweep drops the entries that nothing wanted needs.
func (m *manifest) sweep() {
	keep := map[string]bool{}
	var mark func(key string)
	mark = func(key string) {
		if keep[key] || m.Entries[key] == nil {
			return
		}
		keep[key] = true
		for _, r := range m.Entries[key].Refs {
			mark(r)
		}
	}
	for k, e := range m.Entries {
		if e.Wanted {
			mark(k)
		}
	}
	maps.DeleteFunc(m.Entries, func(k string, _ *entry) bool { return !keep[k] })
	nodes := map[string]bool{}
	for _, e := range m.Entries {
		nodes[plugin.EntryKey(e.Instance)] = true
	}
	maps.DeleteFunc(m.Pins, func(k string, _ map[string]any) bool { return !nodes[k[:strings.LastIndexByte(k, '/')]] })
}

// addresses of the blocks of entries that Terraform manages.
func (m *manifest) addresses(keys ...string) []string {
	var out []string
	for _, k := range keys {
		e := m.Entries[k]
		if e == nil {
			continue
		}
		for _, b := range e.Blocks {
			if !b.Data && !slices.Contains(out, b.address()) {
				out = append(out, b.address())
			}
		}
	}
	return out
}

// owner of an address, or nil.
func (m *manifest) owner(address string) (*entry, string) {
	for k, e := range m.Entries {
		for _, b := range e.Blocks {
			if b.address() == address {
				return e, k
			}
		}
	}
	return nil, ""
}

// user is the first wanted instance that refers to what a node's instances or all nodes share (a security group of the deployment): doing
// it again brings that back, too. Without any it is the owner itself.
func (m *manifest) user(address string, owner topology.Instance) topology.Instance {
	_, shared := m.owner(address)
	for _, k := range slices.Sorted(maps.Keys(m.Entries)) {
		e := m.Entries[k]
		if e.Wanted && e.Instance.Index != "" {
			reached := map[string]bool{}
			if m.reach(k, reached); reached[shared] {
				return e.Instance
			}
		}
	}
	return owner
}

// bury records what left the manifest but is still in the state, and forgets what has left the state.
func (m *manifest) bury(old *manifest, s *tfState) {
	gone := map[string]string{}
	for a, k := range m.Gone {
		gone[a] = k
	}
	for k, e := range old.Entries {
		for _, b := range e.Blocks {
			if !b.Data {
				gone[b.address()] = k
			}
		}
	}
	exists := map[string]bool{}
	for _, a := range s.managed() {
		exists[a] = true
	}
	for k := range m.Entries {
		for _, a := range m.addresses(k) {
			delete(gone, a)
		}
	}
	maps.DeleteFunc(gone, func(a, _ string) bool { return !exists[a] })
	m.Gone = gone
}

// remade reports whether the resource at an address is to be made anew because of ReplaceOn: what the state says is not what the block asks
// for. References to other resources are left to the provider.
func (m *manifest) remade(address string, s *tfState) bool {
	b := m.block(address)
	is, exists := s.attributes(address)
	return b != nil && exists && slices.ContainsFunc(b.ReplaceOn, func(arg string) bool {
		want := normal(b.Body[arg])
		text, _ := want.(string)
		return want != nil && !strings.Contains(text, "${") && !reflect.DeepEqual(is[arg], want)
	})
}

// shrunk is the mistake of an entry that asks for less of what exists and can only grow, or nil.
func (e *entry) shrunk(s *tfState) error {
	for _, b := range e.Blocks {
		is, _ := s.attributes(b.address())
		for _, arg := range b.OnlyGrows {
			want, wanted := normal(b.Body[arg]).(int64)
			if has, exists := is[arg].(int64); wanted && exists && want < has {
				return fmt.Errorf("its %s is %d and cannot become %d: it can only grow", arg, has, want)
			}
		}
	}
	return nil
}

// block at an address, or nil.
func (m *manifest) block(address string) *block {
	if e, _ := m.owner(address); e != nil {
		for _, b := range e.Blocks {
			if b.address() == address {
				return b
			}
		}
	}
	return nil
}

// settled forgets of addresses that an apply had, and of what is gone, that they differ.
func (m *manifest) settled(applied [][]string) {
	maps.DeleteFunc(m.Differs, func(a, _ string) bool {
		e, _ := m.owner(a)
		return e == nil || slices.ContainsFunc(applied, func(of []string) bool { return slices.Contains(of, a) })
	})
}

// goneOf are the addresses whose removal belongs to the removal of an instance: its own, and what only it still shared.
func (m *manifest) goneOf(id topology.Instance) []string {
	out := []string{}
	for a, k := range m.Gone {
		if k == plugin.EntryKey(id) || k == id.Node+"/*" || strings.HasPrefix(k, "*/") {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return out
}

// reach are the keys of everything that an entry refers to, itself included.
func (m *manifest) reach(key string, into map[string]bool) {
	if into[key] || m.Entries[key] == nil {
		return
	}
	into[key] = true
	for _, r := range m.Entries[key].Refs {
		m.reach(r, into)
	}
}

// sameBlocks reports whether two manifests ask Terraform for the same.
func (m *manifest) sameBlocks(o *manifest) bool {
	flat := func(x *manifest) map[string]*block {
		out := map[string]*block{}
		for _, e := range x.Entries {
			for _, b := range e.Blocks {
				out[b.address()] = b
			}
		}
		return out
	}
	a, b := flat(m), flat(o)
	if len(a) != len(b) {
		return false
	}
	for k, x := range a {
		y := b[k]
		if y == nil || !reflect.DeepEqual(x.Body, y.Body) || !maps.Equal(x.Variables, y.Variables) {
			return false
		}
	}
	return true
}
