package resolve

import (
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// delegated are the parts of the life cycle that a step can hand a single node to, inlined the built-in workflows that can be a part of another.
var (
	delegated = []string{"install", "deploy", "uninstall", "undeploy", "start", "stop", "restart", "run", "cancel"}
	inlined   = append(slices.Clone(delegated), "check")
)

// hasWorkflow reports whether an inline activity can name it; triggers have further ones.
func (r *resolver) hasWorkflow(name string, further ...string) bool {
	return r.declaredWorkflow(name) != nil || slices.Contains(inlined, name) || slices.Contains(further, name)
}

func (r *resolver) declaredWorkflow(name string) *document.Workflow {
	if t := r.in.Root.Doc.Topology; t != nil {
		for _, w := range t.Workflows {
			if w.Name.Text == name {
				return w
			}
		}
	}
	return nil
}

func (r *resolver) workflowNames() (names []string) {
	if t := r.in.Root.Doc.Topology; t != nil {
		for _, w := range t.Workflows {
			names = append(names, w.Name.Text)
		}
	}
	return names
}

// notAPart are built-in workflows that only stand alone, and why.
var notAPart = map[string]string{
	"heal":        "which instances are healed is known only when it is asked for: orch heal, or a policy (orch.policies.AutoHeal)",
	"scale":       "it needs the node's new number of instances: orch scale, or a policy (orch.policies.AutoScale)",
	"pre_update":  "it runs before an update, if it is declared",
	"post_update": "it runs after an update, if it is declared",
}

func (r *resolver) unknownWorkflow(a *document.Activity) {
	if why := notAPart[a.Target.Text]; why != "" {
		r.errorf("unknown-workflow", a.Target.Pos, a.Path, "%s cannot be a part of a workflow", a.Target.Text).Hint = why
		return
	}
	names := append(r.workflowNames(), inlined...)
	d := r.errorf("unknown-workflow", a.Target.Pos, a.Path, "there is no workflow %q", a.Target.Text)
	if d.Hint = diag.Suggest(a.Target.Text, names); d.Hint == "" {
		d.Hint = hintList("there are", names)
	}
}

// checkDelegate reports a delegate of a step that names no part of the life cycle.
func (r *resolver) checkDelegate(a *document.Activity) {
	if slices.Contains(delegated, a.Target.Text) {
		return
	}
	d := r.errorf("unknown-delegate", a.Target.Pos, a.Path, "a node cannot be delegated to %q", a.Target.Text)
	switch {
	case r.declaredWorkflow(a.Target.Text) != nil:
		d.Hint = "it is a workflow of this topology: inline runs it"
	case notAPart[a.Target.Text] != "":
		d.Hint = notAPart[a.Target.Text]
	default:
		if d.Hint = diag.Suggest(a.Target.Text, delegated); d.Hint == "" {
			d.Hint = hintList("known are", delegated)
		}
	}
}

// checkInline reports inputs that an inline activity gives and the workflow has not, and those that it needs and nobody gives: the workflow
// around hands on its own inputs of the same name.
func (r *resolver) checkInline(around *document.Workflow, a *document.Activity) {
	w := r.declaredWorkflow(a.Target.Text)
	if w == nil {
		if len(a.Inputs) > 0 {
			r.errorf("unknown-input", a.Inputs[0].Name.Pos, a.Path+".inputs", "the workflow %s has no inputs", a.Target.Text)
		}
		return
	}
	given := map[string]bool{}
	for _, in := range around.Inputs {
		given[in.Name.Text] = true
	}
	var names []string
	for _, in := range w.Inputs {
		names = append(names, in.Name.Text)
	}
	for _, in := range a.Inputs {
		given[in.Name.Text] = true
		if !slices.Contains(names, in.Name.Text) {
			d := r.errorf("unknown-input", in.Name.Pos, a.Path+".inputs", "the workflow %s has no input %q", w.Name.Text, in.Name.Text)
			if d.Hint = diag.Suggest(in.Name.Text, names); d.Hint == "" {
				d.Hint = hintList("it has", names)
			}
		}
	}
	for _, in := range w.Inputs {
		in = expandShort(in, false)
		if given[in.Name.Text] || in.Required != nil && !*in.Required || !in.Default.IsNull() || !in.Value.IsNull() {
			continue
		}
		d := r.errorf("missing-input", a.Target.Pos, a.Path, "the workflow %s needs the input %q", w.Name.Text, in.Name.Text)
		d.Hint = "give it under inputs of inline"
		d.Related = []diag.Related{{Pos: in.Name.Pos, Message: "declared here, required and without a value"}}
	}
}

// hostWords are what operation_host says beside names of nodes and groups.
var hostWords = []string{"SELF", "HOST", "SOURCE", "TARGET", "ORCHESTRATOR", "LOCALHOST"}

// checkHost reports an operation_host that is nothing: the operation would run on the orchestrator.
func (r *resolver) checkHost(host document.Name, docPath string) bool {
	if host.IsZero() || host.Text == "" || slices.Contains(hostWords, strings.ToUpper(host.Text)) || r.byName[host.Text] != nil || r.groups[host.Text] != nil {
		return true
	}
	d := r.errorf("unknown-node", host.Pos, docPath, "the operation_host %q is neither a node template nor a group", host.Text)
	words := hostWords[:5]
	if d.Hint = diag.Suggest(host.Text, slices.Concat(r.top.NodeNames(), slices.Sorted(maps.Keys(r.groups)), words)); d.Hint == "" {
		d.Hint = "write " + strings.Join(words[:4], ", ") + ", " + words[4] + " or the name of a node"
	}
	return false
}

// stepHost checks where a step's operations run.
func (r *resolver) stepHost(def *document.Step) {
	ends := strings.EqualFold(def.Host.Text, "SOURCE") || strings.EqualFold(def.Host.Text, "TARGET")
	if r.checkHost(def.Host, def.Path+".operation_host") && ends && def.Relationship.IsZero() {
		r.warnf("operation-host", def.Host.Pos, def.Path+".operation_host", "%s is an end of a relationship, and the step has none", def.Host.Text).Hint =
			"name it with target_relationship; the operation runs on the node's own host"
	}
}

// operationHosts checks where operations of nodes and relationships say that they run; what types say is named once.
func (r *resolver) operationHosts() {
	seen := map[diag.Pos]bool{}
	check := func(in []*topology.Interface, docPath string) {
		for _, i := range in {
			for _, o := range i.Operations {
				if o.Implementation != nil && !seen[o.Pos] {
					seen[o.Pos] = true
					r.checkHost(document.Name{Text: o.Host, Pos: o.Pos}, docPath)
				}
			}
		}
	}
	for _, n := range r.list {
		check(n.Interfaces, n.def.Path+".interfaces")
		for _, rel := range n.Relationships {
			check(rel.Interfaces, n.def.Path+".requirements")
		}
	}
}
