package a4c

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/fake"
	"github.com/orch-project/orch/pkg/orch"
)

// told are the events of a deployment and its workflows that a client finds which has seen none.
func (s *site) told(id string) (out []string) {
	s.T.Helper()
	var doc struct{ Events []map[string]string }
	if err := json.Unmarshal([]byte(s.Send("GET", "/events", "", nil).Body), &doc); err != nil {
		s.T.Fatal(err)
	}
	for _, e := range doc.Events {
		if e["deploymentId"] == id && (e["type"] == "Deployment" || e["type"] == "Workflow") {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s", e["type"], e["status"])))
		}
	}
	return out
}

// Whoever purges with the undeployment, as older plugins do, is told of both. That the deployment is purged stays to be read, as all else
// about it is gone, until its id is used again or for a while.
func TestPurgeWithTheUndeployment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	a.enter("UNDEPLOYED") // the plugin's machine knows nothing of this way
	a.started(s.Send("DELETE", "/deployments/shop?purge", "", nil), 202)
	a.await("the purge", func() bool { return len(a.statuses) > 0 && a.statuses[len(a.statuses)-1] == "purged" })
	// What a poll has not seen in time of the rest is gone.
	if got := a.statuses[len(a.statuses)-2:]; !slices.Equal(got, []string{"undeployed", "purged"}) {
		t.Errorf("statuses of the deployment: %q", got)
	}
	if r := s.Send("GET", "/deployments/shop", "", nil); r.Status != 404 {
		t.Errorf("after the purge: %+v", r)
	}
	a.disconnect()
	s.Restart()
	if got := s.told("shop"); !slices.Equal(got, []string{"Workflow done", "Deployment undeployed", "Deployment purged"}) {
		t.Errorf("events of a purged deployment: %q", got)
	}
	for _, agent := range []string{"Apache-HttpClient/4.5.6 (Java/1.8.0_181)", "unirest-java/1.3.11"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.HTTP.URL+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("User-Agent", agent)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := string(body); err != nil || strings.Contains(got, "purged") || !strings.Contains(got, "undeployed") {
			t.Errorf("%s is told what it does not know: %v, %s", agent, err, got)
		}
	}
	if err := orch.PrunePurged(t.Context(), s.Store, time.Now().Add(-time.Minute)); err != nil || len(s.told("shop")) != 3 {
		t.Errorf("what is not old is dropped: %v, %q", err, s.told("shop"))
	}

	b := connect(s, "shop")
	b.deploy(mongo(t))
	b.awaitState("DEPLOYED")
	if got := s.told("shop"); slices.Contains(got, "Deployment purged") {
		t.Errorf("the id is used again: %q", got)
	}
	b.undeploy()
	b.awaitState("UNDEPLOYED")
	if err := orch.PrunePurged(t.Context(), s.Store, time.Now().Add(time.Minute)); err != nil || len(s.told("shop")) != 0 {
		t.Errorf("what is old stays: %v, %q", err, s.told("shop"))
	}
}

// The purge of what is undeployed is no execution of a workflow, and does not undeploy it once more.
func TestPurgeUndeploysNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	a.undeploy()
	a.awaitState("UNDEPLOYED")
	a.await("the purge", func() bool { return slices.Contains(a.statuses, "purged") })
	for _, after := range a.statuses[slices.Index(a.statuses, "undeployed")+1:] {
		if after != "purge_in_progress" && after != "purged" {
			t.Errorf("statuses of the deployment: %q", a.statuses)
		}
	}
	if len(a.executions) != 2 {
		t.Errorf("executions %v, want one installation and one uninstallation", a.executions)
	}
}

// Steps that a cancellation leaves unbegun are not tasks that were cancelled: Alien4Cloud has never been told of them.
func TestCancelledBeforeTheyBegin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"Mongo[0].create": {Hang: true}})
	a := connect(s, "shop")
	task := a.deploy(mongo(t))
	a.await("a running step", func() bool { return slices.Contains(a.steps, "Mongo_create running standard.create") })
	a.expect("DELETE", a.task, 202)
	a.awaitState("FAILED")
	for _, step := range a.steps {
		if strings.Contains(step, " canceled ") && !strings.HasPrefix(step, "Mongo_create ") {
			t.Errorf("%s", step)
		}
	}
	if got := stepsOf(t, s, "/deployments/shop/tasks/"+task); got["Mongo_create"] != "CANCELED" || got["App_create"] != "INITIAL" {
		t.Errorf("steps %v", got)
	}
}
