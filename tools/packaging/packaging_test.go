package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVersionsThatDpkgOrders(t *testing.T) {
	for in, want := range map[string]string{"v1.2.3": "1.2.3", "1.2.3": "1.2.3", "v1.2.3-4-gabc1234": "1.2.3+4.gabc1234", "v1.2.3-rc1": "1.2.3~rc1",
		"v1.2.3-4-gabc1234-dirty": "1.2.3+4.gabc1234+dirty", "abc1234": "0.0.0+abc1234", "devel": "0.0.0+devel", "": "0.0.0+"} {
		if got := debianVersion(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func packaged(t *testing.T) string {
	t.Helper()
	r := &release{root: filepath.Join("..", ".."), out: t.TempDir(), when: time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)}
	exe := filepath.Join(r.out, "exe")
	if err := os.WriteFile(exe, []byte("#!/bin/sh\necho hello\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := r.files(exe)
	if err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(r.out, "orch.deb")
	if err := r.deb(deb, "arm64", "1.2.3", files); err != nil {
		t.Fatal(err)
	}
	if err := r.archive(filepath.Join(r.out, "orch.tar.gz"), "orch_1.2.3/", files); err != nil {
		t.Fatal(err)
	}
	return r.out
}

func TestArchive(t *testing.T) {
	f, err := os.Open(filepath.Join(packaged(t), "orch.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || !h.ModTime.Equal(time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)) {
			t.Errorf("%s: %d %v", h.Name, h.Uid, h.ModTime)
		}
		names = append(names, strings.TrimPrefix(h.Name, "orch_1.2.3/"))
	}
	if got := strings.Join(names, " "); got != " CHANGELOG.md LICENSE README.md config.yaml orch orch.service" {
		t.Error(got)
	}
}

// Equal sources give equal packages.
func TestReproducible(t *testing.T) {
	a, b := packaged(t), packaged(t)
	for _, name := range []string{"orch.deb", "orch.tar.gz"} {
		x, _ := os.ReadFile(filepath.Join(a, name))
		y, _ := os.ReadFile(filepath.Join(b, name))
		if len(x) == 0 || !bytes.Equal(x, y) {
			t.Errorf("%s differs", name)
		}
	}
}

// What dpkg itself reads out of the package.
func TestDebIsReadByDpkg(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb on this machine")
	}
	deb := filepath.Join(packaged(t), "orch.deb")
	info, err := exec.Command("dpkg-deb", "--info", deb).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, info)
	}
	for _, want := range []string{"Package: orch", "Version: 1.2.3", "Architecture: arm64", "postinst", "conffiles"} {
		if !strings.Contains(string(info), want) {
			t.Errorf("no %q in %s", want, info)
		}
	}
	list, err := exec.Command("dpkg-deb", "--contents", deb).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	for _, want := range []string{"-rwxr-xr-x root/root", "./usr/bin/orch", "./etc/orch/config.yaml", "./usr/lib/systemd/system/orch.service", "drwxr-xr-x root/root         0 2026-11-29 01:02 ./usr/bin/"} {
		if !strings.Contains(string(list), want) {
			t.Errorf("no %q in %s", want, list)
		}
	}
}

// The scripts are ones that every /bin/sh understands, and the unit is one that systemd does.
func TestScriptsAndUnit(t *testing.T) {
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.Command("sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", script, out)
		}
	}
	unit, err := os.ReadFile("orch.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ExecStart=/usr/bin/orch server", "KillMode=process", "StateDirectory=orch-server", "NoNewPrivileges=true", "User=orch"} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("the unit has no %s", want)
		}
	}
}
