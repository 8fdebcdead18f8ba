package cloudify

import "sync"

// directory remembers to which deployment an execution or an instance belongs: clients name them without it. What it forgets is looked for.
type directory struct {
	mu        sync.Mutex
	execution map[string]string
	instance  map[string]string
}

const maxKnown = 100_000

func newDirectory() *directory {
	return &directory{execution: map[string]string{}, instance: map[string]string{}}
}

func (d *directory) note(m map[string]string, id, deployment string) {
	if len(m) >= maxKnown {
		clear(m)
	}
	m[id] = deployment
}

func (d *directory) noteExecution(id, deployment string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(d.execution, id, deployment)
}

func (d *directory) deploymentOfExecution(id string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, ok := d.execution[id]
	return name, ok
}

func (d *directory) instances(deployment string, all []instanceDocument) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range all {
		d.note(d.instance, i.ID, deployment)
	}
}

func (d *directory) deploymentOfInstance(id string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, ok := d.instance[id]
	return name, ok
}
