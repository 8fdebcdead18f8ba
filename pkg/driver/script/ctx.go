package script

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// Scripts of Cloudify's blueprints read and write their instance through ctx: a command for shell scripts and a Python package. Both work on
// the host alone, from what is in their environment, so that an operation goes on without a connection like any other. What they write comes
// back with the outcome.

//go:embed ctx/ctx.sh
var ctxShell string

//go:embed ctx/ctx.py
var ctxPython string

// hasContext reports whether the operation's scripts expect ctx.
func hasContext(t *topology.Topology) bool {
	return t != nil && strings.HasPrefix(t.Dialect, "cloudify_dsl_")
}

const ctxDir = ".orch-ctx"

// maxContextPart bounds one variable of the context in bytes; a longer context has several.
const maxContextPart = 100 << 10

// giveContext adds ctx to a job: the command, the package, the resources of the blueprint, and the context itself.
func (j *Job) giveContext(ctx context.Context, req *driver.Request) error {
	parts, err := contextOf(ctx, req)
	if err != nil {
		return err
	}
	text, err := contextText(parts)
	if err != nil {
		return err
	}
	j.units = append(j.units, textUnit(ctxDir+"/bin/ctx", ctxShell), textUnit(ctxDir+"/python/cloudify/__init__.py", ctxPython))
	resources, err := knownOf(req.Topology).resources()
	if err != nil {
		return fmt.Errorf("the blueprint's resources: %w", err)
	}
	j.units = append(j.units, resources...)
	j.tidy()
	inputs := parts["inputs"].(map[string]any)
	j.vars = asPlugin(j.vars, inputs)
	if p, ok := inputs["process"].(map[string]any); ok {
		j.process(p)
	}
	j.context, j.login = true, false // a login shell would set PATH anew
	j.settings = append(j.settings, setting{name: "PATH", value: ctxDir + "/bin", path: true, before: true},
		setting{name: "PYTHONPATH", value: ctxDir + "/python", path: true, before: true})
	for i := 0; text != ""; i++ {
		name := "ORCH_CTX"
		if i > 0 {
			name += "_" + strconv.Itoa(i)
		}
		n := min(maxContextPart, len(text))
		j.vars = append(slices.Clip(j.vars), driver.Variable{Name: name, Value: text[:n]})
		text = text[n:]
	}
	return nil
}

// evaluated reports whether the script plugin is told that a script is Python, whatever its name.
func evaluated(op *topology.Operation) bool {
	p := op.Inputs.Get("process")
	if p == nil || p.Kind != topology.MapValue {
		return false
	}
	v := p.Map.Get("eval_python")
	return v != nil && v.Lit == true
}

// process is the script plugin's input of that name: env, args, cwd and command_prefix.
func (j *Job) process(p map[string]any) {
	env, _ := p["env"].(map[string]any)
	for _, k := range sortedKeys(env) {
		j.vars = append(slices.Clip(j.vars), driver.Variable{Name: k, Value: asEnvironment(env[k])})
	}
	if args, ok := p["args"].([]any); ok && len(args) > 0 {
		words := make([]string, len(args))
		for i, a := range args {
			words[i] = asEnvironment(a)
		}
		j.extra += "; set -- \"$@\" " + QuoteAll(words)
	}
	if prefix, ok := p["command_prefix"].(string); ok && strings.TrimSpace(prefix) != "" {
		j.extra += "; set -- " + QuoteAll(strings.Fields(prefix)) + " \"$@\""
	}
	if dir, ok := p["cwd"].(string); ok && dir != "" {
		j.extra += "; cd " + Quote(dir) + " || exit 125"
	}
}

// asPlugin gives the variables of inputs the text that they have with Cloudify's script plugin.
func asPlugin(vars []driver.Variable, inputs map[string]any) []driver.Variable {
	out := slices.Clone(vars)
	for i, v := range out {
		switch x, ok := inputs[v.Name]; x.(type) {
		case nil:
			if ok {
				out[i].Value = asEnvironment(nil)
			}
		case []any, map[string]any:
			out[i].Value = asEnvironment(x)
		}
	}
	return out
}

// asEnvironment is a value as Cloudify's script plugin gives it to a script: JSON for maps, lists and booleans, Python's text for the others.
func asEnvironment(v any) string {
	switch t := v.(type) {
	case nil:
		return "None"
	case string:
		return t
	}
	return spaced(v)
}

// spaced is JSON with blanks where Python's has them: scripts take it apart as text.
func spaced(v any) string {
	var items []string
	switch t := v.(type) {
	case []any:
		for _, x := range t {
			items = append(items, spaced(x))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		for _, k := range sortedKeys(t) {
			items = append(items, spaced(k)+": "+spaced(t[k]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	s, _ := compact(v)
	return s
}

// contextText renders the context: its parts whole ("=node<tab>JSON"), and every single value by its path for hosts without Python.
func contextText(parts map[string]any) (string, error) {
	var b strings.Builder
	for _, k := range sortedKeys(parts) {
		line, err := compact(parts[k])
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "=%s\t%s\n", k, line)
		if k != "inputs" {
			flatten(&b, k, parts[k])
		}
	}
	return b.String(), nil
}

func compact(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("the operation's context: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func flatten(b *strings.Builder, path string, v any) {
	switch t := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(t) {
			flatten(b, path+"."+k, t[k])
		}
	case []any:
		for i, x := range t {
			flatten(b, path+"["+strconv.Itoa(i)+"]", x)
		}
	default:
		if line, err := compact(v); err == nil && !strings.ContainsAny(path, "\n\t") {
			fmt.Fprintf(b, "%s\t%s\n", path, line)
		}
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// viewer evaluates for a context. Running instances of Cloudify have properties that no type declares; environments that know them all say so.
type viewer struct {
	ctx context.Context
	req *driver.Request
}

// attributes is what an Env may also have: every attribute of an instance.
type attributes interface {
	Attributes(in topology.Instance) map[string]any
}

func contextOf(ctx context.Context, req *driver.Request) (map[string]any, error) {
	v := viewer{ctx, req}
	parts := map[string]any{
		"deployment": map[string]any{"id": req.Called()}, "blueprint": map[string]any{"id": req.Topology.Name}, "execution_id": executionID(req.Task), "workflow_id": req.Workflow,
		"tenant_name": cmp.Or(req.Tenant, "default_tenant"), "bootstrap_context": map[string]any{}, "capabilities": map[string]any{},
		"operation": map[string]any{"name": topology.CloudifyInterface(req.Operation.Interface) + "." + req.Operation.Name, "retry_number": max(0, req.Attempt-1), "max_retries": req.Operation.Retries},
	}
	inputs := map[string]any{}
	for name, x := range req.Inputs {
		inputs[name] = driver.Reveal(x)
	}
	parts["inputs"] = inputs
	if req.Relationship == nil {
		parts["node"], parts["instance"] = v.node(req.Node), v.instance(req.ID(), true)
		return parts, nil
	}
	target := req.Topology.NodeNamed(req.Relationship.Target)
	if target == nil {
		return nil, fmt.Errorf("the topology has no node %q", req.Relationship.Target)
	}
	parts["source"] = map[string]any{"node": v.node(req.Node), "instance": v.instance(req.ID(), true)}
	parts["target"] = map[string]any{"node": v.node(target), "instance": v.instance(targetOf(req), true)}
	return parts, nil
}

// executionID is a task's id as Cloudify's REST API shows it: the same 128 bits as a UUID.
func executionID(task string) string {
	id, err := ulid.ParseStrict(task)
	if err != nil {
		return task
	}
	h := hex.EncodeToString(id[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}

// targetOf is the instance at the other end of a relationship's operation; where it is about all of them, the first.
func targetOf(req *driver.Request) topology.Instance {
	in := topology.Instance{Node: req.Relationship.Target, Index: req.TargetInstance}
	if in.Index == "" {
		if all := req.Env.Instances(in.Node); len(all) > 0 {
			in.Index = all[0]
		}
	}
	return in
}

// eval is the plain value of an expression; what is not known is nil.
func (v viewer) eval(sc topology.Scope, x *topology.Value) any {
	r, err := topology.Eval(v.ctx, sc, x, v.req.Env)
	if err != nil {
		return nil
	}
	return driver.Reveal(r)
}

func (v viewer) node(n *topology.Node) map[string]any {
	properties := map[string]any{}
	for name, x := range n.Properties.All() {
		properties[name] = v.eval(topology.Scope{Topology: v.req.Topology, Node: n, Instance: v.req.Instance}, x)
	}
	hierarchy := []any{}
	for _, t := range slices.Backward(n.Type) {
		hierarchy = append(hierarchy, t)
	}
	return map[string]any{"id": n.Name, "name": n.Name, "type": n.Type.Name(), "type_hierarchy": hierarchy, "properties": properties}
}

func (v viewer) instance(in topology.Instance, related bool) map[string]any {
	index, _ := strconv.Atoi(in.Index)
	out := map[string]any{"id": topology.InstanceID(v.req.Called(), in), "index": index + 1, "runtime_properties": v.runtime(in), "host_ip": v.hostIP(in), "relationships": []any{}}
	n := v.req.Topology.NodeNamed(in.Node)
	if n == nil || !related {
		return out
	}
	rels := []any{}
	for _, r := range n.Relationships {
		t := v.req.Topology.NodeNamed(r.Target)
		if t == nil {
			continue
		}
		hierarchy := []any{}
		for _, x := range slices.Backward(r.Type) {
			hierarchy = append(hierarchy, x)
		}
		for _, i := range v.req.Env.Instances(r.Target) {
			rels = append(rels, map[string]any{"type": r.Type.Name(), "type_hierarchy": hierarchy,
				"target": map[string]any{"node": v.node(t), "instance": v.instance(topology.Instance{Node: r.Target, Index: i}, false)}})
		}
	}
	out["relationships"] = rels
	return out
}

// runtime are the runtime properties of an instance: its attributes.
func (v viewer) runtime(in topology.Instance) map[string]any {
	out := map[string]any{}
	if all, ok := v.req.Env.(attributes); ok {
		for k, x := range all.Attributes(in) {
			out[k] = driver.Reveal(x)
		}
	}
	if n := v.req.Topology.NodeNamed(in.Node); n != nil {
		for name := range n.Attributes.All() {
			if x, ok := v.req.Env.Attribute(in, "", name); ok && x != nil {
				out[name] = driver.Reveal(x)
			}
		}
	}
	return out
}

// hostIP is the address of the server that an instance is on.
func (v viewer) hostIP(in topology.Instance) any {
	for range len(v.req.Topology.Nodes) + 1 {
		for _, name := range []string{"ip", "private_address", "ip_address", "public_address"} {
			if x, ok := v.req.Env.Attribute(in, "", name); ok && x != nil && x != "" {
				return driver.Reveal(x)
			}
		}
		n := v.req.Topology.NodeNamed(in.Node)
		if n == nil || n.Host() == "" {
			break
		}
		in = topology.Instance{Node: n.Host(), Index: in.Index}
		if !slices.Contains(v.req.Env.Instances(in.Node), in.Index) {
			in.Index = "0"
		}
	}
	if h := v.req.Host; h != nil && len(h.Addresses) > 0 {
		return h.Addresses[0]
	}
	return nil
}

// wrote is one line of what ctx has written.
type wrote struct {
	Set     *string  `json:"set"`
	Delete  *string  `json:"delete"`
	Retry   *string  `json:"retry"`
	Abort   *string  `json:"abort"`
	After   *float64 `json:"after"`
	Value   any      `json:"value"`
	Returns *any     `json:"returns"`
}

var runtimePath = regexp.MustCompile(`^((?:source\.|target\.)?instance)\.runtime_properties\.(.+)$`)

// takeContext turns what ctx has written into the result: changed attributes of the instance and of the relationship's other end. The error is
// what the script has asked for by retry-operation or abort-operation.
func takeContext(req *driver.Request, host string, text []byte, res *driver.Result) error {
	v := viewer{context.Background(), req}
	now := map[topology.Instance]map[string]any{}
	changed := map[topology.Instance]*driver.Result{}
	var ended *driver.Error
	for line := range strings.Lines(string(text)) {
		var w wrote
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&w); err != nil {
			continue // cut off by a kill
		}
		switch {
		case w.Abort != nil:
			ended = &driver.Error{Op: OpName(req), Host: host, ExitCode: -1, Final: true, Err: fmt.Errorf("the script has given up: %s", *w.Abort)}
		case w.Retry != nil:
			ended = &driver.Error{Op: OpName(req), Host: host, ExitCode: 1, Retryable: true, Err: fmt.Errorf("the script asks to be run again: %s", *w.Retry)}
			if w.After != nil && *w.After > 0 {
				ended.RetryAfter = time.Duration(*w.After * float64(time.Second))
			}
		case w.Returns != nil:
			if res.Outputs == nil {
				res.Outputs = map[string]string{}
			}
			res.Outputs["returns"] = textOf(*w.Returns)
		case w.Set != nil || w.Delete != nil:
			change(v, now, changed, w)
		}
	}
	for in, c := range changed {
		if in == req.ID() {
			res.Attributes, res.Unset = c.Attributes, c.Unset
			continue
		}
		if res.Also == nil {
			res.Also = map[topology.Instance]driver.Result{}
		}
		res.Also[in] = *c
	}
	if ended != nil {
		return ended
	}
	return nil
}

func textOf(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	s, _ := compact(v)
	return s
}

func change(v viewer, now map[topology.Instance]map[string]any, changed map[topology.Instance]*driver.Result, w wrote) {
	where := w.Set
	if where == nil {
		where = w.Delete
	}
	m := runtimePath.FindStringSubmatch(*where)
	if m == nil {
		return
	}
	in := v.req.ID()
	if m[1] == "target.instance" && v.req.Relationship != nil {
		in = targetOf(v.req)
	}
	if now[in] == nil {
		now[in], changed[in] = v.runtime(in), &driver.Result{Attributes: map[string]any{}}
	}
	keys := pathKeys(m[2])
	if len(keys) == 0 {
		return
	}
	c := changed[in]
	if w.Delete != nil {
		delete(now[in], m[2])
		delete(c.Attributes, m[2])
		c.Unset = append(c.Unset, m[2])
		return
	}
	now[in] = setPath(now[in], keys, source.Numbers(w.Value)).(map[string]any)
	if top, ok := keys[0].(string); ok {
		c.Attributes[top] = now[in][top]
		c.Unset = slices.DeleteFunc(c.Unset, func(name string) bool { return name == top })
	}
}

var indexes = regexp.MustCompile(`\[(\d+)\]`)

// pathKeys splits a.b[3].c into its keys (string) and indexes (int).
func pathKeys(path string) (keys []any) {
	for _, word := range strings.Split(path, ".") {
		name, _, _ := strings.Cut(word, "[")
		if name != "" {
			keys = append(keys, name)
		}
		for _, m := range indexes.FindAllStringSubmatch(word, -1) {
			n, _ := strconv.Atoi(m[1])
			keys = append(keys, n)
		}
	}
	return keys
}

// setPath sets a value in nested maps and lists, making the maps on the way; an index beyond a list appends.
func setPath(at any, keys []any, value any) any {
	if len(keys) == 0 {
		return value
	}
	switch k := keys[0].(type) {
	case int:
		l, _ := at.([]any)
		l = slices.Clone(l)
		if k >= len(l) {
			return append(l, setPath(nil, keys[1:], value))
		}
		l[k] = setPath(l[k], keys[1:], value)
		return l
	case string:
		m, ok := at.(map[string]any)
		out := map[string]any{}
		if ok {
			for n, x := range m {
				out[n] = x
			}
		}
		out[k] = setPath(out[k], keys[1:], value)
		return out
	}
	return at
}
