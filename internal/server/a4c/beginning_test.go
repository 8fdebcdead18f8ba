package a4c

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// Alien4Cloud shows all instances of a deployment from the beginning, and new ones of a scaling: they are told before the workflow begins, and
// not each when its turn comes.
func TestInstancesAreToldAtTheBeginning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"Mongo[0].create": {Hang: true}})
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.await("a running step", func() bool { return slices.Contains(a.steps, "Mongo_create running standard.create") })
	if a.instances["App/0"] != "initial" || a.attributes["App/0/tosca_id"] != "App-0" {
		t.Errorf("instances %v, want App's to be there before it begins", a.instances)
	}
	if got, want := before(t, s, "Workflow"), []string{"Deployment initial ", "Instance initial DBHost/0", "Instance initial AppHost/0", "Instance initial Mongo/0", "Instance initial App/0"}; !slices.Equal(got, want) {
		t.Errorf("the first events are %q, want %q", got, want)
	}
	a.expect("DELETE", a.task, 202)
	a.awaitState("FAILED")
	s.Behave(fake.Table{})
	a.awaitExecution(a.started(s.Send("POST", "/deployments/shop/scale/AppHost?delta=1", "", nil), 202), "done")
	if got := before(t, s, "Scaling"); !slices.Contains(got, "Instance initial AppHost/1") || !slices.Contains(got, "Instance initial App/1") {
		t.Errorf("new instances are not among what comes before the scaling: %q", got)
	}
}

// before are the events that come before the first one of a type, but attributes.
func before(t *testing.T, s *site, typ string) (out []string) {
	t.Helper()
	var doc struct{ Events []map[string]string }
	if err := json.Unmarshal([]byte(s.Send("GET", "/deployments/shop/events", "", nil).Body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, e := range doc.Events {
		if e["type"] == typ {
			break
		}
		if e["type"] != "AttributeValue" {
			out = append(out, strings.TrimSuffix(e["type"]+" "+e["status"]+" "+e["nodeId"]+"/"+e["instanceId"], "/"))
		}
	}
	return out
}

// Alien4Cloud's user sees no diagnostics but errors of a refused archive: what is worth a warning is in the deployment's log.
func TestWarningsAreInTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	files := mongo(t)
	files["mongo-types/1.0.0/types.yml"] = strings.Replace(files["mongo-types/1.0.0/types.yml"], "tosca-normative-types:1.0.0-ALIEN20", "tosca-normative-types:1.0.7", 1)
	task := a.deploy(files)
	a.awaitState("DEPLOYED")
	var doc struct{ Logs []map[string]string }
	if err := json.Unmarshal([]byte(s.Send("GET", "/deployments/shop/logs", "", nil).Body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, l := range doc.Logs {
		if l["level"] == "WARN" && strings.Contains(l["content"], "shop.zip/mongo-types/1.0.0/types.yml:3:") && l["executionId"] == task && l["workflowId"] == "install" {
			return
		}
	}
	t.Errorf("no warning about the version that is not here in the log: %q", a.lines)
}
