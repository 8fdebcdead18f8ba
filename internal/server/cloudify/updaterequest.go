package cloudify

import (
	"mime"
	"slices"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// updateRequest is the body, or the query of older clients.
type updateRequest struct {
	Blueprint      string         `json:"blueprint_id"`
	Inputs         map[string]any `json:"inputs"`
	Preview        flag           `json:"preview"`
	SkipInstall    flag           `json:"skip_install"`
	SkipUninstall  flag           `json:"skip_uninstall"`
	SkipReinstall  flag           `json:"skip_reinstall"`
	InstallFirst   flag           `json:"install_first"`
	ForceReinstall flag           `json:"force_reinstall"`
	Workflow       string         `json:"workflow_id"`
	Reinstall      []string       `json:"reinstall_list"`
	Force          flag           `json:"force"`
	IgnoreFailure  flag           `json:"ignore_failure"`
	AutoCorrect    flag           `json:"auto_correct_types"`
	RuntimeOnly    flag           `json:"runtime_only_evaluation"`
	// What updates here have no need of: nothing is asked for drift or status on the way, states are never stuck, plugins are the blueprint's.
	SkipDrift     flag `json:"skip_drift_check"`
	SkipHeal      flag `json:"skip_heal"`
	Reevaluate    flag `json:"reevaluate_active_statuses"`
	UpdatePlugins flag `json:"update_plugins"`
}

// flags of a query or of an execution's parameters, by their names.
func (b *updateRequest) flags() map[string]*flag {
	return map[string]*flag{"preview": &b.Preview, "skip_install": &b.SkipInstall, "skip_uninstall": &b.SkipUninstall, "skip_reinstall": &b.SkipReinstall,
		"install_first": &b.InstallFirst, "force_reinstall": &b.ForceReinstall, "force": &b.Force, "ignore_failure": &b.IgnoreFailure, "auto_correct_types": &b.AutoCorrect,
		"runtime_only_evaluation": &b.RuntimeOnly, "skip_drift_check": &b.SkipDrift, "skip_heal": &b.SkipHeal}
}

func (q *request) updateRequest() (b updateRequest, archive orch.Content, main string, err error) {
	t, _, _ := mime.ParseMediaType(q.Request().Header.Get("Content-Type"))
	if t == "application/json" {
		err = q.body(&b)
		return b, nil, "", err
	}
	query := q.QueryParams()
	for name, into := range b.flags() {
		v, err := parseBool(name, query.Get(name))
		if err != nil {
			return b, nil, "", err
		}
		*into = flag(v)
	}
	b.Workflow, b.Reinstall = query.Get("workflow_id"), query["reinstall_list"]
	p, archive, err := q.upload()
	b.Inputs = p.Inputs
	return b, archive, p.Main, err
}

// parameters of the update's execution.
func (b *updateRequest) parameters(u *updateRecord) map[string]any {
	out := map[string]any{"update_id": u.ID, "blueprint_id": b.Blueprint, "inputs": u.NewInputs, "reinstall_list": orEmpty(b.Reinstall)}
	for name, v := range b.flags() {
		out[name] = bool(*v)
	}
	if b.Workflow != "" {
		out["workflow_id"] = b.Workflow
	}
	return out
}

// options are the planner's. Cloudify's update is that of Cloudify's blueprints: others are brought to what is wanted as a whole.
func (b *updateRequest) options(l *launch, next *topology.Topology) (*plan.Update, error) {
	if wf := next.Workflows[b.Workflow]; b.Workflow != "" && wf == nil && builtins[b.Workflow].task == "" {
		return nil, refused("nonexistent_workflow_error", "Workflow %s does not exist in blueprint %s", b.Workflow, b.Blueprint)
	} else if wf != nil && wf.Call != "" && wf.BuiltIn() == "" {
		return nil, foreignWorkflow(wf)
	}
	if b.Workflow != "" && (bool(b.SkipInstall) || bool(b.SkipUninstall) || bool(b.InstallFirst) || len(b.Reinstall) > 0 || bool(b.ForceReinstall)) {
		return nil, badParameters("skip_install, skip_uninstall, install_first, reinstall_list and force_reinstall say how the update installs and uninstalls; "+
			"with a workflow of one's own (workflow_id: %s) that is done by the workflow", b.Workflow)
	}
	u := &plan.Update{SkipInstall: bool(b.SkipInstall), SkipUninstall: bool(b.SkipUninstall), InstallFirst: bool(b.InstallFirst), SkipReinstall: bool(b.SkipReinstall),
		ReinstallAll: bool(b.ForceReinstall)}
	for _, id := range b.Reinstall {
		in, ok := l.instance(id)
		if !ok {
			return nil, badParameters("The following node instances (in reinstall_list) do not exist in deployment %s: %s", l.Deployment, id)
		}
		if !slices.Contains(u.Reinstall, in) {
			u.Reinstall = append(u.Reinstall, in)
		}
	}
	plain := !u.SkipInstall && !u.SkipUninstall && !u.InstallFirst && !u.SkipReinstall && !u.ReinstallAll && len(u.Reinstall) == 0
	if next.Order != topology.Cloudify && plain && b.Workflow == "" {
		return nil, nil
	}
	return u, nil
}

// corrected makes of texts what inputs are declared as: "12" is 12 where a number is asked for.
func corrected(params []*topology.Parameter, given map[string]any) {
	for _, p := range params {
		v, ok := given[p.Name].(string)
		if !ok || p.Schema == nil {
			continue
		}
		switch kind := p.Schema.Type.Name(); kind {
		case "integer", "float", "boolean":
			if x, ok := convert(v, kind); ok {
				given[p.Name] = x
			}
		}
	}
}

// changedInputs is what a deployment knows, with some inputs given anew.
type changedInputs struct {
	topology.Env
	given map[string]any
}

// Input implements topology.Env.
func (e *changedInputs) Input(name string) (any, bool) {
	if v, ok := e.given[name]; ok {
		return v, true
	}
	return e.Env.Input(name)
}

// Unwrap implements topology.Wrapper.
func (e *changedInputs) Unwrap() topology.Env { return e.Env }
