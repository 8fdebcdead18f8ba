package plugin

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/secret"
)

func hostKey(t *testing.T) (private, public string) {
	t.Helper()
	b, err := NewEd25519("test")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := publicKey(secret.New(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), pub.(string)
}

// parts reads a MIME document as cloud-init does, parts of parts included.
func parts(t *testing.T, doc string) map[string]string {
	t.Helper()
	msg, err := mail.ReadMessage(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var read func(kind string, enc string, body io.Reader)
	read = func(kind, enc string, body io.Reader) {
		media, params, err := mime.ParseMediaType(kind)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(media, "multipart/") {
			r := multipart.NewReader(body, params["boundary"])
			for {
				p, err := r.NextRawPart()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				read(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
			}
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if enc == "base64" {
			b, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
		}
		out[media] = string(b)
	}
	read(msg.Header.Get("Content-Type"), "", msg.Body)
	return out
}

func TestTheHostKeyJoinsTheUsersData(t *testing.T) {
	private, public := hostKey(t)
	alone, err := keyConfig("", private, public)
	if err != nil || !strings.HasPrefix(alone, "#cloud-config\n") || !strings.Contains(alone, "  ed25519_public: "+public) {
		t.Errorf("alone: %v\n%s", err, alone)
	}
	for name, c := range map[string]struct{ own, media string }{
		"cloud-config": {"#cloud-config\npackages: [nginx]\n", "text/cloud-config"},
		"script":       {"#!/bin/sh\necho hi\n", "text/x-shellscript"},
		"multipart":    {"Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b--\n", "text/x-shellscript"},
	} {
		doc, err := keyConfig(c.own, private, public)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := parts(t, doc)
		if name == "cloud-config" {
			if got["text/cloud-config"] != c.own {
				t.Errorf("%s: the user's part is %q", name, got["text/cloud-config"])
			}
			continue
		}
		if !strings.Contains(got["text/cloud-config"], "ed25519_private") || got[c.media] == "" {
			t.Errorf("%s: parts %v", name, got)
		}
		again, _ := keyConfig(c.own, private, public)
		if again != doc {
			t.Errorf("%s: the same data gives another document, which would replace the server", name)
		}
	}
	if _, err := keyConfig("hello", private, public); err == nil {
		t.Error("data of no known kind was joined")
	}
}

func TestTheKeyScriptIsAScriptAndRunsTheUsers(t *testing.T) {
	private, public := hostKey(t)
	script, err := keyScript("#!/bin/sh\necho \"$0 'quoted' $HOME\"\n", private, public)
	if err != nil {
		t.Fatal(err)
	}
	sh := exec.Command("sh", "-n")
	sh.Stdin = strings.NewReader(script)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	// Only what follows the key's installation is run here.
	user := script[strings.Index(script, "ORCH_USER="):]
	run := exec.Command("sh")
	run.Stdin = strings.NewReader(user)
	out, err := run.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("'quoted'")) {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := keyScript("#cloud-config\n", private, public); err == nil {
		t.Error("a cloud-config was taken for a script")
	}
}

func TestSubnetsAreStableAndInside(t *testing.T) {
	for _, base := range []string{"10.0.0.0/8", "192.168.0.0/16", "fd00::/8"} {
		p := netip.MustParsePrefix(base)
		bits := 24
		if p.Addr().Is6() {
			bits = 64
		}
		a, err := subnet(p, bits, "x")
		b, _ := subnet(p, bits, "x")
		c, _ := subnet(p, bits, "y")
		if err != nil || a != b || a == c || !p.Contains(netip.MustParsePrefix(a.(string)).Addr()) {
			t.Errorf("%s: %v %v %v %v", base, a, b, c, err)
		}
	}
	if _, err := subnet(netip.MustParsePrefix("10.0.0.0/24"), 16, "x"); err == nil {
		t.Error("a /16 was found in a /24")
	}
}
