package policy

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// CodeBad is the finding that a policy cannot be evaluated.
const CodeBad = "policy"

func init() {
	diag.Register(diag.Code{ID: CodeBad, Title: "A policy cannot be evaluated",
		Text: "A property of a policy has no value that can be used, or what it names does not exist. The server leaves the policy out; docs/policies.md lists the properties of each type."})
}

// The types that are evaluated, with everything derived from them.
const (
	typeHealth = "orch.policies.Health"
	typeHeal   = "orch.policies.AutoHeal"
	typeScale  = "orch.policies.AutoScale"
	// Yorc's monitoring, and what is left of Cloudify's.
	typeYorcTCP    = "yorc.policies.monitoring.TCPMonitoring"
	typeYorcHTTP   = "yorc.policies.monitoring.HTTPMonitoring"
	typeHostFailed = "cloudify.policies.types.host_failure"
	typeExecute    = "cloudify.policies.triggers.execute_workflow"
)

// Read returns the policies of a topology that can be evaluated. Others (placement, scaling groups) are left alone without a word; what is
// wrong in one leaves it out.
func Read(ctx context.Context, t *topology.Topology, env topology.Env) ([]*Policy, diag.List) {
	var out []*Policy
	var diags diag.List
	for _, p := range t.Policies {
		r := &reader{ctx: ctx, t: t, env: env, p: p, diags: &diags}
		before := len(diags)
		if pol := r.read(); pol != nil && len(diags) == before {
			out = append(out, pol)
		}
	}
	return out, diags
}

type reader struct {
	ctx   context.Context
	t     *topology.Topology
	env   topology.Env
	p     *topology.Policy
	diags *diag.List
}

func (r *reader) read() *Policy {
	p := &Policy{Name: r.p.Name, Type: r.p.Type.Name(), Pos: r.p.Pos, Period: r.duration("period", 30*time.Second), Timeout: r.duration("timeout", 5*time.Second),
		Delay: r.duration("delay", 0), Cooldown: r.duration("cooldown", 5*time.Minute)}
	seen := map[string]bool{}
	for _, name := range r.p.Targets {
		for _, n := range r.t.Members(name) {
			if !seen[n.Name] {
				seen[n.Name] = true
				p.Nodes = append(p.Nodes, n.Name)
			}
		}
	}
	p.Triggers = r.triggers()
	switch {
	case r.p.Type.Is(typeHealth):
		r.health(p)
	case r.p.Type.Is(typeYorcTCP), r.p.Type.Is(typeYorcHTTP):
		r.yorc(p)
	case r.p.Type.Is(typeHostFailed):
		r.hostFailure(p)
	case r.p.Type.Is(typeHeal):
		p.Kind, p.Grace, p.Attempts, p.Workflow = Heal, r.duration("grace", 0), r.integer("attempts", 3), r.text("workflow", "heal")
	case r.p.Type.Is(typeScale):
		r.scale(p)
	case len(p.Triggers) > 0:
		p.Kind = Watch
		r.paced(p)
	default:
		return nil
	}
	if p.Period <= 0 {
		r.bad("period", "must be more than nothing")
	}
	if len(p.Nodes) == 0 {
		r.diags.Errorf(CodeBad, r.p.Pos, "the policy %s has no targets", r.p.Name)
	}
	return p
}

// paced gives a policy of triggers the pace of the quickest; each keeps its own.
func (r *reader) paced(p *Policy) {
	own := p.Period
	for i, tr := range p.Triggers {
		if tr.Every == 0 {
			p.Triggers[i].Every = own
		}
		p.Period = min(p.Period, p.Triggers[i].Every)
	}
}

func (r *reader) health(p *Policy) {
	p.Kind, p.Failures, p.Successes = Health, max(1, r.integer("failures", 3)), max(1, r.integer("successes", 1))
	switch {
	case r.p.Type.Is("orch.policies.health.TCP"):
		p.Probe = Probe{Kind: TCP, Port: r.integer("port", 0)}
		if p.Probe.Port <= 0 {
			r.bad("port", "is needed")
		}
	case r.p.Type.Is("orch.policies.health.HTTP"):
		p.Probe = r.http(r.text("path", "/"))
	case r.p.Type.Is("orch.policies.health.Command"):
		p.Probe = Probe{Kind: Command, Command: r.text("command", "")}
	case r.p.Type.Is("orch.policies.health.Operation"):
		p.Probe = r.operation()
	default:
		r.diags.Errorf(CodeBad, r.p.Pos, "the policy %s says not how to check: its type must be one of orch.policies.health", r.p.Name)
	}
}

func (r *reader) http(path string) Probe {
	pr := Probe{Kind: HTTP, Scheme: r.text("scheme", "http"), Path: path, Port: r.integer("port", 0), Insecure: r.text("insecure", "false") == "true",
		Headers: map[string]string{}}
	if pr.Port == 0 {
		pr.Port = map[string]int{"http": 80, "https": 443}[pr.Scheme]
	}
	if m, ok := r.value("headers").(map[string]any); ok {
		for k, v := range m {
			pr.Headers[k], _ = topology.Text(v)
		}
	}
	if l, ok := r.value("status").([]any); ok {
		for _, v := range l {
			if n, ok := whole(v); ok {
				pr.Status = append(pr.Status, n)
			}
		}
	}
	if body := r.text("body", ""); body != "" {
		re, err := regexp.Compile(body)
		if err != nil {
			r.bad("body", "is no regular expression: "+err.Error())
		}
		pr.Body = re
	}
	return pr
}

func (r *reader) operation() Probe {
	name := r.text("operation", "")
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		r.bad("operation", "must be written interface.operation")
		return Probe{}
	}
	p := Probe{Kind: Operation, Interface: topology.InterfaceName(name[:i]), Operation: name[i+1:], Output: r.text("output", "VALUE")}
	for _, target := range r.p.Targets {
		for _, n := range r.t.Members(target) {
			if op := n.Operation(p.Interface, p.Operation); op == nil || op.Implementation == nil && op.Call == "" {
				r.bad("operation", n.Name+" has no operation "+name+" that does anything")
			}
		}
	}
	return p
}

// yorc reads Yorc's policies: a check from the first start on, one failure is enough.
func (r *reader) yorc(p *Policy) {
	p.Kind, p.Failures, p.Successes, p.Marks, p.Period = Health, 1, 1, true, r.duration("time_interval", 5*time.Second)
	p.Timeout = p.Period / 2
	if r.p.Type.Is(typeYorcTCP) {
		p.Probe = Probe{Kind: TCP, Port: r.integer("port", 0)}
		if p.Probe.Port <= 0 {
			r.bad("port", "is needed")
		}
		return
	}
	p.Probe = r.http(r.text("path", "/"))
	p.Probe.Follow, p.Probe.Status = true, append([]int(nil), yorcGood...)
	if m, ok := r.value("http_headers").(map[string]any); ok {
		for k, v := range m {
			p.Probe.Headers[k], _ = topology.Text(v)
		}
	}
	tls, _ := r.value("tls_client").(map[string]any)
	for key, v := range tls {
		text, _ := topology.Text(v)
		switch {
		case key == "skip_verify":
			p.Probe.Insecure = text == "true"
		case text == "":
		case key == "ca_cert" && strings.Contains(text, "-----BEGIN CERTIFICATE-----"):
			p.Probe.CA = text
		case key == "ca_cert":
			r.bad("tls_client", "must hold the authority's certificate itself as ca_cert (PEM): files of the server are not read")
		default:
			r.bad("tls_client", "can hold ca_cert and skip_verify only, not "+key)
		}
	}
}

// yorcGood are the answers that change nothing for the worse: success, and 429, which Yorc only warns of.
var yorcGood = func() (good []int) {
	for code := 200; code < 300; code++ {
		good = append(good, code)
	}
	return append(good, http.StatusTooManyRequests)
}()

// hostFailure is Cloudify's policy for hosts that do not answer any more: a health check of their SSH port that heals, if its trigger runs heal.
func (r *reader) hostFailure(p *Policy) {
	p.Kind, p.Failures, p.Successes = Health, 3, 1
	p.Probe = Probe{Kind: TCP, Port: 22}
	p.Cooldown = r.duration("interval_between_workflows", 5*time.Minute)
	p.Triggers = nil
	for _, t := range r.p.Triggers {
		params, _ := topology.Plain(t.Condition).(map[string]any)
		if workflow, _ := params["workflow"].(string); t.Event == typeExecute && workflow != "" {
			p.Triggers = append(p.Triggers, Trigger{Name: t.Name, Pos: t.Pos, Evaluations: 1, Condition: unhealthy(),
				Actions: []topology.Activity{{Kind: topology.ActivityInline, Name: workflow, Pos: t.Pos}}})
		}
	}
}

// unhealthy is the condition that an instance's health is so.
func unhealthy() *topology.Value {
	m := topology.NewValues()
	m.Set("health", topology.Lit("unhealthy"))
	return &topology.Value{Kind: topology.MapValue, Map: m}
}

func (r *reader) scale(p *Policy) {
	p.Kind, p.Evaluations, p.Step = Scale, max(1, r.integer("evaluations", 3)), max(1, r.integer("step", 1))
	p.Min, p.Max, p.Aggregate, p.Metric = r.integer("min_instances", 0), r.integer("max_instances", 0), r.text("aggregate", "avg"), r.text("metric", "metric")
	p.Above, p.Below = r.number("scale_out_above"), r.number("scale_in_below")
	if p.Above == nil && p.Below == nil {
		r.bad("scale_out_above", "or scale_in_below is needed")
	}
	if p.Above != nil && p.Below != nil && *p.Below >= *p.Above {
		r.bad("scale_in_below", "must be less than scale_out_above")
	}
	if p.Max > 0 && p.Max < p.Min {
		r.bad("max_instances", "must not be less than min_instances")
	}
	path := r.text("url_path", "")
	switch {
	case r.text("command", "") != "":
		p.Probe = Probe{Kind: Command, Command: r.text("command", "")}
	case r.text("operation", "") != "":
		p.Probe = r.operation()
	case path != "":
		p.Probe = r.http(path)
	default:
		r.bad("command", "is needed, or operation or url_path: where does the metric come from?")
	}
	p.Probe.Value = r.text("value", "")
	if len(p.Nodes) > 0 && p.Above != nil && p.Max == 0 && !Scalable(r.t.ScaleRoot(r.t.NodeNamed(p.Nodes[0]))) {
		r.bad("max_instances", "is needed: the node has no Scalable capability that bounds it")
	}
}

// Scalable reports whether a node's number of instances is bounded by a capability.
func Scalable(n *topology.Node) bool {
	return slices.ContainsFunc(n.Capabilities, func(c *topology.Capability) bool { return c.Type.Is("tosca.capabilities.Scalable") })
}

// triggers with actions that can be run. A condition may stand for itself, or (TOSCA 1.3) below "constraint" with period and evaluations.
func (r *reader) triggers() (out []Trigger) {
	for _, t := range r.p.Triggers {
		if len(t.Actions) == 0 {
			continue
		}
		tr := Trigger{Name: t.Name, Condition: t.Condition, Evaluations: 1, Actions: t.Actions, Pos: t.Pos}
		if c := t.Condition; c != nil && c.Kind == topology.MapValue && c.Map.Get("constraint") != nil {
			tr.Condition = c.Map.Get("constraint")
			if n, ok := whole(r.eval(c.Map.Get("evaluations"))); ok {
				tr.Evaluations = max(1, n)
			}
			if period := r.eval(c.Map.Get("period")); period != nil { // so many evaluations fall into it (TOSCA 1.3 §3.6.20)
				if tr.Every = r.asDuration("triggers."+t.Name+".condition.period", period, time.Second) / time.Duration(tr.Evaluations); tr.Every <= 0 {
					r.bad("triggers", "say a period that is more than nothing")
				}
			}
		}
		tr.Nodes = r.filtered(t)
		if t.Schedule != nil && t.Schedule.Kind == topology.MapValue {
			tr.Begin, tr.End = r.moment(t.Schedule.Map.Get("start_time")), r.moment(t.Schedule.Map.Get("end_time"))
		}
		out = append(out, tr)
	}
	return out
}

// filtered are the nodes of a trigger's target_filter: a template, a group, or all of a type.
func (r *reader) filtered(t *topology.Trigger) (names []string) {
	if t.Target == "" {
		return nil
	}
	for _, n := range r.t.Members(t.Target) {
		names = append(names, n.Name)
	}
	for _, n := range r.t.Nodes {
		if n.Type.Is(t.Target) && !slices.Contains(names, n.Name) {
			names = append(names, n.Name)
		}
	}
	if len(names) == 0 {
		r.diags.Errorf(CodeBad, t.Pos, "the policy %s: the target_filter of the trigger %s is neither a node, a group nor a type that nodes have: %s", r.p.Name, t.Name, t.Target)
	}
	return names
}

func (r *reader) moment(v *topology.Value) time.Time {
	text, _ := topology.Text(r.eval(v))
	at, err := topology.ParseTimestamp(text)
	if text != "" && err != nil {
		r.diags.Errorf(CodeBad, r.p.Pos, "the policy %s: %q is no time", r.p.Name, text)
	}
	return at
}
