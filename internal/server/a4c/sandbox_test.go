package a4c

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	servers "github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/server/servicetest"
)

// Alien4Cloud's plugin against the built server, whose deployments are real: Terraform, an OpenStack's API, servers that one can log in to.
// An installation that fails is mended and resumed; then everything is read back, commanded, scaled, cancelled, undeployed and purged.
func TestSessionOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("makes servers")
	}
	t.Parallel()
	_ = os.Getenv("ORCH_TEST_DIGEST") // Go's test cache does not see what the built command is made of: see internal/e2e
	tools.TerraformOrTofu(t)
	if err := servers.Available(); err != nil {
		t.Skipf("no servers on this machine: %v", err)
	}
	s, run := startServer(t)
	a := connect(s, "Mongo-Environment")
	a.patience = 3 * time.Minute

	task := a.deploy(realMongo(t))
	a.awaitState("FAILED")
	base := "/deployments/" + a.id + "/tasks/" + task
	if r := s.Send("GET", base, "", nil); !strings.Contains(r.Body, "there is no licence") {
		t.Errorf("the task does not say why: %s", r.Body)
	}
	if r := s.Send("PUT", base+"/steps/App_create", jsonType, []byte(`{"status":"DONE"}`)); r.Status != 200 {
		t.Errorf("mending the step: %+v", r)
	}
	a.enter("RESUME_DEPLOYMENT")
	a.started(s.Send("PUT", base, "", nil), 202)
	a.awaitState("DEPLOYED")
	a.awaitExecution(task, "done")

	if got := a.walked["Mongo/instances/0/attributes/url"]; !regexp.MustCompile(`^http://10\.\d+\.\d+\.\d+:27018$`).MatchString(got) {
		t.Errorf("url %q", got)
	}
	if got := a.walked["DBHost/instances/0/attributes/public_address"]; a.walked["DBHost/instances/0/attributes/private_address"] == "" {
		t.Errorf("the server has no private address; public %q", got)
	}
	a.await("the database's answer in the log", func() bool {
		return slices.ContainsFunc(a.lines, func(l string) bool { return strings.Contains(l, "linked: a small database") })
	})

	custom := a.started(s.Send("POST", "/deployments/"+a.id+"/custom", jsonType, []byte(`{"node":"Mongo","interface":"custom","name":"backup","inputs":{"WHERE":"/srv/copy"}}`)), 202)
	a.awaitExecution(custom, "done")
	check := a.started(s.Send("POST", "/deployments/"+a.id+"/workflows/check", jsonType, []byte(`{"inputs":{"how":"well"}}`)), 201)
	a.awaitExecution(check, "done")
	more := a.started(s.Send("POST", "/deployments/"+a.id+"/scale/AppHost?delta=1", "", nil), 202)
	a.awaitExecution(more, "done")
	a.await("two instances", func() bool { return a.instances["App/1"] == "started" && a.instances["AppHost/1"] == "started" })
	fewer := a.started(s.Send("POST", "/deployments/"+a.id+"/scale/AppHost?delta=-1", "", nil), 202)
	a.awaitExecution(fewer, "done")
	a.await("one instance", func() bool { return a.instances["App/1"] == "" && a.instances["AppHost/1"] == "" })

	slow := a.started(s.Send("POST", "/deployments/"+a.id+"/custom", jsonType, []byte(`{"node":"Mongo","interface":"custom","name":"backup","inputs":{"WHERE":"slowly"}}`)), 202)
	a.await("the slow backup", func() bool {
		return slices.ContainsFunc(a.lines, func(l string) bool { return strings.Contains(l, "taking my time") })
	})
	a.expect("DELETE", "/deployments/"+a.id+"/tasks/"+slow, 202)
	// The operation is ended on its host before the task is cancelled: it would take ten minutes.
	a.await("the cancellation", func() bool { st := a.executions[slow]; return st == "canceled" || st == "failed" })

	a.undeploy()
	a.awaitState("UNDEPLOYED")
	if left := run("sandbox", "status"); !strings.Contains(left, "nothing of any user exists") {
		t.Errorf("left in the cloud: %s", left)
	}
}

// startServer builds orch and starts a sandbox and a server. run runs a command with the same home.
func startServer(t *testing.T) (s *site, run func(args ...string) string) {
	t.Helper()
	program, run := servicetest.Program(t)
	return &site{Site: program}, run
}

// realMongo is mongo with scripts that do something, in a cloud of the default location.
func realMongo(t *testing.T) map[string]string {
	files := mongo(t)
	topology := strings.NewReplacer("metadata: { location: openstack }", "metadata: { location: default }", ", flavorName: m1.small", "").Replace(files["topology.yml"])
	files["topology.yml"] = topology
	types := strings.NewReplacer(`[ "mongodb://", { get_attribute: [ HOST, private_address ] } ]`, `[ "http://", { get_attribute: [ HOST, private_address ] }, ":", { get_property: [ SELF, port ] } ]`,
		`start: scripts/start.sh`, `start: { implementation: scripts/start.sh, inputs: { PORT: { get_property: [ SELF, port ] } } }`).Replace(files["mongo-types/1.0.0/types.yml"])
	files["mongo-types/1.0.0/types.yml"] = types
	maps.Copy(files, map[string]string{
		"mongo-types/1.0.0/scripts/create.sh": "mkdir -p /srv/mongo && echo 'a small database' >/srv/mongo/index.html\n",
		"mongo-types/1.0.0/scripts/start.sh":  "cd /srv/mongo && (setsid python3 -m http.server $PORT >/var/log/mongo 2>&1 </dev/null & echo $! >/run/mongo.pid)\n",
		"mongo-types/1.0.0/scripts/stop.sh":   "kill $(cat /run/mongo.pid)\n",
		"mongo-types/1.0.0/scripts/client.sh": "if [ \"$INSTANCE\" = App_0 ]; then echo 'there is no licence' >&2; exit 3; fi\n",
		"mongo-types/1.0.0/scripts/link.sh": "for i in $(seq 60); do\n  if python3 -c 'import sys, urllib.request; print(\"linked:\", urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())' \"$ADDRESS\"; then exit 0; fi\n" +
			"  sleep 1\ndone\nexit 1\n",
		"mongo-types/1.0.0/scripts/backup.sh": "if [ \"$WHERE\" = slowly ]; then echo taking my time; sleep 600; fi\ncp -r /srv/mongo \"$WHERE\"\n",
	})
	return files
}
