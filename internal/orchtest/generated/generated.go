// Package generated writes large documents for benchmarks and tests of growth.
package generated

import (
	"fmt"
	"strings"
)

// Topology writes a topology of n nodes in groups of four (server, database server, database, application) with custom types,
// constraints, functions, inline relationships and chains of ten connected applications.
func Topology(n int) []byte {
	var b strings.Builder
	b.WriteString(`tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { template_name: generated, template_version: "1.0" }
data_types:
  Limits:
    derived_from: tosca.datatypes.Root
    properties:
      connections: { type: integer, default: 100, constraints: [ { in_range: [ 1, 1000 ] } ] }
      memory: { type: scalar-unit.size, default: 1 GB }
node_types:
  Server:
    derived_from: tosca.nodes.SoftwareComponent
    properties:
      port: { type: tosca.datatypes.network.PortDef, default: 5432 }
      name: { type: string, constraints: [ { min_length: 1 }, { pattern: "[a-z0-9-]+" } ] }
      limits: { type: Limits, required: false }
      url: { type: string, required: false }
    attributes:
      address: { type: string }
    capabilities:
      endpoint: tosca.capabilities.Endpoint.Database
      host: tosca.capabilities.Compute
    interfaces:
      Standard:
        operations:
          create: { inputs: { name: { type: string, default: { get_property: [ SELF, name ] } } } }
  Store:
    derived_from: tosca.nodes.Root
    properties:
      name: { type: string }
      tags: { type: map, entry_schema: { type: string }, required: false }
    requirements:
      - host: { capability: tosca.capabilities.Compute, node: Server, relationship: tosca.relationships.HostedOn }
    capabilities:
      data: tosca.capabilities.Endpoint.Database
  Application:
    derived_from: tosca.nodes.SoftwareComponent
    properties:
      database_url: { type: string }
      workers: { type: integer, default: 2, constraints: [ { greater_than: 0 } ] }
    capabilities:
      endpoint: tosca.capabilities.Endpoint
    requirements:
      - database: { capability: tosca.capabilities.Endpoint.Database, relationship: tosca.relationships.ConnectsTo }
      - next: { capability: tosca.capabilities.Endpoint, relationship: tosca.relationships.ConnectsTo, occurrences: [ 0, 1 ] }
topology_template:
  inputs:
    cpus: { type: integer, default: 2, constraints: [ { valid_values: [ 1, 2, 4 ] } ] }
    password: { type: string, default: secret }
  node_templates:
`)
	for i := 0; i < n/4; i++ {
		fmt.Fprintf(&b, `    host_%[1]d:
      type: tosca.nodes.Compute
      capabilities:
        host: { properties: { num_cpus: { get_input: cpus }, mem_size: 4 GB, disk_size: 20 GB } }
        os: { properties: { type: linux, distribution: debian, version: 12.0 } }
    server_%[1]d:
      type: Server
      properties:
        name: server-%[1]d
        port: %[2]d
        limits: { connections: 10 }
        url: { concat: [ "postgres://", { get_attribute: [ SELF, address ] }, ":", { get_property: [ SELF, port ] } ] }
      requirements:
        - host: host_%[1]d
    store_%[1]d:
      type: Store
      properties:
        name: store-%[1]d
        tags: { owner: team-%[1]d, stage: test }
      requirements:
        - host: server_%[1]d
    app_%[1]d:
      type: Application
      properties:
        database_url: { get_property: [ server_%[1]d, url ] }
        workers: 4
      requirements:
        - host: host_%[1]d
        - database:
            node: store_%[1]d
            relationship:
              type: tosca.relationships.ConnectsTo
              properties: { credential: { user: app, token: { get_input: password } } }
`, i, 1000+i%60000)
		if i%10 != 0 {
			fmt.Fprintf(&b, "        - next: app_%d\n", i-1)
		}
	}
	b.WriteString("  outputs:\n    url: { value: { get_property: [ server_0, url ] } }\n")
	return []byte(b.String())
}
