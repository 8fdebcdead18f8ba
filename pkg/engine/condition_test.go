package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

func condition(key string, v *topology.Value) *topology.Value {
	m := topology.NewValues()
	m.Set(key, v)
	return &topology.Value{Kind: topology.MapValue, Map: m}
}

// workshop is a node of three instances with a workflow whose first step is filtered by an attribute, and a second that inlines another with
// a precondition and an input.
func workshop() *topology.Topology {
	t := chain("web")
	n := t.Nodes[0]
	n.Count = topology.Lit(int64(3))
	work := topology.NewValues()
	work.Set("WORD", &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_input", Args: []*topology.Value{topology.Lit("word")}}})
	n.Interfaces = append(n.Interfaces, &topology.Interface{Name: "job", Operations: []*topology.Operation{
		{Interface: "job", Name: "clean", Retries: -1, Implementation: &topology.Artifact{File: "clean.sh"}},
		{Interface: "job", Name: "work", Retries: -1, Implementation: &topology.Artifact{File: "work.sh"}, Inputs: work},
	}})
	call := func(name string) topology.Activity {
		return topology.Activity{Kind: topology.ActivityCall, Interface: "job", Name: name}
	}
	word := topology.NewValues()
	word.Set("word", &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "concat", Args: []*topology.Value{
		{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_input", Args: []*topology.Value{topology.Lit("outer")}}}, topology.Lit("!")}}})
	t.Workflows["tidy"] = &topology.Workflow{Name: "tidy", Inputs: []*topology.Parameter{{Name: "outer"}}, Steps: []*topology.WorkflowStep{
		{Name: "dirty", Target: "web", Filter: condition("dirty", topology.Lit(true)), OnSuccess: []string{"rest"},
			Activities: []topology.Activity{call("clean"), {Kind: topology.ActivitySetState, Name: "cleaned"}}},
		{Name: "rest", OnSuccess: []string{"last"}, Activities: []topology.Activity{{Kind: topology.ActivityInline, Name: "working", Inputs: word}}},
		{Name: "last", Target: "web", Activities: []topology.Activity{{Kind: topology.ActivitySetState, Name: "started"}}},
	}}
	t.Workflows["working"] = &topology.Workflow{Name: "working", Inputs: []*topology.Parameter{{Name: "word"}},
		Preconditions: []topology.Precondition{{Target: "web", Condition: condition("ready", topology.Lit(true))}},
		Steps:         []*topology.WorkflowStep{{Name: "work", Target: "web", Activities: []topology.Activity{call("work")}}}}
	return t
}

// made installs the workshop; web[1] is dirty, and all are ready if asked for.
func made(t *testing.T, ready bool) *bench {
	b := newBench(t, workshop())
	for _, i := range []string{"0", "1", "2"} {
		b.d.do["web["+i+"].create"] = attributes(map[string]any{"dirty": i == "1", "ready": ready})
	}
	b.plan(plan.Input{})
	if out := b.run(nil); out.Status != engine.Done {
		t.Fatal(out)
	}
	b.d.log = nil
	b.plan(plan.Input{Workflow: "tidy"})
	b.job.Task, b.job.WorkflowInputs = "t2", map[string]any{"outer": "hey"}
	return b
}

func TestFilterInlineInputsAndPreconditions(t *testing.T) {
	b := made(t, true)
	out := b.run(nil)
	if out.Status != engine.Done || out.Progress.Skipped != 2 || out.Progress.Done != 4 {
		t.Fatalf("%+v %+v", out, out.Failure)
	}
	slices.Sort(b.d.log)
	if got := strings.Join(b.d.log, " "); got != "web[0].job.work web[1].job.clean web[1].job.work web[2].job.work" {
		t.Errorf("done: %s", got)
	}
	if v := b.d.vars["web[2].job.work"]["WORD"].Value; v != "hey!" {
		t.Errorf("the inline workflow's input is %q", v)
	}
	left := 0
	for _, e := range b.events() {
		if strings.Contains(e.Message, "left out by the step's filter: web[") {
			left++
		}
	}
	if left != 2 {
		t.Errorf("%d events tell of instances left out", left)
	}
	// Killed after the end of the last step: nothing is done again, and what was left out stays so.
	b.d.log = nil
	if out := b.run(nil); out.Status != engine.Done || len(b.d.log) > 0 || out.Progress.Skipped != 2 {
		t.Errorf("again: %+v, %v", out, b.d.log)
	}
}

func TestPreconditionOfInlineFails(t *testing.T) {
	b := made(t, false)
	out := b.run(nil)
	if out.Status != engine.Failed || !strings.Contains(out.Failure.Message, "the precondition of workflow working is not met: web[0].ready must be true, not false") {
		t.Fatalf("%+v %+v", out, out.Failure)
	}
	if got := strings.Join(b.d.log, " "); got != "web[1].job.clean" {
		t.Errorf("done: %s", got)
	}
}

func attributes(a map[string]any) func(ctx context.Context, req *driver.Request, n int) (driver.Result, error) {
	return func(context.Context, *driver.Request, int) (driver.Result, error) {
		return driver.Result{Attributes: a}, nil
	}
}
