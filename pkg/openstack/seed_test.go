package openstack_test

import (
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/plugin"
)

// seed makes one of each kind with a deployment's identity, in use by each other, and returns how many.
func seed(t *testing.T, c *openstack.Client, deployment string) int {
	t.Helper()
	id := plugin.Identity{Deployment: deployment, Node: "web", Instance: "0"}
	n := 0
	post := func(service, path, key string, body map[string]any) string {
		t.Helper()
		out, err := c.Post(t.Context(), service, path, map[string]any{key: body}, key)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		n++
		s, _ := out["id"].(string)
		return s
	}
	neutron := func(path, key string, body map[string]any) string {
		t.Helper()
		rid := post("neutron", path, key, body)
		if path == "ports" || path == "subnets" {
			// As after a crash before the tags: only the description says whose it is.
			return rid
		}
		if err := c.Put(t.Context(), "neutron", path+"/"+rid+"/tags", map[string]any{"tags": id.Tags()}); err != nil {
			t.Fatal(err)
		}
		return rid
	}
	nets, err := c.List(t.Context(), "networks")
	if err != nil {
		t.Fatal(err)
	}
	external := nets[0]["id"]
	for _, o := range nets {
		if o["external"] == true {
			external = o["id"]
		}
	}
	net := neutron("networks", "network", map[string]any{"name": "n"})
	sub := neutron("subnets", "subnet", map[string]any{"network_id": net, "cidr": "10.3.0.0/24", "ip_version": 4, "description": id.Mark()})
	router := neutron("routers", "router", map[string]any{"external_gateway_info": map[string]any{"network_id": external}})
	if err := c.Put(t.Context(), "neutron", "routers/"+router+"/add_router_interface", map[string]any{"subnet_id": sub}); err != nil {
		t.Fatal(err)
	}
	neutron("security-groups", "security_group", map[string]any{"name": "g"})
	port := neutron("ports", "port", map[string]any{"network_id": net, "description": id.Mark()})
	neutron("floatingips", "floatingip", map[string]any{"floating_network_id": external, "port_id": port})
	post("nova", "os-keypairs", "keypair", map[string]any{"name": id.UniqueName("key")})
	post("nova", "os-server-groups", "server_group", map[string]any{"name": id.UniqueName("group"), "policies": []string{"affinity"}})
	vol := post("cinder", "volumes", "volume", map[string]any{"size": 1, "metadata": id.Metadata()})
	images, _ := c.List(t.Context(), "images")
	flavors, _ := c.List(t.Context(), "flavors")
	server := post("nova", "servers", "server", map[string]any{"name": "s", "imageRef": images[0]["id"], "flavorRef": flavors[0]["id"],
		"networks": []any{map[string]any{"port": port}}, "metadata": id.Metadata()})
	attached := false
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline) && !attached; time.Sleep(50 * time.Millisecond) {
		_, err := c.Post(t.Context(), "nova", "servers/"+server+"/os-volume_attachments", map[string]any{"volumeAttachment": map[string]any{"volumeId": vol}}, "volumeAttachment")
		attached = err == nil
	}
	if !attached {
		t.Fatal("the volume could not be attached")
	}
	return n
}
