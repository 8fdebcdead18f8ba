package orch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

func TestRolesIncludeEachOther(t *testing.T) {
	order := []orch.Role{orch.Known, orch.Viewer, orch.Operator, orch.Admin, orch.ServerAdmin}
	for i, have := range order {
		for j, need := range order {
			if got := have.Allows(need); got != (i >= j) {
				t.Errorf("%s allows %s: %v", have, need, got)
			}
		}
		if have.Allows("") || have.Allows("whatever") || orch.Role("").Allows(have) || !have.Allows(orch.Public) {
			t.Errorf("%s and nothing", have)
		}
	}
}

func TestNamesOfTenants(t *testing.T) {
	for _, tt := range []struct{ tenant, name, full string }{{"default", "web", "web"}, {"", "web", "web"}, {"acme", "web", "acme~web"}} {
		if got := orch.FullName(tt.tenant, tt.name); got != tt.full {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	if tenant, name := orch.SplitName("acme~web"); tenant != "acme" || name != "web" {
		t.Error(tenant, name)
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	mine, acme := orch.InTenant(f.Local, ""), orch.InTenant(f.Local, "acme")
	for _, svc := range []orch.Service{mine, acme} {
		task, err := svc.Apply(ctx, orch.Request{Deployment: "demo", Source: bundle("hello")})
		if err != nil || task.Deployment != "demo" {
			t.Fatalf("%+v, %v", task, err)
		}
		if task, err = svc.Wait(ctx, "demo", task.ID); err != nil || task.Deployment != "demo" {
			t.Fatalf("%+v, %v", task, err)
		}
		all, err := svc.Deployments(ctx)
		if err != nil || len(all) != 1 || all[0].Name != "demo" {
			t.Errorf("%+v, %v", all, err)
		}
		if d, err := svc.Deployment(ctx, "demo"); err != nil || d.Name != "demo" {
			t.Errorf("%+v, %v", d, err)
		}
		f.world.mu.Lock()
		if id := f.world.vars["web[0].create"]["DEPLOYMENT_ID"]; id != "demo" {
			t.Errorf("scripts know their deployment as %q", id)
		}
		f.world.mu.Unlock()
		n := 0
		for e, err := range svc.Events(ctx, orch.Filter{}) {
			if err != nil || e.Deployment != "demo" || e.Task != "" && e.Task != task.ID {
				t.Errorf("%+v, %v", e, err)
			}
			n++
		}
		if n == 0 {
			t.Error("no events")
		}
	}
	for name, err := range map[string]error{
		"read":    second(mine.Deployment(ctx, "acme~demo")),
		"outputs": second(mine.Outputs(ctx, "acme~demo", true)),
		"tasks":   second(mine.Tasks(ctx, "acme~demo")),
		"control": mine.Control(ctx, orch.Control{Deployment: "acme~demo", Verb: "cancel"}),
		"other":   second(orch.InTenant(f.Local, "other").Deployment(ctx, "demo")),
	} {
		if !errors.Is(err, orch.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := orch.InTenant(f.Local, "other").Deployment(ctx, "demo")
	if err == nil || strings.Contains(err.Error(), "other") || !strings.Contains(err.Error(), `"demo"`) {
		t.Errorf("an error with the recorded name: %v", err)
	}
	if _, err := mine.Apply(ctx, orch.Request{Deployment: "acme~demo", Source: bundle("hello")}); err == nil {
		t.Error("a tenant's name was taken by another one")
	}
	feed := orch.FeedInTenant(f.Local, "acme")
	page, err := feed.Page(ctx, orch.Filter{}, 1000, 0)
	if err != nil || len(page.Events) == 0 {
		t.Fatalf("%v, %d events", err, len(page.Events))
	}
	if page, err = orch.FeedInTenant(f.Local, "other").Page(ctx, orch.Filter{}, 2, 0); err != nil || len(page.Events) != 0 || page.Last == 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// full is a pool with one host that deployments of two tenants share.
type full struct{ orch.Hosts }

func (full) Host(_ context.Context, pool, name string) (*hostpool.Host, error) {
	return &hostpool.Host{Location: pool, Name: name, Allocations: []hostpool.Allocation{
		{ID: "shop/db/0", Deployment: "shop", Node: "db", Instance: "0", Shareable: true, Resources: map[string]float64{"host.num_cpus": 2}},
		{ID: "acme~web/app/1", Deployment: "acme~web", Node: "app", Instance: "1"}}}, nil
}

func (full) Remove(context.Context, string, string) error {
	return &orch.Error{Kind: orch.KindConflict, Msg: "box is given to acme~web/app/1"}
}

func (h full) List(ctx context.Context, pool string, _ []string) (orch.HostList, error) {
	one, err := h.Host(ctx, pool, "box")
	return orch.HostList{Checkpoint: 3, Hosts: []*hostpool.Host{one}}, err
}

type withHosts struct{ orch.Service }

func (withHosts) Hosts() orch.Hosts { return full{} }

// A tenant sees that others have a host, and what they take of it, but not who.
func TestHostsInTenants(t *testing.T) {
	hosts := orch.InTenant(withHosts{}, "acme").Hosts()
	h, err := hosts.Host(t.Context(), "lab", "box")
	if err != nil {
		t.Fatal(err)
	}
	want := []hostpool.Allocation{{Shareable: true, Resources: map[string]float64{"host.num_cpus": 2}}, {ID: "web/app/1", Deployment: "web", Node: "app", Instance: "1"}}
	if diff := cmp.Diff(want, h.Allocations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l, err := hosts.List(t.Context(), "lab", nil)
	if err != nil || l.Checkpoint != 3 || !cmp.Equal(l.Hosts[0].Allocations, want) {
		t.Errorf("%+v, %v", l, err)
	}
	if err := hosts.Remove(t.Context(), "lab", "box"); err == nil || strings.Contains(err.Error(), "acme~") || !strings.Contains(err.Error(), "web/app/1") {
		t.Errorf("%v", err)
	}
	if h, _ := orch.InTenant(withHosts{}, "").Hosts().Host(t.Context(), "lab", "box"); h.Allocations[0].Deployment != "shop" || h.Allocations[1].Deployment != "" {
		t.Errorf("%+v", h.Allocations)
	}
}

func second[T any](_ T, err error) error { return err }

// endless is a feed to which other tenants always add something.
type endless struct {
	orch.Feed
	asked int
}

func (e *endless) LastIndex(context.Context) (uint64, error) { return uint64(e.asked) + 1, nil }

func (e *endless) Page(_ context.Context, f orch.Filter, _ int, _ time.Duration) (orch.EventPage, error) {
	if e.asked++; e.asked > 1_000_000 {
		return orch.EventPage{}, errors.New("asked without end")
	}
	return orch.EventPage{Events: []event.Event{{Deployment: "other", Index: f.After + 1}}, Last: f.After + 1}, nil
}

// A poll ends with its wait, however much others say.
func TestPollsInTenantsEnd(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Millisecond} {
		e := &endless{}
		page, err := orch.FeedInTenant(e, "acme").Page(t.Context(), orch.Filter{}, 10, wait)
		if err != nil || len(page.Events) != 0 || page.Last == 0 {
			t.Errorf("%s: %+v, %v, after %d questions", wait, page, err, e.asked)
		}
	}
}
