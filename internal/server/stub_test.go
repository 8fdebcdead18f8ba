package server

import (
	"context"
	"strings"

	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state/mem"
)

// The parts of the stub that answer always the same.
type (
	stubPlans      struct{ s *stub }
	stubBlueprints struct{ s *stub }
)

func (s *stub) Plans() orch.Plans           { return stubPlans{s} }
func (s *stub) Blueprints() orch.Blueprints { return stubBlueprints{s} }
func (s *stub) Accounts() orch.Accounts {
	if s.accounts == nil {
		s.accounts = access.New(mem.New(mem.Options{}))
	}
	return s.accounts
}

func savedPlan(id string) orch.SavedPlan {
	return orch.SavedPlan{ID: id, Digest: "d1", Deployment: "web", Verb: orch.Deploy, Plan: &plan.Plan{Deployment: "web", Digest: "d1", Steps: []*plan.Step{}}}
}

func (p stubPlans) Save(_ context.Context, req orch.Request) (orch.SavedPlan, error) {
	return savedPlan("p1"), p.s.take(req)
}
func (p stubPlans) List(context.Context, string) ([]orch.SavedPlan, error) {
	return []orch.SavedPlan{savedPlan("p1")}, p.s.err
}
func (p stubPlans) Get(_ context.Context, id string) (orch.SavedPlan, error) {
	return savedPlan(id), p.s.err
}
func (p stubPlans) Apply(context.Context, string) (orch.Task, error) {
	return orch.Task{ID: "t1", Deployment: "web", Verb: orch.Deploy, Status: "running"}, p.s.err
}
func (p stubPlans) Remove(context.Context, string) error { return p.s.err }

func stubBlueprint(name, version string) orch.Blueprint {
	return orch.Blueprint{Name: name, Version: version, Filename: "a.zip", Entry: "a.yaml", SHA256: "5ha", Inputs: []orch.BlueprintInput{}, Outputs: []string{}, Nodes: []string{}, Workflows: []string{}}
}

func (b stubBlueprints) Upload(_ context.Context, n orch.NewBlueprint) (orch.Blueprint, error) {
	b.s.uploaded = n
	return stubBlueprint(n.Name, n.Version), b.s.err
}
func (b stubBlueprints) Validate(_ context.Context, n orch.NewBlueprint) (orch.Blueprint, error) {
	b.s.uploaded = n
	return stubBlueprint(n.Name, n.Version), b.s.err
}
func (b stubBlueprints) List(context.Context) ([]orch.Blueprint, error) {
	return []orch.Blueprint{stubBlueprint("a", "1")}, b.s.err
}
func (b stubBlueprints) Versions(_ context.Context, name string) ([]orch.Blueprint, error) {
	return []orch.Blueprint{stubBlueprint(name, "1")}, b.s.err
}
func (b stubBlueprints) Get(_ context.Context, name, version string) (orch.Blueprint, error) {
	return stubBlueprint(name, version), b.s.err
}
func (b stubBlueprints) Download(_ context.Context, name, version string) (orch.Blueprint, orch.Content, error) {
	return stubBlueprint(name, version), strings.NewReader("PK"), b.s.err
}
func (b stubBlueprints) Remove(context.Context, string, string, ...string) error { return b.s.err }

func (s *stub) Hosts() orch.Hosts         { return stubHosts{s} }
func (s *stub) Locations() orch.Locations { return stubLocations{s} }
