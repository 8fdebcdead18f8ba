package a4c

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/fake"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
	"github.com/orch-project/orch/plugins"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server on a real service whose operations a fake world does.
type site struct {
	t     *testing.T
	store state.Store
	world *fake.World
	local *orch.Local
	http  *httptest.Server
	stop  chan struct{}
	// locations of the configuration.
	locations orch.LocationSource

	// Of a site whose server is a process of its own.
	binary string
	env    []string

	mu     sync.Mutex
	script fake.Table
}

func newSite(t *testing.T) *site { t.Helper(); return newSiteOf(t, configured{}) }

// newSiteOf has locations of its own.
func newSiteOf(t *testing.T, locations orch.LocationSource) *site {
	t.Helper()
	s := &site{t: t, store: mem.New(mem.Options{}), world: &fake.World{}, locations: locations}
	t.Cleanup(func() { s.store.Close() })
	s.start()
	t.Cleanup(s.end)
	return s
}

// behave sets how operations go from now on.
func (s *site) behave(table fake.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = table
}

func (s *site) driver() driver.Driver {
	return &fake.Driver{World: s.world, Script: func(req *driver.Request) fake.Behaviour {
		s.mu.Lock()
		defer s.mu.Unlock()
		b := s.script.Behave(req)
		if req.Action == driver.Create && b.Err == nil {
			b.Result.Attributes = map[string]any{"private_address": "10.0.0.1" + req.Instance, "id": "srv-" + req.Instance}
			b.Result.Host = &driver.Host{Instance: req.ID(), Addresses: []string{"10.0.0.1" + req.Instance}}
		}
		b.Output = append(b.Output, "doing "+req.Step)
		return b
	}}
}

func (s *site) start() {
	s.t.Helper()
	set, list := plugin.LoadAll(plugins.FS, "")
	if err := list.Err(); err != nil {
		s.t.Fatal(err)
	}
	loc, list := set.Complete(plugin.Location{Name: "openstack", Plugin: "openstack", Settings: map[string]any{}})
	if err := list.Err(); err != nil {
		s.t.Fatal(err)
	}
	d := s.driver()
	vault := secrets.New(s.store, secrets.Options{Key: secret.KeySource{Key: masterKey()}})
	pool := hostpool.New(hostpool.Options{Store: s.store, Secrets: orch.PoolSecrets{Secrets: secrets.Drivers{Store: vault}}, Reach: s.reach})
	l, err := orch.New(orch.Options{Store: s.store, Secrets: vault, Cipher: unsealed{}, Pool: pool, Locations: s.locations, Infra: d, Remote: d, Local: d, Retry: engine.Retry{Max: -1},
		Load: func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
			bundle, list := source.OpenFS(b.Name, b.FS, b.Entry)
			if list.HasErrors() {
				return nil, list
			}
			t, more := tosca.Load(ctx, tosca.Options{Bundle: bundle, Libraries: tosca.Builtin()})
			return t, append(list, more...)
		},
		Bind: func(_ context.Context, t *topology.Topology, _ string) diag.List { return set.Bind(t, loc) }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.local, s.stop = l, make(chan struct{})
	s.http = httptest.NewServer(New(Options{Service: l, Feed: l, Collector: l, Stop: s.stop}).Handler())
}

// masterKey is the same for all sites of a test: they may share a store.
var masterKey = sync.OnceValue(func() secret.Value {
	keys, err := secret.GenerateKeyring()
	if err != nil {
		panic(err)
	}
	return keys.Text()
})

// unsealed seals nothing: what is stored stays readable.
type unsealed struct{}

func (unsealed) Seal(b []byte) ([]byte, error) { return b, nil }
func (unsealed) Open(b []byte) ([]byte, error) { return b, nil }

type configured struct{}

func (configured) Configured() []orch.LocationInfo {
	return []orch.LocationInfo{{Name: "openstack", Plugin: "openstack", Properties: map[string]any{"image": "debian", "password": "hunter2"}}}
}

func (configured) Check(l orch.LocationInfo) error {
	if l.Plugin != "openstack" && l.Plugin != "hostspool" {
		return &orch.Error{Kind: orch.KindUser, Msg: "no such plugin"}
	}
	return nil
}

// reach refuses hosts whose address begins with "dead".
func (s *site) reach(_ context.Context, h *hostpool.Host) error {
	if strings.HasPrefix(h.Connection.Host, "dead") {
		return errors.New("no route to \"host\"")
	}
	return nil
}

func (s *site) end() {
	close(s.stop)
	s.http.Close()
	s.local.Close()
	http.DefaultClient.CloseIdleConnections()
}

// restart is a new process on the same store.
func (s *site) restart() {
	s.end()
	s.start()
}

// answered is what came back.
type answered struct {
	status int
	header http.Header
	body   string
}

func (s *site) send(method, path, contentType string, body []byte) answered {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(data)}
}

// archive makes a zip as the plugin does: entries of the directories first.
func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	dirs := map[string]bool{}
	for name := range files {
		for i, r := range name {
			if d := name[:i+1]; r == '/' && !dirs[d] {
				dirs[d] = true
				if _, err := w.Create(d); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// mongo is a topology of two servers as Alien4Cloud sends it: a database, and a client that connects to it.
func mongo(t testing.TB) map[string]string {
	t.Helper()
	files := map[string]string{"topology.yml": mongoTopology, "mongo-types/1.0.0/types.yml": mongoTypes}
	for _, script := range []string{"create", "start", "stop", "client", "link", "backup"} {
		files["mongo-types/1.0.0/scripts/"+script+".sh"] = "#!/bin/bash\n"
	}
	return files
}

const mongoTypes = `tosca_definitions_version: alien_dsl_2_0_0
metadata: { template_name: mongo-types, template_version: 1.0.0, template_author: someone }
imports: [ "tosca-normative-types:1.0.0-ALIEN20" ]
capability_types:
  mongo.capabilities.Database: { derived_from: tosca.capabilities.Endpoint }
relationship_types:
  mongo.relationships.Uses:
    derived_from: tosca.relationships.ConnectsTo
    interfaces:
      Configure:
        pre_configure_source: { implementation: scripts/link.sh, inputs: { ADDRESS: { get_attribute: [ TARGET, url ] } } }
node_types:
  mongo.nodes.Database:
    derived_from: tosca.nodes.SoftwareComponent
    properties: { port: { type: integer, default: 27017 } }
    attributes: { url: { concat: [ "mongodb://", { get_attribute: [ HOST, private_address ] } ] } }
    capabilities: { database: { type: mongo.capabilities.Database } }
    interfaces:
      Standard: { create: scripts/create.sh, start: scripts/start.sh, stop: scripts/stop.sh }
      custom: { backup: { implementation: scripts/backup.sh, inputs: { WHERE: { type: string, default: /tmp } } } }
  mongo.nodes.Client:
    derived_from: tosca.nodes.SoftwareComponent
    requirements:
      - database: { capability: mongo.capabilities.Database, relationship: mongo.relationships.Uses, occurrences: [ 0, 1 ] }
    interfaces:
      Standard: { create: scripts/client.sh }
`

const mongoTopology = `tosca_definitions_version: alien_dsl_3_0_0
metadata: { template_name: Mongo-Environment, template_version: 0.1.0-SNAPSHOT, template_author: admin }
description: ""
imports:
  - <normative-types.yml>
  - <yorc-types.yml>
  - <yorc-openstack-types.yml>
  - mongo-types/1.0.0/types.yml
topology_template:
  inputs:
    port: { type: integer, required: true, value: 27018, default: 27017 }
  node_templates:
    DBHost:
      metadata: { location: openstack }
      type: yorc.nodes.openstack.Compute
      properties: { imageName: debian-12, flavorName: m1.small }
      capabilities: { scalable: { properties: { min_instances: 1, max_instances: 1, default_instances: 1 } } }
    AppHost:
      metadata: { location: openstack }
      type: yorc.nodes.openstack.Compute
      properties: { imageName: debian-12, flavorName: m1.small }
      capabilities: { scalable: { properties: { min_instances: 1, max_instances: 3, default_instances: 1 } } }
    Mongo:
      type: mongo.nodes.Database
      properties: { port: { get_input: port } }
      requirements:
        - hostedOnDBHost: { type_requirement: host, node: DBHost, capability: tosca.capabilities.Container, relationship: tosca.relationships.HostedOn }
    App:
      type: mongo.nodes.Client
      requirements:
        - hostedOnAppHost: { type_requirement: host, node: AppHost, capability: tosca.capabilities.Container, relationship: tosca.relationships.HostedOn }
        - usesMongo: { type_requirement: database, node: Mongo, capability: mongo.capabilities.Database, relationship: mongo.relationships.Uses }
  outputs:
    Mongo_url: { value: { get_attribute: [ Mongo, url ] } }
  workflows:
    install:
      steps:
        DBHost_install: { target: DBHost, activities: [ { delegate: install } ], on_success: [ Mongo_creating ] }
        AppHost_install: { target: AppHost, activities: [ { delegate: install } ], on_success: [ App_creating ] }
        Mongo_creating: { target: Mongo, activities: [ { set_state: creating } ], on_success: [ Mongo_create ] }
        Mongo_create: { target: Mongo, activities: [ { call_operation: Standard.create } ], on_success: [ Mongo_start ] }
        Mongo_start: { target: Mongo, activities: [ { call_operation: Standard.start } ], on_success: [ Mongo_started ] }
        Mongo_started: { target: Mongo, activities: [ { set_state: started } ], on_success: [ App_creating ] }
        App_creating: { target: App, activities: [ { set_state: creating } ], on_success: [ App_create ] }
        App_create: { target: App, activities: [ { call_operation: Standard.create } ], on_success: [ App_usesMongo_pre_configure_source ] }
        App_usesMongo_pre_configure_source:
          target: App
          target_relationship: usesMongo
          operation_host: SOURCE
          activities: [ { call_operation: Configure.pre_configure_source } ]
          on_success: [ App_started ]
        App_started: { target: App, activities: [ { set_state: started } ] }
    uninstall:
      steps:
        App_deleted: { target: App, activities: [ { set_state: deleted } ], on_success: [ Mongo_stop, AppHost_uninstall ] }
        Mongo_stop: { target: Mongo, activities: [ { call_operation: tosca.interfaces.node.lifecycle.Standard.stop } ], on_success: [ Mongo_deleted ] }
        Mongo_deleted: { target: Mongo, activities: [ { set_state: deleted } ], on_success: [ DBHost_uninstall ] }
        DBHost_uninstall: { target: DBHost, activities: [ { delegate: uninstall } ] }
        AppHost_uninstall: { target: AppHost, activities: [ { delegate: uninstall } ] }
    check:
      inputs: { how: { type: string, required: true } }
      steps:
        Mongo_backup: { target: Mongo, activities: [ { call_operation: custom.backup } ] }
`
