package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

func wfStep(name, target string, next []string, acts ...topology.Activity) *topology.WorkflowStep {
	return &topology.WorkflowStep{Name: name, Target: target, OnSuccess: next, Activities: acts}
}

func callOp(iface, name string) topology.Activity {
	return topology.Activity{Kind: topology.ActivityCall, Interface: iface, Name: name}
}

func setState(state string) topology.Activity {
	return topology.Activity{Kind: topology.ActivitySetState, Name: state}
}

func delegate(name string) topology.Activity {
	return topology.Activity{Kind: topology.ActivityDelegate, Name: name}
}

func inline(name string) topology.Activity {
	return topology.Activity{Kind: topology.ActivityInline, Name: name}
}

// a4c is what Alien4Cloud sends for one server with one component: every step explicit.
func a4c() *topo {
	t := newTopo()
	t.server("Compute")
	web := t.node("Web", "Web", "create", "start", "stop")
	hosted(web, "Compute")
	rel(web, "self", "tosca.relationships.ConnectsTo", "Compute", "pre_configure_source", "add_source")
	pre := wfStep("Web_self_pre_configure_source", "Web", []string{"Web_start"}, callOp("Configure", "pre_configure_source"))
	pre.Relationship, pre.OperationHost = "self", "SOURCE"
	add := wfStep("Web_self_add_source", "Web", nil, callOp("Configure", "add_source"))
	add.Relationship, add.OperationHost = "self", "TARGET"
	t.Workflows["install"] = &topology.Workflow{Name: "install", Steps: []*topology.WorkflowStep{
		wfStep("Compute_install", "Compute", []string{"Web_initial"}, delegate("install")),
		wfStep("Web_initial", "Web", []string{"Web_creating"}, setState("initial")),
		wfStep("Web_creating", "Web", []string{"Web_create"}, setState("creating")),
		wfStep("Web_create", "Web", []string{"Web_created"}, callOp("Standard", "create")),
		wfStep("Web_created", "Web", []string{"Web_self_pre_configure_source"}, setState("created")),
		pre,
		wfStep("Web_start", "Web", []string{"Web_started"}, callOp("Standard", "start")),
		wfStep("Web_started", "Web", []string{"Web_self_add_source"}, setState("started")),
		add,
	}}
	t.Workflows["uninstall"] = &topology.Workflow{Name: "uninstall", Steps: []*topology.WorkflowStep{
		wfStep("Web_stop", "Web", []string{"Web_deleted"}, callOp("Standard", "stop")),
		wfStep("Web_deleted", "Web", []string{"Compute_uninstall"}, setState("deleted")),
		wfStep("Compute_uninstall", "Compute", nil, delegate("uninstall")),
	}}
	return t
}

func TestDeclaredWorkflows(t *testing.T) {
	top := a4c()
	scalable(top.NodeNamed("Compute"), 2)
	p := build(t, plan.Input{Topology: top.Topology})
	golden(t, p, "declared_install")
	rec := done(nil, p.Steps...)
	if again := build(t, plan.Input{Topology: top.Topology, Recorded: rec}); len(again.Steps) > 0 {
		golden(t, again, "nothing")
	}
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Uninstall}), "declared_uninstall")
}

func TestDeclaredUninstallThatForgetsInfrastructure(t *testing.T) {
	top := a4c()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	top.Workflows["uninstall"].Steps = top.Workflows["uninstall"].Steps[:2]
	top.Workflows["uninstall"].Steps[1].OnSuccess = nil
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Uninstall}), "declared_uninstall_incomplete")
}

// Alien4Cloud calls the operations of infrastructure that is neither server nor network instead of delegating it.
func TestCalledInfrastructure(t *testing.T) {
	top := a4c()
	group := top.node("Group", "yorc.nodes.openstack.ServerGroup")
	group.Native = true
	rel(top.NodeNamed("Compute"), "group", "yorc.relationships.MemberOf", "Group")
	install, uninstall := top.Workflows["install"], top.Workflows["uninstall"]
	install.Steps = append(install.Steps,
		wfStep("Group_create", "Group", []string{"Group_started"}, callOp("tosca.interfaces.node.lifecycle.Standard", "create")),
		wfStep("Group_started", "Group", []string{"Compute_install"}, setState("started")))
	uninstall.Steps[2].OnSuccess = []string{"Group_delete"}
	uninstall.Steps = append(uninstall.Steps, wfStep("Group_delete", "Group", nil, callOp("Standard", "delete")))
	p := build(t, plan.Input{Topology: top.Topology})
	golden(t, p, "declared_called")
	rec := done(nil, p.Steps...)
	if again := build(t, plan.Input{Topology: top.Topology, Recorded: rec}); len(again.Steps) > 0 {
		golden(t, again, "nothing")
	}
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Uninstall}), "declared_called_uninstall")

	delegated := wfStep("Group_install", "Group", []string{"Group_create"}, delegate("install"))
	install.Steps = append(install.Steps, delegated) // then calling its operation does nothing more
	n := 0
	for _, s := range build(t, plan.Input{Topology: top.Topology}).Steps {
		if s.Node == "Group" && s.Kind == plan.Infra {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the group is made %d times", n)
	}
}

func TestCustomWorkflow(t *testing.T) {
	top := a4c()
	top.Groups = []*topology.Group{{Name: "all", Members: []string{"Web", "Compute"}}}
	top.NodeNamed("Web").Interfaces = append(top.NodeNamed("Web").Interfaces, iface("custom", "Web", "check", "repair", "alarm"))
	check := wfStep("check", "Web", []string{"fine"}, callOp("custom", "check"))
	check.OnFailure = []string{"repair"}
	check.OnCancel = []string{"alarm"}
	top.Workflows["maintain"] = &topology.Workflow{Name: "maintain", Steps: []*topology.WorkflowStep{
		wfStep("cycle", "", []string{"check"}, inline("bounce")),
		check,
		wfStep("repair", "Web", []string{"fine"}, callOp("custom", "repair")),
		wfStep("alarm", "Web", nil, callOp("custom", "alarm")),
		wfStep("fine", "all", nil, setState("started")),
	}}
	top.Workflows["bounce"] = &topology.Workflow{Name: "bounce", Steps: []*topology.WorkflowStep{
		wfStep("halt", "Web", []string{"go"}, callOp("Standard", "stop"), setState("stopped")),
		wfStep("go", "Web", nil, callOp("Standard", "start")),
	}}
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: "maintain"}), "declared_custom")
}

// maintain has every form of step: filters, preconditions of an inline workflow, a relationship's operation at the target by the name of the
// requirement, built-in workflows inline.
func maintain() *topo {
	top := shop()
	scalable(top.NodeNamed("dbvm"), 2)
	web := top.NodeNamed("web")
	web.Relationships[1].Interfaces = append(web.Relationships[1].Interfaces, iface("sync", "web", "copy"))
	pick := wfStep("pick", "web", []string{"copy"}, callOp("Standard", "stop"), setState("stopped"))
	pick.Filter = topology.Lit(true)
	pick.OnFailure = []string{"again"}
	sync := wfStep("copy", "web", []string{"nested"}, callOp("sync", "copy"))
	sync.Relationship, sync.OperationHost = "database", "TARGET"
	top.Workflows["maintain"] = &topology.Workflow{Name: "maintain", Steps: []*topology.WorkflowStep{pick, sync,
		wfStep("nested", "", nil, inline("checked")),
		wfStep("again", "", nil, inline("restart")),
	}}
	top.Workflows["checked"] = &topology.Workflow{Name: "checked", Preconditions: []topology.Precondition{{Target: "web", Condition: topology.Lit(true)}},
		Steps: []*topology.WorkflowStep{wfStep("go", "web", nil, callOp("Standard", "start"))}}
	return top
}

func TestFormsOfSteps(t *testing.T) {
	top := maintain()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: "maintain"}), "declared_forms")
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: "maintain", Instances: []topology.Instance{in("web", "1")}}), "declared_chosen")
	for _, bad := range []topology.Instance{in("web", "7"), in("wep", "0")} {
		if p, diags := plan.Build(plan.Input{Topology: top.Topology, Recorded: rec, Workflow: "maintain", Instances: []topology.Instance{bad}}); p != nil || len(diags) != 1 {
			t.Errorf("%s: %v", bad, diags)
		}
	}
}

// The standard's names for installing and removing, restart and check can be parts of a workflow, too.
func TestGeneratedPartsOfWorkflows(t *testing.T) {
	top := newTopo()
	web := top.node("web", "Web", "create", "start", "stop", "delete")
	web.Interfaces = append(web.Interfaces, &topology.Interface{Name: "custom", Operations: []*topology.Operation{
		{Interface: "custom", Name: "check", Retries: -1, Implementation: &topology.Artifact{File: "check.sh"}}}})
	steps := func(acts ...topology.Activity) *topology.Workflow {
		return &topology.Workflow{Name: "w", Steps: []*topology.WorkflowStep{wfStep("s", "web", nil, acts...)}}
	}
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	for name, c := range map[string]struct {
		wf   *topology.Workflow
		want []string
	}{
		"delegate restart":          {steps(delegate("restart")), []string{"web[0].stop", "web[0].start"}},
		"delegate undeploy":         {steps(delegate("undeploy")), []string{"web[0].stop", "web[0].delete"}},
		"delegate undeploy, deploy": {steps(delegate("undeploy"), delegate("deploy")), []string{"web[0].stop", "web[0].delete", "web[0].create", "web[0].start"}},
		"inline check, twice":       {steps(inline("check"), inline("check")), []string{"web[0].custom.check", "web[0].custom.check#2"}},
		"inline undeploy":           {steps(inline("undeploy")), []string{"web[0].stop", "web[0].delete", "web[0].forget"}},
		"inline undeploy, deploy":   {steps(inline("undeploy"), inline("deploy")), []string{"web[0].stop", "web[0].delete", "web[0].forget", "web[0].create", "web[0].start"}},
		"inline deploy":             {steps(inline("deploy")), nil},
	} {
		top.Workflows["w"] = c.wf
		var got []string
		for _, s := range build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: "w"}).Steps {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestMistakesInWorkflows(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*topo)
		code   string
	}{
		"target":       {func(t *topo) { t.Workflows["install"].Steps[1].Target = "Wep" }, "unknown-target"},
		"foreign code": {func(t *topo) { t.Workflows["install"].Call = "wf.install" }, "foreign-workflow"},
		"next step":    {func(t *topo) { t.Workflows["install"].Steps[1].OnSuccess = []string{"nowhere"} }, "unknown-step"},
		"relationship": {func(t *topo) { t.Workflows["install"].Steps[5].Relationship = "selff" }, "unknown-relationship"},
		"operation":    {func(t *topo) { t.Workflows["install"].Steps[3].Activities[0] = callOp("custom", "x") }, "unknown-operation"},
		"delegate":     {func(t *topo) { t.Workflows["install"].Steps[0].Activities[0] = delegate("build") }, "unknown-delegate"},
		"inline":       {func(t *topo) { t.Workflows["install"].Steps[0].Activities[0] = inline("nope") }, "unknown-workflow"},
		"inline cycle": {func(t *topo) { t.Workflows["install"].Steps[0].Activities[0] = inline("install") }, "inline-cycle"},
		"cycle":        {func(t *topo) { t.Workflows["install"].Steps[8].OnSuccess = []string{"Compute_install"} }, "dependency-cycle"},
	} {
		top := a4c()
		c.change(top)
		p, diags := plan.Build(plan.Input{Topology: top.Topology})
		found := false
		for _, d := range diags {
			found = found || d.Code == c.code
		}
		if p != nil || !found {
			t.Errorf("%s: plan %v, findings %v", name, p != nil, diags)
		}
	}
}

func TestDot(t *testing.T) {
	top := a4c()
	var b strings.Builder
	if err := build(t, plan.Input{Topology: top.Topology}).DOT(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"digraph", `"Compute[0].create" -> "Web[0].initial";`, `label="Web[0]"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
