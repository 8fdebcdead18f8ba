package terraform

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
)

// doubt notes that an apply ended in a way that may have left resources that no state knows. It stays on record until somebody has looked: who
// finds it out need not be the one that goes on.
func (b *batch) doubt() {
	m := b.bundle.Manifest
	for k := range m.Entries {
		if !slices.Contains(m.Uncertain, k) {
			m.Uncertain = append(m.Uncertain, k)
		}
	}
	slices.Sort(m.Uncertain)
}

// clearStrays removes what an earlier attempt made without Terraform's state knowing: the reply was lost, or Terraform was killed before
// it could write. Such a resource carries our identity, is in no state, and nobody uses it yet; left alone it would hold a name or quota,
// or be made twice. Only resources of the batch's instances, of those that an apply which was cut off may have made and that they need or
// nobody asks for any more, or shared ones, are touched, and only when something went wrong before: of others the record may have been lost, and they can be
// adopted. What the state has and the cloud not (Terraform was killed when it had removed it) is found by a refresh.
func (b *batch) clearStrays(ctx context.Context) error {
	m := b.bundle.Manifest
	of := map[string]bool{}
	for i, r := range b.reqs {
		if !b.reported[i] {
			of[plugin.EntryKey(r.ID())] = r.Attempt > 1
		}
	}
	needed := map[string]bool{} // and made by this batch's apply, too: a volume's server
	for k := range of {
		m.reach(k, needed)
	}
	var later []string
	for _, k := range m.Uncertain {
		if _, batch := of[k]; batch || needed[k] || m.Entries[k] == nil || m.Entries[k].Instance.Index == "" {
			of[k] = true
		} else {
			later = append(later, k)
		}
	}
	if !slices.Contains(slices.Collect(maps.Values(of)), true) {
		return nil
	}
	b.suspects = func(r *driver.CloudResource) bool {
		_, ours := of[r.Node+"/"+r.Instance]
		return ours || r.Node == "" || r.Instance == ""
	}
	if err := b.clear(ctx, b.suspects); err != nil {
		return err
	}
	b.uncertain = map[string]bool{}
	for _, k := range m.Uncertain {
		b.uncertain[k] = !slices.Contains(later, k)
	}
	return nil
}

// certain forgets the doubts about what Terraform has looked at and put right.
func (b *batch) certain() {
	m := b.bundle.Manifest
	m.Uncertain = slices.DeleteFunc(m.Uncertain, func(k string) bool { return b.uncertain[k] })
}

// blocking are the kinds of resources that keep others from going, and that nothing else keeps.
var blocking = []string{"floating IP", "server", "port", "router"}

// blocking are the parts that keep a subnet or a volume of the deployment from going, and that tie it to nothing but the deployment's own.
func (s *survey) blocking() []driver.CloudResource {
	own := map[string]bool{}
	for _, f := range s.found {
		own[f.Kind+" "+f.ID] = !f.Part
	}
	return slices.DeleteFunc(s.parts, func(p driver.CloudResource) bool {
		switch p.Kind {
		case "router interface":
			return !own["subnet "+p.Attributes["subnet_id"]]
		case "volume attachment":
			return !own["server "+p.Attributes["instance_id"]] || !own["volume "+p.Attributes["volume_id"]]
		}
		return true
	})
}

// unblock removes at the beginning of an undeployment what nobody has on record and what keeps Terraform waiting for other resources to go: a
// port is on a subnet. Who undeploys adopts nothing any more. The rest is found when all that is on record has gone, so a failure is only told.
func (b *batch) unblock(ctx context.Context) {
	m, task := b.bundle.Manifest, b.reqs[0].Task
	if m.Unblocked == task || slices.ContainsFunc(b.reqs, func(r *driver.Request) bool { return !r.Undeploy || r.Action != driver.Delete }) {
		return
	}
	m.Unblocked = task
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := b.clear(limited, func(r *driver.CloudResource) bool { return slices.Contains(blocking, r.Kind) })
	if err == nil {
		err = b.clearParts(limited, m, (*survey).blocking)
	}
	if err != nil && ctx.Err() == nil {
		b.emit(event.Event{Type: event.Log, Level: event.Warn, Deployment: b.deployment, Task: task, Message: err.Error()})
	}
}

// clear removes the marked resources that are not in the state and that which tells of. What is to stay, stays.
func (b *batch) clear(ctx context.Context, which func(*driver.CloudResource) bool) error {
	if b.cloud == nil {
		return nil
	}
	found, err := b.cloud.Inventory(ctx, b.deployment)
	if err != nil {
		return fmt.Errorf("cannot look for what an earlier attempt left: %w", cloudUnreachable(err))
	}
	known := b.bundle.state.ids()
	return b.removeStrays(ctx, slices.DeleteFunc(found, func(r driver.CloudResource) bool { return known[r.ID] || r.Kept || !which(&r) }))
}

// exclusive are the kinds of parts of which the cloud refuses a second one: made by an attempt that could not note it, it would stop all that follow.
var exclusive = []string{"router interface", "volume attachment", "security group rule"}

// clearUnnoted removes parts that an earlier attempt has made and that are about to be made again: those of what is on record are in no inventory.
func (b *batch) clearUnnoted(ctx context.Context, wanted *manifest) error {
	if b.suspects == nil {
		return nil
	}
	return b.clearParts(ctx, wanted, func(s *survey) (strays []driver.CloudResource) {
		s.match()
		for _, row := range s.rows {
			if row.Part && row.Where == driver.InCloud && slices.Contains(exclusive, row.Kind) && b.suspects(&row.CloudResource) {
				strays = append(strays, row.CloudResource)
			}
		}
		return strays
	})
}

// clearParts removes those parts that which chooses, of all that are not in the state.
func (b *batch) clearParts(ctx context.Context, m *manifest, which func(*survey) []driver.CloudResource) error {
	surveyor, ok := b.cloud.(driver.Surveyor)
	if !ok {
		return nil
	}
	s := &survey{b: b, m: m, matched: map[string]*driver.Surveyed{}, rivals: map[*driver.Surveyed][]string{}}
	if err := s.look(ctx, surveyor); err != nil {
		return fmt.Errorf("cannot look for what an earlier attempt left: %w", err)
	}
	return b.removeStrays(ctx, which(s))
}

func (b *batch) removeStrays(ctx context.Context, strays []driver.CloudResource) error {
	if len(strays) == 0 {
		return nil
	}
	for _, r := range strays {
		ev := event.Event{Type: event.Resource, Deployment: b.deployment, Task: b.reqs[0].Task, Node: r.Node, Instance: r.Instance,
			Key: r.Service + " " + r.Kind + " " + r.ID, Status: "deleting", Message: "left by an earlier attempt, unknown to Terraform"}
		b.emit(ev)
	}
	if err := b.cloud.Delete(ctx, strays); err != nil {
		return fmt.Errorf("cannot remove what an earlier attempt left: %w", err)
	}
	return nil
}

// ids of everything in the state.
func (s *tfState) ids() map[string]bool {
	out := map[string]bool{}
	for i := range s.Resources {
		if s.Resources[i].Mode != "managed" {
			continue
		}
		for j := range s.Resources[i].Instances {
			out[idOf(&s.Resources[i].Instances[j])] = true
		}
	}
	return out
}
