package cli

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
)

// Nobody listens for everybody by mistake.
func TestServerAddress(t *testing.T) {
	t.Parallel()
	mutual, plain := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, &tls.Config{}
	for _, c := range []struct {
		flags serverFlags
		tls   *tls.Config
		want  string // "" is refused
	}{
		{serverFlags{listen: "127.0.0.1:8800"}, nil, "127.0.0.1:8800"},
		{serverFlags{listen: "[::1]:8800"}, nil, "[::1]:8800"},
		{serverFlags{listen: "127.9.9.9:0"}, plain, "127.9.9.9:0"},
		{serverFlags{listen: "0.0.0.0:8800"}, nil, ""},
		{serverFlags{listen: ":8800"}, nil, ""},
		{serverFlags{listen: "[::]:8800"}, nil, ""},
		{serverFlags{listen: "[::]:8800"}, plain, "[::]:8800"}, // who asks is asked in any case
		{serverFlags{listen: "10.0.0.5:8800"}, nil, ""},
		{serverFlags{listen: "10.0.0.5:8800", noTLS: true}, nil, "10.0.0.5:8800"},
		{serverFlags{listen: "10.0.0.5:8800"}, mutual, "10.0.0.5:8800"},
		{serverFlags{listen: ":8800"}, mutual, "[::]:8800"},
		{serverFlags{listen: "10.0.0.5:8800", noAuth: true}, nil, "10.0.0.5:8800"},
		{serverFlags{listen: "8800"}, mutual, ""},
	} {
		got, err := c.flags.address(c.tls)
		if c.want == "" && err == nil || c.want != "" && (err != nil || got.String() != c.want) {
			t.Errorf("%+v: %v, %v; want %q", c.flags, got, err, c.want)
		}
	}
}

func TestServerTLSFlags(t *testing.T) {
	t.Parallel()
	if conf, err := (serverFlags{}).tls(slog.Default()); conf != nil || err != nil {
		t.Errorf("no flags: %v, %v", conf, err)
	}
	for _, f := range []serverFlags{{clients: "ca.pem"}, {cert: "absent.pem", key: "absent.key"}, {key: "absent.key"}} {
		if _, err := f.tls(slog.Default()); err == nil || strings.TrimSpace(err.Error()) == "" {
			t.Errorf("%+v is taken", f)
		}
	}
}
