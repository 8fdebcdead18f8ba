package machine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAlternative(t *testing.T) {
	text := "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n/usr/bin/gawk\n10\n\n/usr/bin/mawk\n5\n/usr/bin/mawk\n\n"
	a, ok := parseAlternative("awk", text)
	if !ok || a.link != "/usr/bin/awk" || len(a.choices) != 2 || a.choices[0].priority != 10 || a.choices[1].slaves[0] != "/usr/bin/mawk" {
		t.Fatalf("%+v, %v", a, ok)
	}
	if got := a.String(); got != text {
		t.Errorf("written: %q", got)
	}
	for _, bad := range []string{"", "auto", "auto\n/x\n\n/y\nnumber\n\n"} {
		if _, ok := parseAlternative("x", bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestClosure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path, []byte(`Package: dpkg
Essential: yes
Status: install ok installed
Architecture: amd64
Pre-Depends: libc6 (>= 2.34), awk | perl

Package: libc6
Status: install ok installed
Architecture: amd64

Package: libc6
Status: install ok installed
Architecture: i386

Package: mawk
Status: install ok installed
Architecture: amd64
Provides: awk
Description: an awk
 Depends: not a field

Package: perl
Status: install ok installed
Architecture: amd64

Package: nginx
Status: install ok installed
Architecture: amd64
Depends: libc6

Package: removed
Essential: yes
Status: deinstall ok config-files
Architecture: amd64
`), 0o644))
	all, err := readStatus(path)
	must(err)
	var kept []string
	for p := range closure(all) {
		kept = append(kept, p.name+":"+p.arch)
	}
	slices.Sort(kept)
	if d := cmp.Diff([]string{"dpkg:amd64", "libc6:amd64", "libc6:i386", "mawk:amd64"}, kept); d != "" {
		t.Error(d)
	}
}

func TestTailFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got, err := tailFile(path, 3); got != "" || err != nil {
		t.Errorf("missing: %q, %v", got, err)
	}
	for text, want := range map[string]string{"a\nb\nc\n": "b\nc\n", "a\nb\nc": "b\nc", "a\n": "a\n", "": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := tailFile(path, 2); got != want {
			t.Errorf("last 2 of %q: %q", text, got)
		}
	}
}

func TestProtocol(t *testing.T) {
	for _, r := range []Rule{{}, {Protocol: "tcp", PortMin: 1, PortMax: 2}, {Protocol: "112"}, {Protocol: "vrrp"}, {Protocol: "icmp", PortMin: -1, PortMax: -1}, {Protocol: "ipv6-icmp", IPv6: true}} {
		if _, err := protocol(r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, p := range []string{"nonsense", "256", "-1"} {
		if _, err := protocol(Rule{Protocol: p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
}
