package orch_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// nodesLoader makes a topology of the file "app": one node a line, "name instances max >target =greeting", of which all but the name may be
// missing. A greeting is an input of the operation create; the operation work in the interface Custom does nothing in particular.
func nodesLoader(_ context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
	raw, err := fs.ReadFile(b.FS, "app")
	if err != nil {
		var l diag.List
		l.Errorf("no-app", diag.Pos{File: b.Name}, "there is no file app: %v", err)
		return nil, l
	}
	t := &topology.Topology{Name: "nodes", Digest: string(raw), Files: b.FS}
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		t.Nodes = append(t.Nodes, nodeOf(strings.Fields(line), diag.Pos{File: "app", Line: i + 1, Col: 1}))
	}
	t.Reindex()
	return t, nil
}

func nodeOf(words []string, pos diag.Pos) *topology.Node {
	n := &topology.Node{Name: words[0], Type: topology.Type{"Node"}, Properties: topology.NewValues(), Attributes: topology.NewValues(), Pos: pos}
	inputs := topology.NewValues()
	var numbers []int64
	for _, w := range words[1:] {
		if k, err := strconv.ParseInt(w, 10, 64); err == nil {
			numbers = append(numbers, k)
		} else if target, ok := strings.CutPrefix(w, ">"); ok {
			n.Relationships = append(n.Relationships, &topology.Relationship{Name: target, Type: topology.Type{"tosca.relationships.DependsOn"}, Source: n.Name, Target: target})
		} else if g, ok := strings.CutPrefix(w, "="); ok {
			inputs.Set("GREETING", topology.Lit(g))
		} else if w == "native" {
			n.Native, n.Type = true, topology.Type{"tosca.nodes.Compute"}
		}
	}
	if len(numbers) > 0 {
		c := &topology.Capability{Name: "scalable", Type: topology.Type{"tosca.capabilities.Scalable"}, Properties: topology.NewValues()}
		for i, name := range []string{"default_instances", "max_instances"} {
			if i < len(numbers) {
				v := topology.Lit(numbers[i])
				v.Pos = pos
				c.Properties.Set(name, v)
			}
		}
		n.Capabilities = append(n.Capabilities, c)
	}
	std, own := &topology.Interface{Name: "Standard"}, &topology.Interface{Name: "Custom"}
	for _, op := range []string{"create", "start", "stop", "delete"} {
		o := &topology.Operation{Interface: "Standard", Name: op, Retries: -1, Implementation: &topology.Artifact{File: op + ".sh"}}
		if op == "create" {
			o.Inputs = inputs
		}
		std.Operations = append(std.Operations, o)
	}
	for _, op := range []string{"work", "check"} {
		own.Operations = append(own.Operations, &topology.Operation{Interface: "Custom", Name: op, Retries: -1, Implementation: &topology.Artifact{File: "work.sh"}})
	}
	if !n.Native {
		n.Interfaces = []*topology.Interface{std, own}
	}
	return n
}

// nodes is a bundle for nodesLoader.
func nodes(lines ...string) fs.FS {
	m := fstest.MapFS{"app": {Data: []byte(strings.Join(lines, "\n"))}}
	for _, op := range []string{"create", "start", "stop", "delete", "work"} {
		m[op+".sh"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	}
	return m
}

// newNodes is a fixture with nodesLoader in which a topology is deployed already.
func newNodes(t *testing.T, lines ...string) *fixture {
	t.Helper()
	return newFixture(t).nodes(t, lines...)
}

// nodes makes a fixture one of topologies that list their nodes.
func (f *fixture) nodes(t *testing.T, lines ...string) *fixture {
	t.Helper()
	f.opts.Load = nodesLoader
	f.restart(t)
	if len(lines) > 0 {
		if task := f.apply(t, orch.Request{Source: nodes(lines...)}); task.Status != "done" {
			t.Fatalf("%+v %+v", task, task.Failure)
		}
		f.world.forget()
	}
	return f
}

// block makes a step wait until the returned function is called.
func (f *fixture) block(t *testing.T, step string) (let func()) {
	t.Helper()
	hold := make(chan struct{})
	f.world.mu.Lock()
	f.world.hold[step] = hold
	f.world.mu.Unlock()
	open := true
	let = func() {
		f.world.mu.Lock()
		defer f.world.mu.Unlock()
		if open {
			open = false
			delete(f.world.hold, step)
			close(hold)
		}
	}
	t.Cleanup(let)
	return let
}

// ask applies a request without waiting for its end.
func ask(t *testing.T, s orch.Service, req orch.Request) orch.Task {
	t.Helper()
	req.Deployment = "demo"
	task, err := s.Apply(t.Context(), req)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return task
}

func work(node string, more ...string) orch.Request {
	return orch.Request{Verb: orch.Operate, Node: node, Interface: "Custom", Operation: "work", User: strings.Join(more, "")}
}

// reaches waits until a task has the status.
func reaches(t *testing.T, s orch.Service, id, status string) orch.Task {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		tasks, err := s.Tasks(t.Context(), "demo")
		if err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if task.ID == id && task.Status == status {
				return task
			}
			if task.ID == id && time.Now().After(end) {
				t.Fatalf("task %s is %s and does not become %s: %+v", id, task.Status, status, task.Failure)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("there is no task %s", id)
		}
	}
}

func finish(t *testing.T, s orch.Service, id string) orch.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	task, err := s.Wait(ctx, "demo", id)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return task
}

func orchInstances(node string, indices ...string) (out []topology.Instance) {
	for _, i := range indices {
		out = append(out, topology.Instance{Node: node, Index: i})
	}
	return out
}

func diagnosticsOf(err error) diag.List {
	var l *diag.ListError
	if errors.As(err, &l) {
		return l.List
	}
	return nil
}
