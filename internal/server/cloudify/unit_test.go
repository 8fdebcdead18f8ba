package cloudify

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

func TestLike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, pattern string
		want          bool
	}{
		{"Task started 'x'", "%STARTED%", true}, {"abc", "abc", true}, {"abc", "ab", false}, {"abc", "a_c", true}, {"abc", "%", true}, {"", "", true}, {"", "%", true},
		{"", "_", false}, {"a%c", `a\%c`, true}, {"abc", `a\%c`, false}, {"aXbXc", "a%b%c", true}, {"aXbX", "a%b%c", false}, {"aaa", "%a", true}, {"über", "Ü%", true},
	} {
		if got := like(c.text, c.pattern); got != c.want {
			t.Errorf("like(%q, %q) = %v", c.text, c.pattern, got)
		}
	}
	// Quadratic at worst.
	if like(strings.Repeat("a", 20000), strings.Repeat("%a", 500)+"%b") {
		t.Error("matched")
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{`true`: true, `false`: false, `"true"`: true, `"False"`: false, `"false"`: false, `null`: false, `1`: true, `0`: false, `""`: false, `"yes"`: true} {
		var f flag
		if err := json.Unmarshal([]byte(text), &f); err != nil || bool(f) != want {
			t.Errorf("%s: %v, %v", text, f, err)
		}
	}
	for _, text := range []string{`"perhaps"`, `{}`, `[]`} {
		var f flag
		if err := json.Unmarshal([]byte(text), &f); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestWishedLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want wishedLabels
		bad  bool
	}{
		{`[]`, wishedLabels{}, false},
		{`[{"K": "v"}]`, wishedLabels{{"k", "v"}}, false},
		{`[{"k": ["v", "w"]}]`, wishedLabels{{"k", "v"}, {"k", "w"}}, false},
		{`[{"key": "k", "value": "v", "created_at": null}]`, wishedLabels{{"k", "v"}}, false},
		{`[{"csys-obj-type": "x"}]`, wishedLabels{{"csys-obj-type", "x"}}, false},
		{`[{"csys-mine": "x"}]`, nil, true}, {`[{"a": 1}]`, nil, true}, {`{"a": "b"}`, nil, true}, {`[{"a": "b", "c": "d"}]`, nil, true}, {`[{"a/b": "c"}]`, nil, true}, {`[{"a": ""}]`, nil, true},
	} {
		var got wishedLabels
		err := json.Unmarshal([]byte(c.text), &got)
		if (err != nil) != c.bad || !c.bad && !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.text, got, err)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	const task = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	x := executionID(task)
	if len(x) != 36 || strings.Count(x, "-") != 4 {
		t.Errorf("execution %s", x)
	}
	if back, ok := taskID(x); !ok || back != task {
		t.Errorf("back to %s", back)
	}
	if same, ok := taskID(task); !ok || same != task {
		t.Errorf("a task's own id: %s", same)
	}
	for _, s := range []string{"", "x", "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz"} {
		if _, ok := taskID(s); ok {
			t.Errorf("%q is an id", s)
		}
	}
	a, b := instanceID("d", topology.Instance{Node: "app", Index: "0"}), instanceID("e", topology.Instance{Node: "app", Index: "0"})
	if a == b || !strings.HasPrefix(a, "app_") || len(a) != len("app_1r8qc4") {
		t.Errorf("%s, %s", a, b)
	}
}

// TestFernet: what is encrypted under a passphrase is read with it only.
func TestFernet(t *testing.T) {
	t.Parallel()
	token, err := encrypt([]byte("geheim"), "a long phrase", time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	// made with Python's cryptography, as Cloudify Manager does
	const theirs = "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD2WmQd1MEu8gxQP6FxzNcH-9OTSBYUvXyHJmsqfXak1duKxGl3pd5ALMxO4vxSKpuw=="
	if plain, err := decrypt(theirs, "a long phrase"); err != nil || string(plain) != "geheim" {
		t.Errorf("theirs: %q, %v", plain, err)
	}
	if plain, err := decrypt(token, "a long phrase"); err != nil || string(plain) != "geheim" {
		t.Errorf("%q, %v", plain, err)
	}
	for _, bad := range []string{"", "AAAA", token[:len(token)-4], "B" + token[1:]} {
		if _, err := decrypt(bad, "a long phrase"); err == nil {
			t.Errorf("%q was decrypted", bad)
		}
	}
	if _, err := decrypt(token, "another phrase"); err == nil {
		t.Error("decrypted with another phrase")
	}
}

func TestRetriesAreMarked(t *testing.T) {
	t.Parallel()
	tr := newTranslator("d")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var got []string
	for i, status := range []string{"doing", "waiting", "doing", "failed"} {
		typ, message := event.StepStatus, "no"
		if status == "waiting" {
			typ, message = event.Waiting, "waiting for another attempt in 2s: no"
		}
		for _, d := range tr.translate(event.Event{Seq: uint64(i + 1), Time: at.Add(-time.Duration(i) * time.Second), Type: typ, Task: "t", Step: "a[0].create", Node: "a", Instance: "0",
			Interface: "Standard", Operation: "create", Status: status, Message: message}) {
			got = append(got, *d.EventType+": "+d.Message)
			if d.Timestamp != "2026-01-02T03:04:05.000Z" {
				t.Errorf("the time went back: %s", d.Timestamp)
			}
		}
	}
	want := []string{
		"sending_task: Sending task 'script_runner.tasks.run'", "task_started: Task started 'script_runner.tasks.run'", "task_rescheduled: Task rescheduled 'script_runner.tasks.run' -> another attempt in 2s: no",
		"sending_task: Sending task 'script_runner.tasks.run' [retry 1]", "task_started: Task started 'script_runner.tasks.run' [retry 1]", "task_failed: Task failed 'script_runner.tasks.run' -> no [retry 1]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	failed := tr.translate(event.Event{Seq: 9, Time: at, Type: event.TaskStatus, Task: "t", Workflow: "install", Status: "failed"})
	if len(failed) != 1 || failed[0].Message != "'install' workflow execution failed: Task failed: a[0].create: no" {
		t.Errorf("%+v", failed)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"_size=1&_offset=2&_sort=-id&_include=id,state", "id=a&id=b&_search=x", "_sort=label:a", "_size=-1", "_range=@timestamp,2020-01-01,&type=cloudify_event&message=%25x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		defer bounded.Input(t)()
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		l := listing{size: defaultSize, equal: map[string][]string{}}
		if l.page(v) == nil && (l.size < 0 || l.offset < 0) {
			t.Errorf("%q: a page of %d from %d", raw, l.size, l.offset)
		}
		_, _ = includes[deploymentDocument](v)
		e := eventQuery{of: map[string][]string{"type": v["type"]}}
		_, _ = e.types(), e.sorting(v)
		for _, r := range v["_range"] {
			_ = e.span(r)
		}
		for _, m := range v["message"] {
			like("Task started 'script_runner.tasks.run'", m)
		}
	})
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{`{"deployment_id":"d","workflow_id":"install","parameters":null,"force":"false"}`, `{"labels":[{"a":["b"]}],"inputs":{"a":1e400}}`, `{"filter_rules":[{"key":"a","values":[],"operator":"is_null","type":"label"}]}`,
		`{"secrets_list":[{"key":"a","value":"b","encrypted":true}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var start startRequest
		if decode(data, &start) == nil {
			for name, b := range builtins {
				if p, err := b.checkParameters(name, jsonbody.PlainMap(start.Parameters), bool(start.AllowCustom)); err == nil {
					_ = masked(p)
				}
			}
		}
		var create createRequest
		if decode(data, &create) == nil {
			jsonbody.PlainMap(create.Inputs)
		}
		var search searchBody
		if decode(data, &search) == nil {
			for _, r := range search.Rules {
				_ = r.check(attributes["deployments"])
				_ = r.holds(deploymentDocument{})
			}
			_ = (&listing{equal: map[string][]string{}}).constrain("deployments", search.Constraints)
		}
		var up uploadParams
		_ = decode(data, &up)
		var upd updateRequest
		_ = decode(data, &upd)
		var sec secretBody
		if decode(data, &sec) == nil {
			_, _, _ = sec.bytes()
		}
	})
}

func FuzzArchives(f *testing.F) {
	f.Add(tarball(f, "blueprint", shop), "blueprint.yaml")
	f.Add(wagon(f, map[string]string{"plugin.yaml": shopPlugin}), "..%2f")
	f.Fuzz(func(t *testing.T, data []byte, main string) {
		defer bounded.Input(t)()
		if len(data) > 1<<16 {
			return
		}
		_, _, _ = readPlugin(bytes.NewReader(data))
		if b, err := openBlueprint("x", main, bytes.NewReader(data)); err == nil && b.FS == nil {
			t.Error("neither a blueprint nor an error")
		}
	})
}

func FuzzFernet(f *testing.F) {
	token, _ := encrypt([]byte("geheim"), "a long phrase", time.Unix(1_700_000_000, 0))
	f.Add(token)
	sign, crypt, err := fernetKey("a long phrase")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		defer bounded.Input(t)()
		_, _ = decryptWith(text, sign, crypt)
	})
}

// What a blueprint maps to one of Cloudify's own workflows can be started, what it maps to other code cannot.
func TestWorkflowsThatRun(t *testing.T) {
	all := workflowsOf(&topology.Topology{Workflows: map[string]*topology.Workflow{
		"again": {Name: "again", Call: "default_workflows.cloudify.plugins.workflows.restart"}, "code": {Name: "code", Call: "mine.tasks.run"}, "steps": {Name: "steps"}}}, "all")
	for _, w := range all {
		if w.Available != (w.Name != "code") {
			t.Errorf("%s is available: %v", w.Name, w.Available)
		}
	}
}
