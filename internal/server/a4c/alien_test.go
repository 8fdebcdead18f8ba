package a4c

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/server/servicetest"
)

// alien plays Alien4Cloud's orchestrator plugin: two endless polls, and a state machine for one deployment that reacts to what they bring.
type alien struct {
	*site
	id string

	mu         sync.Mutex
	changed    chan struct{} // closed and made anew at every change
	state      string
	acted      string            // the last state in which everything was done
	passed     []string          // states
	statuses   []string          // that events told of the deployment
	executions map[string]string // status of workflows and commands by execution id
	steps      []string          // "stepId status" of WorkflowStep events
	attributes map[string]string // "node/instance/attribute"
	instances  map[string]string // state by "node/instance"
	lines      []string
	task       string // path of the running task
	problems   []string
	walked     map[string]string // attributes read back when it was deployed

	polls    sync.WaitGroup
	quit     chan struct{}
	quitting sync.Once
	// patience of await; 0 is two minutes.
	patience time.Duration
}

// inputs of the state machine that event statuses stand for.
var machineInputs = map[string]string{
	"initial": "INIT", "deployed": "DEPLOYED", "undeployed": "UNDEPLOYED", "purged": "PURGED",
	"deployment_in_progress": "IN_PROGRESS", "scaling_in_progress": "IN_PROGRESS",
	"undeployment_in_progress": "UNDEPLOYMENT_STARTED", "purge_in_progress": "UNDEPLOYMENT_STARTED",
	"update_in_progress": "UPDATE_IN_PROGRESS", "updated": "UPDATED",
	"deployment_failed": "FAILURE", "undeployment_failed": "FAILURE", "update_failure": "FAILURE", "purge_failed": "FAILURE",
}

// machine is the plugin's: state and input to the next state; inputs without an entry are ignored.
var machine = map[[2]string]string{
	{"DEPLOYMENT_INIT", "IN_PROGRESS"}:                 "DEPLOYMENT_IN_PROGRESS",
	{"DEPLOYMENT_IN_PROGRESS", "DEPLOYED"}:             "DEPLOYED",
	{"DEPLOYMENT_IN_PROGRESS", "FAILURE"}:              "FAILED",
	{"DEPLOYMENT_IN_PROGRESS", "UNDEPLOYMENT_STARTED"}: "CANCELLATION_REQUESTED",
	{"TASK_CANCELLING", "FAILURE"}:                     "UNDEPLOYMENT_IN_PROGRESS",
	{"DEPLOYED", "UNDEPLOYMENT_STARTED"}:               "UNDEPLOYMENT_IN_PROGRESS",
	{"UNDEPLOYMENT_IN_PROGRESS", "UNDEPLOYED"}:         "WAITING_LOGS",
	{"UNDEPLOYMENT_IN_PROGRESS", "LAST_LOG"}:           "WAITING_EVENTS",
	{"UNDEPLOYMENT_IN_PROGRESS", "FAILURE"}:            "UNDEPLOYMENT_FAILED",
	{"WAITING_LOGS", "LAST_LOG"}:                       "UNDEPLOYMENT_PURGING",
	{"WAITING_EVENTS", "UNDEPLOYED"}:                   "UNDEPLOYMENT_PURGING",
	{"UNDEPLOYMENT_PURGING", "FAILURE"}:                "PURGE_FAILED",
	{"DEPLOYED", "UPDATE_IN_PROGRESS"}:                 "UPDATE_IN_PROGRESS",
	{"UPDATE_IN_PROGRESS", "UPDATED"}:                  "UPDATED",
	{"UPDATE_IN_PROGRESS", "FAILURE"}:                  "UPDATE_FAILED",
	{"RESUME_DEPLOYMENT", "IN_PROGRESS"}:               "DEPLOYMENT_IN_PROGRESS",
}

func connect(s *site, id string) *alien {
	s.T.Helper()
	a := &alien{site: s, id: id, state: "UNDEPLOYED", changed: make(chan struct{}), executions: map[string]string{}, attributes: map[string]string{},
		instances: map[string]string{}, walked: map[string]string{}, quit: make(chan struct{})}
	if r := s.Send("GET", "/server/info", "", nil); r.Status != 200 || !strings.Contains(r.Body, `"yorc_version":"4`) {
		s.T.Fatalf("info: %+v", r)
	}
	indexes := map[string]uint64{}
	for _, what := range []string{"events", "logs"} {
		r := s.Send("HEAD", "/"+what, "", nil)
		n, err := strconv.ParseUint(r.Header.Get("X-Yorc-Index"), 10, 64)
		if err != nil || r.Status != 200 {
			s.T.Fatalf("HEAD /%s: %+v", what, r)
		}
		indexes[what] = n
	}
	a.polls.Add(2)
	go a.poll("events", indexes["events"], a.takeEvent)
	go a.poll("logs", indexes["logs"], a.takeLog)
	s.T.Cleanup(a.disconnect)
	return a
}

func (a *alien) disconnect() {
	a.quitting.Do(func() { close(a.quit) })
	a.polls.Wait()
}

// poll asks for what is new until the test is over. The plugin's socket timeout is longer than any wait; the test's wait is short so that it
// ends soon.
func (a *alien) poll(what string, index uint64, take func(map[string]string)) {
	defer a.polls.Done()
	for {
		select {
		case <-a.quit:
			return
		default:
		}
		resp, err := http.Get(fmt.Sprintf("%s/%s?index=%d&wait=200ms", a.HTTP.URL, what, index))
		if err != nil {
			a.problem("polling %s: %v", what, err)
			return
		}
		var answer struct {
			Events, Logs []map[string]string
			Last         uint64 `json:"last_index"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || what == "events" && answer.Events == nil || what == "logs" && answer.Logs == nil {
			a.problem("polling %s: %s, %v, %+v", what, resp.Status, err, answer)
			return
		}
		entries := append(answer.Events, answer.Logs...)
		if answer.Last < index || len(entries) > 0 && answer.Last == index {
			a.problem("the index of %s went from %d to %d with %d entries", what, index, answer.Last, len(entries))
			return
		}
		index = answer.Last
		for _, e := range entries {
			take(e)
		}
	}
}

func (a *alien) problem(format string, args ...any) {
	a.change(func() { a.problems = append(a.problems, fmt.Sprintf(format, args...)) })
}

func (a *alien) change(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
	close(a.changed)
	a.changed = make(chan struct{})
}

// mandatory fields by type; the plugin's consumer dies without them.
var mandatory = map[string][]string{
	"Deployment": nil, "Instance": {"nodeId", "instanceId"}, "AttributeValue": {"nodeId", "attribute"}, "Workflow": {"workflowId", "alienExecutionId"},
	"WorkflowStep": {"workflowId", "alienExecutionId", "nodeId", "instanceId", "stepId", "alienTaskId"},
	"AlienTask":    {"workflowId", "alienExecutionId", "nodeId", "instanceId", "stepId", "alienTaskId"}, "CustomCommand": {"alienExecutionId"}, "Scaling": {"alienExecutionId"},
}

func (a *alien) takeEvent(e map[string]string) {
	needs, known := mandatory[e["type"]]
	for _, f := range append([]string{"timestamp", "deploymentId", "type", "status"}, needs...) {
		if e[f] == "" || !known {
			a.problem("event without %s: %v", f, e)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, e["timestamp"]); err != nil || e["status"] != strings.ToLower(e["status"]) {
		a.problem("event with a wrong time or status: %v", e)
	}
	if e["deploymentId"] != a.id {
		return
	}
	instance := e["nodeId"] + "/" + e["instanceId"]
	a.change(func() {
		switch e["type"] {
		case "Instance":
			a.instances[instance] = e["status"]
			if e["status"] == "deleted" {
				delete(a.instances, instance)
			}
		case "AttributeValue":
			if _, ok := a.instances[instance]; !ok && e["attribute"] != "state" {
				a.problems = append(a.problems, fmt.Sprintf("an attribute of an unknown instance: %v", e))
			}
			a.attributes[instance+"/"+e["attribute"]] = e["value"]
		case "Workflow", "CustomCommand", "Scaling":
			a.executions[e["alienExecutionId"]] = e["status"]
		case "WorkflowStep":
			a.steps = append(a.steps, e["stepId"]+" "+e["status"]+" "+e["operationName"])
		}
	})
	if e["type"] == "Deployment" {
		a.change(func() { a.statuses = append(a.statuses, e["status"]) })
		in, ok := machineInputs[e["status"]]
		if !ok {
			a.problem("the plugin does not know the status %q", e["status"])
		}
		a.input(in)
	}
}

func (a *alien) takeLog(l map[string]string) {
	for _, f := range []string{"timestamp", "level", "deploymentId", "content"} {
		if l[f] == "" {
			a.problem("log without %s: %v", f, l)
		}
	}
	if l["deploymentId"] != a.id {
		return
	}
	a.change(func() { a.lines = append(a.lines, l["content"]) })
	if l["workflowId"] == "uninstall" && strings.HasPrefix(l["content"], `Status for deployment "`) && strings.HasSuffix(l["content"], `" changed to "undeployed"`) {
		a.input("LAST_LOG")
	}
}

// input moves the machine and does what the plugin does in the new state.
func (a *alien) input(in string) {
	a.mu.Lock()
	next := machine[[2]string{a.state, in}]
	task := a.task
	a.mu.Unlock()
	if next == "" {
		return
	}
	a.enter(next)
	switch next {
	case "DEPLOYED":
		a.walk()
	case "CANCELLATION_REQUESTED":
		a.expect("DELETE", task, 202)
		a.enter("TASK_CANCELLING")
	case "UNDEPLOYMENT_IN_PROGRESS":
		a.expect("DELETE", "/deployments/"+a.id, 202)
	case "UNDEPLOYMENT_PURGING":
		if r := a.expect("POST", "/deployments/"+a.id+"/purge", 200); strings.TrimSpace(r.Body) == `{"errors":null}` {
			a.enter("UNDEPLOYED")
		}
	}
	a.change(func() { a.acted = next })
}

func (a *alien) enter(state string) {
	a.change(func() { a.state, a.acted = state, ""; a.passed = append(a.passed, state) })
}

func (a *alien) expect(method, path string, status int) servicetest.Reply {
	r := a.Send(method, path, "", nil)
	if r.Status != status {
		a.problem("%s %s: %d %s, want %d", method, path, r.Status, r.Body, status)
	}
	return r
}

// walk reads everything back by links.
func (a *alien) walk() {
	var follow func(href, rel string)
	follow = func(href, rel string) {
		r := a.expect("GET", href, 200)
		var doc struct {
			Name, Value string
			Links       []link
		}
		if err := json.Unmarshal([]byte(r.Body), &doc); err != nil {
			a.problem("GET %s: %v", href, err)
			return
		}
		if rel == "attribute" {
			a.change(func() { a.walked[strings.TrimPrefix(href, "/deployments/"+a.id+"/nodes/")] = doc.Value })
			return
		}
		next := map[string]string{"deployment": "node", "node": "instance", "instance": "attribute"}[rel]
		for _, l := range doc.Links {
			if l.Rel == next {
				follow(l.Href, next)
			}
		}
	}
	follow("/deployments/"+a.id, "deployment")
}

// await waits until something is so.
func (a *alien) await(what string, so func() bool) {
	a.T.Helper()
	timeout := time.After(cmp.Or(a.patience, 2*time.Minute))
	for {
		a.mu.Lock()
		ok, changed := so(), a.changed
		problems := strings.Join(a.problems, "\n")
		state, passed := a.state, a.passed
		a.mu.Unlock()
		if problems != "" {
			a.T.Fatalf("waiting for %s (state %s, passed %v):\n%s", what, state, passed, problems)
		}
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			a.T.Fatalf("waiting for %s: nothing happens any more; state %s, passed %v; task %s", what, state, passed, a.Send("GET", a.task, "", nil).Body)
		}
	}
}

func (a *alien) awaitState(state string) {
	a.T.Helper()
	// Whoever undeploys while the plugin still reads back what is deployed makes it find nothing.
	a.await("state "+state, func() bool { return a.state == state && (state != "DEPLOYED" || a.acted == state) })
}

func (a *alien) awaitExecution(id, status string) {
	a.T.Helper()
	a.await("execution "+id+" "+status, func() bool { return a.executions[id] == status })
}

// deploy as the user of Alien4Cloud.
func (a *alien) deploy(files map[string]string) (execution string) {
	a.T.Helper()
	a.enter("DEPLOYMENT_INIT")
	r := a.Send("PUT", "/deployments/"+a.id, "application/zip", archive(a.T, files))
	return a.started(r, 201)
}

// started takes the task from an answer.
func (a *alien) started(r servicetest.Reply, status int) string {
	a.T.Helper()
	at := r.Header.Get("Location")
	if r.Status != status || !strings.HasPrefix(at, "/deployments/"+a.id+"/tasks/") {
		a.T.Fatalf("answer %+v, want %d and a location", r, status)
	}
	a.change(func() { a.task = at })
	return at[strings.LastIndexByte(at, '/')+1:]
}

func (a *alien) undeploy() {
	a.T.Helper()
	a.enter("UNDEPLOYMENT_IN_PROGRESS")
	a.started(a.Send("DELETE", "/deployments/"+a.id, "", nil), 202)
}
