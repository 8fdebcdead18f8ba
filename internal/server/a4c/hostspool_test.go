package a4c

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/server/servicetest"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// asked is a request with the answer that it must get.
type asked struct {
	method, path, body string
	status             int
	contains           string
}

func (s *site) converse(steps []asked) {
	s.T.Helper()
	for _, a := range steps {
		contentType := ""
		if a.body != "" {
			contentType = jsonType
		}
		got := s.Send(a.method, a.path, contentType, []byte(a.body))
		if got.Status != a.status || !strings.Contains(got.Body, a.contains) {
			s.T.Errorf("%s %s %s: %d %s, want %d %s", a.method, a.path, a.body, got.Status, got.Body, a.status, a.contains)
		}
		if strings.Contains(got.Body, "s3cret") || strings.Contains(got.Body, "hunter2") {
			s.T.Errorf("%s %s shows a secret: %s", a.method, a.path, got.Body)
		}
	}
}

func TestHostsPool(t *testing.T) {
	s := newSite(t)
	s.converse([]asked{
		{"GET", "/hosts_pool", "", 204, ""},
		{"GET", "/hosts_pool/lab", "", 204, ""},
		{"PUT", "/hosts_pool/lab/a", `{"labels":[]}`, 400, "needs a connection"},
		{"PUT", "/hosts_pool/lab/a", `{"connection":{"host":"10.0.0.1","user":"me","port":2222,"password":"s3cret"},"labels":[{"op":"add","name":"host.num_cpus","value":"4"}]}`, 201, ""},
		{"PUT", "/hosts_pool/lab/a", `{"connection":{"host":"10.0.0.2"}}`, 400, "exists already"},
		{"GET", "/hosts_pool", "", 200, `{"locations":["lab"]}`},
		{"GET", "/locations", "", 200, "/locations/lab"},
		{"GET", "/locations/lab", "", 200, `"type":"hostspool"`},
		{"GET", "/hosts_pool/lab/a", "", 200, `"password":"\u003csecret value redacted\u003e"`},
		{"GET", "/hosts_pool/lab/b", "", 404, "no such host"},
		{"GET", "/hosts_pool/lab?filter=host.num_cpus+%3E%3D+4", "", 200, `"/hosts_pool/lab/a"`},
		{"GET", "/hosts_pool/lab?filter=host.num_cpus+%3E+4", "", 204, ""},
		{"GET", "/hosts_pool/lab?filter=host.num_cpus+%3E", "", 400, "a value is missing"},
		{"PATCH", "/hosts_pool/lab/a", `{"labels":[{"op":"remove","name":"host.num_cpus"},{"op":"add","name":"gpu","value":"1"}],"connection":{"password":"-"}}`, 200, ""},
		{"PATCH", "/hosts_pool/lab/a", `{"labels":[{"op":"paint","name":"x"}]}`, 400, "paint"},
		{"PATCH", "/hosts_pool/lab/b", `{}`, 404, ""},
		{"GET", "/hosts_pool/lab/a", "", 200, `"labels":{"gpu":"1"}`},
		{"POST", "/hosts_pool/lab", `{"hosts":[]}`, 400, "checkpoint"},
		{"POST", "/hosts_pool/lab?checkpoint=1", `{"hosts":[]}`, 400, "changed"},
		{"POST", "/hosts_pool/lab?checkpoint=2", `{"hosts":[{"name":"c","connection":{"host":"dead.c"},"labels":{"x":"y"}}]}`, 201, `"warnings":["host \"c\": no route`},
		{"GET", "/hosts_pool/lab/c", "", 200, `"status":"error"`},
		{"PUT", "/hosts_pool/lab", `{"hosts":[{"name":"d","connection":{"host":"10.0.0.4"}},{"name":"d","connection":{"host":"10.0.0.4"}}]}`, 400, "name of its own"},
		{"PUT", "/hosts_pool/lab", `{"hosts":[{"name":"d","connection":{"host":"10.0.0.4"}}]}`, 200, `"/hosts_pool/lab/d"`},
		{"DELETE", "/hosts_pool/lab/c", "", 404, ""},
		{"DELETE", "/hosts_pool/lab/d", "", 200, ""},
		{"GET", "/hosts_pool", "", 204, ""},
	})
	got := s.Send("PUT", "/hosts_pool/lab/x", jsonType, []byte(`{"connection":{"host":"dead.x"}}`))
	if got.Status != http.StatusCreated || got.Header.Get("Location") != "/hosts_pool/lab/x" || !strings.Contains(got.Header.Get("Warning"), "no route to 'host'") {
		t.Errorf("%d %v", got.Status, got.Header)
	}
}

func TestLocations(t *testing.T) {
	s := newSite(t)
	s.converse([]asked{
		{"GET", "/locations", "", 200, `"href":"/locations/openstack"`},
		{"GET", "/locations/openstack", "", 200, `"image":"debian"`},
		{"GET", "/locations/other", "", 400, "no location"},
		{"PUT", "/locations/openstack", `{"type":"openstack"}`, 400, "configuration"},
		{"PUT", "/locations/other", `{"properties":{}}`, 400, "type"},
		{"PUT", "/locations/other", `{"type":"mainframe","properties":{}}`, 400, "no such plugin"},
		{"PUT", "/locations/other", `{"type":"OpenStack","properties":{"auth_url":"https://x","password":"s3cret","region":"R","insecure":true,"n":3}}`, 201, ""},
		{"PUT", "/locations/other", `{"type":"openstack","properties":{}}`, 400, "exists already"},
		{"GET", "/locations/other", "", 200, `"region":"R"`},
		{"PATCH", "/locations/other", `{"type":"openstack","properties":{"region":"S"}}`, 200, ""},
		{"GET", "/locations/other", "", 200, `{"name":"other","type":"openstack","properties":{"region":"S"}}`},
		{"PATCH", "/locations/other", `{"type":"openstack","properties":{"password":"<secret value redacted>"}}`, 400, "mask"},
		{"PATCH", "/locations/none", `{"type":"openstack","properties":{}}`, 400, "no location"},
		{"DELETE", "/locations/other", "", 200, ""},
		{"DELETE", "/locations/other", "", 400, "no location"},
	})
}

// What a client was shown, masked, it may send back, as `yorc hostspool export` and `apply` do: the secrets stay.
func TestMasksAreNoSecrets(t *testing.T) {
	s := newSite(t)
	s.converse([]asked{
		{"PUT", "/locations/other", `{"type":"openstack","properties":{"password":"s3cret","region":"R"}}`, 201, ""},
		{"PATCH", "/locations/other", `{"type":"openstack","properties":{"password":"<secret value redacted>","region":"S"}}`, 200, ""},
		{"PUT", "/hosts_pool/lab/a", `{"connection":{"host":"10.0.0.1","password":"s3cret"}}`, 201, ""},
		{"PUT", "/hosts_pool/lab", `{"hosts":[{"Name":"a","connection":{"host":"10.0.0.9","password":"<secret value redacted>"}}]}`, 200, ""},
		{"GET", "/hosts_pool/lab/a", "", 200, `"host":"10.0.0.9","password":`},
	})
	l, _, err := orch.ReadLocation(t.Context(), s.Store, servicetest.Unsealed{}, "other")
	if err != nil || l.Properties["password"] != "s3cret" || l.Properties["region"] != "S" {
		t.Errorf("%+v, %v", l, err)
	}
	hosts, _, err := hostpool.New(hostpool.Options{Store: s.Store}).Hosts(t.Context(), "lab")
	if err != nil || len(hosts) != 1 {
		t.Fatal(hosts, err)
	}
	if v, err := (secrets.Drivers{Store: s.Secrets()}).Resolve(t.Context(), hosts[0].Connection.PasswordRef); err != nil || v.Reveal() != "s3cret" {
		t.Errorf("%+v: %v, %v", hosts[0].Connection, v, err)
	}
}

func FuzzHostChange(f *testing.F) {
	f.Add([]byte(`{"connection":{"host":"a","port":70000},"labels":[{"op":"add","name":"x","value":"y"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var c poolHostChange
		if json.Unmarshal(data, &c) != nil {
			return
		}
		if _, err := c.wanted(); err != nil && problemOf(err).status != http.StatusBadRequest {
			t.Error(err)
		}
	})
}
