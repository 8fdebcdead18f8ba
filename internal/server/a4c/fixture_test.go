package a4c

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orch-project/orch/internal/server/servicetest"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/fake"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/plugins"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server on a real service whose operations a fake world does.
type site struct {
	*servicetest.Site
	stop chan struct{}
}

func newSite(t *testing.T) *site { t.Helper(); return newSiteOf(t, configured{}) }

// newSiteOf has locations of its own.
func newSiteOf(t *testing.T, locations orch.LocationSource) *site {
	t.Helper()
	set, list := plugin.LoadAll(plugins.FS, "")
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	loc, list := set.Complete(plugin.Location{Name: "openstack", Plugin: "openstack", Settings: map[string]any{}})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	s := &site{Site: servicetest.New(t)}
	s.Start(servicetest.Setup{
		Service: func(o *orch.Options) {
			o.Locations = locations
			o.Pool = hostpool.New(hostpool.Options{Store: s.Store, Secrets: orch.PoolSecrets{Secrets: secrets.Drivers{Store: s.Secrets()}}, Reach: reach})
			o.Bind = func(_ context.Context, t *topology.Topology, _ string) diag.List { return set.Bind(t, loc) }
		},
		Handler: func() http.Handler {
			s.stop = make(chan struct{})
			return New(Options{Service: s.Local, Feed: s.Local, Collector: s.Local, Stop: s.stop}).Handler()
		},
		Act:  serve,
		Stop: func() { close(s.stop) },
	})
	return s
}

// serve gives every server that is made an address.
func serve(req *driver.Request, b *fake.Behaviour) {
	if req.Action == driver.Create && b.Err == nil {
		b.Result.Attributes = map[string]any{"private_address": "10.0.0.1" + req.Instance, "id": "srv-" + req.Instance}
		b.Result.Host = &driver.Host{Instance: req.ID(), Addresses: []string{"10.0.0.1" + req.Instance}}
	}
}

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
func reach(_ context.Context, h *hostpool.Host) error {
	if strings.HasPrefix(h.Connection.Host, "dead") {
		return errors.New("no route to \"host\"")
	}
	return nil
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
