package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/config"
)

func TestSocketsOfOthersAreNotTalkedTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to another user")
	}
	const other = 65534
	for name, c := range map[string]struct {
		dir, socket int
		open        bool   // everybody can make directories beside it
		want        string // "" is allowed
	}{
		"own":                           {0, 0, true, ""},
		"of the directory's owner":      {other, other, false, ""},
		"another's in a public place":   {other, other, true, "belongs to another user (uid 65534)"},
		"own in another's directory":    {other, 0, false, ""},
		"another's in an own directory": {0, other, false, "belongs to another user (uid 65534)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "orch-socket") // short, as sockets' paths are
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if c.open {
				if err := os.Chmod(dir, 0o1777); err != nil {
					t.Fatal(err)
				}
			}
			if dir = filepath.Join(dir, "d"); os.Mkdir(dir, 0o700) != nil {
				t.Fatal("cannot make a directory")
			}
			path := filepath.Join(dir, "s.sock")
			if err := checkSocket(path); err != nil {
				t.Errorf("none there: %v", err)
			}
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := os.Chown(dir, c.dir, c.dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, c.socket, c.socket); err != nil {
				t.Fatal(err)
			}
			switch err := checkSocket(path); {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSocketOfALongHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	t.Setenv("TMPDIR", t.TempDir())
	path := socketPath(&config.Config{Home: home, Store: "bolt:" + filepath.Join(home, "orch.db")})
	if filepath.Dir(filepath.Dir(path)) != os.TempDir() {
		t.Fatalf("got %s, want a directory of its own in %s", path, os.TempDir())
	}
	if err := makeRoom(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want a directory that others cannot look into", info, err)
	}
}
