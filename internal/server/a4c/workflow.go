package a4c

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/topology"
)

func (s *Server) workflows(c echo.Context) error {
	id := param(c, "id")
	t, err := s.opts.Feed.Topology(c.Request().Context(), id)
	if err != nil {
		return err
	}
	names := append(slices.Collect(maps.Keys(t.Workflows)), generated...)
	slices.Sort(names)
	links := []link{}
	for _, n := range slices.Compact(names) {
		if plain(n) {
			links = append(links, to("workflow", deploymentPath(id), "workflows", n))
		}
	}
	return answer(c, http.StatusOK, map[string]any{"workflows": links})
}

type workflowDocument struct {
	Name   string                  `json:"name"`
	Inputs map[string]any          `json:"inputs,omitempty"`
	Steps  map[string]stepDocument `json:"steps"`
	// Outputs by name.
	Outputs map[string]any `json:"outputs,omitempty"`
}

type stepDocument struct {
	Target        string           `json:"target,omitempty"`
	Relationship  string           `json:"target_relationship,omitempty"`
	OperationHost string           `json:"operation_host,omitempty"`
	Activities    []map[string]any `json:"activities"`
	OnSuccess     []string         `json:"on_success,omitempty"`
	OnFailure     []string         `json:"on_failure,omitempty"`
	OnCancel      []string         `json:"on_cancel,omitempty"`
}

// workflow shows a declared workflow, or the one that is generated in its place.
func (s *Server) workflow(c echo.Context) error {
	t, err := s.opts.Feed.Topology(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	name := param(c, "workflow")
	if !hasWorkflow(t, name) {
		return notFound(fmt.Sprintf("there is no workflow %q", name))
	}
	doc := workflowDocument{Name: name, Steps: map[string]stepDocument{}}
	if wf := t.Workflows[name]; wf != nil {
		describe(wf, &doc)
	} else {
		describeGenerated(t, name, &doc)
	}
	return answer(c, http.StatusOK, doc)
}

// described is the definition of an input, its default included where that is a plain value.
func described(in *topology.Parameter) map[string]any {
	m := map[string]any{"required": in.Required, "description": in.Description}
	if in.Schema != nil && len(in.Schema.Type) > 0 {
		m["type"] = in.Schema.Type.Name()
	}
	if in.Value != nil && in.Value.Kind != topology.CallValue {
		m["default"] = assignment(topology.Plain(in.Value))
	}
	return m
}

func describe(wf *topology.Workflow, doc *workflowDocument) {
	for _, in := range wf.Inputs {
		if doc.Inputs == nil {
			doc.Inputs = map[string]any{}
		}
		doc.Inputs[in.Name] = described(in)
	}
	for _, out := range wf.Outputs {
		if doc.Outputs == nil {
			doc.Outputs = map[string]any{}
		}
		doc.Outputs[out.Name] = map[string]any{"description": out.Description}
	}
	for _, st := range wf.Steps {
		d := stepDocument{Target: st.Target, Relationship: st.Relationship, OperationHost: st.OperationHost, Activities: []map[string]any{},
			OnSuccess: st.OnSuccess, OnFailure: st.OnFailure, OnCancel: st.OnCancel}
		for _, a := range st.Activities {
			d.Activities = append(d.Activities, activityDocument(a))
		}
		doc.Steps[st.Name] = d
	}
}

// activityDocument is an activity as Yorc's own client decodes it: only the state is a text.
func activityDocument(a topology.Activity) map[string]any {
	switch a.Kind {
	case topology.ActivityCall:
		return map[string]any{a.Kind: map[string]any{"operation": a.Interface + "." + a.Name}}
	case topology.ActivitySetState:
		return map[string]any{a.Kind: a.Name}
	}
	return map[string]any{a.Kind: map[string]any{"workflow": a.Name}}
}

// assignment is a value as Yorc's clients read and send it (see inputs).
func assignment(v any) map[string]any {
	kind := 0
	switch v.(type) {
	case []any:
		kind = 2
	case map[string]any:
		kind = 3
	}
	return map[string]any{"type": kind, "value": v}
}
