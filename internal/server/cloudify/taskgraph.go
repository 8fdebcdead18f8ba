package cloudify

import (
	"context"
	"slices"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// A task's plan is what Cloudify calls the graph of an execution's tasks, and its steps are the graph's operations.

type graphDocument struct {
	common
	Execution string `json:"execution_id"`
	Name      string `json:"name"`
}

type graphOperationDocument struct {
	common
	Name         string         `json:"name"`
	State        string         `json:"state"`
	Dependencies []string       `json:"dependencies"`
	Type         string         `json:"type"`
	Parameters   map[string]any `json:"parameters"`
	Graph        string         `json:"tasks_graph_id"`
	Execution    string         `json:"execution_id"`
	Manager      *string        `json:"manager_name"`
	Agent        *string        `json:"agent_name"`
}

// operationStates are Cloudify's words for the states of steps; those that were left out have never begun.
var operationStates = map[string]string{"pending": "pending", "doing": "started", "done": "succeeded", "failed": "failed", "skipped": "pending", "cancelled": "pending"}

var operationTypes = map[plan.Kind]string{plan.Op: "RemoteWorkflowTask", plan.Infra: "RemoteWorkflowTask", plan.SetState: "SetNodeInstanceStateTask"}

func graphID(execution string) string { return derivedID("tasks_graph", execution) }

// taskGraphs lists the graph of the executions that are asked for.
func (s *Server) taskGraphs(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[graphDocument](q)
	if err != nil {
		return nil, err
	}
	if len(l.equal["execution_id"]) == 0 {
		return nil, badParameters("execution_id is expected")
	}
	docs := []graphDocument{}
	for _, id := range l.equal["execution_id"] {
		x, t, err := s.findExecution(ctx, q, id)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue // it has no tasks
		}
		g := graphDocument{common: x.common, Execution: x.ID, Name: x.Workflow}
		g.ID = graphID(x.ID)
		docs = append(docs, g)
	}
	return answerList(ctx, q, l, docs, nil)
}

// graphOperations lists the operations of a graph, or of an execution.
func (s *Server) graphOperations(q *request) (any, error) {
	ctx := q.Request().Context()
	query := q.QueryParams()
	graphs := query["graph_id"]
	query.Del("graph_id")
	l, err := listingOf[graphOperationDocument](q)
	if err != nil {
		return nil, err
	}
	ids := l.equal["execution_id"]
	for _, g := range graphs {
		id, err := s.executionOfGraph(ctx, q, g)
		if err != nil {
			return nil, err
		}
		ids = append(slices.Clone(ids), id)
	}
	if len(ids) == 0 {
		return nil, badParameters("graph_id or execution_id is expected")
	}
	docs := []graphOperationDocument{}
	for _, id := range ids {
		x, t, err := s.findExecution(ctx, q, id)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		steps, err := s.opts.Service.Steps(ctx, t.Deployment, t.ID)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		for _, st := range steps {
			docs = append(docs, graphOperationOf(x, t.Deployment, st))
		}
	}
	return answerList(ctx, q, l, docs, nil)
}

// executionOfGraph finds the execution that a graph's id was made of.
func (s *Server) executionOfGraph(ctx context.Context, q *request, graph string) (string, error) {
	all, err := s.allExecutions(ctx, q, &listing{})
	if err != nil {
		return "", err
	}
	for _, x := range all {
		if graphID(x.ID) == graph {
			return x.ID, nil
		}
	}
	return "", notFound("TasksGraph", graph)
}

func graphOperationOf(x executionDocument, deployment string, st orch.StepStatus) graphOperationDocument {
	of := func(step string) string { return derivedID("operation", x.ID, step) }
	d := graphOperationDocument{common: x.common, Name: st.ID, State: operationStates[st.Status], Dependencies: []string{}, Type: operationTypes[st.Kind], Graph: graphID(x.ID),
		Execution: x.ID, Parameters: map[string]any{"info": st.Cause, "containing_subgraph": nil}}
	d.ID = of(st.ID)
	if d.Type == "" {
		d.Type = "NOPLocalWorkflowTask"
	}
	if d.State == "" {
		d.State = "pending"
	}
	for _, need := range st.Needs {
		d.Dependencies = append(d.Dependencies, of(need))
	}
	if st.Node != "" {
		d.Parameters["node_instance_id"] = instanceID(deployment, topology.Instance{Node: st.Node, Index: st.Instance})
	}
	if st.Operation != "" {
		d.Parameters["operation"] = topology.CloudifyInterface(st.Interface) + "." + st.Operation
	}
	if st.Error != "" {
		d.Parameters["error"] = st.Error
	}
	return d
}

// editExecution changes who an execution is said to be of. Its status is the engine's.
func (s *Server) editExecution(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Creator *string `json:"creator"`
	}
	names, err := q.changes("execution", &b)
	if err != nil {
		return nil, err
	}
	doc, t, err := s.findExecution(ctx, q, q.param("id"))
	if err != nil {
		return nil, err
	}
	if len(names) != 1 || b.Creator == nil {
		return nil, refused("illegal_action_error", "The status of execution %s is set by the engine only; its creator can be changed", doc.ID)
	}
	if t == nil {
		_, err = s.shelf.executions.edit(ctx, "Execution", q.tenant, doc.ID, func(x *executionRecord) error {
			x.By = *b.Creator
			return nil
		})
	} else {
		err = s.remember(q, doc, func(x *executionRecord) { x.Owner = *b.Creator })
	}
	if err != nil {
		return nil, err
	}
	doc, _, err = s.findExecution(ctx, q, doc.ID)
	return doc, err
}
