package a4c

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
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
	if b.Interface == "" {
		b.Interface = "custom" // Janus' plugin names none
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
	if err := optionalBody(c, &b); err != nil {
		return err
	}
	req := orch.Request{Verb: orch.Workflow, Deployment: id, NoQueue: true, Workflow: name, Force: c.QueryParams().Has("continueOnError"), User: user(c)}
	if req.Inputs, err = inputs(b.Inputs); err != nil {
		return err
	}
	chosen := map[string][]string{}
	for _, n := range b.Nodes {
		chosen[n.Name] = n.Instances
	}
	if req.Select, err = selection(d, chosen); err != nil {
		return err
	}
	task, err := s.opts.Service.Apply(ctx, req)
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return started(c, http.StatusCreated, task)
}

// selection are the instances that a workflow is limited to: of the nodes that are named those that are named for them, all without names.
// Steps of a declared workflow on other nodes run on all of theirs. Nothing is chosen: nil.
func selection(d *orch.Detail, chosen map[string][]string) (out []topology.Instance, err error) {
	known := map[string]bool{}
	for _, n := range d.Nodes {
		names, listed := chosen[n.Name]
		known[n.Name] = true
		have := map[string]bool{}
		for _, i := range n.Instances {
			have[i.Index] = true
			if listed && (len(names) == 0 || slices.Contains(names, i.Index)) {
				out = append(out, topology.Instance{Node: n.Name, Index: i.Index})
			}
		}
		for _, name := range names {
			if !have[name] {
				return nil, badRequest(fmt.Sprintf("node %s has no instance %q", n.Name, name))
			}
		}
	}
	for name := range chosen {
		if !known[name] {
			return nil, badRequest(fmt.Sprintf("there is no node %q", name))
		}
	}
	return out, nil
}

func hasWorkflow(t *topology.Topology, name string) bool {
	if t.Workflows[name] != nil {
		return true
	}
	return slices.Contains(generated, name)
}
