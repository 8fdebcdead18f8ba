package secret

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestParseRef(t *testing.T) {
	for in, want := range map[string]Ref{
		"db":                   {Name: "db"},
		"shop/db@2#user.name":  {Name: "shop/db", Version: 2, Field: "user.name"},
		"mail@example.org":     {Name: "mail@example.org"},
		"env:DB":               {Scheme: "env", Name: "DB"},
		"file:/a@1#f":          {Scheme: "file", Name: "/a@1", Field: "f"},
		"vault:kv/a/b@3#f":     {Scheme: "vault", Name: "kv/a/b", Version: 3, Field: "f"},
		"urn:isbn:1":           {Name: "urn:isbn:1"},
		"vault:team/kv//a/b#f": {Scheme: "vault", Name: "team/kv//a/b", Field: "f"},
	} {
		got, err := ParseRef(in)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", in, err, d)
		}
		if got.String() != in {
			t.Errorf("%s became %s", in, got)
		}
	}
	for _, in := range []string{"", "env:", "#f", "db#", "@2"} {
		if r, err := ParseRef(in); err == nil && in != "@2" || in == "@2" && err == nil {
			t.Errorf("%q: %+v", in, r)
		}
	}
}

func TestRefOf(t *testing.T) {
	for _, c := range []struct {
		args []string
		want Ref
		ok   bool
	}{
		{[]string{"a"}, Ref{Name: "a"}, true},
		{[]string{"a", "data=f"}, Ref{Name: "a", Field: "f"}, true},
		{[]string{"a", "f", "version=2"}, Ref{Name: "a", Field: "f", Version: 2}, true},
		{[]string{"a", "into", "json"}, Ref{Name: "a", Field: "into.json"}, true},
		{[]string{"vault:secret/shop", "list", "0", "x.y"}, Ref{Scheme: "vault", Name: "secret/shop", Field: "list.0.x.y"}, true},
		{[]string{"a", ""}, Ref{}, false},
		{[]string{"a", "colour=red"}, Ref{}, false},
		{[]string{"a", "version=x"}, Ref{}, false},
		{nil, Ref{}, false},
	} {
		got, err := RefOf(c.args)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q: %+v, %v", c.args, got, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("vault:kv/a@1#b")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Input(t)()
		r, err := ParseRef(s)
		if err != nil {
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v, then %+v, %v", s, r, again, err)
		}
	})
}

func TestEnvAndFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte("v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	env := Env{Lookup: func(n string) (string, bool) { return `{"a":{"b":"deep"},"n":17,"x.y":"dotted"}`, n == "S" }}
	rs := Resolvers{"env": env, "file": File{Dir: dir}}
	for ref, want := range map[string]string{
		"env:S#a.b": "deep", "env:S#n": "17", "env:S#a": `{"b":"deep"}`, "env:S#x.y": "dotted", "file:s": "v1", "file:" + dir + "/s": "v1",
		"env:NO": "!", "env:S#no": "!", "file:no": "!", "file:../../etc/passwd": "?", "file:out": "?", "file:/etc/passwd": "?", "file:big": "?", "file:s#f": "!", "db": "?", "file:.": "?",
	} {
		r, err := ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		v, err := rs.Resolve(t.Context(), r)
		switch {
		case want == "!" && !errors.Is(err, ErrNotFound), want == "?" && (err == nil || errors.Is(err, ErrNotFound)):
			t.Errorf("%s: %v", ref, err)
		case want != "!" && want != "?" && (err != nil || v.Reveal() != want):
			t.Errorf("%s: %q, %v", ref, v.Reveal(), err)
		}
		if err != nil && strings.Contains(err.Error(), "deep") {
			t.Errorf("%s: the error shows the value: %v", ref, err)
		}
	}
}

func TestField(t *testing.T) {
	v := New(`{"a":{"b":"deep","b.c":{"d":"dotted"}},"a.b":{"e":1},"list":[{"n":"first"},"second"],"t":true,"none":null}`)
	for field, want := range map[string]string{"a.b": `{"e":1}`, "a.b.c.d": "dotted", "a.b.e": "1", "list.0.n": "first", "list.1": "second", "t": "true", "none": "null"} {
		if got, err := Field(v, field); err != nil || got.Reveal() != want {
			t.Errorf("%s: %q, %v", field, got.Reveal(), err)
		}
	}
	for _, field := range []string{"x", "list.2", "list.-1", "list.n", "a.", ".a", "a..b", "a.b.e.f", "."} {
		if got, err := Field(v, field); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %q, %v", field, got.Reveal(), err)
		}
	}
	if got, err := Field(New(`["x"]`), "0"); err != nil || got.Reveal() != "x" {
		t.Errorf("a list: %v", err)
	}
}

func TestReferencesThatAreNotAllowed(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "master.key")
	if err := os.WriteFile(key, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(key, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	all := func(string) (string, bool) { return "v", true }
	for ref, r := range map[string]Resolver{
		"env:ORCH_MASTER_KEY": Env{Lookup: all}, "env:VAULT_TOKEN": Env{Lookup: all, Allow: []string{"*"}}, "env:X": Env{Lookup: all, Allow: []string{}},
		"env:HOME": Env{Lookup: all, Allow: []string{"DB_*"}}, "file:" + key: File{Deny: []string{key}}, "file:" + dir + "/./link": File{Deny: []string{key}},
		"file:link": File{Dir: dir, Deny: []string{key}}, "file:" + dir + "/x": File{Off: true},
	} {
		parsed, err := ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resolve(t.Context(), parsed); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if v, err := (Env{Lookup: all, Allow: []string{"DB_*"}}).Resolve(t.Context(), Ref{Name: "DB_PASSWORD"}); err != nil || v.Reveal() != "v" {
		t.Error(err)
	}
}

// The token of a file is read for every request, and TLS is checked against the given authorities, with a client's certificate.
func TestVaultOverTLSWithATokenFromAFile(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.Header.Get("X-Vault-Token") != "renewed" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"data":{"data":{"value":"pw"}}}`))
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	ca, cert, key := serverPEM(t, srv)
	v := &Vault{Address: srv.URL, TokenFile: token, CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "example.com"}
	ref := Ref{Name: "/secret/db"}
	for i, text := range []string{"", "old\n", "renewed\n"} {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := v.Resolve(t.Context(), ref)
		if (err == nil) != (i == 2) || err == nil && got.Reveal() != "pw" {
			t.Errorf("with the token %q: %v", text, err)
		}
	}
	if _, err := (&Vault{Address: srv.URL, TokenFile: token}).Resolve(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	if _, err := (&Vault{Address: srv.URL, TokenFile: token, CertFile: "/none", KeyFile: "/none"}).Resolve(t.Context(), ref); err == nil {
		t.Error("a certificate that does not exist is no error")
	}
}

// serverPEM writes the test server's certificate as authority, certificate and key.
func serverPEM(t *testing.T, srv *httptest.Server) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	c := srv.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{ca: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ca, ca, key
}

func TestVault(t *testing.T) {
	sealed := 1
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(code int, body string) { w.WriteHeader(code); _, _ = w.Write([]byte(body)) }
		switch {
		case r.Header.Get("X-Vault-Token") != "t0ken":
			answer(403, `{"errors":["permission denied"]}`)
		case r.URL.Path == "/v1/secret/data/shop/db" && r.URL.Query().Get("version") == "2":
			answer(200, `{"data":{"data":{"password":"old"},"metadata":{"version":2}}}`)
		case r.URL.Path == "/v1/secret/data/shop/db" && r.Header.Get("X-Vault-Namespace") == "ns":
			answer(200, `{"data":{"data":{"password":"pw","port":5432},"metadata":{"version":3}}}`)
		case r.URL.Path == "/v1/team/kv/data/one":
			answer(200, `{"data":{"data":{"value":"single"}}}`)
		case r.URL.Path == "/v1/secret/data/gone":
			answer(200, `{"data":{"data":null,"metadata":{"deletion_time":"2026"}}}`)
		case r.URL.Path == "/v1/secret/data/wait" && sealed > 0:
			sealed--
			answer(503, `{"errors":["Vault is sealed"]}`)
		case r.URL.Path == "/v1/secret/data/wait":
			answer(200, `{"data":{"data":{"value":"unsealed"}}}`)
		case r.URL.Path == "/v1/secret/data/odd":
			answer(200, `<html>`)
		case r.URL.Path == "/v1/secret/data/bad":
			answer(400, `{"errors":["version mismatch"]}`)
		default:
			answer(404, `{"errors":[]}`)
		}
	}))
	defer srv.Close()
	v := &Vault{Address: srv.URL, Token: New("t0ken"), Namespace: "ns", Client: srv.Client()}
	for ref, want := range map[string]string{
		"vault:secret/shop/db#password": "pw", "vault:secret/data/shop/db#port": "5432", "vault:secret/shop/db@2#password": "old",
		"vault:secret/shop/db": `{"password":"pw","port":5432}`, "vault:team/kv//one": "single", "vault:secret/wait": "unsealed",
		"vault:secret/gone": "!no such secret", "vault:secret/none": "!no such secret", "vault:secret/shop/db#x": "!no such secret",
		"vault:secret/odd": "!not JSON", "vault:secret/bad": "!version mismatch", "vault:secret": "!want vault:MOUNT/PATH",
	} {
		r, err := ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Resolve(t.Context(), r)
		if msg, isErr := strings.CutPrefix(want, "!"); isErr {
			if err == nil || !strings.Contains(err.Error(), msg) {
				t.Errorf("%s: %v", ref, err)
			}
		} else if err != nil || got.Reveal() != want {
			t.Errorf("%s: %q, %v", ref, got.Reveal(), err)
		}
	}
	denied := &Vault{Address: srv.URL, Token: New("wr0ng"), Client: srv.Client()}
	_, err := denied.Resolve(t.Context(), Ref{Name: "secret/shop/db"})
	if err == nil || !strings.Contains(err.Error(), "it has expired") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("denied: %v", err)
	}
	t.Setenv("VAULT_ADDR", "")
	if _, err := new(Vault).Resolve(t.Context(), Ref{Name: "a/b"}); err == nil || !strings.Contains(err.Error(), "VAULT_ADDR") {
		t.Errorf("not configured: %v", err)
	}
}
