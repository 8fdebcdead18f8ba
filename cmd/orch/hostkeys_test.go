package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

func publicKey(t *testing.T) string {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestKeysInConsole(t *testing.T) {
	a, b := publicKey(t), publicKey(t)
	tests := map[string]struct {
		text string
		want []string
	}{
		"cloud-init's block":     {"boot\n-----BEGIN SSH HOST KEY KEYS-----\n" + a + " root@web\r\n[   12.3] ci-info: " + b + "\nnonsense ssh-ed25519 AAAA\n-----END SSH HOST KEY KEYS-----\nlogin:", []string{a, b}},
		"keys outside of it":     {a + "\nlogin:", nil},
		"not written to its end": {"-----BEGIN SSH HOST KEY KEYS-----\n" + a + "\n", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, keysInConsole(tt.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPinnedKeysBelongToTheServerNotItsAddress(t *testing.T) {
	keys := hostKeys{mem.New(mem.Options{})}
	h := driver.Host{Instance: topology.Instance{Node: "web", Index: "0"}, ServerID: "s1", Addresses: []string{"192.0.2.1"}}
	if err := keys.Pin(t.Context(), h, []string{"ssh-ed25519 A"}); err != nil {
		t.Fatal(err)
	}
	got, err := keys.known(t.Context(), &h)
	if err != nil || len(got.HostKeys) != 1 || len(h.HostKeys) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	other := h
	other.ServerID = "s2"
	if got, err := keys.known(t.Context(), &other); err != nil || len(got.HostKeys) != 0 {
		t.Errorf("another server with the same address: %+v, %v", got, err)
	}
	if err := keys.Pin(t.Context(), driver.Host{}, nil); err == nil {
		t.Error("a host without a server id cannot be pinned")
	}
}
