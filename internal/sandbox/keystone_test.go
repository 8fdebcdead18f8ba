package sandbox_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/orch-project/orch/internal/sandbox"
)

func TestAnApplicationCredentialLogsInAndCanBeRevoked(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := connect(t, s, sandbox.Demo)
	auth, err := tokens.Get(t.Context(), c.identity, c.identity.Token()).ExtractUser()
	check(t, err)
	cred, err := applicationcredentials.Create(t.Context(), c.identity, auth.ID, applicationcredentials.CreateOpts{Name: "ci"}).Extract()
	check(t, err)
	use := func(secret string) (*gophercloud.ProviderClient, error) {
		p, err := openstack.NewClient(s.AuthURL())
		check(t, err)
		p.HTTPClient = http.Client{Transport: transport(t)}
		return p, openstack.Authenticate(t.Context(), p, gophercloud.AuthOptions{ApplicationCredentialID: cred.ID, ApplicationCredentialSecret: secret})
	}
	p, err := use(cred.Secret)
	check(t, err)
	network, err := openstack.NewNetworkV2(p, gophercloud.EndpointOpts{})
	check(t, err)
	if network.Endpoint != s.URL+"/networking/" {
		t.Errorf("endpoint %s", network.Endpoint)
	}
	if _, err := use("wrong"); !gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		t.Errorf("a wrong secret: %v", err)
	}
	// A restricted credential makes no further ones.
	identity, err := openstack.NewIdentityV3(p, gophercloud.EndpointOpts{})
	check(t, err)
	_, err = applicationcredentials.Create(t.Context(), identity, auth.ID, applicationcredentials.CreateOpts{Name: "more"}).Extract()
	if !gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		t.Errorf("a credential made a credential: %v", err)
	}
	check(t, applicationcredentials.Delete(t.Context(), c.identity, auth.ID, cred.ID).ExtractErr())
	if _, err := use(cred.Secret); !gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		t.Errorf("a deleted credential: %v", err)
	}
}

func TestTokensExpireAndAreRevoked(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{TokenTTL: time.Second})
	c := rawClient(t, s, sandbox.Demo)
	c.must(200, "GET", "/compute/v2.1/flavors", "")
	eventually(t, "token expires", func() bool { status, _, _ := c.do("GET", "/compute/v2.1/flavors", ""); return status == 401 })

	a, b := rawClient(t, s, sandbox.Demo), rawClient(t, s, sandbox.Demo)
	b.with("X-Subject-Token", a.token).must(200, "GET", "/identity/v3/auth/tokens", "")
	b.with("X-Subject-Token", a.token).must(204, "DELETE", "/identity/v3/auth/tokens", "")
	if status, _, _ := a.do("GET", "/compute/v2.1/flavors", ""); status != 401 {
		t.Errorf("a revoked token: %d", status)
	}
	if status, _, _ := b.with("X-Subject-Token", a.token).do("GET", "/identity/v3/auth/tokens", ""); status != 404 {
		t.Errorf("validation of a revoked token: %d", status)
	}
}

func TestAdministratorsMakeProjectsAndUsers(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	admin := rawClient(t, s, sandbox.Admin)
	project := id(t, admin.must(201, "POST", "/identity/v3/projects", `{"project":{"name":"new","domain_id":"default"}}`), "project")
	user := id(t, admin.must(201, "POST", "/identity/v3/users", `{"user":{"name":"eve","password":"`+s.Password+`"}}`), "user")
	role := id(t, admin.must(200, "GET", "/identity/v3/roles?name=member", ""), "roles", 0)
	admin.must(204, "PUT", fmt.Sprintf("/identity/v3/projects/%s/users/%s/roles/%s", project, user, role), "")
	p, err := openstack.NewClient(s.AuthURL())
	check(t, err)
	p.HTTPClient = http.Client{Transport: transport(t)}
	check(t, openstack.Authenticate(t.Context(), p, gophercloud.AuthOptions{Username: "eve", Password: s.Password, TenantName: "new", DomainID: "default"}))
	admin.must(204, "DELETE", fmt.Sprintf("/identity/v3/projects/%s/users/%s/roles/%s", project, user, role), "")
	err = openstack.Authenticate(t.Context(), p, gophercloud.AuthOptions{Username: "eve", Password: s.Password, TenantName: "new", DomainID: "default"})
	if !gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		t.Errorf("without a role: %v", err)
	}
}
