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

// What is made in this process says by whom, and whose secret value is given away is in the audit log, as on a server.
func TestWhoMadeAndReadItInThisProcess(t *testing.T) {
	f := newFixture(t)
	log := &notebook{}
	f.opts.Accounts, f.opts.Secrets = log, secretsOf(t, f.opts.Store)
	f.restart(t)
	ctx := t.Context()
	svc := orch.Audited(orch.InTenant(f.Local, ""), orch.Identity{User: "me", Role: orch.ServerAdmin, Via: "local"}, func(err error) { t.Error(err) })
	made, err := svc.Secrets().Set(ctx, "db", []byte("hush"), orch.SecretOptions{})
	if err != nil || made.Owner != "me" {
		t.Errorf("the secret: %+v, %v", made, err)
	}
	if v, err := svc.Secrets().Get(ctx, "db", 0); err != nil || string(v) != "hush" {
		t.Errorf("its value: %q, %v", v, err)
	}
	reads, err := svc.Secrets().Reads(ctx, orch.SecretReads{})
	if err != nil || len(reads) != 1 || reads[0].User != "me" {
		t.Errorf("who read it: %+v, %v", reads, err)
	}
	saved, err := svc.Plans().Save(ctx, orch.Request{Deployment: "demo", Source: bundle("hello")})
	if err != nil || saved.User != "me" {
		t.Errorf("the plan: %+v, %v", saved, err)
	}
	_, _ = svc.Outputs(ctx, "demo", false)
	_, _ = svc.Outputs(ctx, "demo", true)
	var got []string
	for _, e := range log.entries {
		got = append(got, e.Action+" "+e.Target+" "+e.Result)
	}
	want := []string{"secrets set db done", "secrets get db done", "plan demo done", "outputs reveal demo failed"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
