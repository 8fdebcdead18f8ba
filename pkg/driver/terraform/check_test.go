package terraform_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/toolcache"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/terraform"
)

func TestPreflightPointsAtWhatAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Quotas: map[string]map[string]map[string]int{"demo": {"nova": {"cores": 3}, "neutron": {"floatingip": 1}}}},
		map[string]any{"image": "debian-12"})
	for name, c := range map[string]struct {
		node   node
		more   []node
		want   string
		hint   string
		onNode bool
	}{
		"flavor":         {node: node{props: map[string]any{"flavor": "m1.tny"}}, want: `no flavor matches "m1.tny"`, hint: `did you mean "m1.tiny"?`},
		"image":          {node: node{props: map[string]any{"image": "debian-21"}}, want: `no image matches "debian-21"`, hint: "debian-12"},
		"key pair":       {node: node{props: map[string]any{"key_pair": "mine"}}, want: `no key pair matches "mine"`, hint: "the cloud offers no key_pairs"},
		"zone":           {node: node{props: map[string]any{"availability_zone": "novva"}}, want: `no availability zone matches "novva"`, hint: `did you mean "nova"?`},
		"network":        {node: node{props: map[string]any{"networks": []any{"inside"}}}, want: `no network matches "inside"`, hint: "public"},
		"group":          {node: node{props: map[string]any{"security_groups": []any{"defualt"}}}, want: `no security group matches "defualt"`, hint: "default"},
		"boot volume":    {node: node{props: map[string]any{"boot_volume": map[string]any{"source": "image", "destination": "volume"}}}, want: "needs a size", hint: "10 GB"},
		"cores":          {node: node{props: map[string]any{"flavor": "m1.large"}}, want: "needs 4 more cores; the project has 3 free of 3", hint: "orch sweep", onNode: true},
		"floating ips":   {node: node{props: map[string]any{"floating_ip": true}}, more: []node{{name: "ip", typ: "orch.nodes.openstack.FloatingIP"}}, want: "needs 2 more floating_ips; the project has 1 free of 1", onNode: true},
		"volume type":    {node: node{}, more: []node{{name: "v", typ: "orch.nodes.openstack.BlockStorage", props: map[string]any{"size": "1 GB", "volume_type": "fats"}}}, want: `no volume type matches "fats"`, hint: `did you mean "fast"?`},
		"size":           {node: node{}, more: []node{{name: "v", typ: "orch.nodes.openstack.BlockStorage", props: map[string]any{}}}, want: "the volume has no size", hint: "size", onNode: true},
		"port's network": {node: node{}, more: []node{{name: "p", typ: "orch.nodes.openstack.Port"}}, want: "the port is linked to no network", onNode: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.node.name, c.node.typ = "web", "orch.nodes.openstack.Compute"
			top := r.topology(append([]node{c.node}, c.more...)...)
			list := r.driver.Check(t.Context(), requests(top, env{}, driver.Create, ""))
			for _, d := range list {
				if strings.Contains(d.Message, c.want) && strings.Contains(d.Hint, c.hint) && d.Pos.File == "app.yaml" && (c.onNode || d.Pos.Line%10 == 2) {
					return
				}
			}
			t.Errorf("want %q (%s), got %v", c.want, c.hint, list)
		})
	}
	if list := r.driver.Check(t.Context(), requests(r.topology(node{name: "web", typ: "tosca.nodes.Compute"}), env{}, driver.Create, "")); len(list) > 0 {
		t.Errorf("a good topology: %v", list)
	}
	if len(r.secrets.m) > 0 || len(r.states.data) > 0 {
		t.Error("the check made something")
	}
}

func TestQuotasAreNamedWhateverElseIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Quotas: map[string]map[string]map[string]int{"demo": {"nova": {"cores": 3, "server_group_members": 1},
		"neutron": {"network": 0, "port": 3, "security_group": 1}, "cinder": {"per_volume_gigabytes": 2}}}}, map[string]any{"image": "debian-12"})
	web := func(props map[string]any, requires ...string) node {
		return node{name: "web", typ: "orch.nodes.openstack.Compute", props: props, requires: requires}
	}
	net := node{name: "net", typ: "orch.nodes.openstack.Network", props: map[string]any{"cidr": "10.9.0.0/24"}}
	for name, c := range map[string]struct {
		nodes []node
		want  string
		at    string
	}{
		"beside a mistake of the node": {[]node{web(map[string]any{"flavor": "m1.large", "image": "debian-21"})},
			"needs 4 more cores; the project has 3 free of 3", "app.yaml:10:3"},
		"beside a mistake elsewhere": {[]node{web(nil, "network=net"), net, {name: "p", typ: "orch.nodes.openstack.Port", requires: []string{"link=net"},
			props: map[string]any{"security_groups": []any{"nope"}}}}, "needs 1 more networks; the project has 0 free of 0", "app.yaml:20:3"},
		"a port of the cloud's own": {[]node{web(nil, "network=net"), net, {name: "p", typ: "orch.nodes.openstack.Port", requires: []string{"link=net"}}},
			"needs 4 more ports; the project has 3 free of 3", "app.yaml:20:3"}, // of the two servers' ends, the router and the DHCP agent
		"what all servers share": {[]node{web(nil)}, "needs 1 more security_groups; the project has 0 free of 1", "app.yaml:10:3"},
		"members of a group": {[]node{web(nil, "server_group=g"), {name: "db", typ: "orch.nodes.openstack.Compute", requires: []string{"server_group=g"}},
			{name: "g", typ: "orch.nodes.openstack.ServerGroup"}}, "g needs 2 server_group_members; the project may have 1 in each", "app.yaml:30:3"},
		"one volume": {[]node{web(nil), {name: "v", typ: "orch.nodes.openstack.BlockStorage", props: map[string]any{"size": "5 GB"}}},
			"v needs 5 per_volume_gigabytes; the project may have 2 in each", "app.yaml:20:3"},
	} {
		t.Run(name, func(t *testing.T) {
			list := r.driver.Check(t.Context(), requests(r.topology(c.nodes...), env{}, driver.Create, ""))
			if !slices.ContainsFunc(list, func(d diag.Diagnostic) bool {
				return d.Code == terraform.CodeQuota && strings.Contains(d.Message, c.want) && d.Pos.String() == c.at
			}) {
				t.Errorf("want %q at %s, got %v", c.want, c.at, list)
			}
		})
	}
}

func TestGrowingCountsAgainstTheQuota(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Quotas: map[string]map[string]map[string]int{"demo": {"cinder": {"gigabytes": 5}}}}, nil)
	volume := func(size string) []*driver.Request {
		return requests(r.topology(node{name: "v", typ: "orch.nodes.openstack.BlockStorage", props: map[string]any{"size": size}}), env{}, driver.Create, "")
	}
	made := volume("3 GB")
	run(t.Context(), r.driver, made).must(t, made)
	if list := r.driver.Check(t.Context(), volume("5 GB")); len(list) > 0 {
		t.Errorf("it fits: %v", list)
	}
	list := r.driver.Check(t.Context(), volume("6 GB"))
	if len(list) != 1 || !strings.Contains(list[0].Message, "needs 3 more gigabytes; the project has 2 free of 5") {
		t.Errorf("a volume of 3 GB that is to have 6 needs 3 more, got %v", list)
	}
	gone := requests(made[0].Topology, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, gone).must(t, gone)
	r.nothingLeft()
}

func TestThePlanSaysWhatWillBeAndTouchesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(node{name: "web", typ: "orch.nodes.openstack.Compute", props: map[string]any{"floating_ip": true, "user_data": "#!/bin/sh\nhush\n"}})
	changes, err := r.driver.Plan(t.Context(), requests(top, env{}, driver.Create, ""))
	if err != nil {
		t.Fatal(err)
	}
	var server *driver.Change
	for i, c := range changes {
		if c.Action != "create" {
			t.Errorf("%s %s", c.Action, c.Address)
		}
		if c.Address == "openstack_compute_instance_v2.web_0_server" {
			server = &changes[i]
		}
	}
	if server == nil || server.Instance.String() != "web[0]" {
		t.Fatalf("%+v", changes)
	}
	fields := map[string]string{}
	for _, f := range server.Fields {
		fields[f.Path] = f.To
		if strings.Contains(f.To, "hush") {
			t.Errorf("the secret is shown in %s", f.Path)
		}
	}
	if fields["user_data"] != "(sensitive)" || fields["id"] != "(known after create)" || fields["name"] != "app-web-0" {
		t.Errorf("%v", fields)
	}
	if left, _ := r.cloud.Inventory(t.Context(), "app"); len(left)+len(r.secrets.m)+len(r.states.data) > 0 {
		t.Errorf("the plan made something: %v %v %v", left, r.secrets.m, r.states.data)
	}
}

func TestOpenTofuDoesTheSame(t *testing.T) {
	t.Parallel()
	tofu, err := toolcache.Find("tofu")
	if err != nil {
		t.Skipf("needs tofu in the tool cache (./task tools): %v", err)
	}
	if _, err := toolcache.FindProvider(toolcache.Registries[1], provider); err != nil {
		t.Skipf("needs the OpenStack provider in the tool cache: %v", err)
	}
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	r.binary = tofu
	d := r.newDriver()
	top := r.topology(keyAndGroup()...)
	reqs := requests(top, env{}, driver.Create, "create-")
	run(t.Context(), d, reqs).must(t, reqs)
	if s := d.Explain(reqs[0]); !strings.Contains(s, tofu) || !strings.Contains(s, "apply -json") {
		t.Errorf("explained as %q", s)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), d, del).must(t, del)
	r.nothingLeft()
}

func TestAToolThatIsNoneIsRefused(t *testing.T) {
	sh, err := exec.LookPath("true")
	if err != nil {
		t.Skip("needs a program that does nothing")
	}
	if _, err := terraform.FindTool(t.Context(), sh); err == nil || !strings.Contains(err.Error(), "does not answer like Terraform") {
		t.Errorf("%v", err)
	}
	if _, err := terraform.FindTool(t.Context(), "no-such-terraform"); err == nil || !strings.Contains(err.Error(), "no-such-terraform") {
		t.Errorf("%v", err)
	}
}

func TestAServerIsStoppedAndStarted(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	top := r.topology(node{name: "web", typ: "orch.nodes.openstack.Compute"})
	for _, step := range []struct {
		action driver.Action
		status string
	}{{driver.Create, "ACTIVE"}, {driver.Stop, "SHUTOFF"}, {driver.Start, "ACTIVE"}} {
		q := requests(top, env{}, step.action, string(step.action))
		run(t.Context(), r.driver, q).must(t, q)
		left, err := r.cloud.Inventory(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range left {
			if l.Kind == "server" && l.Status != step.status {
				t.Errorf("after %s the server is %s", step.action, l.Status)
			}
		}
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), r.driver, del).must(t, del)
	r.nothingLeft()
}

// Nothing is guessed among things of one name; an id says which.
func TestAmbiguousNamesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	hand := r.byHand()
	var twins []string
	for range 2 {
		net := hand.do("POST", "network", "/v2.0/networks", "network", map[string]any{"network": map[string]any{"name": "twin"}})
		hand.do("POST", "network", "/v2.0/subnets", "subnet", map[string]any{"subnet": map[string]any{"network_id": id(net), "cidr": "10.8.0.0/24", "ip_version": 4}})
		twins = append(twins, id(net))
	}
	slices.Sort(twins)
	check := func(name string) diag.List {
		return r.driver.Check(t.Context(), requests(r.topology(node{name: "web", typ: "orch.nodes.openstack.Compute", props: map[string]any{"networks": []any{name}}}), env{}, driver.Create, ""))
	}
	list := check("twin")
	if len(list) != 1 || list[0].Message != `web: 2 networks are called "twin"` || !strings.Contains(list[0].Hint, strings.Join(twins, ", ")) || list[0].Pos.String() != "app.yaml:12:5" {
		t.Errorf("got %v", list)
	}
	if list := check(twins[1]); len(list) > 0 {
		t.Errorf("an id: %v", list)
	}
}
