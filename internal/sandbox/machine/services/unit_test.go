package services

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestSplitCommand(t *testing.T) {
	for in, want := range map[string][]string{
		`/bin/echo a b`:                      {"/bin/echo", "a", "b"},
		`-/bin/sh -c 'a "b" c'`:              {"/bin/sh", "-c", `a "b" c`},
		`/bin/x "two words" three\ four ''`:  {"/bin/x", "two words", "three four", ""},
		`"A=hello world" B=2`:                {"A=hello world", "B=2"},
		`/usr/bin/app --opt="quoted value"x`: {"/usr/bin/app", "--opt=quoted valuex"},
	} {
		if got, _ := splitCommand(in); cmp.Diff(want, got) != "" {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestSubstitute(t *testing.T) {
	env := map[string]string{"A": "one two", "B": "x y"}
	got := substitute([]string{"/bin/x", "$A", "${B}", "pre${B}post", "$$A", "$MISSING", "a$b"}, env)
	if d := cmp.Diff([]string{"/bin/x", "one", "two", "x y", "prex ypost", "$A", "a$b"}, got); d != "" {
		t.Error(d)
	}
}

func TestLoadUnit(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"lib/systemd/system/app@.service":                  "[Service]\nExecStart=/bin/app %i \\\n  --more\nEnvironment=A=1\n; comment\n[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/app@.service.d/override.conf":  "[Service]\nExecStart=\nExecStart=/bin/other %i %p\n",
		"etc/systemd/system/app@one.service.d/10-env.conf": "[Service]\nEnvironment=B=2\n",
		"etc/systemd/system/empty.service":                 "",
	} {
		p := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	u, err := loadUnit(root, "app@one.service")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.get("Service", "ExecStart", ""); got != "/bin/other one app" {
		t.Errorf("ExecStart %q", got)
	}
	if d := cmp.Diff([]string{"A=1", "B=2"}, u.all("Service", "Environment")); d != "" {
		t.Error(d)
	}
	if u, err := loadUnit(root, "empty.service"); err != nil || !u.masked {
		t.Errorf("an empty unit is masked: %+v, %v", u, err)
	}
	if _, err := loadUnit(root, "none.service"); err == nil {
		t.Error("a missing unit was loaded")
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"5": 5 * time.Second, "1min 30s": 90 * time.Second, "100ms": 100 * time.Millisecond, "": time.Hour, "2h": 2 * time.Hour, "junk": time.Hour} {
		if got := duration(in, time.Hour); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

func FuzzUnit(f *testing.F) {
	f.Add("[Service]\nExecStart=/bin/x 'a' \\\n b\n")
	f.Fuzz(func(t *testing.T, text string) {
		defer bounded.Input(t)()
		u := &unit{name: "a@b.service", sections: map[string]map[string][]string{}}
		u.parse(text)
		for _, l := range u.all("Service", "ExecStart") {
			words, _ := splitCommand(u.expand(l))
			substitute(words, nil)
		}
	})
}
