package a4c

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// Every refusal has its status and an error document.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(mongo(t))
	a.awaitState("DEPLOYED")
	const jsonT, zipT = "application/json", "application/zip"
	good := string(archive(t, mongo(t)))
	missing := mongo(t)
	delete(missing, "mongo-types/1.0.0/types.yml")
	two := mongo(t)
	two["other.yaml"] = "a: b\n"
	for _, c := range []struct {
		name, method, path, content, body string
		status                            int
		id                                string
	}{
		{"unknown path", "GET", "/nothing", "", "", 404, "not_found"},
		{"unknown deployment", "GET", "/deployments/none", "", "", 404, "not_found"},
		{"duplicate", "PUT", "/deployments/shop", zipT, good, 409, "conflict"},
		{"bad id", "PUT", "/deployments/a.b", zipT, good, 400, "bad_request"},
		{"wrong type", "PUT", "/deployments/x", jsonT, good, 415, "unsupported_media_type"},
		{"no type", "PUT", "/deployments/x", "", good, 415, "unsupported_media_type"},
		{"no zip", "PUT", "/deployments/x", zipT, "hello", 400, "bad_request"},
		{"cut off", "PUT", "/deployments/x", zipT, good[:len(good)/2], 400, "bad_request"},
		{"two documents", "PUT", "/deployments/x", zipT, string(archive(t, two)), 400, "bad_request"},
		{"no document", "PUT", "/deployments/x", zipT, string(archive(t, map[string]string{"a/b.yml": "c: d"})), 400, "bad_request"},
		{"zip slip", "PUT", "/deployments/x", zipT, string(archive(t, map[string]string{"topology.yml": "a: b", "../../evil": "x"})), 400, "bad_request"},
		{"bad YAML", "PUT", "/deployments/x", zipT, string(archive(t, map[string]string{"topology.yml": "a: [b"})), 400, "bad_request"},
		{"missing import", "PUT", "/deployments/x", zipT, string(archive(t, missing)), 400, "bad_request"},
		{"update of nothing", "PATCH", "/deployments/x", zipT, good, 404, "not_found"},
		{"undeploy nothing", "DELETE", "/deployments/x", "", "", 404, "not_found"},
		{"bad flag", "DELETE", "/deployments/shop?stopOnError=perhaps", "", "", 400, "bad_request"},
		{"purge of what runs", "POST", "/deployments/shop/purge", "", "", 500, "internal_server_error"},
		{"purge of nothing", "POST", "/deployments/x/purge", "", "", 500, "internal_server_error"},
		{"no delta", "POST", "/deployments/shop/scale/AppHost", "", "", 400, "bad_request"},
		{"zero delta", "POST", "/deployments/shop/scale/AppHost?delta=0", "", "", 400, "bad_request"},
		{"at the least", "POST", "/deployments/shop/scale/AppHost?delta=-1", "", "", 400, "bad_request"},
		{"scale of nothing", "POST", "/deployments/shop/scale/None?delta=1", "", "", 404, "not_found"},
		{"unknown node", "POST", "/deployments/shop/custom", jsonT, `{"node":"N","interface":"custom","name":"backup"}`, 400, "bad_request"},
		{"unknown command", "POST", "/deployments/shop/custom", jsonT, `{"node":"Mongo","interface":"custom","name":"x"}`, 400, "bad_request"},
		{"unknown instance", "POST", "/deployments/shop/custom", jsonT, `{"node":"Mongo","interface":"custom","name":"backup","instances":["7"]}`, 400, "bad_request"},
		{"bad JSON", "POST", "/deployments/shop/custom", jsonT, `{`, 400, "bad_request"},
		{"unknown workflow", "POST", "/deployments/shop/workflows/x", jsonT, `{}`, 404, "not_found"},
		{"missing input", "POST", "/deployments/shop/workflows/check", jsonT, `{}`, 400, "bad_request"},
		{"unknown workflow's node", "POST", "/deployments/shop/workflows/check", jsonT, `{"inputs":{"how":"x"},"nodesinstances":[{"name":"N"}]}`, 400, "bad_request"},
		{"unknown task", "GET", "/deployments/shop/tasks/x", "", "", 404, "not_found"},
		{"cancel what is done", "DELETE", a.task, "", "", 400, "bad_request"},
		{"resume what is done", "PUT", a.task, "", "", 400, "bad_request"},
		{"unknown instance read", "GET", "/deployments/shop/nodes/Mongo/instances/9", "", "", 404, "not_found"},
		{"unknown attribute", "GET", "/deployments/shop/nodes/Mongo/instances/0/attributes/x", "", "", 404, "not_found"},
		{"unknown output", "GET", "/deployments/shop/outputs/x", "", "", 404, "not_found"},
		{"bad index", "GET", "/events?index=-1", "", "", 400, "bad_request"},
		{"bad wait", "GET", "/logs?wait=long", "", "", 400, "bad_request"},
		{"events of nothing", "GET", "/deployments/x/events", "", "", 404, "not_found"},
		{"unknown location", "GET", "/locations/x", "", "", 400, "bad_request"},
	} {
		r := s.Send(c.method, c.path, c.content, []byte(c.body))
		var doc errorDocument
		err := json.Unmarshal([]byte(r.Body), &doc)
		if r.Status != c.status || err != nil || len(doc.Errors) != 1 || doc.Errors[0].ID != c.id || doc.Errors[0].Status != c.status ||
			doc.Errors[0].Title == "" || doc.Errors[0].Detail == "" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s (%v), want %d %s", c.name, r.Status, r.Body, err, c.status, c.id)
		}
	}
	if r := s.Send("GET", "/deployments", "", nil); strings.Count(r.Body, `"id"`) != 1 {
		t.Errorf("a refused archive has left something: %s", r.Body)
	}
	a.await("the failed purge", func() bool { return strings.Contains(strings.Join(a.lines, "\n"), `changed to "purge_failed"`) })
}

func TestAcceptHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for accept, want := range map[string]int{"": 200, "application/json": 200, "*/*": 200, "text/html, application/*;q=0.5": 200, "text/html": 406, "application/xml": 406} {
		req := httptest.NewRequest(http.MethodGet, "/server/info?pretty", nil)
		req.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		New(Options{Service: s.Local, Feed: s.Local}).Handler().ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("Accept %q: %d, want %d", accept, w.Code, want)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	known := " DEPLOYED UNDEPLOYMENT_IN_PROGRESS UNDEPLOYED PURGE_IN_PROGRESS INITIAL DEPLOYMENT_IN_PROGRESS DEPLOYMENT_FAILED UNDEPLOYMENT_FAILED" +
		" UPDATE_IN_PROGRESS UPDATED UPDATE_FAILURE PURGE_FAILED "
	for _, status := range []orch.Status{orch.StatusDeploying, orch.StatusDeployed, orch.StatusUpdating, orch.StatusUndeploying, orch.StatusUndeployed,
		orch.StatusFailed, orch.StatusCancelled, "new"} {
		for _, doing := range []string{"", doingDeploy, doingUpdate, doingScale, doingUndeploy, doingPurge} {
			if got := listedStatus(orch.Deployment{Status: string(status), Doing: doing}); !strings.Contains(known, " "+got+" ") {
				t.Errorf("%s of %s is listed as %s, which the plugin does not know", status, doing, got)
			}
			if got := strings.ToLower(statusOf(string(status), doing)); got != "" && machineInputs[got] == "" {
				t.Errorf("%s of %s is told as %s, which the plugin does not know", status, doing, got)
			}
		}
	}
}
