package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub is a Service that remembers what it was asked and answers what it was told.
type stub struct {
	asked   orch.Request
	files   map[string]string
	control orch.Control
	filter  orch.Filter
	events  []event.Event
	breakAt int // the stream panics at this event, as a lost connection does
	err     error
	secrets orch.Secrets

	accounts orch.Accounts
	uploaded orch.NewBlueprint
	swept    orch.SweepRequest
}

func (s *stub) take(req orch.Request) error {
	s.asked, s.files = req, map[string]string{}
	if req.Source == nil {
		return s.err
	}
	_ = fs.WalkDir(req.Source, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := fs.ReadFile(req.Source, p)
			s.files[p] = string(b)
		}
		return err
	})
	return s.err
}

func (s *stub) Plan(_ context.Context, req orch.Request) (*plan.Plan, diag.List, error) {
	if err := s.take(req); err != nil {
		return nil, nil, err
	}
	return &plan.Plan{Deployment: req.Deployment, Digest: "d1"}, diag.List{{Severity: diag.Warning, Code: "w", Message: "mind"}}, nil
}
func (s *stub) Apply(_ context.Context, req orch.Request) (orch.Task, error) {
	return orch.Task{ID: "t1", Deployment: req.Deployment, Verb: req.Verb, Status: "running"}, s.take(req)
}
func (s *stub) Wait(_ context.Context, d, t string) (orch.Task, error) {
	return orch.Task{ID: t, Deployment: d, Status: "done", Steps: orch.Progress{Total: 3, Done: 3}}, s.err
}
func (s *stub) Control(_ context.Context, c orch.Control) error { s.control = c; return s.err }
func (s *stub) Revisions(_ context.Context, name string) ([]orch.Revision, error) {
	return []orch.Revision{{N: 3, Source: "of " + name, Changes: []string{"input port changed"}}}, s.err
}
func (s *stub) Workflows(_ context.Context, name string) ([]orch.WorkflowInfo, error) {
	return []orch.WorkflowInfo{{Name: "of " + name, Inputs: []orch.WorkflowInput{{Name: "x", Required: true}}}}, s.err
}
func (s *stub) Sweep(_ context.Context, req orch.SweepRequest) ([]orch.Resource, error) {
	s.swept = req
	return []orch.Resource{{Service: "nova", Kind: "server", ID: "1f", Record: "cloud", Adopted: req.Adopt, Deleted: req.Delete}}, s.err
}
func (s *stub) Drift(_ context.Context, req orch.DriftRequest) (*orch.Drift, error) {
	return &orch.Drift{Deployment: req.Deployment, Drifted: req.NoChecks, Checked: 3}, s.err
}
func (s *stub) Deployments(context.Context) ([]orch.Deployment, error) {
	return []orch.Deployment{{Name: "web", Status: "deployed"}}, s.err
}
func (s *stub) Deployment(_ context.Context, name string) (*orch.Detail, error) {
	return &orch.Detail{Deployment: orch.Deployment{Name: name}, Nodes: []orch.NodeStatus{{Name: "db", Instances: []orch.InstanceStatus{{Index: "0", State: "started"}}}}}, s.err
}
func (s *stub) Outputs(_ context.Context, _ string, reveal bool) ([]orch.Output, error) {
	if reveal {
		return []orch.Output{{Name: "key", Value: "shown"}}, s.err
	}
	return []orch.Output{{Name: "key", Value: secret.Mask, Secret: true}}, s.err
}
func (s *stub) Tasks(context.Context, string) ([]orch.Task, error) { return nil, s.err }
func (s *stub) Steps(context.Context, string, string) ([]orch.StepStatus, error) {
	return []orch.StepStatus{{Step: &plan.Step{ID: "db[0].create", Node: "db"}, Status: "doing", Waiting: "SSH"}}, s.err
}
func (s *stub) Events(_ context.Context, f orch.Filter) iter.Seq2[event.Event, error] {
	s.filter = f
	return func(yield func(event.Event, error) bool) {
		for _, e := range s.events {
			if e.Seq <= f.After {
				continue
			}
			if s.breakAt != 0 && e.Seq == uint64(s.breakAt) {
				s.breakAt = 0
				panic(http.ErrAbortHandler)
			}
			if !yield(e, nil) {
				return
			}
		}
		if s.err != nil {
			yield(event.Event{}, s.err)
		}
	}
}
func (s *stub) Host(_ context.Context, _ string, in topology.Instance) (*driver.Host, error) {
	return &driver.Host{Instance: in, Addresses: []string{"192.0.2.7"}, KeyRef: "k1", Bastion: &driver.Host{PasswordRef: "p1"}}, s.err
}
func (s *stub) Secrets() orch.Secrets { return s.secrets }
func (s *stub) Close() error          { return nil }

// connect starts a server on a socket and returns its client.
func connect(t *testing.T, s *stub) *client.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := New(Options{Service: s, Reveal: func(_ context.Context, ref string) (secret.Value, error) { return secret.New("value of " + ref), nil }})
	inner := srv.handler
	srv.handler = validated(t, inner)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, l) }()
	c := client.NewUnix(socket)
	t.Cleanup(func() {
		_ = c.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestRequestsArriveWithTheirSource(t *testing.T) {
	s := &stub{}
	c := connect(t, s)
	req := orch.Request{Verb: orch.Deploy, Deployment: "web", Entry: "topology.yaml", SourceName: "app", Inputs: map[string]any{"n": 2.0, "deep": map[string]any{"a": []any{"b"}}},
		Source: fstest.MapFS{"topology.yaml": {Data: []byte("tosca_definitions_version: x\n")}, "scripts/run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}, ".git/config": {Data: []byte("no")}}}
	task, err := c.Apply(t.Context(), req)
	if err != nil || task.ID != "t1" || task.Deployment != "web" {
		t.Fatalf("task %+v, %v", task, err)
	}
	if diff := cmp.Diff(map[string]string{"topology.yaml": "tosca_definitions_version: x\n", "scripts/run.sh": "#!/bin/sh\n"}, s.files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(req.Inputs, s.asked.Inputs); diff != "" || s.asked.Entry != "topology.yaml" {
		t.Errorf("entry %q, inputs %s", s.asked.Entry, diff)
	}
	p, list, err := c.Plan(t.Context(), orch.Request{Verb: orch.Undeploy, Deployment: "web"})
	if err != nil || p.Digest != "d1" || len(list) != 1 || list[0].Severity != diag.Warning || s.asked.Source != nil {
		t.Errorf("plan %+v, %v, %v", p, list, err)
	}
}

// needy is a source that says what is needed of it.
type needy struct{ fstest.MapFS }

func (needy) Needed() ([]string, error) { return []string{"topology.yaml", ".hidden/run.sh"}, nil }

func TestOnlyWhatIsNeededIsSent(t *testing.T) {
	s := &stub{}
	files := fstest.MapFS{"topology.yaml": {Data: []byte("a")}, ".hidden/run.sh": {Data: []byte("b")}, "private.txt": {Data: []byte("no")}}
	if _, err := connect(t, s).Apply(t.Context(), orch.Request{Verb: orch.Deploy, Deployment: "web", Entry: "topology.yaml", Source: needy{files}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"topology.yaml": "a", ".hidden/run.sh": "b"}, s.files); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsComeBackAsTheyWere(t *testing.T) {
	s := &stub{}
	c := connect(t, s)
	s.err = &orch.Error{Kind: orch.KindConflict, Msg: "web is held by bob", Hint: "wait"}
	_, err := c.Deployments(t.Context())
	var known *orch.Error
	if !errors.As(err, &known) || known.Kind != orch.KindConflict || known.Hint != "wait" || known.Error() != "web is held by bob" {
		t.Errorf("got %#v", err)
	}
	want := diag.List{{Severity: diag.Error, Code: "unknown-type", Pos: diag.Pos{File: "a.yaml", Line: 3, Col: 4}, Message: "no", Hint: "yes"}}
	s.err = want.Err()
	_, err = c.Apply(t.Context(), orch.Request{Verb: orch.Deploy})
	var list *diag.ListError
	if !errors.As(err, &list) {
		t.Fatalf("got %#v", err)
	}
	if diff := cmp.Diff(want, list.List); diff != "" {
		t.Error(diff)
	}
}

func TestEventsGoOnAfterABrokenConnection(t *testing.T) {
	s := &stub{breakAt: 2, events: []event.Event{{Seq: 1, Message: "one"}, {Seq: 2, Message: "two\nlines"}, {Seq: 3, Message: "three"}}}
	c := connect(t, s)
	var got []string
	for e, err := range c.Events(t.Context(), orch.Filter{Deployment: "web", Types: []event.Type{event.Log, event.Waiting}, Follow: true, Last: 7}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Message)
	}
	if diff := cmp.Diff([]string{"one", "two\nlines", "three"}, got); diff != "" {
		t.Error(diff)
	}
	if s.filter.After != 1 || len(s.filter.Types) != 2 || s.filter.Deployment != "web" {
		t.Errorf("resumed with %+v", s.filter)
	}
}

func TestEventsEndWithTheServersError(t *testing.T) {
	s := &stub{err: &orch.Error{Kind: orch.KindNotFound, Msg: "no deployment x"}}
	c := connect(t, s)
	for _, err := range c.Events(t.Context(), orch.Filter{Deployment: "x"}) {
		if err == nil || err.Error() != "no deployment x" {
			t.Errorf("got %v", err)
		}
	}
}

func TestFollowingEndsWithTheContext(t *testing.T) {
	c := connect(t, &stub{events: []event.Event{{Seq: 1}}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range c.Events(ctx, orch.Filter{}) {
		cancel()
	}
}

func TestReadingRoundTrips(t *testing.T) {
	s := &stub{}
	c := connect(t, s)
	ctx := t.Context()
	if d, err := c.Deployment(ctx, "a b/c"); err != nil || d.Name != "a b/c" || d.Nodes[0].Instances[0].State != "started" {
		t.Errorf("%+v, %v", d, err)
	}
	if o, err := c.Outputs(ctx, "web", true); err != nil || o[0].Value != "shown" {
		t.Errorf("%+v, %v", o, err)
	}
	if st, err := c.Steps(ctx, "web", "t1"); err != nil || st[0].ID != "db[0].create" || st[0].Waiting != "SSH" {
		t.Errorf("%+v, %v", st, err)
	}
	if task, err := c.Wait(ctx, "web", "t1"); err != nil || task.Steps.Done != 3 {
		t.Errorf("%+v, %v", task, err)
	}
	if err := c.Control(ctx, orch.Control{Deployment: "web", Verb: "retry", Step: "db[0].create"}); err != nil || s.control.Step != "db[0].create" {
		t.Errorf("%+v, %v", s.control, err)
	}
	a, err := c.HostAccess(ctx, "web", topology.Instance{Node: "db", Index: "1"})
	if err != nil || a.Host.Instance.String() != "db[1]" || a.Secrets["k1"] != "value of k1" || a.Secrets["p1"] != "value of p1" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBadRequestsGetAProblem(t *testing.T) {
	srv := httptest.NewServer(New(Options{Service: &stub{}, MaxUpload: 1 << 20}).Handler())
	defer srv.Close()
	tests := map[string]struct {
		method, path, contentType, body string
		status                          int
		want                            string
	}{
		"no such path":  {http.MethodGet, "/api/v1/nope", "", "", 404, "no such path"},
		"wrong method":  {http.MethodPatch, "/api/v1/deployments", "", "", 405, "Method Not Allowed"},
		"no JSON":       {http.MethodPost, "/api/v1/tasks", "application/json", "{", 400, "cannot read the request"},
		"unknown field": {http.MethodPost, "/api/v1/tasks", "application/json", `{"verb":"deploy","nmae":"x"}`, 400, "nmae"},
		"trailing text": {http.MethodPost, "/api/v1/tasks", "application/json", `{} {}`, 400, "text after"},
		"bad form":      {http.MethodPost, "/api/v1/tasks", "multipart/form-data; boundary=x", "--y", 400, "cannot read the upload"},
		"too large":     {http.MethodPut, "/api/v1/secrets/s", "", strings.Repeat("x", maxSecret+1), 413, "larger than 1048576 bytes"},
		"bad sequence":  {http.MethodGet, "/api/v1/events?after=x", "", "", 400, "sequence number"},
		"bad last":      {http.MethodGet, "/api/v1/events?last=x", "", "", 400, "last"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequest(tt.method, srv.URL+tt.path, strings.NewReader(tt.body))
			req.Header.Set("Content-Type", tt.contentType)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
				t.Errorf("%d %s %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestNoServerIsSaidSo(t *testing.T) {
	c := client.NewUnix(filepath.Join(os.TempDir(), "no-such-orch-socket"))
	_, err := c.Deployments(t.Context())
	var known *orch.Error
	if !errors.As(err, &known) || known.Kind != orch.KindStore {
		t.Errorf("got %v", err)
	}
}
