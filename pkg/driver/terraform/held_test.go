package terraform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
)

// byHand is somebody of the project with a client of their own.
type byHand struct {
	r         *rig
	token     string
	endpoints map[string]string // by service type
}

func (r *rig) byHand() *byHand {
	r.t.Helper()
	body, _ := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{"name": "demo", "password": r.sandbox.Password, "domain": map[string]any{"id": "default"}}}},
		"scope":    map[string]any{"project": map[string]any{"name": "demo", "domain": map[string]any{"id": "default"}}}}})
	resp, err := http.Post(r.sandbox.AuthURL()+"/auth/tokens", "application/json", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		Token struct {
			Catalog []struct {
				Type      string
				Endpoints []struct{ Interface, URL string }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		r.t.Fatal(err)
	}
	h := &byHand{r: r, token: resp.Header.Get("X-Subject-Token"), endpoints: map[string]string{}}
	for _, s := range doc.Token.Catalog {
		for _, e := range s.Endpoints {
			if e.Interface == "public" {
				h.endpoints[s.Type] = strings.TrimSuffix(e.URL, "/")
			}
		}
	}
	return h
}

// do sends a request; the answer is what is below key.
func (h *byHand) do(method, service, path, key string, body any) map[string]any {
	h.r.t.Helper()
	data, _ := json.Marshal(body)
	req, err := http.NewRequestWithContext(h.r.t.Context(), method, h.endpoints[service]+path, bytes.NewReader(data))
	if err != nil {
		h.r.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", h.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		h.r.t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
	var doc map[string]map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&doc)
	return doc[key]
}

func id(o map[string]any) string { s, _ := o["id"].(string); return s }

// What somebody has made by hand in the deployment's network, or of its volume and security group, is named at once, and not after the ten minutes
// that Terraform waits. All else goes; when that is gone, so does the rest.
func TestWhatHoldsIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(node{name: "net", typ: "orch.nodes.openstack.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "sg", typ: "orch.nodes.openstack.SecurityGroup", props: map[string]any{"rules": []any{map[string]any{"protocol": "tcp", "port": 80}}}},
		node{name: "vol", typ: "orch.nodes.openstack.BlockStorage", props: map[string]any{"size": "1 GB"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute", props: map[string]any{"floating_ip": true}, requires: []string{"network=net", "security_group=sg"}})
	reqs := requests(top, env{}, driver.Create, "create-")
	made := run(t.Context(), r.driver, reqs)
	made.must(t, reqs)
	attribute := func(node, name string) string { s, _ := made.results[node+"[0]"].Attributes[name].(string); return s }

	hand := r.byHand()
	other := hand.do("POST", "network", "/v2.0/networks", "network", map[string]any{"network": map[string]any{"name": "other"}})
	hand.do("POST", "network", "/v2.0/subnets", "subnet", map[string]any{"subnet": map[string]any{"network_id": id(other), "cidr": "10.8.0.0/24", "ip_version": 4}})
	port := hand.do("POST", "network", "/v2.0/ports", "port", map[string]any{"port": map[string]any{"network_id": attribute("net", "network_id"), "name": "lb", "device_owner": "compute:nova", "device_id": "not-ours"}})
	member := hand.do("POST", "network", "/v2.0/ports", "port", map[string]any{"port": map[string]any{"network_id": id(other), "security_groups": []string{attribute("sg", "security_group_id")}}})
	snapshot := hand.do("POST", "block-storage", "/snapshots", "snapshot", map[string]any{"snapshot": map[string]any{"volume_id": attribute("vol", "volume_id"), "name": "before the move"}})

	del := requests(top, env{}, driver.Delete, "delete-")
	begun := time.Now()
	o := run(t.Context(), r.driver, del)
	if d := time.Since(begun); d > 2*time.Minute {
		t.Errorf("it took %s", d)
	}
	for instance, want := range map[string][]string{
		"net[0]": {"cannot go", "port lb (" + id(port) + ")", "compute:nova", "not-ours"},
		"sg[0]":  {"security group " + attribute("sg", "security_group_id") + " cannot go", "port " + id(member)},
		"vol[0]": {"volume " + attribute("vol", "volume_id") + " cannot go", "snapshot before the move (" + id(snapshot) + ")"},
	} {
		var e *driver.Error
		if err := o.errs[instance]; !errors.As(err, &e) || e.Hint == "" || e.Retryable {
			t.Errorf("%s: %v", instance, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(e.Detail, w) {
				t.Errorf("%s does not name %q: %s", instance, w, e.Detail)
			}
		}
	}
	left, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if kinds := kindsOf(left); !slices.Equal(kinds, []string{"network", "security group", "subnet", "volume"}) {
		t.Errorf("left: %v", kinds)
	}
	if g := hand.do("GET", "network", "/v2.0/security-groups/"+attribute("sg", "security_group_id"), "security_group", nil); len(g["security_group_rules"].([]any)) != 3 {
		t.Errorf("who has the group has lost rules of it: %v", g)
	}

	hand.do("DELETE", "network", "/v2.0/ports/"+id(port), "", nil)
	hand.do("DELETE", "network", "/v2.0/ports/"+id(member), "", nil)
	hand.do("DELETE", "block-storage", "/snapshots/"+id(snapshot), "", nil)
	del = requests(top, env{}, driver.Delete, "again-")
	run(t.Context(), r.newDriver(), del).must(t, del)
	r.nothingLeft()
}

// A group goes that a port of the deployment has still, which the same batch takes it from: nobody else is in the way, and it goes. The group is not in
// the topology that the server is changed for.
func TestWhatIsTakenOffInTheSameBatchHoldsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	net := node{name: "net", typ: "orch.nodes.openstack.Network", props: map[string]any{"cidr": "10.9.0.0/24"}}
	sg := node{name: "sg", typ: "orch.nodes.openstack.SecurityGroup", props: map[string]any{"rules": []any{map[string]any{"protocol": "tcp", "port": 80}}}}
	web := func(requires ...string) node {
		return node{name: "web", typ: "orch.nodes.openstack.Compute", requires: append(requires, "network=net")}
	}
	with, without := r.topology(net, sg, web("security_group=sg")), r.topology(net, web())
	made := requests(with, env{}, driver.Create, "create-")
	run(t.Context(), r.driver, made).must(t, made)

	both := append(requests(with, env{}, driver.Delete, "delete-", "sg"), requests(without, env{}, driver.Update, "update-", "web")...)
	o := run(t.Context(), r.driver, both)
	o.must(t, both)
	for _, e := range o.events {
		if e.Level == event.Warn || e.Level == event.Error {
			t.Errorf("a warning: %s", e.Message)
		}
	}
	if left, err := r.cloud.Inventory(t.Context(), "app"); err != nil || slices.ContainsFunc(left, func(c driver.CloudResource) bool { return strings.Contains(c.Name, "-sg-") }) {
		t.Errorf("left: %v, %v", left, err)
	}
	gone := requests(without, env{}, driver.Delete, "gone-")
	run(t.Context(), r.newDriver(), gone).must(t, gone)
	r.nothingLeft()
}

func kindsOf(list []driver.CloudResource) (kinds []string) {
	for _, l := range list {
		kinds = append(kinds, l.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// What only loses something is told of, and does not stand in the way: a floating IP of somebody's on our port, a volume on our server.
func TestWhatLosesSomethingIsToldOf(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(node{name: "net", typ: "orch.nodes.openstack.Network", props: map[string]any{"cidr": "10.9.0.0/24"}},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"network=net"}})
	reqs := requests(top, env{}, driver.Create, "create-")
	run(t.Context(), r.driver, reqs).must(t, reqs)
	all, err := r.cloud.Inventory(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	port := all[slices.IndexFunc(all, func(c driver.CloudResource) bool { return c.Kind == "port" })]
	nets, err := r.cloud.List(t.Context(), "networks")
	if err != nil {
		t.Fatal(err)
	}
	external := nets[slices.IndexFunc(nets, func(n map[string]any) bool { return n["external"] == true })]["id"]
	hand := r.byHand()
	ip := hand.do("POST", "network", "/v2.0/floatingips", "floatingip", map[string]any{"floatingip": map[string]any{"floating_network_id": external, "port_id": port.ID}})
	del := requests(top, env{}, driver.Delete, "delete-")
	o := run(t.Context(), r.driver, del)
	o.must(t, del)
	if !slices.ContainsFunc(o.events, func(e event.Event) bool {
		return e.Level == event.Warn && strings.Contains(e.Message, id(ip)) && strings.Contains(e.Message, port.ID)
	}) {
		t.Errorf("nobody says that %v loses its port", ip["floating_ip_address"])
	}
	hand.do("GET", "network", "/v2.0/floatingips/"+id(ip), "floatingip", nil)
	r.nothingLeft()
}
