package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// SetAttributes implements Creator.
func (l *Local) SetAttributes(ctx context.Context, deployment string, in topology.Instance, attributes map[string]any) error {
	if _, err := loadDeployment(ctx, l.store, deployment); err != nil {
		return err
	}
	h, err := l.hold(ctx, deployment)
	if err != nil {
		return asHeld(deployment, err)
	}
	defer l.letGo(h)
	h.admit.Lock()
	defer h.admit.Unlock()
	if len(l.works(h)) > 0 {
		return &Error{Kind: KindConflict, Msg: "deployment " + deployment + " is busy: its tasks set attributes now", Hint: "orch tasks shows with what"}
	}
	var told []event.Event
	names := make([]string, 0, len(attributes))
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text, hidden := topology.Text(mask(attributes[name], l.opts.Redactor))
		if hidden {
			continue
		}
		told = append(told, event.Event{Time: now(), Type: event.Attribute, Node: in.Node, Instance: in.Index, Key: name, Value: text})
	}
	err = state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		if err := engine.SetAttributesTx(tx, deployment, in, attributes, l.opts.Cipher); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, deployment, told...)
		return err
	})
	if errors.Is(err, engine.ErrNoInstance) {
		return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no instance %s", deployment, in), Err: ErrNotFound}
	}
	return storeError(err)
}
