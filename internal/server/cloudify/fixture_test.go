package cloudify

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orch-project/orch/internal/server/servicetest"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server on a real service whose operations a fake world does.
type site struct {
	*servicetest.Site
	// endpoint does what is due when it is told to, at the time that clock says.
	endpoint *Server
	clock    atomic.Int64 // nanoseconds after the real time
	fetch    func(context.Context, string) (io.ReadCloser, error)
	// patience is how long an execution may take.
	patience time.Duration
	// who asks; the server before the endpoint would have found out.
	who orch.Identity
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Site: servicetest.New(t), patience: 3 * time.Minute, who: orch.Identity{User: "admin", Tenant: orch.DefaultTenant, Role: orch.ServerAdmin, Via: "basic"}}
	s.Start(servicetest.Setup{Handler: s.handler})
	return s
}

// handler is the endpoint of every tenant on the service that has started.
func (s *site) handler() http.Handler {
	l := s.Local
	var mu sync.Mutex
	all := map[string]*Server{}
	var of func(tenant string) *Server
	of = func(tenant string) *Server {
		mu.Lock()
		defer mu.Unlock()
		if all[tenant] == nil {
			all[tenant] = New(Options{now: func() time.Time { return time.Now().UTC().Add(time.Duration(s.clock.Load())) }, Tenant: tenant, Peer: of,
				Service: orch.InTenant(l, tenant), Engine: struct {
					orch.Feed
					orch.Creator
					orch.Modeller
				}{orch.FeedInTenant(l, tenant), orch.CreatorInTenant(l, tenant), orch.ModellerInTenant(l, tenant)}, Store: s.Store, Fetch: s.fetch, MaxUpload: 1 << 20})
		}
		return all[tenant]
	}
	s.endpoint = of(orch.DefaultTenant)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant := realTenant(r.Header.Get("Tenant"))
		if tenant == "" {
			tenant = orch.DefaultTenant
		}
		who := s.who
		who.Tenant = tenant
		of(tenant).Handler().ServeHTTP(w, r.WithContext(orch.WithTenant(orch.WithIdentity(r.Context(), who), tenant)))
	})
}

// later lets time pass and does what is due then.
func (s *site) later(d time.Duration) {
	s.T.Helper()
	s.clock.Add(int64(d))
	tenants, err := Due(s.T.Context(), s.Store, s.endpoint.opts.now())
	if err == nil && len(tenants) > 0 {
		err = s.endpoint.Work(s.T.Context())
	}
	if err != nil {
		s.T.Fatal(err)
	}
}

// send is Send in the tenant of who asks, unless the headers name another one.
func (s *site) send(method, path, contentType string, body []byte, header ...string) servicetest.Reply {
	s.T.Helper()
	return s.Send(method, path, contentType, body, append([]string{"Tenant", shownTenant(s.who.Tenant)}, header...)...)
}

type object = map[string]any

// call sends JSON as Cloudify's client does, expects a status, and decodes the answer.
func (s *site) call(want int, method, path string, body any) object {
	s.T.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			s.T.Fatal(err)
		}
	}
	r := s.send(method, path, "application/json", data)
	if r.Status != want {
		s.T.Fatalf("%s %s: %d %s, want %d", method, path, r.Status, r.Body, want)
	}
	if r.Body == "" {
		return nil
	}
	var out object
	if err := json.Unmarshal([]byte(r.Body), &out); err != nil {
		s.T.Fatalf("%s %s: %v: %s", method, path, err, r.Body)
	}
	return out
}

func (s *site) get(path string) object { s.T.Helper(); return s.call(200, "GET", v31+path, nil) }

// refused expects an error with a code.
func (s *site) refused(status int, code, method, path string, body any) object {
	s.T.Helper()
	out := s.call(status, method, path, body)
	if out["error_code"] != code {
		s.T.Errorf("%s %s: %v, want %s", method, path, out, code)
	}
	if _, ok := out["server_traceback"]; !ok || out["message"] == "" {
		s.T.Errorf("%s %s: an error without message or server_traceback: %v", method, path, out)
	}
	return out
}

const v31 = "/api/v3.1"

func items(o object) (out []object) {
	list, _ := o["items"].([]any)
	for _, x := range list {
		m, _ := x.(object)
		out = append(out, m)
	}
	return out
}

func pick(list []object, key string) (out []string) {
	for _, o := range list {
		out = append(out, fmt.Sprint(o[key]))
	}
	return out
}

// tarball packs files as cfy does: below one directory.
func tarball(t testing.TB, dir string, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: strings.TrimPrefix(dir+"/"+name, "/"), Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// upload is cfy 7's: a form, asynchronous.
func (s *site) upload(id, main string, archive []byte, params object) object {
	s.T.Helper()
	all := object{"visibility": "tenant", "async_upload": true, "skip_execution": false, "application_file_name": url.PathEscape(main)}
	maps.Copy(all, params)
	text, err := json.Marshal(all)
	if err != nil {
		s.T.Fatal(err)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.WriteField("params", string(text)); err != nil {
		s.T.Fatal(err)
	}
	f, err := w.CreateFormFile("blueprint_archive", "filename")
	if err != nil {
		s.T.Fatal(err)
	}
	_, _ = f.Write(archive)
	w.Close()
	r := s.send("PUT", v31+"/blueprints/"+id, w.FormDataContentType(), body.Bytes())
	if r.Status != 201 {
		s.T.Fatalf("upload %s: %d %s", id, r.Status, r.Body)
	}
	var out object
	if err := json.Unmarshal([]byte(r.Body), &out); err != nil {
		s.T.Fatal(err)
	}
	return out
}

// follow polls an execution and its events as cfy does, and returns both when it has ended.
func (s *site) follow(id string) (execution object, events []object) {
	s.T.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		execution = s.get("/executions/" + id)
		status, _ := execution["status"].(string)
		if status != "pending" {
			for {
				page := s.get(fmt.Sprintf("/events?execution_id=%s&_offset=%d&_size=100&_sort=reported_timestamp&type=cloudify_event&type=cloudify_log", id, len(events)))
				batch := items(page)
				events = append(events, batch...)
				if len(batch) < 100 {
					break
				}
			}
		}
		over := slices.ContainsFunc(events, func(e object) bool {
			return slices.Contains([]any{"workflow_succeeded", "workflow_failed", "workflow_cancelled"}, e["event_type"])
		})
		if ended(status) && over {
			return execution, events
		}
		if time.Now().After(deadline) {
			s.T.Fatalf("execution %s does not end: %v, %d events", id, execution, len(events))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// until polls an execution for a status.
func (s *site) until(id, status string) object {
	s.T.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		x := s.get("/executions/" + id)
		if x["status"] == status {
			return x
		}
		if time.Now().After(deadline) {
			s.T.Fatalf("execution %s does not become %s: %v", id, status, x)
		}
	}
}

// startBody is what the client sends to start an execution: every key, booleans as texts.
func startBody(deployment, workflow string, parameters object, more object) object {
	b := object{"deployment_id": deployment, "workflow_id": workflow, "parameters": parameters, "allow_custom_parameters": "false", "force": "false", "dry_run": "false", "queue": "false",
		"scheduled_time": nil, "wait_after_fail": 600, "force_status": nil, "created_by": nil, "created_at": nil, "started_at": nil, "ended_at": nil, "id": nil,
		"is_system_workflow": nil, "error": nil}
	maps.Copy(b, more)
	return b
}

// run starts a workflow and follows it to its end.
func (s *site) run(deployment, workflow string, parameters object, more object) (object, []object) {
	s.T.Helper()
	x := s.call(201, "POST", v31+"/executions", startBody(deployment, workflow, parameters, more))
	return s.follow(fmt.Sprint(x["id"]))
}

// shop is a blueprint of an application that uses a database.
var shop = map[string]string{
	"blueprint.yaml":    shopBlueprint,
	"scripts/create.sh": "#!/bin/sh\n", "scripts/start.sh": "#!/bin/sh\n", "scripts/stop.sh": "#!/bin/sh\n", "scripts/link.sh": "#!/bin/sh\n", "scripts/backup.sh": "#!/bin/sh\n",
}

const shopBlueprint = `tosca_definitions_version: cloudify_dsl_1_4
description: A shop
imports: [ cloudify/types/types.yaml ]
inputs:
  port: { type: integer, default: 8080, description: where the shop listens }
labels:
  team: { values: [ red, blue ] }
blueprint_labels:
  kind: { values: [ shop ] }
node_templates:
  db:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create: { implementation: scripts/create.sh, executor: central_deployment_agent }
        start: { implementation: scripts/start.sh, executor: central_deployment_agent }
        stop: { implementation: scripts/stop.sh, executor: central_deployment_agent }
      admin:
        backup: { implementation: scripts/backup.sh, executor: central_deployment_agent, inputs: { where: /tmp } }
  app:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create:
          implementation: scripts/create.sh
          executor: central_deployment_agent
          inputs: { port: { get_input: port }, db: { get_attribute: [ db, address ] } }
        start: { implementation: scripts/start.sh, executor: central_deployment_agent }
        stop: { implementation: scripts/stop.sh, executor: central_deployment_agent }
    relationships:
      - type: cloudify.relationships.connected_to
        target: db
        source_interfaces:
          cloudify.interfaces.relationship_lifecycle:
            establish: { implementation: scripts/link.sh, executor: central_deployment_agent }
        target_interfaces:
          cloudify.interfaces.relationship_lifecycle:
            establish: { implementation: scripts/link.sh, executor: central_deployment_agent }
groups:
  front: { members: [ app ] }
policies:
  front_scales: { type: cloudify.policies.scaling, targets: [ front ], properties: { default_instances: 1 } }
outputs:
  port: { value: { get_input: port }, description: where it listens }
  address: { value: { get_attribute: [ db, address ] } }
capabilities:
  endpoint: { value: { concat: [ "http://localhost:", { get_input: port } ] } }
`

func attrs(kv ...string) driver.Result {
	m := object{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return driver.Result{Attributes: m}
}
