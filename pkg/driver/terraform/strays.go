package terraform

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
)

// clearStrays removes what an earlier attempt made without Terraform's state knowing: the reply was lost, or Terraform was killed before
// it could write. Such a resource carries our identity, is in no state, and nobody uses it yet; left alone it would hold a name or quota,
// or be made twice. Only resources of the batch's instances, or shared ones, are touched, and only when something went wrong before.
func (b *batch) clearStrays(ctx context.Context) error {
	uncertain := b.uncertain
	of := map[string]bool{}
	for i, r := range b.reqs {
		if b.reported[i] {
			continue
		}
		uncertain = uncertain || r.Attempt > 1
		of[plugin.EntryKey(r.ID())] = true
	}
	if !uncertain || b.cloud == nil || len(of) == 0 {
		return nil
	}
	found, err := b.cloud.Inventory(ctx, b.deployment)
	if err != nil {
		return fmt.Errorf("cannot look for what an earlier attempt left: %w", cloudUnreachable(err))
	}
	known := b.bundle.state.ids()
	var strays []driver.CloudResource
	for _, r := range found {
		if known[r.ID] || r.Kept {
			continue
		}
		if r.Node == "" || r.Instance == "" || of[r.Node+"/"+r.Instance] {
			strays = append(strays, r)
		}
	}
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
