package cloudify

import (
	"fmt"
	"slices"
	"testing"
)

// TestInstancesPerContainer: each contained instance names the container that it is in, and scaling in takes the instances that are named.
func TestInstancesPerContainer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("b", "blueprint.yaml", tarball(t, "blueprint", map[string]string{"run.sh": "#!/bin/sh\n", "blueprint.yaml": `tosca_definitions_version: cloudify_dsl_1_3
imports: [ cloudify/types/types.yaml ]
node_templates:
  box:
    type: cloudify.nodes.Root
    instances: { deploy: 2 }
    interfaces: { cloudify.interfaces.lifecycle: { create: { implementation: run.sh, executor: central_deployment_agent } } }
  toy:
    type: cloudify.nodes.Root
    instances: { deploy: 2 }
    interfaces: { cloudify.interfaces.lifecycle: { create: { implementation: run.sh, executor: central_deployment_agent } } }
    relationships: [ { type: cloudify.relationships.contained_in, target: box } ]
`}), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "b"})
	if x, _ := s.run("d", "install", nil, nil); x["status"] != "terminated" {
		t.Fatalf("install %v", x)
	}
	boxes := items(s.get("/node-instances?deployment_id=d&node_id=box&_sort=index"))
	toys := items(s.get("/node-instances?deployment_id=d&node_id=toy&_sort=index"))
	if len(boxes) != 2 || len(toys) != 4 || toys[3]["index"] != 4.0 {
		t.Fatalf("boxes %v, toys %v", boxes, toys)
	}
	in := map[string]int{}
	for _, x := range toys {
		rels := x["relationships"].([]any)
		if len(rels) != 1 {
			t.Fatalf("a toy in %v", rels)
		}
		in[fmt.Sprint(rels[0].(object)["target_id"])]++
	}
	for _, b := range boxes {
		if in[fmt.Sprint(b["id"])] != 2 {
			t.Errorf("box %v has %d toys", b["id"], in[fmt.Sprint(b["id"])])
		}
	}
	first := fmt.Sprint(boxes[0]["id"])
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("d", "scale", object{"scalable_entity_name": "box", "delta": 1, "include_instances": []string{first}}, nil))
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("d", "scale", object{"scalable_entity_name": "crate"}, nil))
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("d", "scale", object{"scalable_entity_name": "box", "delta": -7}, nil))
	if x, _ := s.run("d", "scale", object{"scalable_entity_name": "box", "delta": -1, "include_instances": []string{first}}, nil); x["status"] != "terminated" {
		t.Fatalf("scale %v", x)
	}
	if left := pick(items(s.get("/node-instances?deployment_id=d&node_id=box&state=started")), "id"); !slices.Equal(left, []string{fmt.Sprint(boxes[1]["id"])}) {
		t.Errorf("left %v of %v", left, pick(boxes, "id"))
	}
}
