package sshd

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

func TestParseOptions(t *testing.T) {
	peer := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4000}
	for _, c := range []struct {
		line string
		want restrictions
		ok   bool
	}{
		{``, restrictions{}, true},
		{`restrict,pty `, restrictions{noForward: true, noAgent: true}, true},
		{`command="echo \"hi\"",no-pty `, restrictions{command: `echo "hi"`, noPTY: true}, true},
		{`from="10.0.0.0/8,!10.0.0.9" `, restrictions{}, true},
		{`from="10.0.0.0/8,!10.0.0.7" `, restrictions{}, false},
		{`from="192.168.*" `, restrictions{}, false},
		{`environment="A=b" `, restrictions{env: []string{"A=b"}}, true},
	} {
		key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPilw1cQpOZGkUDRMmUGY3pPw1mFDOPmFXyU4ZV1rGzS x"
		_, _, options, _, err := ssh.ParseAuthorizedKey([]byte(c.line + key))
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		got, ok := parseOptions(options, peer)
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(restrictions{})); ok != c.ok || ok && d != "" {
			t.Errorf("%q: %v\n%s", c.line, ok, d)
		}
	}
}
