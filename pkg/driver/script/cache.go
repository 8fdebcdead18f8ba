package script

import (
	"slices"
	"sync"

	"github.com/orch-project/orch/pkg/topology"
)

// digests remembers, for the topologies in use, the units of their files and the outputs that they ask for: operations of a thousand
// instances need not hash the same files. Topologies are immutable, so their identity is enough.
var digests struct {
	sync.Mutex
	recent []*known
}

const topologiesKept = 16

type known struct {
	top   *topology.Topology
	asked func() map[askedKey][]string

	mu    sync.Mutex
	units map[string]func() ([]unit, error)
}

func knownOf(t *topology.Topology) *known {
	digests.Lock()
	defer digests.Unlock()
	if i := slices.IndexFunc(digests.recent, func(k *known) bool { return k.top == t }); i >= 0 {
		k := digests.recent[i]
		digests.recent = append(slices.Delete(digests.recent, i, i+1), k)
		return k
	}
	k := &known{top: t, units: map[string]func() ([]unit, error){}}
	k.asked = sync.OnceValue(func() map[askedKey][]string { return askedIn(t) })
	digests.recent = append(digests.recent, k)
	if len(digests.recent) > topologiesKept {
		digests.recent = slices.Delete(digests.recent, 0, 1)
	}
	return k
}

// collect is collect, once per path.
func (k *known) collect(path string) ([]unit, error) {
	k.mu.Lock()
	f, ok := k.units[path]
	if !ok {
		f = sync.OnceValues(func() ([]unit, error) { return collect(k.top.Files, path) })
		k.units[path] = f
	}
	k.mu.Unlock()
	units, err := f()
	if err != nil {
		// A file that cannot be read now may be readable at the next attempt.
		k.mu.Lock()
		delete(k.units, path)
		k.mu.Unlock()
	}
	return slices.Clone(units), err
}

// resources of the topology, small ones as one tree.
func (k *known) resources() ([]unit, error) {
	k.mu.Lock()
	f, ok := k.units[allResources]
	if !ok {
		f = sync.OnceValues(func() ([]unit, error) { return treeOf(k.top.Files, ".", k.top.Resources()) })
		k.units[allResources] = f
	}
	k.mu.Unlock()
	units, err := f()
	return slices.Clone(units), err
}

const allResources = "\x00resources" // no path
