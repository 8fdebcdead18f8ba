package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/server/auth"
	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/mem"
)

// people are somebody of every kind with a token each.
type people struct {
	accounts *access.Accounts
	tokens   map[string]string
}

func newPeople(t testing.TB) *people {
	t.Helper()
	p := &people{accounts: access.New(mem.New(mem.Options{})), tokens: map[string]string{"nobody": ""}}
	ctx := t.Context()
	if _, err := p.accounts.CreateTenant(ctx, orch.Tenant{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	add := func(name string, u orch.NewUser, token orch.NewToken) orch.IssuedToken {
		u.Name, token.User = name, name
		if _, err := p.accounts.CreateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
		issued, err := p.accounts.CreateToken(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		p.tokens[name] = issued.Secret
		return issued
	}
	in := func(tenant string, r orch.Role) orch.NewUser {
		return orch.NewUser{Tenants: map[string]orch.Role{tenant: r}}
	}
	add("stranger", orch.NewUser{}, orch.NewToken{})
	add("viewer", in("default", orch.Viewer), orch.NewToken{})
	add("operator", in("default", orch.Operator), orch.NewToken{})
	add("admin", in("default", orch.Admin), orch.NewToken{})
	add("server-admin", orch.NewUser{Admin: true}, orch.NewToken{})
	add("elsewhere", in("acme", orch.Admin), orch.NewToken{})
	add("narrowed", in("default", orch.Admin), orch.NewToken{Role: orch.Viewer})
	revoked := add("revoked", in("default", orch.Admin), orch.NewToken{})
	if err := p.accounts.RevokeToken(ctx, revoked.ID); err != nil {
		t.Fatal(err)
	}
	add("disabled", in("default", orch.Admin), orch.NewToken{})
	yes := true
	if _, err := p.accounts.UpdateUser(ctx, "disabled", orch.UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	p.tokens["forged"] = "orch_0123456789abcdef_" + strings.Repeat("A", 43)
	return p
}

// roles in the default tenant; "" is not let in at all.
var rolesOf = map[string]orch.Role{
	"nobody": "", "revoked": "", "disabled": "", "forged": "", "stranger": orch.Known, "viewer": orch.Viewer, "narrowed": orch.Viewer, "operator": orch.Operator,
	"admin": orch.Admin, "server-admin": orch.ServerAdmin, "elsewhere": orch.Known,
}

func (p *people) server(t testing.TB, s *stub) *Server {
	s.accounts = p.accounts
	return New(Options{Service: s, Auth: trusting{auth.New(auth.Options{Accounts: p.accounts})}, Store: mem.New(mem.Options{})})
}

// trusting does not count failures: all of them come from one address here.
type trusting struct{ *auth.Authenticator }

func (a trusting) Identify(r *http.Request) (orch.Identity, error) {
	r = r.Clone(r.Context())
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", time.Now().UnixNano()%200)
	return auth.New(a.Options()).Identify(r)
}

func (p *people) ask(h http.Handler, who, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token := p.tokens[who]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// fill puts something into a route's parameters.
func fill(path string) string {
	for from, to := range map[string]string{":name": "web", ":task": "t1", ":plan": "p1", ":node": "db", ":index": "0", ":blueprint": "a", ":version": "1", ":secret": "s",
		":tenant": "default", ":user": "ghost", ":token": "0123456789abcdef", ":pool": "lab", ":host": "box", ":location": "lab"} {
		path = strings.ReplaceAll(path, from, to)
	}
	return base + path
}

// TestEveryRouteAsEveryRole: the table of routes says who may, and nobody else gets through. A server's routes are tried one by one as
// everybody, in the tenant that they are in and in another one.
func TestEveryRouteAsEveryRole(t *testing.T) {
	p := newPeople(t)
	h := validated(t, p.server(t, withSecrets(t)).Handler())
	for _, r := range New(Options{Service: &stub{}}).routes() {
		for who, role := range rolesOf {
			body := ""
			if r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch {
				body = `{"deployment":1}` // nothing comes of it: it is wrong everywhere
			}
			header := []string{"Content-Type", "application/json"}
			if strings.HasPrefix(r.path, "/secrets/") {
				header = []string{"Content-Type", "application/octet-stream"}
			}
			if who == "elsewhere" { // it would work in its own tenant otherwise
				header = append(header, "X-Orch-Tenant", "default")
			}
			got := p.ask(h, who, r.method, fill(r.path), body, header...).Code
			want := "let through"
			switch {
			case r.needs == orch.Public:
			case who == "elsewhere":
				want = "403"
			case role == "":
				want = "401"
			case !role.Allows(r.needs):
				want = "403"
			}
			refused := got == http.StatusUnauthorized || got == http.StatusForbidden
			if want == "let through" && refused || want != "let through" && fmt.Sprint(got) != want {
				t.Errorf("%s %s as %s: %d, want %s", r.method, r.path, who, got, want)
			}
			if want == "let through" && got >= 500 && got != http.StatusNotImplemented {
				t.Errorf("%s %s as %s: %d", r.method, r.path, who, got)
			}
		}
	}
}

func TestEveryRouteOfAnotherTenantIsRefused(t *testing.T) {
	p := newPeople(t)
	h := p.server(t, &stub{}).Handler()
	for _, r := range New(Options{Service: &stub{}}).routes() {
		if r.needs == orch.Public {
			continue
		}
		for _, who := range []string{"viewer", "operator", "admin"} {
			if got := p.ask(h, who, r.method, fill(r.path), "", "X-Orch-Tenant", "acme").Code; got != http.StatusForbidden {
				t.Errorf("%s %s as %s in acme: %d", r.method, r.path, who, got)
			}
		}
		if got := p.ask(h, "server-admin", r.method, fill(r.path), "", "X-Orch-Tenant", "nowhere").Code; got != http.StatusNotFound {
			t.Errorf("%s %s in a tenant that is not there: %d", r.method, r.path, got)
		}
	}
}

// TestNothingIsServedUnguarded asks every route that the framework knows, also those that no table has, as nobody.
func TestNothingIsServedUnguarded(t *testing.T) {
	p := newPeople(t)
	s := New(Options{Service: &stub{accounts: p.accounts}, Auth: trusting{auth.New(auth.Options{Accounts: p.accounts})},
		Mounts: []Mount{{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}}})
	public := map[string]bool{"GET /healthz": true, "GET /readyz": true, "HEAD /healthz": true, "HEAD /readyz": true} // whether it lives, and nothing else
	for _, r := range s.routes() {
		public[r.method+" "+base+r.path] = r.needs == orch.Public
	}
	for _, r := range s.echo.Routes() {
		path := fill(strings.TrimPrefix(strings.ReplaceAll(r.Path, "*", "x"), base))
		if !strings.HasPrefix(r.Path, base) {
			path = strings.TrimPrefix(path, base)
		}
		if path == "" {
			path = "/"
		}
		got := p.ask(s.Handler(), "nobody", r.Method, path, "").Code
		ok := got == http.StatusUnauthorized || public[r.Method+" "+r.Path] && got == http.StatusOK || got == http.StatusNotFound || got == http.StatusMethodNotAllowed
		if !ok {
			t.Errorf("%s %s answers nobody with %d", r.Method, r.Path, got)
		}
	}
}

func TestMountsAskForRoles(t *testing.T) {
	p := newPeople(t)
	var refused []int
	s := New(Options{Service: &stub{accounts: p.accounts}, Auth: trusting{auth.New(auth.Options{Accounts: p.accounts})}, Mounts: []Mount{
		{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "root for %s", orch.TenantOf(r.Context()))
		})},
		{Prefix: "/other", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "other") }),
			Needs: func(r *http.Request) orch.Role {
				if r.URL.Path == "/other/status" {
					return orch.Public
				}
				return orch.Admin
			},
			Refuse: func(w http.ResponseWriter, _ *http.Request, p orch.Problem) {
				refused = append(refused, p.Status)
				w.WriteHeader(p.Status)
			}},
	}})
	for _, tt := range []struct {
		who, method, path string
		status            int
		body              string
	}{
		{"viewer", "GET", "/deployments", 200, "root for default"}, {"viewer", "POST", "/deployments", 403, ""}, {"operator", "POST", "/deployments", 200, ""},
		{"elsewhere", "GET", "/x", 200, "root for acme"}, {"nobody", "GET", "/x", 401, ""}, {"nobody", "GET", "/other/status", 200, "other"},
		{"operator", "GET", "/other/y", 403, ""}, {"admin", "GET", "/other/y", 200, "other"}, {"nobody", "GET", "/other", 401, ""}, {"viewer", "GET", "/api/v1/x", 404, ""},
	} {
		rec := p.ask(s.Handler(), tt.who, tt.method, tt.path, "")
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.body) {
			t.Errorf("%+v: %d %s", tt, rec.Code, rec.Body)
		}
	}
	if fmt.Sprint(refused) != "[403 401]" {
		t.Errorf("refused in its own words: %v", refused)
	}
}

func TestTokensCannotRaiseThemselves(t *testing.T) {
	p := newPeople(t)
	h := validated(t, p.server(t, &stub{}).Handler())
	for _, tt := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"narrowed", "POST", "/tokens", `{}`, 403},
		{"narrowed", "PUT", "/password", `{"password":"correct horse"}`, 403},
		{"viewer", "POST", "/tokens", `{"user":"admin"}`, 403},
		{"viewer", "GET", "/tokens?user=admin", "", 403},
		{"viewer", "POST", "/tokens", `{"note":"mine"}`, 201},
		{"viewer", "PUT", "/password", `{"password":"correct horse"}`, 204},
		{"viewer", "PUT", "/password", `{"password":"short"}`, 400},
		{"admin", "PUT", "/tenants/acme/members/viewer", `{"role":"viewer"}`, 403},
		{"admin", "PUT", "/tenants/default/members/viewer", `{"role":"operator"}`, 200},
		{"admin", "PUT", "/tenants/default/members/viewer", `{"role":"server-admin"}`, 400},
		{"admin", "GET", "/audit?tenant=acme", "", 403},
		{"server-admin", "POST", "/tokens", `{"user":"viewer","tenant":"default","role":"viewer"}`, 201},
		{"server-admin", "POST", "/tokens", `{"user":"nobody"}`, 404},
		{"server-admin", "DELETE", "/users/server-admin", "", 409},
		{"server-admin", "POST", "/bootstrap", `{"user":"x"}`, 409},
		{"viewer", "GET", "/deployments/web/outputs?reveal=true", "", 200}, // it is an operator by now
		{"narrowed", "GET", "/deployments/web/outputs?reveal=true", "", 403},
	} {
		if rec := p.ask(h, tt.who, tt.method, base+tt.path, tt.body); rec.Code != tt.status {
			t.Errorf("%+v: %d %s", tt, rec.Code, rec.Body)
		}
	}
}

func TestChangesAreAudited(t *testing.T) {
	p := newPeople(t)
	s := withSecrets(t)
	if _, err := s.secrets.Set(t.Context(), "s", []byte("v"), orch.SecretOptions{}); err != nil {
		t.Fatal(err)
	}
	h := p.server(t, s).Handler()
	p.ask(h, "operator", "POST", base+"/tasks", `{"deployment":"web"}`)
	p.ask(h, "viewer", "POST", base+"/tasks", `{"deployment":"web"}`)
	p.ask(h, "operator", "GET", base+"/secrets/s", "")
	p.ask(h, "operator", "GET", base+"/deployments", "")
	p.ask(h, "operator", "GET", base+"/deployments/web/outputs", "")
	p.ask(h, "operator", "GET", base+"/deployments/web/outputs?reveal=true", "")
	p.ask(h, "viewer", "GET", base+"/deployments/web/outputs?reveal=1", "")
	p.ask(h, "nobody", "POST", base+"/tasks", `{"deployment":"web"}`)
	p.ask(h, "operator", "POST", base+"/tasks", `{"oops":1}`)
	all, err := p.accounts.Audit(t.Context(), orch.AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, e := range all {
		got += fmt.Sprintf("%s %s %s %d %s\n", e.User, e.Action, e.Target, e.Status, e.Result)
	}
	want := `operator POST /api/v1/tasks /api/v1/tasks 400 failed
viewer GET /api/v1/deployments/:name/outputs /api/v1/deployments/web/outputs 403 denied
operator GET /api/v1/deployments/:name/outputs /api/v1/deployments/web/outputs 200 done
operator GET /api/v1/secrets/:secret /api/v1/secrets/s 200 done
viewer POST /api/v1/tasks /api/v1/tasks 403 denied
operator POST /api/v1/tasks /api/v1/tasks  web 202 done
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if first := all[len(all)-1]; first.From == "" || first.Via != "token" || first.Tenant != "default" || first.Token == "" {
		t.Errorf("%+v", first)
	}
	if strings.Contains(fmt.Sprint(all), "orch_") {
		t.Error("a token is in the audit log")
	}
}

// deaf accounts write no audit log.
type deaf struct{ orch.Accounts }

func (deaf) Record(context.Context, orch.AuditEntry) error { return errors.New("the disk is full") }

// A change that cannot be recorded is not made; what changes nothing goes on.
func TestUnrecordedChangesAreRefused(t *testing.T) {
	p := newPeople(t)
	reached := 0
	s := &stub{}
	h := New(Options{Service: s, Auth: trusting{auth.New(auth.Options{Accounts: p.accounts})}, Store: mem.New(mem.Options{}),
		Mounts: []Mount{{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })}}}).Handler()
	s.accounts = deaf{p.accounts}
	for _, tt := range []struct {
		method, path, body string
		status, reached    int
	}{
		{"POST", base + "/tasks", `{"deployment":"web"}`, 503, 0},
		{"DELETE", base + "/blueprints/a", "", 503, 0},
		{"GET", base + "/deployments", "", 200, 0},
		{"PUT", "/deployments/web", "", 503, 0},
		{"GET", "/deployments/web", "", 200, 1},
	} {
		rec := p.ask(h, "operator", tt.method, tt.path, tt.body)
		if rec.Code != tt.status || reached != tt.reached || tt.status == 503 && !strings.Contains(rec.Body.String(), "audit log cannot be written") {
			t.Errorf("%s %s: %d %s, the endpoint was reached %d times", tt.method, tt.path, rec.Code, rec.Body, reached)
		}
	}
}

// TestHandlersStayInTheTenant: the Service without a tenant is for what is the server's own, and for nothing else.
func TestHandlersStayInTheTenant(t *testing.T) {
	own := []string{".Accounts()", ".Locations()"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(raw), "\n") {
			_, rest, found := strings.Cut(line, "s.opts.Service")
			allowed := strings.HasSuffix(name, "_test.go") || strings.HasPrefix(rest, ", identity(c).Tenant")
			for _, o := range own {
				allowed = allowed || strings.HasPrefix(rest, o)
			}
			if found && !allowed {
				t.Errorf("%s:%d: use s.service(c), which is the Service in the request's tenant: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
}
