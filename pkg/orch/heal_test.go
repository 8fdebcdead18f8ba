package orch_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// sky is a world whose servers have a status, and may be lost behind orch's back.
type sky struct {
	*world
	status map[string]string // by server id; absent: ACTIVE
	gone   map[string]bool
	drift  []driver.Change
}

func (s *sky) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	res, err := s.world.Run(ctx, req, emit)
	if err != nil || req.Action != driver.Create && req.Action != driver.Replace {
		return res, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[req.ID().String()] = true
	id := "id-" + req.ID().String()
	delete(s.status, id)
	delete(s.gone, id)
	res.Host = &driver.Host{Instance: req.ID(), Addresses: []string{"10.0.0.1"}, ServerID: id}
	return res, nil
}

func (s *sky) Observe(context.Context, string, string) (out []driver.CloudResource, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for in := range s.made {
		id := "id-" + in
		if s.gone[id] {
			continue
		}
		st := s.status[id]
		if st == "" {
			st = "ACTIVE"
		}
		out = append(out, driver.CloudResource{Service: "nova", Kind: "server", ID: id, Status: st})
	}
	return out, nil
}

func (s *sky) Drift(context.Context, []*driver.Request) ([]driver.Change, error) { return s.drift, nil }

func newSky(t *testing.T, servers int) (*fixture, *sky) {
	t.Helper()
	f := newFixture(t)
	s := &sky{world: f.world, status: map[string]string{}, gone: map[string]bool{}}
	f.opts.Infra, f.opts.Remote, f.opts.Local, f.opts.Inventory = s, s, s, s
	f.restart(t)
	if task := f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello"), Scale: map[string]int{"vm": servers}}); task.Status != "done" {
		t.Fatalf("%+v", task.Failure)
	}
	f.world.forget()
	return f, s
}

func instances(t *testing.T, f *fixture, node string) (out []string) {
	t.Helper()
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Nodes {
		for _, i := range n.Instances {
			if n.Name == node {
				out = append(out, i.Index+" "+i.State)
			}
		}
	}
	return out
}

func TestHealReplacesBrokenServers(t *testing.T) {
	t.Parallel()
	f, s := newSky(t, 3)
	s.status["id-vm[1]"], s.gone["id-vm[2]"] = "ERROR", true
	d, err := f.Drift(t.Context(), orch.DriftRequest{Deployment: "demo"})
	if err != nil || !d.Drifted || len(d.Instances) != 2 || !strings.Contains(d.Instances[0].Message, "ERROR") || !strings.Contains(d.Instances[1].Message, "does not exist") {
		t.Fatalf("drift %+v, %v", d, err)
	}
	task := f.apply(t, orch.Request{Verb: orch.Workflow, Workflow: "heal"})
	if task.Status != "done" {
		t.Fatalf("%+v", task.Failure)
	}
	got := f.world.done()
	slices.Sort(got)
	want := []string{"vm[1].replace", "vm[2].replace", "web[1].create", "web[1].start", "web[2].create", "web[2].start"}
	if !slices.Equal(got, want) {
		t.Errorf("done %v, want %v: nothing runs on lost servers, and the well one is left alone", got, want)
	}
	if st := instances(t, f, "web"); !slices.Equal(st, []string{"0 started", "1 started", "2 started"}) {
		t.Errorf("states %v", st)
	}
	f.world.forget()
	if task := f.apply(t, orch.Request{Verb: orch.Workflow, Workflow: "heal"}); task.Changed || len(f.world.done()) > 0 {
		t.Errorf("a second heal: %+v, %v", task, f.world.done())
	}
	if task := f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")}); task.Changed {
		t.Errorf("a deployment after it has %d steps", task.Steps.Total)
	}
}

func TestHealOfAChosenInstance(t *testing.T) {
	t.Parallel()
	f, _ := newSky(t, 2)
	task := f.apply(t, orch.Request{Verb: orch.Workflow, Workflow: "heal", Select: []topology.Instance{{Node: "web", Index: "1"}}})
	if got := f.world.done(); task.Status != "done" || !slices.Equal(got, []string{"web[1].stop", "web[1].delete", "web[1].create", "web[1].start"}) {
		t.Errorf("done %v, %+v", got, task.Failure)
	}
}

func TestRepairOfDriftedInfrastructure(t *testing.T) {
	t.Parallel()
	f, s := newSky(t, 1)
	s.drift = []driver.Change{{Instance: topology.Instance{Node: "vm", Index: "0"}, Address: "vm", Action: "update"}}
	task := f.apply(t, orch.Request{Verb: orch.Workflow, Workflow: "heal", Repair: true})
	if got := f.world.done(); task.Status != "done" || !slices.Equal(got, []string{"vm[0].update"}) {
		t.Errorf("done %v, %+v", got, task.Failure)
	}
}

// What a server shares with others is brought back with the server's own infrastructure; the server is not made anew for it.
func TestRepairOfWhatServersShare(t *testing.T) {
	t.Parallel()
	f, s := newSky(t, 1)
	s.drift = []driver.Change{{Instance: topology.Instance{Node: "vm", Index: "0"}, Address: "rule", Action: "create", Shared: true}}
	task := f.apply(t, orch.Request{Verb: orch.Workflow, Workflow: "heal", Repair: true})
	if got := f.world.done(); task.Status != "done" || !slices.Equal(got, []string{"vm[0].update"}) {
		t.Errorf("done %v, %+v", got, task.Failure)
	}
}

func TestRemovingNamedInstances(t *testing.T) {
	t.Parallel()
	f, _ := newSky(t, 3)
	remove := func(scale map[string]int, named ...string) (orch.Task, error) {
		req := orch.Request{Verb: orch.Deploy, Deployment: "demo", Scale: scale}
		for _, i := range named {
			req.Remove = append(req.Remove, topology.Instance{Node: "web", Index: i})
		}
		task, err := f.Apply(t.Context(), req)
		if err != nil {
			return task, err
		}
		return f.Wait(t.Context(), "demo", task.ID)
	}
	if _, err := remove(nil, "7"); kindOf(err) != orch.KindNotFound {
		t.Errorf("an unknown instance: %v", err)
	}
	if _, err := remove(map[string]int{"vm": 2}, "0", "1"); kindOf(err) != orch.KindUser {
		t.Errorf("more than asked for: %v", err)
	}
	if task, err := remove(nil, "1"); err != nil || task.Status != "done" {
		t.Fatalf("%+v, %v", task.Failure, err)
	}
	if st := instances(t, f, "web"); !slices.Equal(st, []string{"0 started", "2 started"}) {
		t.Errorf("left are %v", st)
	}
	if task := f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")}); task.Changed {
		t.Error("a later deployment brings it back")
	}
}
