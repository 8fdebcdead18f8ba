package a4c

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/server/servicetest"
)

// janusSend asks as Janus' plugin does: its library's name, and no type for what has no body.
func (s *site) janusSend(method, path, contentType string, data []byte) servicetest.Reply {
	s.T.Helper()
	var r io.Reader
	if data != nil {
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(s.T.Context(), method, s.HTTP.URL+path, r)
	if err != nil {
		s.T.Fatal(err)
	}
	req.Header.Set("accept", "application/json")
	req.Header.Set("user-agent", "unirest-java/1.3.11")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return s.Do(req)
}

// strict fails at fields that it does not know, as the mapper of these plugins does.
func strict(t *testing.T, r servicetest.Reply, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || r.Status != 200 {
		t.Fatalf("%+v: %v", r, err)
	}
}

// janusLog has the fields that a line may have.
type janusLog struct {
	Timestamp, Level, Type, Content                                                         string
	DeploymentId, WorkflowId, ExecutionId, NodeId, InstanceId, InterfaceName, OperationName string
}

// await follows the events of a path until one has the type and the status.
func (s *site) janusAwait(path string, index *uint64, typ, status, task string) (seen []string) {
	s.T.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		var doc struct {
			Events []janusEvent `json:"events"`
			Last   uint64       `json:"last_index"`
		}
		strict(s.T, s.janusSend("GET", fmt.Sprintf("%s?index=%d&filter=&wait=1s", path, *index), "", nil), &doc)
		if doc.Events == nil {
			s.T.Fatal("events are null")
		}
		*index = doc.Last
		found := false
		for _, e := range doc.Events {
			seen = append(seen, e.Type+" "+e.Node+e.Instance+" "+e.Status)
			found = found || e.Type == typ && e.Status == status && (task == "" || e.Task == task)
			if all := path == "/events"; e.Timestamp == "" || all && e.Deployment != "shop" || !all && e.Deployment != "" {
				s.T.Errorf("%s has %+v", path, e)
			}
		}
		if found {
			return seen
		}
	}
	s.T.Fatalf("no event %s %s among %q", typ, status, seen)
	return nil
}

// A session of the plugin for Alien4Cloud 1.4.
func TestJanusSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if r := s.janusSend("GET", "/deployments", "", nil); r.Status != 204 || r.Body != "" {
		t.Errorf("nothing deployed: %+v", r)
	}
	taskOf := func(r servicetest.Reply, status int) string {
		t.Helper()
		at := r.Header.Get("Location")
		if r.Status != status || at == "" {
			t.Fatalf("answer %+v, want %d and a location", r, status)
		}
		return at[strings.LastIndexByte(at, '/')+1:]
	}
	taskOf(s.janusSend("PUT", "/deployments/shop", "application/zip", archive(t, mongo(t))), 201)
	index := uint64(1)
	seen := s.janusAwait("/events", &index, "deployment", "deployed", "")
	if !slices.Contains(seen, "instance Mongo0 started") || !slices.Contains(seen, "deployment  deployment_in_progress") {
		t.Errorf("events %q", seen)
	}
	var list struct{ Deployments []link }
	strict(t, s.janusSend("GET", "/deployments", "", nil), &list)
	if len(list.Deployments) != 1 || list.Deployments[0].Href != "/deployments/shop" || list.Deployments[0].Rel != "deployment" {
		t.Errorf("deployments %+v", list)
	}
	var node struct {
		Links        []link
		Name, Status string
	}
	strict(t, s.janusSend("GET", "/deployments/shop/nodes/Mongo", "", nil), &node)
	var logs struct {
		Logs []janusLog
		Last uint64 `json:"last_index"`
	}
	r := s.janusSend("GET", "/logs?index=1&filter=", "", nil)
	strict(t, r, &logs)
	if len(logs.Logs) == 0 || r.Header.Get("X-Janus-Index") != fmt.Sprint(logs.Last) {
		t.Errorf("logs %+v", r)
	}

	// Commands name no interface, workflows have no body.
	task := taskOf(s.janusSend("POST", "/deployments/shop/custom", "application/json", []byte(`{"node":"Mongo","name":"backup","inputs":{"WHERE":"/srv"}}`)), 202)
	s.janusAwait("/events", &index, "custom-command", "done", task)
	if r := s.janusSend("POST", "/deployments/shop/workflows/check", "", nil); r.Status != 400 || !strings.Contains(r.Body, "how") {
		t.Errorf("a workflow without its input: %+v", r)
	}
	task = taskOf(s.janusSend("POST", "/deployments/shop/workflows/restart", "", nil), 201)
	s.janusAwait("/events", &index, "workflow", "done", task)
	task = taskOf(s.janusSend("POST", "/deployments/shop/scale/AppHost?delta=1", "", nil), 202)
	s.janusAwait("/events", &index, "scaling", "done", task)

	one := index
	taskOf(s.janusSend("DELETE", "/deployments/shop", "", nil), 202)
	s.janusAwait("/deployments/shop/events", &one, "deployment", "undeployed", "")
}
