package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"

	"context"
)

// withSecrets is a stub with a real secrets store.
func withSecrets(t *testing.T) *stub {
	t.Helper()
	keys, err := secret.GenerateKeyring()
	if err != nil {
		t.Fatal(err)
	}
	store := mem.New(mem.Options{})
	l, err := orch.New(orch.Options{Store: store, Load: func(context.Context, orch.Bundle) (*topology.Topology, diag.List) { return nil, nil },
		Secrets: secrets.New(store, secrets.Options{Key: secret.KeySource{Key: keys.Text()}})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = store.Close() })
	return &stub{secrets: l.Secrets()}
}

// Everything about secrets that is possible locally is possible over HTTP, with the same results.
func TestSecretsOverHTTP(t *testing.T) {
	ctx := t.Context()
	c := connect(t, withSecrets(t))
	if _, err := c.Accounts().CreateTenant(ctx, orch.Tenant{Name: "blue"}); err != nil {
		t.Fatal(err)
	}
	s := c.Secrets()
	note, hidden := "why & how", true
	info, err := s.Set(ctx, "dir/key", []byte("\x00binary"), orch.SecretOptions{Kind: secrets.File, Note: &note, Visibility: secrets.Private, Hidden: &hidden})
	if err != nil || info.Note != note || info.Kind != secrets.File || !info.Hidden || info.Visibility != secrets.Private || info.Version != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := s.Set(ctx, "dir/key", []byte("second"), orch.SecretOptions{Create: true}); kindOf(err) != orch.KindConflict {
		t.Errorf("got %v", err)
	}
	note = ""
	if info, err := s.Set(ctx, "dir/key", []byte("second"), orch.SecretOptions{Note: &note}); err != nil || info.Version != 2 || info.Note != "" {
		t.Errorf("%+v, %v", info, err)
	}
	for version, want := range map[int]string{0: "second", 1: "\x00binary", 2: "second"} {
		if v, err := s.Get(ctx, "dir/key", version); err != nil || string(v) != want {
			t.Errorf("version %d: %q, %v", version, v, err)
		}
	}
	d, err := s.Describe(ctx, "dir/key")
	if err != nil || len(d.Versions) != 2 || d.Versions[0].Kind != secrets.File || d.Versions[1].Size != 6 {
		t.Errorf("%+v, %v", d, err)
	}
	if info, err := s.Update(ctx, "dir/key", orch.SecretChange{Visibility: secrets.Global}); err != nil || info.Visibility != secrets.Global {
		t.Errorf("%+v, %v", info, err)
	}
	other := orch.WithTenant(ctx, "blue")
	if _, err := s.Set(other, "own", []byte("blue-value"), orch.SecretOptions{}); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[context.Context]string{ctx: "dir/key", other: "dir/key own"} {
		all, err := s.List(who, "")
		var names []string
		for _, i := range all {
			names = append(names, i.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("listed %s, want %s, %v", got, want, err)
		}
	}
	out, err := s.Export(other, orch.SecretExport{Plaintext: true})
	if err != nil || !strings.Contains(string(out.Data), `"own"`) || strings.Contains(string(out.Data), "dir/key") {
		t.Errorf("%s, %v", out.Data, err)
	}
	did, err := s.Import(ctx, orch.SecretImport{Data: out.Data, Plaintext: true})
	if d := cmp.Diff(orch.SecretImported{Created: []string{"own"}, Updated: []string{}, Kept: []string{}}, did); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	reads, err := s.Reads(ctx, orch.SecretReads{Secret: "dir/key", Last: 2, Since: time.Now().Add(-time.Hour)})
	if err != nil || len(reads) != 2 || reads[0].Of != secrets.DefaultTenant {
		t.Errorf("%+v, %v", reads, err)
	}
	if _, err := s.Rotate(ctx, true); kindOf(err) != orch.KindUser || !strings.Contains(err.Error(), "ORCH_MASTER_KEY") {
		t.Errorf("rotation of a key that does not come from a file: %v", err)
	}
	if err := s.Remove(ctx, "dir/key"); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, "dir/key", 0); kindOf(err) != orch.KindNotFound {
		t.Errorf("got %v", err)
	}
}

func kindOf(err error) orch.Kind {
	if err == nil {
		return ""
	}
	return orch.ProblemOf(err).Kind
}

func TestBadRequestsForSecrets(t *testing.T) {
	srv := httptest.NewServer(New(Options{Service: withSecrets(t)}).Handler())
	defer srv.Close()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"version":     {http.MethodGet, "/secrets/a?version=x", "", 400},
		"version 0":   {http.MethodGet, "/secrets/a?version=0", "", 400},
		"hidden":      {http.MethodPut, "/secrets/a?hidden=perhaps", "v", 400},
		"kind":        {http.MethodPut, "/secrets/a?kind=odd", "v", 400},
		"JSON":        {http.MethodPut, "/secrets/a?kind=json", "{", 400},
		"visibility":  {http.MethodPut, "/secrets/a?visibility=all", "v", 400},
		"name":        {http.MethodPut, "/secrets/env%3AX", "v", 400},
		"none":        {http.MethodGet, "/secrets/none", "", 404},
		"no versions": {http.MethodGet, "/secrets/none/versions", "", 404},
		"patch":       {http.MethodPatch, "/secrets/none", `{"colour":1}`, 400},
		"export":      {http.MethodPost, "/secret-store/export", `{}`, 400},
		"import":      {http.MethodPost, "/secret-store/import", `{"data":"AAAA","passphrase":"x"}`, 400},
		"since":       {http.MethodGet, "/secret-store/reads?since=today", "", 400},
	} {
		req, _ := http.NewRequest(c.method, srv.URL+"/api/v1"+c.path, strings.NewReader(c.body))
		if c.method == http.MethodPost || c.method == http.MethodPatch {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", name, resp.Status, resp.Header.Get("Content-Type"))
		}
	}
}
