package orch_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// secretsOf returns a secrets store under a key of its own.
func secretsOf(t *testing.T, store state.Store) *secrets.Store {
	t.Helper()
	keys, err := secret.GenerateKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return secrets.New(store, secrets.Options{Key: secret.KeySource{Key: keys.Text()}, External: secret.Resolvers{
		"env": secret.Env{Lookup: func(name string) (string, bool) { return "from the environment", name == "GIVEN" }}}})
}

const asking = `
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs:
    which: { type: string, default: chosen }
  node_templates:
    app:
      type: tosca.nodes.SoftwareComponent
      interfaces:
        Standard:
          create:
            implementation: create.sh
            inputs:
              A: { get_secret: plain }
              B: { get_secret: [doc, db, password] }
              C: { get_secret: [doc, db, none] }
              D: { get_secret: "env:ABSENT" }
              E: { get_secret: { get_input: which } }
              F: { get_secret: absent }
              G: { get_secret: "env:GIVEN" }
`

func loadTOSCA(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
	bundle, list := source.OpenFS(b.Name, b.FS, b.Entry)
	if bundle == nil {
		return nil, list
	}
	return tosca.Load(ctx, tosca.Options{Bundle: bundle})
}

// Everything that is missing is named at once, where the document asks for it, and nothing counts as read.
func TestPreflightNamesEveryMissingSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.opts.Secrets = secretsOf(t, f.opts.Store)
	f.opts.Load = loadTOSCA
	f.restart(t)
	for name, value := range map[string]string{"plain": "p-value", "doc": `{"db":{"password":"d-value"}}`} {
		if _, err := f.Secrets().Set(t.Context(), name, []byte(value), orch.SecretOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	files := fstest.MapFS{"app.yaml": {Data: []byte(asking)}, "create.sh": {Data: []byte("true\n")}}
	_, list, err := f.Plan(t.Context(), orch.Request{Verb: orch.Deploy, Deployment: "demo", Source: files, Entry: "app.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, d := range list {
		if d.Severity == diag.Error && d.Code == "missing-secret" && !d.Pos.IsZero() && d.Hint != "" {
			missing = append(missing, strings.Fields(strings.TrimPrefix(d.Message, "the secret "))[0])
		}
	}
	if got := strings.Join(missing, " "); got != "doc env:ABSENT chosen absent" {
		t.Errorf("missing: %s\n%v", got, list)
	}
	if reads, err := f.Secrets().Reads(t.Context(), orch.SecretReads{}); err != nil || len(reads) != 0 {
		t.Errorf("reads %v, %v", reads, err)
	}
}

// Whoever is told that a secret cannot be read is told to write it only where it is not there.
func TestHintsOfSecretsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]int{"kv put": http.StatusNotFound, "kv get": http.StatusForbidden} {
		f := newFixture(t)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer) }))
		t.Cleanup(server.Close)
		keys, err := secret.GenerateKeyring()
		if err != nil {
			t.Fatal(err)
		}
		f.opts.Secrets = secrets.New(f.opts.Store, secrets.Options{Key: secret.KeySource{Key: keys.Text()}, External: secret.Resolvers{
			"vault": &secret.Vault{Address: server.URL, Token: secret.New("t")}}})
		f.opts.Load = loadTOSCA
		f.restart(t)
		files := fstest.MapFS{"app.yaml": {Data: []byte(`
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  outputs:
    a: { value: { get_secret: "vault:kv/shop/db#password" } }
`)}}
		_, list, err := f.Plan(t.Context(), orch.Request{Verb: orch.Deploy, Deployment: "demo", Source: files, Entry: "app.yaml"})
		if err != nil || len(list) != 1 || list[0].Code != "missing-secret" || !strings.Contains(list[0].Hint, name+" kv/shop/db") {
			t.Errorf("status %d: %v, %v", answer, list, err)
		}
	}
}

func TestSecretErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.Secrets().Set(t.Context(), "a", nil, orch.SecretOptions{}); kind(err) != orch.KindUser {
		t.Errorf("without a key: %v", err)
	}
	f.opts.Secrets = secretsOf(t, f.opts.Store)
	f.restart(t)
	s := f.Secrets()
	if _, err := s.Set(t.Context(), "a", []byte("one-value"), orch.SecretOptions{}); err != nil {
		t.Fatal(err)
	}
	_, badName := s.Set(t.Context(), "a#b", nil, orch.SecretOptions{})
	_, again := s.Set(t.Context(), "a", nil, orch.SecretOptions{Create: true})
	_, none := s.Get(t.Context(), "none", 0)
	_, version := s.Get(t.Context(), "a", 7)
	_, export := s.Export(t.Context(), orch.SecretExport{Recipients: []string{"age1nonsense"}})
	_, imported := s.Import(t.Context(), orch.SecretImport{Data: []byte("{}"), Plaintext: true})
	_, rotate := s.Rotate(secrets.As(t.Context(), secrets.Actor{User: "bob"}), false)
	for name, c := range map[string]struct {
		err  error
		want orch.Kind
	}{
		"a bad name": {badName, orch.KindUser}, "exists": {again, orch.KindConflict}, "no secret": {none, orch.KindNotFound}, "no version": {version, orch.KindNotFound},
		"a bad recipient": {export, orch.KindUser}, "no export": {imported, orch.KindUser}, "no admin": {rotate, orch.KindForbidden},
	} {
		if kind(c.err) != c.want {
			t.Errorf("%s: %s %v", name, kind(c.err), c.err)
		}
	}
}

func kind(err error) orch.Kind {
	var known *orch.Error
	if !errors.As(err, &known) {
		return ""
	}
	return known.Kind
}
