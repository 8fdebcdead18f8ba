package terraform

import (
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
)

// choose the addresses that requests wait for, and whether Terraform must be limited to them.
func (b *batch) choose(g *goal, old *manifest) {
	m := g.manifest
	own := map[string]bool{}
	for i, r := range b.reqs {
		if b.reported[i] {
			continue
		}
		key := plugin.EntryKey(r.ID())
		g.addresses[i] = []string{}
		if r.Action == driver.Delete {
			g.addresses[i] = m.goneOf(r.ID())
		} else {
			g.addresses[i] = append(g.addresses[i], m.addresses(m.Entries[key].Awaits...)...)
			if r.Action != driver.Create || r.Attempt > 1 || b.uncertain[key] {
				g.refresh = true // the world may have changed since
			}
		}
		for _, a := range g.addresses[i] {
			own[a] = true
		}
	}
	b.chooseReplaced(g, own)
	for k := range m.Entries {
		if old.Entries[k] == nil {
			for _, a := range m.addresses(k) {
				own[a] = true
			}
		}
	}
	for a := range m.Gone {
		own[a] = true
	}
	// Elsewhere something may be unfinished (a server that failed, in a step of its own): then Terraform is limited to this batch.
	foreign := false
	g.idle = len(m.Gone) == 0 && m.sameBlocks(old) && !g.refresh
	for k := range m.Entries {
		for _, a := range m.addresses(k) {
			if b.bundle.state.good(a) && m.Differs[a] == "" {
				continue
			}
			if !own[a] && !b.serves(m, k) {
				foreign = true
			} else {
				g.idle = false
			}
		}
	}
	g.own = slices.Sorted(maps.Keys(own))
	if foreign || g.refresh {
		g.targets = g.own
	}
}

// chooseReplaced are the addresses to make anew, and those attached to them among the batch's own.
func (b *batch) chooseReplaced(g *goal, own map[string]bool) {
	m := g.manifest
	keys := map[string]bool{}
	for i, r := range b.reqs {
		if key := plugin.EntryKey(r.ID()); r.Action == driver.Replace && !b.reported[i] {
			g.replace = append(g.replace, m.Entries[key].main()...)
			keys[key] = true
		} else if e := m.Entries[key]; e != nil && r.Action != driver.Delete && !b.reported[i] {
			// It has gone, or may turn out to have: an earlier replacement did not get to the end.
			keys[key] = b.uncertain[key] || slices.ContainsFunc(e.main(), func(a string) bool { return !b.bundle.state.good(a) })
		}
	}
	for a := range own {
		if _, key := m.owner(a); m.remade(a, b.bundle.state) {
			g.replace = append(g.replace, a)
			keys[key] = true
		}
	}
	slices.Sort(g.replace)
	g.replace = slices.Compact(g.replace)
	for k, e := range m.Entries { // what is attached is attached anew
		if slices.ContainsFunc(e.Refs, func(ref string) bool { return keys[ref] }) {
			for _, a := range m.addresses(k) {
				own[a] = true
			}
		}
	}
}

// main are the addresses of the resource that the entry is about, the first of its mapping: a server, but not its ports.
func (e *entry) main() (out []string) {
	id := ""
	for _, b := range e.Blocks {
		if b.Data {
			continue
		}
		if id == "" {
			id = b.ID
		}
		if b.ID == id {
			out = append(out, b.address())
		}
	}
	return out
}

// serves reports whether an entry is needed by one of the batch's instances.
func (b *batch) serves(m *manifest, key string) bool {
	needs := map[string]bool{}
	for i, r := range b.reqs {
		if !b.reported[i] && r.Action != driver.Delete {
			m.reach(plugin.EntryKey(r.ID()), needs)
		}
	}
	return needs[key]
}
