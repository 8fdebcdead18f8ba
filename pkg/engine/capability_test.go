package engine_test

import (
	"context"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// A script of a relationship learns of both ends' instances and of the capability, as Alien4Cloud and Yorc tell it.
func TestVariablesOfRelationships(t *testing.T) {
	top := chain("data-base", "web")
	db, web := top.Nodes[0], top.Nodes[1]
	db.Count, web.Count = topology.Lit(int64(2)), topology.Lit(int64(3))
	props, attrs := topology.NewValues(), topology.NewValues()
	props.Set("port", topology.Lit(int64(5432)))
	attrs.Set("ip_address", topology.Lit(nil))
	attrs.Set("unset", topology.Lit(nil))
	db.Capabilities = []*topology.Capability{{Name: "end-point", Type: topology.Type{"tosca.capabilities.Endpoint"}, Properties: props, Attributes: attrs}}
	rel := web.Relationships[0]
	rel.Capability = "end-point"
	rel.Interfaces = []*topology.Interface{{Name: "Configure", Operations: []*topology.Operation{
		{Interface: "Configure", Name: "pre_configure_source", Retries: -1, Implementation: &topology.Artifact{File: "p.sh"}}}}}
	b := newBench(t, top)
	for i, at := range []string{"10.0.0.1", "10.0.0.2"} {
		b.d.do["data-base["+string(rune('0'+i))+"].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{Attributes: map[string]any{"end-point.ip_address": at}}, nil
		}
	}
	b.plan(plan.Input{})
	if out := b.run(nil); out.Status != engine.Done {
		t.Fatalf("%+v", out.Failure)
	}
	got := b.d.vars["web[1]."+rel.Name+".pre_configure_source"]
	for name, want := range map[string]string{
		"SOURCE_NODE": "web", "SOURCE_INSTANCE": "web_1", "SOURCE_INSTANCES": "web_0,web_1,web_2", "TARGET_NODE": "data-base",
		"TARGET_INSTANCES": "data_base_0,data_base_1", "DEPLOYMENT_ID": "d", "TARGET_CAPABILITY_NAMES": "end-point",
		"TARGET_CAPABILITY_TYPE": "tosca.capabilities.Endpoint", "TARGET_CAPABILITY_end_point_TYPE": "tosca.capabilities.Endpoint",
		"TARGET_CAPABILITY_PROPERTY_port": "5432", "TARGET_CAPABILITY_end_point_PROPERTY_port": "5432",
		"TARGET_CAPABILITY_data_base_1_ATTRIBUTE_ip_address": "10.0.0.2", "TARGET_CAPABILITY_end_point_data_base_0_ATTRIBUTE_ip_address": "10.0.0.1",
	} {
		if got[name].Value != want {
			t.Errorf("%s is %q, want %q", name, got[name].Value, want)
		}
	}
	if _, ok := got["TARGET_CAPABILITY_data_base_0_ATTRIBUTE_unset"]; ok {
		t.Error("an attribute without value is a variable")
	}
	if _, ok := got["NODE"]; ok {
		t.Error("a relationship's operation has no NODE")
	}
}
