package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"

	"github.com/orch-project/orch/internal/sandbox"
)

func TestListsAreCompleteWhenReadPageByPage(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := connect(t, s, sandbox.Demo)
	ctx := t.Context()
	r := rawClient(t, s, sandbox.Demo)
	image := id(t, r.must(200, "GET", "/image/v2/images?name=debian-12", ""), "images", 0)
	want := map[string]bool{}
	for i := range 7 {
		name := fmt.Sprintf("p%d", i)
		want[name] = true
		r.must(201, "POST", "/networking/v2.0/networks", fmt.Sprintf(`{"network":{"name":%q}}`, name))
		r.must(202, "POST", "/volume/v3/volumes", fmt.Sprintf(`{"volume":{"name":%q,"size":1}}`, name))
		r.must(200, "POST", "/compute/v2.1/os-keypairs", fmt.Sprintf(`{"keypair":{"name":%q}}`, name))
		r.must(201, "POST", "/image/v2/images", fmt.Sprintf(`{"name":%q}`, name))
		r.with("OpenStack-API-Version", "compute 2.37").must(202, "POST", "/compute/v2.1/servers",
			fmt.Sprintf(`{"server":{"name":%q,"flavorRef":"1","imageRef":%q,"networks":"none"}}`, name, image))
	}
	project := at(t, r.must(200, "GET", "/identity/v3/auth/projects", ""), "projects", 0, "id").(string)
	got := map[string][]string{}
	page, err := networks.List(c.network, networks.ListOpts{Limit: 2, ProjectID: project}).AllPages(ctx)
	check(t, err)
	ns, err := networks.ExtractNetworks(page)
	check(t, err)
	for _, n := range ns {
		got["networks"] = append(got["networks"], n.Name)
	}
	page, err = volumes.List(c.block, volumes.ListOpts{Limit: 3}).AllPages(ctx)
	check(t, err)
	vs, err := volumes.ExtractVolumes(page)
	check(t, err)
	for _, v := range vs {
		got["volumes"] = append(got["volumes"], v.Name)
	}
	page, err = servers.List(c.compute, servers.ListOpts{Limit: 2}).AllPages(ctx)
	check(t, err)
	ss, err := servers.ExtractServers(page)
	check(t, err)
	for _, v := range ss {
		got["servers"] = append(got["servers"], v.Name)
	}
	page, err = images.List(c.image, images.ListOpts{Limit: 2, Owner: project}).AllPages(ctx)
	check(t, err)
	is, err := images.ExtractImages(page)
	check(t, err)
	for _, i := range is {
		got["images"] = append(got["images"], i.Name)
	}
	page, err = keypairs.List(c.compute, nil).AllPages(ctx)
	check(t, err)
	ks, err := keypairs.ExtractKeyPairs(page)
	check(t, err)
	for _, k := range ks {
		got["keypairs"] = append(got["keypairs"], k.Name)
	}
	for kind, names := range got {
		seen := map[string]bool{}
		for _, n := range names {
			seen[n] = true
		}
		if len(names) != len(want) || len(seen) != len(want) {
			t.Errorf("%s: %v", kind, names)
		}
	}
	if len(got) != 5 {
		t.Errorf("kinds: %d", len(got))
	}
}

func TestNeutronFiltersSortsAndSelects(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	for i, name := range []string{"b", "a", "c"} {
		n := id(t, c.must(201, "POST", "/networking/v2.0/networks", fmt.Sprintf(`{"network":{"name":%q,"admin_state_up":%v,"description":"x"}}`, name, i != 2)), "network")
		c.must(200, "PUT", "/networking/v2.0/networks/"+n+"/tags", fmt.Sprintf(`{"tags":["all","t-%s"]}`, name))
		c.must(201, "POST", "/networking/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.%d.0.0/24","ip_version":4}}`, n, i+1))
		c.must(201, "POST", "/networking/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q,"name":"p-%s","fixed_ips":[{"ip_address":"10.%d.0.50"}]}}`, n, name, i+1))
	}
	for query, want := range map[string]string{
		"networks?description=x&sort_key=name&sort_dir=asc":                   "a,b,c",
		"networks?description=x&sort_key=name&sort_dir=desc":                  "c,b,a",
		"networks?name=a&name=c&sort_key=name&sort_dir=asc":                   "a,c",
		"networks?admin_state_up=False&description=x":                         "c",
		"networks?router:external=true":                                       "public",
		"networks?tags=all,t-a":                                               "a",
		"networks?tags-any=t-a,t-b&sort_key=name&sort_dir=asc":                "a,b",
		"networks?not-tags=t-a&description=x&sort_key=name&sort_dir=asc":      "b,c",
		"networks?not-tags-any=t-a,t-b&description=x":                         "c",
		"networks?description=x&sort_key=name&sort_dir=asc&limit=2":           "a,b",
		"ports?fixed_ips=ip_address%3D10.2.0.50":                              "p-a",
		"ports?fixed_ips=ip_address_substr%3D0.50&sort_key=name&sort_dir=asc": "p-a,p-b,p-c",
		"ports?device_owner=network:dhcp&name=p-a":                            "",
		"security-groups?name=default":                                        "default",
		"networks?name=none":                                                  "",
		"networks?" + url.Values{"shared": {"0"}, "name": {"a"}}.Encode():     "a",
	} {
		doc := c.must(200, "GET", "/networking/v2.0/"+query, "")
		var names []string
		for key, list := range doc {
			if strings.HasSuffix(key, "_links") {
				continue
			}
			for _, item := range list.([]any) {
				names = append(names, at(t, item, "name").(string))
			}
		}
		if got := strings.Join(names, ","); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
	doc := c.must(200, "GET", "/networking/v2.0/networks?name=a&fields=name&fields=mtu", "")
	if n := at(t, doc, "networks", 0).(map[string]any); len(n) != 2 || n["name"] != "a" {
		t.Errorf("fields: %v", n)
	}
}

func TestMicroversionsAreNegotiated(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	for _, tt := range []struct {
		header, value, path string
		status              int
		want                string // of the reply's header of the same name
	}{
		{"OpenStack-API-Version", "compute 2.53", "/compute/v2.1/flavors", 200, "compute 2.53"},
		{"OpenStack-API-Version", "compute latest", "/compute/v2.1/flavors", 200, "compute 2.93"},
		{"X-OpenStack-Nova-API-Version", "2.30", "/compute/v2.1/flavors", 200, "2.30"},
		{"OpenStack-API-Version", "volume 3.50", "/compute/v2.1/flavors", 200, "compute 2.1"},
		{"OpenStack-API-Version", "compute 2.999", "/compute/v2.1/flavors", 406, ""},
		{"OpenStack-API-Version", "compute two", "/compute/v2.1/flavors", 400, ""},
		{"OpenStack-API-Version", "volume 3.44", "/volume/v3/volumes", 200, "volume 3.44"},
		{"OpenStack-API-Version", "volume 4.0", "/volume/v3/volumes", 406, ""},
	} {
		status, header, text := c.with(tt.header, tt.value).do("GET", tt.path, "")
		if status != tt.status || tt.want != "" && header.Get(tt.header) != tt.want {
			t.Errorf("%s: %s: %d %q %s", tt.header, tt.value, status, header.Get(tt.header), text)
		}
	}
	if flavor := at(t, c.must(200, "GET", "/compute/v2.1/flavors/1", ""), "flavor").(map[string]any); flavor["extra_specs"] != nil {
		t.Errorf("extra specs at 2.1")
	}
	if flavor := at(t, c.with("OpenStack-API-Version", "compute 2.61").must(200, "GET", "/compute/v2.1/flavors/1", ""), "flavor").(map[string]any); flavor["extra_specs"] == nil {
		t.Errorf("no extra specs at 2.61")
	}
	// The proxies to other services ended with 2.35.
	c.must(200, "GET", "/compute/v2.1/images", "")
	c.with("OpenStack-API-Version", "compute 2.36").must(404, "GET", "/compute/v2.1/images", "")
}

func TestVersionDocumentsLeadToTheServices(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	c.token = ""
	for path, want := range map[string]int{
		"/identity": 300, "/identity/": 300, "/identity/v3": 200, "/identity/v3/": 200, "/compute": 200, "/compute/": 200, "/compute/v2.1": 200,
		"/compute/v2.1/": 200, "/networking": 200, "/networking/": 200, "/image": 300, "/image/": 300, "/image/versions": 200, "/volume": 300, "/volume/v3/": 200,
	} {
		status, _, text := c.do("GET", path, "")
		if status != want || !strings.Contains(text, s.URL+"/"+strings.Split(path, "/")[1]+"/v") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, _, _ := c.do("PATCH", "/compute/v2.1/servers", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("PATCH servers: %d", status)
	}
}
