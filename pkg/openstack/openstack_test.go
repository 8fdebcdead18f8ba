package openstack_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/openstack"
)

func variables(sb *sandbox.Sandbox, project string) map[string]string {
	return map[string]string{"OS_AUTH_URL": sb.AuthURL(), "OS_USERNAME": project, "OS_PASSWORD": sb.Password, "OS_PROJECT_NAME": project,
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": sb.Region()}
}

func connect(t *testing.T, vars map[string]string) (*openstack.Client, error) {
	t.Helper()
	cfg, err := openstack.LoadConfig(openstack.Source{Getenv: func(k string) string { return vars[k] }, Dir: t.TempDir()})
	if err != nil {
		return nil, err
	}
	return openstack.Connect(t.Context(), cfg)
}

func start(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	sb, err := sandbox.Start(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sb.Close() })
	return sb
}

func TestCatalogueQuotaAndFaults(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, err := connect(t, variables(sb, "demo-small"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"images", "flavors", "networks", "subnets", "routers", "security_groups", "floating_ips", "key_pairs",
		"server_groups", "availability_zones", "volume_types", "volumes", "volume_availability_zones"} {
		if _, err := c.List(t.Context(), kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	images, _ := c.List(t.Context(), "images")
	found := false
	for _, im := range images {
		if im["name"] == "debian-12" {
			found = im["os_distro"] == "debian" && im["os_version"] == "12" && im["user"] == "debian" && im["min_disk"] == int64(1)
		}
	}
	if !found {
		t.Errorf("images: %v", images)
	}
	nets, _ := c.List(t.Context(), "networks")
	if len(nets) != 1 || nets[0]["external"] != true || nets[0]["name"] != "public" {
		t.Errorf("networks: %v", nets)
	}
	q, err := c.Quota(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, limit := range map[string]int64{"instances": 1, "cores": 1, "ram": 512, "networks": 1, "floating_ips": 1, "volumes": 1, "gigabytes": 2} {
		if q[name].Limit != limit || q[name].Used != 0 {
			t.Errorf("quota %s = %+v, want a limit of %d", name, q[name], limit)
		}
	}
	for _, name := range []string{"key_pairs", "server_groups", "subnets", "ports", "routers", "security_groups", "security_group_rules"} {
		if _, ok := q[name]; !ok {
			t.Errorf("no quota of %s", name)
		}
	}
	if f, err := c.Fault(t.Context(), "00000000-0000-0000-0000-000000000000"); f != "" || err != nil {
		t.Errorf("fault of an absent server: %q %v", f, err)
	}
	if _, err := c.List(t.Context(), "unicorns"); err == nil {
		t.Error("a list of unicorns was given")
	}
}

func TestLoginErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for name, c := range map[string]struct {
		change map[string]string
		want   string
	}{
		"wrong password":  {map[string]string{"OS_PASSWORD": "wrong"}, "does not accept demo (401): check user, password"},
		"no password":     {map[string]string{"OS_PASSWORD": ""}, "lack a password (OS_PASSWORD)"},
		"no project":      {map[string]string{"OS_PROJECT_NAME": ""}, "lack a project_name"},
		"nothing listens": {map[string]string{"OS_AUTH_URL": "http://127.0.0.1:1/v3"}, "connection refused: check auth_url"},
		"nothing at all":  {map[string]string{"OS_AUTH_URL": ""}, "no cloud is configured"},
		"no such cloud":   {map[string]string{"OS_CLOUD": "x"}, "cannot find clouds.yaml"},
	} {
		vars := variables(sb, "demo")
		for k, v := range c.change {
			vars[k] = v
		}
		if _, err := connect(t, vars); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), sb.Password) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func TestConfigurationFromFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("clouds.yaml", "clouds:\n  one:\n    auth: {auth_url: https://a/v3, username: u, project_name: p, user_domain_name: D}\n    region_name: R\n    verify: false\n    interface: internal\n"+
		"  two:\n    auth_type: v3applicationcredential\n    auth: {auth_url: https://b/v3, application_credential_id: i, application_credential_secret: s}\n    cacert: /ca.pem\n")
	write("secure.yaml", "clouds:\n  one:\n    auth: {password: from-secure}\n")
	load := func(env map[string]string) (*openstack.Config, error) {
		return openstack.LoadConfig(openstack.Source{Dir: dir, Getenv: func(k string) string { return env[k] }})
	}
	one, err := load(map[string]string{"OS_CLOUD": "one", "OS_REGION_NAME": "Other"})
	if err != nil {
		t.Fatal(err)
	}
	if one.Password.Reveal() != "from-secure" || !one.Insecure || one.Interface != "internal" || one.Region != "Other" || one.ProjectDomainName != "D" {
		t.Errorf("%+v", one)
	}
	two, err := load(map[string]string{"OS_CLOUD": "two"})
	if err != nil {
		t.Fatal(err)
	}
	env := two.Environ()
	if env["OS_APPLICATION_CREDENTIAL_SECRET"].Reveal() != "s" || env["OS_CACERT"].Reveal() != "/ca.pem" || env["OS_PROJECT_NAME"].Reveal() != "" {
		t.Errorf("environment: %v", env)
	}
	if _, ok := env["OS_PROJECT_NAME"]; ok {
		t.Error("an application credential was given a project")
	}
	if _, err := load(map[string]string{"OS_CLOUD": "onee"}); err == nil || !strings.Contains(err.Error(), `did you mean "one"?`) {
		t.Errorf("misspelt cloud: %v", err)
	}
	if _, err := load(nil); !errors.Is(err, openstack.ErrNoConfig) || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("two clouds and no choice: %v", err)
	}
}

func TestRequestsAreRepeatedWhereThatIsSafe(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, err := connect(t, variables(sb, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	sb.Faults.Add(fault.Rule{Service: "nova", Method: "GET", Path: "flavors", Do: fault.Answer, Status: 503, Count: 2})
	if _, err := c.List(t.Context(), "flavors"); err != nil {
		t.Errorf("after two 503: %v", err)
	}
	sb.Faults.Add(fault.Rule{Service: "neutron", Method: "GET", Path: "networks", Do: fault.Answer, Status: 429, RetryAfter: 1})
	began := time.Now()
	if _, err := c.List(t.Context(), "networks"); err != nil || time.Since(began) < time.Second {
		t.Errorf("after 429 with Retry-After 1: %v in %v", err, time.Since(began))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began = time.Now()
	sb.Faults.Add(fault.Rule{Service: "glance", Do: fault.Hang})
	if _, err := c.List(ctx, "images"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute {
		t.Errorf("a hanging service: %v", err)
	}
}

func TestPagesAreFollowedToTheEndWithoutLeavingTheHost(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var mux http.ServeMux
	srv := httptest.NewServer(&mux)
	defer srv.Close()
	mux.HandleFunc("/v3/auth/tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", "t")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"token":{"expires_at":"2099-01-01T00:00:00.000000Z","project":{"id":"p"},"catalog":[{"type":"compute","endpoints":[{"interface":"public","region":"R","region_id":"R","url":"` + srv.URL + `/v2.1"}]}]}}`))
	})
	mux.HandleFunc("/v2.1/flavors/detail", func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		if req.URL.Query().Get("marker") == "" {
			_, _ = w.Write([]byte(`{"flavors":[{"id":"1","name":"a"}],"flavors_links":[{"rel":"next","href":"http://elsewhere.invalid/v2.1/flavors/detail?marker=1"}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"flavors":[{"id":"2","name":"b"}]}`))
	})
	c, err := connect(t, map[string]string{"OS_AUTH_URL": srv.URL + "/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_PROJECT_NAME": "p"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.List(t.Context(), "flavors")
	if err != nil || len(got) != 2 || asked.Load() != 2 {
		t.Errorf("%v %v after %d requests", got, err, asked.Load())
	}
}

func TestInventoryAndSweep(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, err := connect(t, variables(sb, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	made := seed(t, c, "app")
	seed(t, c, "app-b") // another deployment whose name begins alike
	found, err := c.Inventory(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != made {
		t.Errorf("found %d of %d: %+v", len(found), made, found)
	}
	for _, f := range found {
		if f.Node != "web" && f.Kind != "key pair" && f.Kind != "server group" {
			t.Errorf("whose is %+v", f)
		}
	}
	if err := c.Delete(t.Context(), found); err != nil {
		t.Errorf("sweep: %v", err)
	}
	if left, err := c.Inventory(t.Context(), "app"); err != nil || len(left) > 0 {
		t.Errorf("left: %v %+v", err, left)
	}
	if other, _ := c.Inventory(t.Context(), "app-b"); len(other) != made {
		t.Errorf("the other deployment lost something: %+v", other)
	}
	if err := c.Delete(t.Context(), found); err != nil {
		t.Errorf("sweeping again: %v", err)
	}
	if err := c.Delete(t.Context(), []driver.CloudResource{{Kind: "unicorn", ID: "1"}}); err == nil {
		t.Error("a unicorn was deleted")
	}
}

// An administrator's lists have the resources of every project: a deployment of the same name in another one is not touched.
func TestAnAdministratorSeesOnlyHisProject(t *testing.T) {
	t.Parallel()
	sb := start(t)
	of := map[string]*openstack.Client{}
	made := map[string]int{}
	for _, project := range []string{"demo", "admin"} {
		c, err := connect(t, variables(sb, project))
		if err != nil {
			t.Fatal(err)
		}
		of[project], made[project] = c, seed(t, c, "app")
	}
	found, err := of["admin"].Inventory(t.Context(), "app")
	if err != nil || len(found) != made["admin"] {
		t.Errorf("found %d of %d: %v %+v", len(found), made["admin"], err, found)
	}
	rows, err := of["admin"].Survey(t.Context(), "app", nil)
	if marked := slices.DeleteFunc(rows, func(r driver.CloudResource) bool { return !r.Marked }); err != nil || len(marked) != made["admin"] {
		t.Errorf("surveyed %d of %d: %v %+v", len(marked), made["admin"], err, marked)
	}
	if err := of["admin"].Delete(t.Context(), found); err != nil {
		t.Error(err)
	}
	if other, err := of["demo"].Inventory(t.Context(), "app"); err != nil || len(other) != made["demo"] {
		t.Errorf("the other project has %d of %d: %v", len(other), made["demo"], err)
	}
}

func TestAnIncompleteInventoryIsAnError(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for name, rule := range map[string]fault.Rule{
		"refuses everything": {Service: "cinder", Do: fault.Answer, Status: 403, Count: -1},
		"is down":            {Service: "cinder", Do: fault.Drop, Count: -1},
		"is overloaded":      {Service: "cinder", Do: fault.Answer, Status: 503, Count: -1},
	} {
		c, err := connect(t, variables(sb, "demo"))
		if err != nil {
			t.Fatal(err)
		}
		added, err := sb.Faults.Add(rule)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Inventory(t.Context(), "app"); err == nil {
			t.Errorf("cinder %s: nothing was proved, but the answer is %v", name, got)
		}
		if _, err := c.Quota(t.Context()); err == nil {
			t.Errorf("cinder %s: the quotas are said to be complete", name)
		}
		sb.Faults.Remove(added)
	}
}

// Some clouds answer for their services' resources only, not for the documents about versions above them.
func TestAServiceWithoutAListOfVersionsIsUsed(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, err := connect(t, variables(sb, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sb.Faults.Add(fault.Rule{Path: `^(/[a-z-]+)?/?$`, Do: fault.Answer, Status: 403, Count: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Inventory(t.Context(), "app"); err != nil {
		t.Error(err)
	}
}
