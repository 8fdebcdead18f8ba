package consul

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/secret"
)

func TestParseURL(t *testing.T) {
	for in, want := range map[string]Options{
		"consul://":                   {},
		"consul:///orch":              {Prefix: "orch"},
		"consul://h":                  {Addresses: []string{"h:8500"}},
		"consul://h:1,g:2,[::1]/a/b/": {Addresses: []string{"h:1", "g:2", "[::1]:8500"}, Prefix: "a/b"},
		"consul://t%40k@h:1/p?dc=dc2&tls=true&ca=/ca&cert=/c&key=/k&server_name=s&insecure=true&wait=5s&namespace=n&partition=q&token_file=/t": {
			Addresses: []string{"h:1"}, Prefix: "p", Datacenter: "dc2", TLS: true, CAFile: "/ca", CertFile: "/c", KeyFile: "/k",
			ServerName: "s", Insecure: true, Patience: 5 * time.Second, Namespace: "n", Partition: "q", TokenFile: "/t"},
	} {
		got, err := ParseURL(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if strings.Contains(in, "t%40k") && got.Token.Reveal() != "t@k" {
			t.Errorf("%s: the token is %q", in, got.Token.Reveal())
		}
		got.Token = secret.Value{}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(secret.Value{})); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("T0KENT0KEN", "h:1,g/p?dc=x&wait=1s")
	f.Add("T0KENT0KEN", "[::1]:x")
	f.Fuzz(func(t *testing.T, token, rest string) {
		defer bounded.Input(t)()
		if len(token) < 10 || strings.Contains(rest, token) {
			return
		}
		o, err := ParseURL("consul://" + token + "@" + rest)
		if shown := fmt.Sprint(o, err); strings.Contains(shown, token) && !strings.ContainsAny(token, "/?@") {
			t.Errorf("the token is shown: %s", shown)
		}
	})
}
