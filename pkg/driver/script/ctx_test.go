package script_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/local"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// running is a deployment as an operation's context sees it.
type running struct {
	attributes map[topology.Instance]map[string]any
}

func (r running) Input(string) (any, bool)       { return nil, false }
func (r running) Instances(node string) []string { return []string{"0"} }
func (r running) Attribute(in topology.Instance, _, name string) (any, bool) {
	v, ok := r.attributes[in][name]
	return v, ok
}
func (r running) RelationshipAttribute(topology.Instance, string, string, string) (any, bool) {
	return nil, false
}
func (r running) OperationOutput(topology.Instance, string, string, string, string) (any, bool) {
	return nil, false
}
func (r running) Secret(context.Context, []string) (secret.Value, error) {
	return secret.New("s3cret"), nil
}
func (r running) Attributes(in topology.Instance) map[string]any { return r.attributes[in] }

func literal(v any) *topology.Value { return &topology.Value{Lit: v} }

// blueprint is an operation of app, which is contained in vm.
func blueprint(t *testing.T, name, text string) *driver.Request {
	t.Helper()
	vm := &topology.Node{Name: "vm", Type: topology.Type{"cloudify.nodes.Compute", "cloudify.nodes.Root"}}
	app := &topology.Node{Name: "app", Type: topology.Type{"my.App", "cloudify.nodes.Root"}, Properties: topology.NewValues()}
	app.Properties.Set("port", literal(int64(8080)))
	app.Properties.Set("zero", literal(int64(0)))
	app.Properties.Set("on", literal(true))
	app.Properties.Set("deep", &topology.Value{Kind: topology.MapValue, Map: func() *topology.Values {
		m := topology.NewValues()
		m.Set("name", literal("a \"b\"\\qc\nd"))
		m.Set("list", &topology.Value{Kind: topology.ListValue, List: []*topology.Value{literal("x"), literal("y")}})
		return m
	}()})
	rel := &topology.Relationship{Name: "contained_in", Target: "vm", Type: topology.Type{"cloudify.relationships.contained_in", "cloudify.relationships.depends_on"}}
	app.Relationships = []*topology.Relationship{rel}
	top := &topology.Topology{Name: "bp", Dialect: "cloudify_dsl_1_3", Nodes: []*topology.Node{vm, app}, Files: fstest.MapFS{name: {Data: []byte(text)},
		"conf/app.conf": {Data: []byte("port={{ ctx.node.properties.port }} who={{ who|default('nobody') }}{% for x in ctx.node.properties.deep.list %} {{ loop.index }}{{ x }}{% endfor %}{% if nope %}no{% else %} fine{% endif %}\n")}}}
	top.Reindex()
	op := &topology.Operation{Interface: "Standard", Name: "create", Implementation: &topology.Artifact{File: name}, Retries: 3}
	env := running{map[topology.Instance]map[string]any{
		{Node: "vm", Index: "0"}:  {"ip": "10.0.0.5"},
		{Node: "app", Index: "0"}: {"old": "value", "map": map[string]any{"a": int64(1)}, "gone": "x"},
	}}
	return &driver.Request{Deployment: "d", OpID: strings.ReplaceAll(t.Name(), "/", "-"), Topology: top, Node: app, Instance: "0", Operation: op, Env: env, Attempt: 1, Workflow: "install"}
}

type performed struct {
	res    driver.Result
	err    error
	events []event.Event
}

func perform(t *testing.T, req *driver.Request) performed {
	t.Helper()
	var p performed
	r := &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}
	p.res, p.err = script.Perform(t.Context(), req, r, script.Options{}, func(e event.Event) { p.events = append(p.events, e) })
	return p
}

func (p performed) lines() (out []string) {
	for _, e := range p.events {
		if e.Type == event.Log {
			out = append(out, e.Message)
		}
	}
	return out
}

const shellScript = `#!/bin/sh -e
%PLAIN%
echo "port $(ctx node properties port) name $(ctx node properties deep.name) list $(ctx node properties 'deep.list[1]')"
echo "zero [$(ctx node properties zero)] on $(ctx node properties on) ip $(ctx instance host-ip) id $(ctx instance id) op $(ctx operation name)"
echo "old $(ctx instance runtime-properties old)"
if ctx node properties missing 2>/dev/null; then echo wrong; fi
if ctx source node id 2>/dev/null; then echo wrong; fi
ctx instance runtime-properties url "http://x:$(ctx node properties port)/?a=\"b\""
ctx instance runtime-properties map.b @'{"c": [1, 2]}'
echo "written $(ctx instance runtime-properties url)"
word() { ctx logger warning "look out"; ctx deployment id; }
echo "captured [$(word)] $(ctx workflow-id) $(ctx get-resource conf/app.conf | cksum | sed "s/$(cksum <"$ORCH_WORK/conf/app.conf")/same/")"
ctx instance runtime-properties --timeout 5 below @-5 --socket-url=x
cat "$(ctx download-resource conf/app.conf)" >/dev/null
ctx download-resource conf/app.conf "$ORCH_JOB/there" && test -s "$ORCH_JOB/there"
ctx download-resource conf/app.conf '@{"target_path": "'"$ORCH_JOB"'/there"}' && cmp "$ORCH_JOB/there" "$ORCH_WORK/conf/app.conf"
ctx download-resource conf/app.conf "$(dirname "$0")/../conf/app.conf" >/dev/null && test -s "$ORCH_WORK/conf/app.conf"
if ctx download-resource none 2>/dev/null; then echo wrong; fi
ctx returns @5
`

func TestContextOfShellScripts(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]string{"python": "", "without python": "export ORCH_CTX_PLAIN=1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := perform(t, blueprint(t, "scripts/create.sh", strings.Replace(shellScript, "%PLAIN%", plain, 1)))
			if p.err != nil {
				t.Fatal(p.err, p.lines())
			}
			want := []string{`port 8080 name a "b"\qc`, "d list y", "zero [] on True ip 10.0.0.5 id app_4tb5lz op cloudify.interfaces.lifecycle.create", "old value",
				`written http://x:8080/?a="b"`, "look out", "captured [d] install same"}
			var got []string
			for _, l := range p.lines() {
				if !strings.HasSuffix(l, "/there") {
					got = append(got, l)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(map[string]any{"url": `http://x:8080/?a="b"`, "below": int64(-5), "map": map[string]any{"a": int64(1), "b": map[string]any{"c": []any{int64(1), int64(2)}}}}, p.res.Attributes); d != "" {
				t.Error(d)
			}
			if p.res.Outputs["returns"] != "5" {
				t.Errorf("outputs %v", p.res.Outputs)
			}
			for _, e := range p.events {
				if e.Message == "look out" && e.Level != event.Warn {
					t.Errorf("level %s", e.Level)
				}
			}
		})
	}
}

const pythonScript = `from cloudify import ctx
from cloudify.state import ctx_parameters as inputs
from cloudify.exceptions import NonRecoverableError
p = ctx.node.properties
ctx.logger.info("%s %s %s", p["port"], p.deep["list"][0], ctx.instance.relationships[0].target.node.id)
ctx.instance.runtime_properties["n"] = 5
ctx.instance.runtime_properties["map"]["b"] = [True, None]
del ctx.instance.runtime_properties["gone"]
import os
ctx.download_resource("conf/app.conf", os.path.join(os.path.dirname(__file__), "..", "conf", "app.conf"))
print(open(ctx.download_resource_and_render("conf/app.conf", template_variables={"who": "me"})).read().strip())
print(inputs["word"])
if p["port"] != 8080:
    raise NonRecoverableError("no")
`

func TestContextOfPython(t *testing.T) {
	t.Parallel()
	req := blueprint(t, "scripts/create.py", pythonScript)
	req.Inputs = map[string]any{"word": "hello"}
	p := perform(t, req)
	if p.err != nil {
		t.Fatal(p.err, p.lines())
	}
	if d := cmp.Diff([]string{"8080 x vm", "port=8080 who=me 1x 2y fine", "hello"}, p.lines()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{"n": int64(5), "map": map[string]any{"a": int64(1), "b": []any{true, nil}}}, p.res.Attributes); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"gone"}, p.res.Unset); d != "" {
		t.Error(d)
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	req := blueprint(t, "x.sh", "echo \"$# $1 $2 $WORD $FLAG $NOTHING $(pwd) $LIST $NO\"")
	req.Inputs = map[string]any{"LIST": []any{"a", int64(1), map[string]any{"x": nil, "y": true}}, "NO": nil, "process": map[string]any{
		"env": map[string]any{"WORD": "two words", "FLAG": true, "NOTHING": nil}, "args": []any{"a b", int64(3)}, "cwd": "/", "command_prefix": "env LC_ALL=C"}}
	req.Variables = []driver.Variable{{Name: "LIST", Value: "compact"}, {Name: "NO"}}
	p := perform(t, req)
	if d := cmp.Diff([]string{`2 a b 3 two words true None / ["a", 1, {"x": null, "y": true}] None`}, p.lines()); p.err != nil || d != "" {
		t.Error(p.err, d)
	}
}

// Whatever a script has written before it failed, gave up or asked to be run again, is kept.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	set := "ctx instance runtime-properties n @1\n"
	for name, tt := range map[string]struct {
		file, text string
		final      bool
		retryable  bool
		after      time.Duration
		says       string
	}{
		"fails":               {"x.sh", set + "exit 3", false, false, 0, "exit code 3"},
		"aborts":              {"x.sh", set + "ctx abort-operation 'no licence'; echo on", true, false, 0, "no licence"},
		"aborts plainly":      {"x.sh", "export ORCH_CTX_PLAIN=1\n" + set + "ctx abort-operation 'no licence'; exit 0", true, false, 0, "no licence"},
		"retries":             {"x.sh", set + "ctx retry-operation 'not yet' 90", false, true, 90 * time.Second, "not yet"},
		"operation retry":     {"x.sh", "export ORCH_CTX_PLAIN=1\n" + set + "ctx operation retry 'not yet' 7", false, true, 7 * time.Second, "not yet"},
		"python aborts":       {"x.py", "from cloudify import ctx, exceptions\nctx.instance.runtime_properties['n'] = 1\nraise exceptions.NonRecoverableError('no licence')", true, false, 0, "no licence"},
		"python retries":      {"x.py", "from cloudify import ctx\nctx.instance.runtime_properties['n'] = 1\nctx.operation.retry('not yet', retry_after=4)", false, true, 4 * time.Second, "not yet"},
		"python retries hard": {"x.py", "from cloudify import ctx\nfrom cloudify.exceptions import OperationRetry\nctx.instance.runtime_properties['n'] = 1\nraise OperationRetry('not yet')", false, true, 0, "not yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := perform(t, blueprint(t, tt.file, tt.text))
			var e *driver.Error
			if !errors.As(p.err, &e) || e.Final != tt.final || e.Retryable != tt.retryable || e.RetryAfter != tt.after || !strings.Contains(e.Error(), tt.says) {
				t.Errorf("%+v", p.err)
			}
			if p.res.Attributes["n"] != int64(1) {
				t.Errorf("lost what was written: %v", p.res.Attributes)
			}
		})
	}
}

func TestContextOfRelationships(t *testing.T) {
	t.Parallel()
	req := blueprint(t, "link.sh", `#!/bin/sh -e
echo "$(ctx source node id) $(ctx source node properties port) $(ctx target instance id) $(ctx target instance runtime-properties ip)"
ctx target instance runtime-properties clients @'["app"]'
ctx source instance runtime-properties linked yes
`)
	req.Relationship = req.Node.Relationships[0]
	req.TargetInstance = "0"
	p := perform(t, req)
	if p.err != nil {
		t.Fatal(p.err, p.lines())
	}
	if d := cmp.Diff([]string{"app 8080 " + topology.InstanceID("d", topology.Instance{Node: "vm", Index: "0"}) + " 10.0.0.5"}, p.lines()); d != "" {
		t.Error(d)
	}
	vm := topology.Instance{Node: "vm", Index: "0"}
	if p.res.Attributes["linked"] != "yes" || cmp.Diff(p.res.Also[vm].Attributes, map[string]any{"clients": []any{"app"}}) != "" {
		t.Errorf("%+v", p.res)
	}
}

// The command shows values as Cloudify's does: Python's text, or JSON where it is asked for, with flags anywhere.
func TestContextShown(t *testing.T) {
	t.Parallel()
	p := perform(t, blueprint(t, "x.sh", `ctx node properties deep.list
ctx node properties deep.list -j
ctx -j node properties deep.list
ctx node properties 'deep.list[1]' -j
ctx instance runtime-properties old -- -j
ctx instance runtime-properties old
ctx logger info '%s of %s' one two
`))
	if d := cmp.Diff([]string{"['x', 'y']", `["x", "y"]`, `["x", "y"]`, `"y"`, "-j", "one of two"}, p.lines()); p.err != nil || d != "" {
		t.Error(p.err, d)
	}
}

// A script without a name or a first line that says what it is runs as the plugin would run it: by the shell, or as Python where that is said.
func TestUntoldScripts(t *testing.T) {
	t.Parallel()
	p := perform(t, blueprint(t, "scripts/untold", "echo shell $(ctx node name)\n"))
	if d := cmp.Diff([]string{"shell app"}, p.lines()); p.err != nil || d != "" {
		t.Error(p.err, d)
	}
	req := blueprint(t, "scripts/untold", "from cloudify import ctx\nctx.logger.info('python %s', ctx.node.name)\n")
	req.Operation.Inputs = topology.NewValues()
	process := topology.NewValues()
	process.Set("eval_python", literal(true))
	req.Operation.Inputs.Set("process", &topology.Value{Kind: topology.MapValue, Map: process})
	p = perform(t, req)
	if d := cmp.Diff([]string{"python app"}, p.lines()); p.err != nil || d != "" {
		t.Error(p.err, d)
	}
	req.Topology.Dialect = "tosca_simple_yaml_1_3"
	if _, err := script.NewJob(req, script.Options{}); err == nil || !strings.Contains(err.Error(), "cannot tell how to run") {
		t.Error(err)
	}
}
