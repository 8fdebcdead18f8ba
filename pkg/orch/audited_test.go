package orch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// notebook is Accounts of which only the audit log works.
type notebook struct {
	orch.Accounts
	entries []orch.AuditEntry
	err     error
}

func (n *notebook) Record(_ context.Context, e orch.AuditEntry) error {
	if n.err != nil {
		return n.err
	}
	if i := slices.IndexFunc(n.entries, func(have orch.AuditEntry) bool { return have.ID == e.ID }); i >= 0 {
		if n.entries[i].Result != orch.AuditBegun {
			return errors.New("it has an outcome already")
		}
		n.entries[i] = e
		return nil
	}
	n.entries = append(n.entries, e)
	return nil
}

func TestChangesInThisProcessAreAudited(t *testing.T) {
	f := newFixture(t)
	log := &notebook{}
	f.opts.Accounts = log
	f.restart(t)
	ctx := t.Context()
	var trouble error
	svc := orch.Audited(orch.InTenant(f.Local, "acme"), orch.Identity{User: "me", Tenant: "acme", Via: "local"}, func(err error) { trouble = err })
	task, err := svc.Apply(ctx, orch.Request{Deployment: "demo", Source: bundle("hello")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Wait(ctx, "demo", task.ID); err != nil {
		t.Fatal(err)
	}
	_ = svc.Control(ctx, orch.Control{Deployment: "nowhere", Verb: "cancel"})
	_, _ = svc.Blueprints().Upload(ctx, orch.NewBlueprint{Name: "a"})
	_ = svc.Plans().Remove(ctx, "p1")
	_, _ = svc.Deployments(ctx)
	got := ""
	for _, e := range log.entries {
		got += fmt.Sprintf("%s %s: %s %s: %s\n", e.User, e.Tenant, e.Action, e.Target, e.Result)
	}
	want := "me acme: deploy demo: done\nme acme: cancel nowhere : failed\nme acme: blueprints push a : failed\nme acme: plans rm p1: failed\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	log.err = errors.New("disk full")
	if _, err := svc.Apply(ctx, orch.Request{Deployment: "demo", Verb: orch.Undeploy}); kindOf(err) != orch.KindStore {
		t.Errorf("a change that cannot be recorded: %v", err)
	}
	if d, err := svc.Deployment(ctx, "demo"); err != nil || d.Status != "deployed" || trouble != nil {
		t.Errorf("it was done all the same: %+v, %v, %v", d, err, trouble)
	}
}
