package a4c

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

type customBody struct {
	Node      string         `json:"node"`
	Interface string         `json:"interface"`
	Name      string         `json:"name"`
	Inputs    map[string]any `json:"inputs"`
	Instances []string       `json:"instances"`
}

// custom runs one operation on instances of a node.
func (s *Server) custom(c echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	if _, err := s.known(ctx, id); err != nil {
		return err
	}
	var b customBody
	if err := body(c, &b); err != nil {
		return err
	}
	in, err := inputs(b.Inputs)
	if err != nil {
		return err
	}
	t, err := s.opts.Feed.Topology(ctx, id)
	if err != nil {
		return err
	}
	op, err := command(t, b)
	if err != nil {
		return err
	}
	task, err := s.opts.Service.Apply(ctx, orch.Request{Verb: orch.Operate, Deployment: id, NoQueue: true, Node: b.Node, Interface: op.Interface, Operation: op.Name,
		Instances: b.Instances, Inputs: in, User: user(c)})
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusAccepted, task)
}

// command finds the operation. Yorc writes interfaces in lower case, Alien4Cloud in short or in full.
func command(t *topology.Topology, b customBody) (*topology.Operation, error) {
	n := t.NodeNamed(b.Node)
	if n == nil {
		return nil, badRequest(fmt.Sprintf("there is no node %q", b.Node))
	}
	for _, i := range n.Interfaces {
		if !sameInterface(i, b.Interface) {
			continue
		}
		for _, op := range i.Operations {
			if strings.EqualFold(op.Name, b.Name) && (op.Implementation != nil || op.Call != "") {
				found := *op
				found.Interface = i.Name
				return &found, nil
			}
		}
	}
	return nil, badRequest(fmt.Sprintf("node %s has no operation %s.%s that does anything", b.Node, b.Interface, b.Name))
}

func sameInterface(i *topology.Interface, name string) bool {
	return strings.EqualFold(i.Name, name) || strings.EqualFold(i.Type.Name(), name) || strings.EqualFold(i.Name, topology.InterfaceName(name))
}

type executeBody struct {
	Inputs map[string]any `json:"inputs"`
	Nodes  []struct {
		Name      string   `json:"name"`
		Instances []string `json:"instances"`
	} `json:"nodesinstances"`
}

// execute runs a workflow.
func (s *Server) execute(c echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	d, err := s.known(ctx, id)
	if err != nil {
		return err
	}
	t, err := s.opts.Feed.Topology(ctx, id)
	if err != nil {
		return err
	}
	name := param(c, "workflow")
	if !hasWorkflow(t, name) {
		return notFound(fmt.Sprintf("deployment %s has no workflow %q", id, name))
	}
	if statusOf(d.Status, d.Doing) == "UPDATE_IN_PROGRESS" {
		return withStatus(http.StatusConflict, "the deployment is being updated")
	}
	var b executeBody
	if err := body(c, &b); err != nil {
		return err
	}
	req := orch.Request{Verb: orch.Workflow, Deployment: id, NoQueue: true, Workflow: name, Force: c.QueryParams().Has("continueOnError"), User: user(c)}
	if req.Inputs, err = inputs(b.Inputs); err != nil {
		return err
	}
	switch len(b.Nodes) {
	case 0:
	case 1:
		req.Node, req.Instances = b.Nodes[0].Name, b.Nodes[0].Instances
		if err := checkInstances(d, req.Node, req.Instances); err != nil {
			return err
		}
	default:
		return badRequest("a workflow can be limited to the instances of one node only")
	}
	task, err := s.opts.Service.Apply(ctx, req)
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusCreated, task)
}

func checkInstances(d *orch.Detail, node string, instances []string) error {
	for _, n := range d.Nodes {
		if n.Name != node {
			continue
		}
		have := map[string]bool{}
		for _, i := range n.Instances {
			have[i.Index] = true
		}
		for _, i := range instances {
			if !have[i] {
				return badRequest(fmt.Sprintf("node %s has no instance %q", node, i))
			}
		}
		return nil
	}
	return badRequest(fmt.Sprintf("there is no node %q", node))
}

// generated are the workflows that every topology has.
var generated = []string{plan.Install, plan.Uninstall, plan.Start, plan.Stop, plan.Restart}

func hasWorkflow(t *topology.Topology, name string) bool {
	if t.Workflows[name] != nil {
		return true
	}
	for _, g := range generated {
		if g == name {
			return true
		}
	}
	return false
}
