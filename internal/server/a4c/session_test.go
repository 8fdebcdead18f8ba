package a4c

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/fake"
)

// A whole session: deploy, read back, command, workflow, scale, undeploy, purge; and the same id once more, over a restart of the server.
func TestSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if r := s.Send("GET", "/deployments", "", nil); r.Status != 204 || r.Body != "" {
		t.Errorf("nothing deployed: %+v", r)
	}
	a := connect(s, "Mongo-Environment")
	first := a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	a.awaitExecution(first, "done")
	a.await("everything read back", func() bool { return a.acted == "DEPLOYED" })
	for name, want := range map[string]string{"Mongo/instances/0/attributes/url": "mongodb://10.0.0.10", "Mongo/instances/0/attributes/state": "started",
		"App/instances/0/attributes/tosca_id": "App-0", "DBHost/instances/0/attributes/private_address": "10.0.0.10"} {
		if a.walked[name] != want {
			t.Errorf("%s = %q, want %q", name, a.walked[name], want)
		}
	}
	for _, step := range []string{"DBHost_install done delegate.install", "Mongo_create done standard.create", "App_usesMongo_pre_configure_source done configure.pre_configure_source"} {
		if !slices.Contains(a.steps, step) {
			t.Errorf("no event %q among %q", step, a.steps)
		}
	}
	if r := s.Send("GET", "/deployments/"+a.id+"/outputs/Mongo_url", "", nil); r.Status != 200 || !strings.Contains(r.Body, `"value":"mongodb://10.0.0.10"`) {
		t.Errorf("output: %+v", r)
	}
	if r := s.Send("GET", "/deployments", "", nil); r.Status != 200 || !strings.Contains(r.Body, `"status":"DEPLOYED"`) {
		t.Errorf("deployments: %+v", r)
	}

	custom := a.started(s.Send("POST", "/deployments/"+a.id+"/custom", "application/json",
		[]byte(`{"node":"Mongo","interface":"custom","name":"backup","inputs":{"WHERE":{"type":0,"value":"/srv"}}}`)), 202)
	a.awaitExecution(custom, "done")
	check := a.started(s.Send("POST", "/deployments/"+a.id+"/workflows/check", "application/json", []byte(`{"inputs":{"how":"well"}}`)), 201)
	a.awaitExecution(check, "done")
	if got := s.World.Begun("Mongo[0].backup"); got != 2 {
		t.Errorf("backup ran %d times, want 2: %v", got, s.World.Order())
	}
	scaled := a.started(s.Send("POST", "/deployments/"+a.id+"/scale/AppHost?delta=5", "", nil), 202)
	a.awaitExecution(scaled, "done")
	a.await("three instances", func() bool { return a.instances["App/2"] == "started" && a.instances["AppHost/2"] == "started" })
	fewer := a.started(s.Send("POST", "/deployments/"+a.id+"/scale/AppHost?delta=-2", "", nil), 202)
	a.awaitExecution(fewer, "done")
	a.await("one instance", func() bool { return len(a.instances) == 4 })
	for task, want := range map[string]string{first: "Deploy", custom: "CustomCommand", check: "CustomWorkflow", scaled: "ScaleOut", fewer: "ScaleIn"} {
		if r := s.Send("GET", "/deployments/"+a.id+"/tasks/"+task, "", nil); !strings.Contains(r.Body, `"type":"`+want+`"`) {
			t.Errorf("task %s, want the type %s", r.Body, want)
		}
	}

	a.undeploy()
	a.awaitState("UNDEPLOYED")
	if r := s.Send("GET", "/deployments/"+a.id, "", nil); r.Status != 404 {
		t.Errorf("after the purge: %+v", r)
	}
	index := s.Send("HEAD", "/events", "", nil).Header.Get("X-Yorc-Index")
	a.disconnect()
	s.Restart()
	if again := s.Send("HEAD", "/events", "", nil).Header.Get("X-Yorc-Index"); again != index {
		t.Errorf("the index was %s, and is %s after a restart", index, again)
	}
	b := connect(s, "Mongo-Environment")
	b.deploy(mongo(t))
	b.awaitState("DEPLOYED")
	b.undeploy()
	b.awaitState("UNDEPLOYED")
}

// A failed installation is mended step by step and resumed under the same execution.
func TestFailFixResume(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"App[0].create": {Err: &driver.Error{Op: "run client.sh", ExitCode: 2, Stderr: []string{"no such package"}, Err: errors.New("exit status 2")}}})
	a := connect(s, "shop")
	task := a.deploy(mongo(t))
	a.awaitState("FAILED")
	a.awaitExecution(task, "failed")
	base := "/deployments/shop/tasks/" + task
	if r := s.Send("GET", base, "", nil); r.Status != 200 || !strings.Contains(r.Body, `"status":"FAILED"`) || !strings.Contains(r.Body, "no such package") {
		t.Errorf("task %+v", r)
	}
	want := map[string]string{"Mongo_create": "DONE", "App_create": "ERROR", "App_started": "INITIAL"}
	if got := stepsOf(t, s, base); got["Mongo_create"] != want["Mongo_create"] || got["App_create"] != "ERROR" || got["App_started"] != "INITIAL" {
		t.Errorf("steps %v, want %v", got, want)
	}
	for _, c := range []struct {
		step, body string
		status     int
	}{
		{"App_create", `{"status":"RUNNING"}`, 401},
		{"Nothing", `{"status":"DONE"}`, 404},
		{"App_create", `{"status":`, 400},
		{"App_create", `{"status":"DONE"}`, 200},
		{"Mongo_create", `{"status":"INITIAL"}`, 200},
		{"App_started", `{"status":"DONE"}`, 401},
	} {
		if r := s.Send("PUT", base+"/steps/"+c.step, "application/json", []byte(c.body)); r.Status != c.status {
			t.Errorf("%s %s: %+v, want %d", c.step, c.body, r, c.status)
		}
	}
	if got := stepsOf(t, s, base); got["App_create"] != "DONE" || got["Mongo_create"] != "INITIAL" {
		t.Errorf("fixed steps %v", got)
	}
	a.enter("RESUME_DEPLOYMENT")
	if got := a.started(s.Send("PUT", base, "", nil), 202); got != task {
		t.Errorf("resumed as %s, want %s", got, task)
	}
	a.awaitState("DEPLOYED")
	if n, m := s.World.Begun("App[0].create"), s.World.Begun("Mongo[0].create"); n != 1 || m != 2 {
		t.Errorf("App was created %d times, Mongo %d; want 1 and 2", n, m)
	}
	if r := s.Send("PUT", base, "", nil); r.Status != 400 {
		t.Errorf("resuming what is done: %+v", r)
	}
	a.undeploy()
	a.awaitState("UNDEPLOYED")
}

func stepsOf(t *testing.T, s *site, task string) map[string]string {
	t.Helper()
	var docs []stepStatusDocument
	if err := json.Unmarshal([]byte(s.Send("GET", task+"/steps", "", nil).Body), &docs); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range docs {
		out[d.Name] = d.Status
	}
	return out
}

// Undeploying what is still being installed: the plugin cancels the task, waits for its failure, and undeploys then.
func TestCancelAndUndeploy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"Mongo[0].start": {Hang: true}})
	a := connect(s, "shop")
	task := a.deploy(mongo(t))
	a.await("the start", func() bool { return slices.Contains(a.steps, "Mongo_start running standard.start") })
	if r := s.Send("POST", "/deployments/shop/custom", "application/json", []byte(`{"node":"Mongo","interface":"custom","name":"backup"}`)); r.Status != 400 {
		t.Errorf("a command meanwhile: %+v", r)
	}
	a.enter("TASK_CANCELLING")
	a.expect("DELETE", "/deployments/shop/tasks/"+task, 202)
	a.awaitState("UNDEPLOYED")
	a.awaitExecution(task, "canceled")
	// The event "purged" comes a moment before the record is gone: until then it is undeployed already, then unknown.
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		r := s.Send("DELETE", "/deployments/shop", "", nil)
		if r.Status == 404 {
			break
		}
		if r.Status != 400 || time.Now().After(end) {
			t.Fatalf("undeploying what is gone: %+v", r)
		}
	}
}

// Somebody else undeploys: the plugin sends an undeployment of its own when it sees that, and is servicetest.Reply with the running one.
func TestUndeployedByAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	s.Behave(fake.Table{"Mongo[0].stop": {Hang: true}})
	r := s.Send("DELETE", "/deployments/shop?stopOnError", "", nil)
	if r.Status != 202 {
		t.Fatalf("undeploy: %+v", r)
	}
	a.await("the plugin's own undeployment", func() bool { return a.acted == "UNDEPLOYMENT_IN_PROGRESS" })
	again := s.Send("DELETE", "/deployments/shop", "", nil)
	if again.Status != 202 || again.Header.Get("Location") != r.Header.Get("Location") {
		t.Errorf("undeploying twice: %+v, want %s", again, r.Header.Get("Location"))
	}
	s.Behave(nil)
	a.expect("DELETE", r.Header.Get("Location"), 202)
	a.awaitState("UNDEPLOYMENT_FAILED")
	if r := s.Send("POST", "/deployments/shop/purge", "", nil); r.Status != 500 || !strings.Contains(r.Body, "UNDEPLOYMENT_FAILED") {
		t.Errorf("purging what exists: %+v", r)
	}
	a.enter("UNDEPLOYMENT_PURGING")
	if r := s.Send("POST", "/deployments/shop/purge?force", "", nil); r.Status != 200 || strings.TrimSpace(r.Body) != `{"errors":null}` {
		t.Errorf("forced purge: %+v", r)
	}
}

// An update goes as the plugin does it: the running topology's pre_update, the new archive, whose nodes may be more and fewer, and its post_update,
// each as soon as the event of the one before is there.
func TestUpdate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	if r := s.Send("POST", "/deployments/shop/workflows/pre_update", "application/json", []byte(`{"inputs":{}}`)); r.Status != 404 {
		t.Errorf("no pre_update: %+v", r)
	}
	more := updated(t)
	grown := a.started(s.Send("PATCH", "/deployments/shop", "application/zip", archive(t, more)), 202)
	a.awaitState("UPDATED")
	post := a.started(s.Send("POST", "/deployments/shop/workflows/post_update", "application/json", []byte(`{"inputs":{}}`)), 201)
	a.awaitExecution(post, "done")
	a.await("the added node", func() bool { return a.instances["Cache/0"] == "started" })
	if n := s.World.Begun("Cache[0].create"); n != 1 {
		t.Errorf("the added node was created %d times", n)
	}
	if n := s.World.Begun("Mongo[0].backup"); n != 1 {
		t.Errorf("post_update ran %d backups, want 1", n)
	}
	if r := s.Send("GET", "/deployments", "", nil); !strings.Contains(r.Body, `"status":"UPDATED"`) {
		t.Errorf("deployments: %+v", r)
	}
	if r := s.Send("PUT", "/deployments/shop", "application/zip", archive(t, more)); r.Status != 409 {
		t.Errorf("a second PUT: %+v", r)
	}

	pre := a.started(s.Send("POST", "/deployments/shop/workflows/pre_update", "application/json", []byte(`{"inputs":{}}`)), 201)
	a.awaitExecution(pre, "done")
	a.enter("DEPLOYED") // the plugin's machine takes updates there
	shrunk := a.started(s.Send("PATCH", "/deployments/shop", "application/zip", archive(t, mongo(t))), 202)
	a.awaitState("UPDATED")
	a.await("the removed node", func() bool { return a.instances["Cache/0"] == "" && a.instances["Mongo/0"] == "started" })
	if n := s.World.Begun("Cache[0].stop"); n != 1 {
		t.Errorf("the removed node was stopped %d times", n)
	}
	for task, want := range map[string]string{grown: "AddNodes", shrunk: "RemoveNodes"} {
		if r := s.Send("GET", "/deployments/shop/tasks/"+task, "", nil); !strings.Contains(r.Body, `"type":"`+want+`"`) {
			t.Errorf("task %s, want the type %s", r.Body, want)
		}
	}
	if r := s.Send("GET", "/deployments/shop/nodes/Cache", "", nil); r.Status != 404 {
		t.Errorf("the removed node: %+v", r)
	}
}

// updated is mongo with another node, and with workflows around updates.
func updated(t *testing.T) map[string]string {
	files := mongo(t)
	for _, c := range [][2]string{
		{"    App:\n", "    Cache:\n      type: mongo.nodes.Database\n      requirements:\n" +
			"        - hostedOnDBHost: { type_requirement: host, node: DBHost, capability: tosca.capabilities.Container, relationship: tosca.relationships.HostedOn }\n    App:\n"},
		{"        App_started: {", "        Cache_create: { target: Cache, activities: [ { call_operation: Standard.create } ], on_success: [ Cache_start ] }\n" +
			"        Cache_start: { target: Cache, activities: [ { call_operation: Standard.start } ], on_success: [ Cache_started ] }\n" +
			"        Cache_started: { target: Cache, activities: [ { set_state: started } ] }\n        App_started: {"},
		{"        Mongo_deleted: {", "        Cache_stop: { target: Cache, activities: [ { call_operation: Standard.stop } ], on_success: [ Cache_deleted ] }\n" +
			"        Cache_deleted: { target: Cache, activities: [ { set_state: deleted } ], on_success: [ DBHost_uninstall ] }\n        Mongo_deleted: {"},
		{"on_success: [ Mongo_creating ]", "on_success: [ Mongo_creating, Cache_create ]"},
		{"    check:\n", "    pre_update:\n      steps:\n        Mongo_save: { target: Mongo, activities: [ { call_operation: custom.backup } ] }\n" +
			"    post_update:\n      steps:\n        Mongo_backup: { target: Mongo, activities: [ { call_operation: custom.backup } ] }\n    check:\n"},
	} {
		if !strings.Contains(files["topology.yml"], c[0]) {
			t.Fatalf("no %q in the topology", c[0])
		}
		files["topology.yml"] = strings.Replace(files["topology.yml"], c[0], c[1], 1)
	}
	return files
}

// A workflow on chosen instances: of nodes that are not named it takes all.
func TestChosenInstances(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	for _, c := range []struct {
		body string
		runs int
	}{
		{`{"inputs":{"how":"x"},"nodesinstances":[{"name":"App","instances":["0"]}]}`, 1},
		{`{"inputs":{"how":"x"},"nodesinstances":[{"name":"App","instances":["0"]},{"name":"Mongo","instances":["0"]}]}`, 1},
	} {
		before := s.World.Begun("Mongo[0].backup")
		a.awaitExecution(a.started(s.Send("POST", "/deployments/shop/workflows/check", "application/json", []byte(c.body)), 201), "done")
		if got := s.World.Begun("Mongo[0].backup") - before; got != c.runs {
			t.Errorf("%s: %d runs, want %d", c.body, got, c.runs)
		}
	}
}

// Yorc's client shows workflows: it decodes them into these fields, and fails where one is of another type.
func TestWorkflowsAsYorcReadsThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	type flow struct {
		Workflow string `json:"workflow"`
	}
	var wf struct {
		Name   string
		Inputs map[string]struct {
			Type     string
			Required bool
			Default  *struct {
				Type  int
				Value any
			}
		}
		Steps map[string]struct {
			Activities []struct {
				State    string `json:"set_state"`
				Delegate *flow
				Inline   *flow
				Call     *struct{ Operation string } `json:"call_operation"`
			}
		}
	}
	read := func(name string) {
		t.Helper()
		r := s.Send("GET", "/deployments/shop/workflows/"+name, "", nil)
		if err := json.Unmarshal([]byte(r.Body), &wf); err != nil || r.Status != 200 {
			t.Fatalf("%s: %v, %s", name, err, r.Body)
		}
	}
	read("install")
	if d := wf.Steps["DBHost_install"].Activities[0].Delegate; d == nil || d.Workflow != "install" {
		t.Errorf("delegate: %+v", d)
	}
	if st := wf.Steps["Mongo_creating"].Activities[0].State; st != "creating" {
		t.Errorf("state: %q", st)
	}
	if c := wf.Steps["Mongo_create"].Activities[0].Call; c == nil || c.Operation != "Standard.create" {
		t.Errorf("call: %+v", c)
	}
	read("check")
	if in := wf.Inputs["how"]; in.Type != "string" || !in.Required {
		t.Errorf("inputs: %+v", wf.Inputs)
	}
}

// Workflows that the topology does not declare are described as they are generated.
func TestGeneratedWorkflows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	files := mongo(t)
	files["topology.yml"], _, _ = strings.Cut(files["topology.yml"], "  workflows:")
	a.deploy(files)
	a.awaitState("DEPLOYED")
	for name, want := range map[string]map[string]string{
		"install":   {"DBHost_install": "Mongo_create", "Mongo_create": "Mongo_start", "App_create": "App_usesMongo_pre_configure_source"},
		"uninstall": {"Mongo_stop": "DBHost_uninstall", "AppHost_uninstall": ""},
		"stop":      {"Mongo_stop": "DBHost_stop"},
		"start":     {"DBHost_start": "Mongo_start"},
		"restart":   {"Mongo_stop": "", "Mongo_start": ""},
	} {
		r := s.Send("GET", "/deployments/shop/workflows/"+name, "", nil)
		var doc workflowDocument
		if err := json.Unmarshal([]byte(r.Body), &doc); err != nil || r.Status != 200 {
			t.Fatalf("%s: %v, %s", name, err, r.Body)
		}
		for step, next := range want {
			st, ok := doc.Steps[step]
			if !ok || st.Target == "" || len(st.Activities) == 0 || next != "" && !slices.Contains(st.OnSuccess, next) {
				t.Errorf("%s: step %s is %+v, want one before %q; there are %v", name, step, st, next, r.Body)
			}
		}
		for step, st := range doc.Steps {
			for _, next := range st.OnSuccess {
				if _, ok := doc.Steps[next]; !ok {
					t.Errorf("%s: %s leads to %s, which there is not", name, step, next)
				}
			}
		}
	}
}

// A client that has an index of a store that is no more gets the right one.
func TestIndexBeyondTheLast(t *testing.T) {
	s := newSite(t)
	for _, what := range []string{"events", "logs"} {
		if r := s.Send("GET", "/"+what+"?index=4711&wait=1ms", "", nil); r.Status != 200 || !strings.Contains(r.Body, `"last_index":1}`) || r.Header.Get("X-Yorc-Index") != "1" {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

// Index 0, or none, is everything that there is, at once: so `yorc deployments events --no-stream` reads, and so Yorc's first plugins for
// Alien4Cloud asked for the index. From 1 on an answer waits.
func TestIndexZeroNeverWaits(t *testing.T) {
	s := newSite(t)
	for _, what := range []string{"events", "logs", "events?index=0", "logs?index=0"} {
		r := s.Send("GET", "/"+what, "", nil)
		what, _, _ = strings.Cut(what, "?")
		if r.Status != 200 || strings.TrimSpace(r.Body) != `{"`+what+`":[],"last_index":1}` {
			t.Errorf("%s: %+v", what, r)
		}
	}
}
