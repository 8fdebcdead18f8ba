package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/sandbox"
)

const nowhere = "00000000-0000-0000-0000-000000000000"

func TestEveryServiceRefusesInItsOwnFormat(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	other := rawClient(t, s, sandbox.DemoSmall)
	net := id(t, c.must(201, "POST", "/networking/v2.0/networks", `{"network":{"name":"n"}}`), "network")
	sub := id(t, c.must(201, "POST", "/networking/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.1.0.0/24","ip_version":4}}`, net)), "subnet")
	port := id(t, c.must(201, "POST", "/networking/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, net)), "port")
	router := id(t, c.must(201, "POST", "/networking/v2.0/routers", `{"router":{}}`), "router")
	leg := at(t, c.must(200, "PUT", "/networking/v2.0/routers/"+router+"/add_router_interface", fmt.Sprintf(`{"subnet_id":%q}`, sub)), "port_id").(string)
	group := id(t, c.must(201, "POST", "/networking/v2.0/security-groups", `{"security_group":{"name":"g"}}`), "security_group")
	c.must(200, "PUT", "/networking/v2.0/ports/"+port, fmt.Sprintf(`{"port":{"security_groups":[%q]}}`, group))
	rule := fmt.Sprintf(`{"security_group_rule":{"security_group_id":%q,"direction":"ingress","protocol":"tcp","port_range_min":80,"port_range_max":80}}`, group)
	c.must(201, "POST", "/networking/v2.0/security-group-rules", rule)
	public := id(t, c.must(200, "GET", "/networking/v2.0/networks?name=public", ""), "networks", 0)
	image := id(t, c.must(200, "GET", "/image/v2/images?name=debian-12", ""), "images", 0)
	neutron := func(typ, message string) string {
		return fmt.Sprintf(`{"NeutronError":{"type":%q,"message":%q,"detail":""}}`, typ, message)
	}
	nova := func(key string, code int, message string) string {
		return fmt.Sprintf(`{%q:{"code":%d,"message":%q}}`, key, code, message)
	}
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		want                     string
		as                       *raw
	}{
		{"unknown server", "GET", "/compute/v2.1/servers/" + nowhere, "", 404, nova("itemNotFound", 404, "Instance "+nowhere+" could not be found."), c},
		{"unknown flavor", "GET", "/compute/v2.1/flavors/77", "", 404, nova("itemNotFound", 404, "Flavor 77 could not be found."), c},
		{"flavor of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"77","imageRef":"` + image + `"}}`, 400, nova("badRequest", 400, "Flavor 77 could not be found."), c},
		{"image of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + nowhere + `"}}`, 400, nova("badRequest", 400, "Can not find requested image"), c},
		{"key of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","key_name":"none"}}`, 400, nova("badRequest", 400, "Invalid key_name provided."), c},
		{"zone of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","availability_zone":"mars"}}`, 400, nova("badRequest", 400, "The requested availability zone is not available"), c},
		{"network of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","networks":[{"uuid":"` + nowhere + `"}]}}`, 400, nova("badRequest", 400, "Network "+nowhere+" could not be found."), c},
		{"port of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","networks":[{"port":"` + nowhere + `"}]}}`, 400, nova("badRequest", 400, "Port id "+nowhere+" could not be found."), c},
		{"group of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","security_groups":[{"name":"zz"}]}}`, 400, nova("badRequest", 400, "Unable to find security_group with name or id 'zz'"), c},
		{"metadata of a server", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","metadata":{"a":1}}}`, 400, nova("badRequest", 400, "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string'"), c},
		{"unknown property", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imagRef":"x"}}`, 400, "Additional properties are not allowed ('imagRef' was unexpected)", c},
		{"user data", "POST", "/compute/v2.1/servers", `{"server":{"name":"a","flavorRef":"1","imageRef":"` + image + `","user_data":"abc"}}`, 400, "is not a 'base64'", c},
		{"all projects", "GET", "/compute/v2.1/servers/detail?all_tenants=1", "", 403, nova("forbidden", 403, "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed."), c},
		{"malformed body", "POST", "/compute/v2.1/servers", `{`, 400, nova("badRequest", 400, "Malformed request body"), c},
		{"no such path", "GET", "/compute/v2.1/nothing", "", 404, nova("itemNotFound", 404, "The resource could not be found."), c},
		{"marker", "GET", "/compute/v2.1/servers?marker=x", "", 400, nova("badRequest", 400, "marker [x] not found"), c},
		{"key pair", "POST", "/compute/v2.1/os-keypairs", `{"keypair":{"name":"k","public_key":"junk"}}`, 400, nova("badRequest", 400, "Keypair data is invalid: failed to generate fingerprint"), c},

		{"unknown network", "GET", "/networking/v2.0/networks/" + nowhere, "", 404, neutron("NetworkNotFound", "Network "+nowhere+" could not be found."), c},
		{"another's network", "GET", "/networking/v2.0/networks/" + net, "", 404, neutron("NetworkNotFound", "Network "+net+" could not be found."), other},
		{"network in use", "DELETE", "/networking/v2.0/networks/" + net, "", 409, `"type":"NetworkInUse"`, c},
		{"subnet in use", "DELETE", "/networking/v2.0/subnets/" + sub, "", 409, neutron("SubnetInUse", "Unable to complete operation on subnet "+sub+": One or more ports have an IP allocation from this subnet."), c},
		{"router in use", "DELETE", "/networking/v2.0/routers/" + router, "", 409, neutron("RouterInUse", "Router "+router+" has ports still attached: "+leg), c},
		{"group in use", "DELETE", "/networking/v2.0/security-groups/" + group, "", 409, neutron("SecurityGroupInUse", "Security Group "+group+" in use."), c},
		{"rule twice", "POST", "/networking/v2.0/security-group-rules", rule, 409, `"type":"SecurityGroupRuleExists"`, c},
		{"shared network", "POST", "/networking/v2.0/networks", `{"network":{"shared":true}}`, 403, `"type":"PolicyNotAuthorized"`, c},
		{"external network changed", "PUT", "/networking/v2.0/networks/" + public, `{"network":{"name":"mine"}}`, 403, `"type":"PolicyNotAuthorized"`, c},
		{"unknown attribute", "POST", "/networking/v2.0/networks", `{"network":{"nam":"x"}}`, 400, neutron("HTTPBadRequest", "Unrecognized attribute(s) 'nam'"), c},
		{"missing attribute", "POST", "/networking/v2.0/ports", `{"port":{}}`, 400, neutron("HTTPBadRequest", "Failed to parse request. Required attribute 'network_id' not specified"), c},
		{"overlap", "POST", "/networking/v2.0/subnets", `{"subnet":{"network_id":"` + net + `","cidr":"10.1.0.128/25","ip_version":4}}`, 400, "overlaps with another subnet", c},
		{"address taken", "POST", "/networking/v2.0/ports", `{"port":{"network_id":"` + net + `","fixed_ips":[{"ip_address":"10.1.0.1"}]}}`, 409, neutron("IpAddressAlreadyAllocated", "IP address 10.1.0.1 already allocated in subnet "+sub), c},
		{"address elsewhere", "POST", "/networking/v2.0/ports", `{"port":{"network_id":"` + net + `","fixed_ips":[{"subnet_id":"` + sub + `","ip_address":"10.2.0.9"}]}}`, 400, `"type":"InvalidIpForSubnet"`, c},
		{"floating IP of an inner network", "POST", "/networking/v2.0/floatingips", `{"floatingip":{"floating_network_id":"` + net + `"}}`, 400, neutron("BadRequest", "Bad floatingip request: Network "+net+" is not a valid external network."), c},
		{"floating IP without a way", "POST", "/networking/v2.0/floatingips", `{"floatingip":{"floating_network_id":"` + public + `","port_id":"` + port + `"}}`, 404, `"type":"ExternalGatewayForFloatingIPNotFound"`, c},
		{"boolean", "POST", "/networking/v2.0/networks", `{"network":{"admin_state_up":"perhaps"}}`, 400, neutron("InvalidInput", "Invalid input for operation: 'perhaps' cannot be converted to boolean."), c},
		{"no body", "POST", "/networking/v2.0/networks", `{}`, 400, neutron("HTTPBadRequest", "Unable to find 'network' in request body"), c},
		{"another's subnet", "POST", "/networking/v2.0/ports", `{"port":{"network_id":"` + public + `"}}`, 403, `"type":"HTTPForbidden"`, c},
		{"limit", "GET", "/networking/v2.0/networks?limit=a", "", 400, neutron("BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not 'a'."), c},
		{"filter", "GET", "/networking/v2.0/networks?nonsense=1", "", 400, neutron("HTTPBadRequest", "['nonsense'] is invalid attribute for filtering"), c},
		{"default group", "POST", "/networking/v2.0/security-groups", `{"security_group":{"name":"default"}}`, 409, `"type":"SecurityGroupDefaultAlreadyExists"`, c},

		{"unknown volume", "GET", "/volume/v3/volumes/" + nowhere, "", 404, nova("itemNotFound", 404, "Volume "+nowhere+" could not be found."), c},
		{"size of a volume", "POST", "/volume/v3/volumes", `{"volume":{"size":0}}`, 400, nova("badRequest", 400, "Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1"), c},
		{"type of a volume", "POST", "/volume/v3/volumes", `{"volume":{"size":1,"volume_type":"gold"}}`, 404, nova("itemNotFound", 404, "Volume type with name gold could not be found."), c},
		{"quota of another", "PUT", "/volume/v3/os-quota-sets/x", `{"quota_set":{}}`, 403, nova("forbidden", 403, "Policy doesn't allow volume_extension:quotas:update to be performed."), c},

		{"unknown image", "GET", "/image/v2/images/" + nowhere, "", 404, `"code":"404 Not Found"`, c},
		{"others' image", "DELETE", "/image/v2/images/" + image, "", 403, `"title":"Forbidden"`, c},
		{"sort key of images", "GET", "/image/v2/images?sort_key=nonsense", "", 400, "Invalid sort key", c},

		{"projects", "GET", "/identity/v3/projects", "", 403, `{"error":{"code":403,"message":"You are not authorized to perform the requested action: identity:list_projects.","title":"Forbidden"}}`, c},
		{"unscoped nonsense", "POST", "/identity/v3/auth/tokens", `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"demo","domain":{"id":"default"},"password":"wrong"}}}}}`, 401, `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`, c},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, _, text := tt.as.do(tt.method, tt.path, tt.body)
			if status != tt.status {
				t.Errorf("%d, not %d: %s", status, tt.status, text)
			}
			if strings.HasPrefix(tt.want, "{") && !sameJSON(t, text, tt.want) || !strings.HasPrefix(tt.want, "{") && !strings.Contains(text, tt.want) {
				t.Errorf("%s\nnot %s", text, tt.want)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

func TestWithoutAValidTokenEveryServiceSaysUnauthorized(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	for _, token := range []string{"", "gAAAAAnonsense"} {
		c.token = token
		for _, path := range []string{
			"/compute/v2.1/servers", "/networking/v2.0/networks", "/image/v2/images", "/volume/v3/volumes", "/identity/v3/auth/projects", "/compute/v2.1/nothing",
		} {
			status, header, text := c.do("GET", path, "")
			if status != 401 || !strings.Contains(text, "The request you have made requires authentication.") {
				t.Errorf("%s: %d %s", path, status, text)
			}
			if header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", path)
			}
		}
	}
}

func TestQuotasAreEnforcedInEachServicesWords(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.DemoSmall)
	net := id(t, c.must(201, "POST", "/networking/v2.0/networks", `{"network":{"name":"n"}}`), "network")
	c.must(201, "POST", "/networking/v2.0/subnets", fmt.Sprintf(`{"subnet":{"network_id":%q,"cidr":"10.1.0.0/24","ip_version":4}}`, net))
	c.must(201, "POST", "/networking/v2.0/routers", `{"router":{}}`)
	public := id(t, c.must(200, "GET", "/networking/v2.0/networks?name=public", ""), "networks", 0)
	fip := fmt.Sprintf(`{"floatingip":{"floating_network_id":%q}}`, public)
	c.must(201, "POST", "/networking/v2.0/floatingips", fip)
	image := id(t, c.must(200, "GET", "/image/v2/images?name=debian-12", ""), "images", 0)
	server := fmt.Sprintf(`{"server":{"name":"a","flavorRef":"1","imageRef":%q}}`, image)
	c.must(202, "POST", "/compute/v2.1/servers", server)
	c.must(202, "POST", "/volume/v3/volumes", `{"volume":{"size":1}}`)
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"servers", "/compute/v2.1/servers", server, 403, `{"forbidden":{"code":403,"message":"Quota exceeded for cores, instances, ram: Requested 1, 1, 512, but already used 1, 1, 512 of 1, 1, 512 cores, instances, ram"}}`},
		{"networks", "/networking/v2.0/networks", `{"network":{}}`, 409, `{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['network'].","detail":""}}`},
		{"routers", "/networking/v2.0/routers", `{"router":{}}`, 409, `{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['router'].","detail":""}}`},
		{"floating IPs", "/networking/v2.0/floatingips", fip, 409, `{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['floatingip'].","detail":""}}`},
		{"volumes", "/volume/v3/volumes", `{"volume":{"size":1}}`, 413, `{"overLimit":{"code":413,"message":"VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.","retryAfter":"0"}}`},
		{"gigabytes", "/volume/v3/volumes", `{"volume":{"size":5}}`, 413, `{"overLimit":{"code":413,"message":"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested 5G, quota is 2G and 1G has been consumed.","retryAfter":"0"}}`},
	} {
		status, _, text := c.do("POST", tt.path, tt.body)
		if status != tt.status || !sameJSON(t, text, tt.want) {
			t.Errorf("%s: %d %s\nnot %d %s", tt.name, status, text, tt.status, tt.want)
		}
	}
	// The administrator can raise a limit.
	admin := rawClient(t, s, sandbox.Admin)
	project := at(t, c.must(200, "GET", "/identity/v3/auth/projects", ""), "projects", 0, "id").(string)
	admin.must(200, "PUT", "/networking/v2.0/quotas/"+project, `{"quota":{"network":2}}`)
	c.must(201, "POST", "/networking/v2.0/networks", `{"network":{}}`)
}

func TestProjectsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	mine, other, admin := rawClient(t, s, sandbox.Demo), rawClient(t, s, sandbox.DemoSmall), rawClient(t, s, sandbox.Admin)
	net := id(t, mine.must(201, "POST", "/networking/v2.0/networks", `{"network":{"name":"secret"}}`), "network")
	vol := id(t, mine.must(202, "POST", "/volume/v3/volumes", `{"volume":{"size":1}}`), "volume")
	grp := id(t, mine.must(200, "POST", "/compute/v2.1/os-server-groups", `{"server_group":{"name":"g","policies":["affinity"]}}`), "server_group")
	for _, path := range []string{"/networking/v2.0/networks/" + net, "/volume/v3/volumes/" + vol, "/compute/v2.1/os-server-groups/" + grp} {
		for _, method := range []string{"GET", "DELETE"} {
			if status, _, text := other.do(method, path, ""); status != http.StatusNotFound {
				t.Errorf("%s %s by another: %d %s", method, path, status, text)
			}
		}
		admin.must(200, "GET", path, "")
	}
	if l := at(t, other.must(200, "GET", "/networking/v2.0/networks?name=secret", ""), "networks").([]any); len(l) != 0 {
		t.Errorf("another sees %v", l)
	}
}
