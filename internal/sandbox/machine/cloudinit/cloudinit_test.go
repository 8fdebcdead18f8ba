package cloudinit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func gz(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.Bytes()
}

const mixed = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"XX\"\r\n\r\n--XX\r\nContent-Type: text/cloud-config\r\n\r\nhostname: a\r\n" +
	"--XX\r\nContent-Type: text/x-shellscript; charset=\"utf-8\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"go.sh\"\r\n\r\n%s\r\n" +
	"--XX\r\nContent-Type: text/plain\r\n\r\n#cloud-config\nfqdn: b\r\n--XX\r\nContent-Type: text/x-other\r\n\r\nzz\r\n--XX--\r\n"

func TestParse(t *testing.T) {
	mime := strings.Replace(mixed, "%s", base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho hi\n")), 1)
	for name, c := range map[string]struct {
		in   []byte
		want []string // kind: first line
	}{
		"empty":             {nil, nil},
		"config":            {[]byte("#cloud-config\na: 1\n"), []string{"config: #cloud-config"}},
		"script":            {[]byte("#!/bin/bash\n"), []string{"script: #!/bin/bash"}},
		"hook":              {[]byte("#cloud-boothook\n#!/bin/sh\n"), []string{"boothook: #cloud-boothook"}},
		"gzip":              {gz("#cloud-config\n"), []string{"config: #cloud-config"}},
		"unknown":           {[]byte("hello: world"), []string{"unknown: hello: world"}},
		"multipart":         {[]byte(mime), []string{"config: hostname: a", "script: #!/bin/sh", "config: #cloud-config", "unknown: zz"}},
		"gzipped multipart": {gz(mime), []string{"config: hostname: a", "script: #!/bin/sh", "config: #cloud-config", "unknown: zz"}},
	} {
		parts, err := parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, p := range parts {
			first, _, _ := strings.Cut(string(p.body), "\n")
			got = append(got, p.kind+": "+strings.TrimSpace(first))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

func TestParseBomb(t *testing.T) {
	if _, err := parse(gz(strings.Repeat("a", maxUserData+1))); err == nil {
		t.Error("a decompression bomb was taken")
	}
	data := gz("#cloud-config\n")
	for range maxNesting + 2 {
		data = gz(string(data))
	}
	if _, err := parse(data); err == nil {
		t.Error("endless nesting was taken")
	}
}

// apply runs the network stage in an empty root and returns it.
func apply(t *testing.T, userData string) (root, console string, r *Run) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("files are given to other users, which takes root")
	}
	root = t.TempDir()
	for path, text := range map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\nsudo:x:27:\n", "etc/shadow": "root:*:1:0:99999:7:::\n",
		"etc/skel/.profile": "x\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	r, err := New(Options{Root: root, InstanceID: "i-1", Hostname: "vm.novalocal", User: "debian", PublicKeys: []string{"ssh-ed25519 AAAA nova"}, UserData: []byte(userData),
		AdminPass: "admin", Console: &out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.Network(context.Background())
	return root, out.String(), r
}

func file(t *testing.T, root, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return "!" + err.Error()
	}
	return string(data)
}

func TestNetworkStage(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		files  map[string]string // path → expected to contain
		lacks  map[string]string
		failed bool
	}{
		"nothing": {"", map[string]string{"etc/hostname": "vm\n", "etc/hosts": "127.0.1.1 vm.novalocal vm\n", "etc/passwd": "debian:x:1000:1000:Cloud:/home/debian:/bin/bash",
			"home/debian/.ssh/authorized_keys": "ssh-ed25519 AAAA nova\n", "root/.ssh/authorized_keys": `user \"debian\"`, "etc/sudoers.d/90-cloud-init-users": "debian ALL=(ALL) NOPASSWD:ALL",
			"etc/ssh/ssh_host_ed25519_key.pub": "root@vm", "etc/shadow": "debian:!:", "home/debian/.profile": "x", "etc/group": "sudo:x:27:debian"}, nil, false},
		"host name":  {"hostname: web\nfqdn: web.example.org\n", map[string]string{"etc/hostname": "web\n", "etc/hosts": "127.0.1.1 web.example.org web\n"}, nil, false},
		"own user":   {"users: [{name: ann, gecos: Ann, uid: 2000, homedir: /srv/ann, groups: 'sudo, web', no_user_group: true}]\n", map[string]string{"etc/passwd": "ann:x:2000:", "etc/group": "web:x:", "root/.ssh/authorized_keys": `user \"NONE\"`}, map[string]string{"etc/passwd": "debian"}, false},
		"old keys":   {"users: [{name: debian, ssh-authorized-keys: [ssh-rsa CCCC y], primary-group: web}]\n", map[string]string{"home/debian/.ssh/authorized_keys": "ssh-rsa CCCC y", "etc/group": "web:x:"}, nil, false},
		"by name":    {"users: {ann: {gecos: Ann}, bob: }\n", map[string]string{"etc/passwd": "bob:x:"}, map[string]string{"etc/passwd": "debian"}, false},
		"one string": {"users: default, ann\n", map[string]string{"etc/passwd": "ann:x:"}, nil, false},
		"hash":       {"users: [{name: ann, lock_passwd: false, passwd: '$6$a$b'}]\n", map[string]string{"etc/shadow": "ann:$6$a$b:"}, nil, false},
		"locked":     {"users: [{name: ann, passwd: '$6$a$b'}]\n", map[string]string{"etc/shadow": "ann:!$6$a$b:"}, nil, false},
		"no sudo":    {"users: [{name: ann, sudo: False}]\n", map[string]string{"etc/passwd": "ann"}, map[string]string{"etc/sudoers.d/90-cloud-init-users": "ann"}, false},
		"passwords":  {"password: pw\nchpasswd: {expire: false, users: [{name: root, password: pw, type: text}]}\nssh_pwauth: yes\n", map[string]string{"etc/shadow": "debian:$6$", "etc/ssh/sshd_config.d/50-cloud-init.conf": "PasswordAuthentication yes"}, nil, false},
		"root login": {"disable_root: false\n", map[string]string{"root/.ssh/authorized_keys": "ssh-ed25519 AAAA nova"}, map[string]string{"root/.ssh/authorized_keys": "Please login"}, false},
		"more keys":  {"ssh_authorized_keys: [ssh-rsa BBBB x]\n", map[string]string{"home/debian/.ssh/authorized_keys": "ssh-rsa BBBB x"}, nil, false},
		"octal mode": {"write_files: [{path: /a, content: x, permissions: 0600}]\n", map[string]string{"a": "x"}, nil, false},
		"gz+b64":     {"write_files: [{path: /a/b, encoding: gz+b64, content: " + base64.StdEncoding.EncodeToString(gz("packed")) + "}]\n", map[string]string{"a/b": "packed"}, nil, false},
		"binary":     {"write_files: [{path: /a, content: !!binary aGk=, permissions: '0644'}]\n", map[string]string{"a": ""}, nil, false},
		"bad mode":   {"write_files: [{path: /a, permissions: rwx}, {path: /b, content: still}]\n", map[string]string{"b": "still"}, nil, true},
		"bad owner":  {"write_files: [{path: /a, owner: nobody-here}]\n", nil, nil, true},
		"groups":     {"groups: [web, {ops: [root]}]\n", map[string]string{"etc/group": "ops:x:1001:root\n"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			root, console, r := apply(t, "#cloud-config\n"+c.config)
			if failed := len(r.status.errors) > 0; failed != c.failed {
				t.Errorf("failed: %v %v\n%s", failed, r.status.errors, console)
			}
			for path, want := range c.files {
				if got := file(t, root, path); !strings.Contains(got, want) || strings.HasPrefix(got, "!") {
					t.Errorf("%s: %q lacks %q", path, got, want)
				}
			}
			for path, not := range c.lacks {
				if got := file(t, root, path); strings.Contains(got, not) {
					t.Errorf("%s: %q has %q", path, got, not)
				}
			}
			if name == "octal mode" {
				if fi, err := os.Stat(filepath.Join(root, "a")); err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("mode %v, %v", fi.Mode(), err)
				}
			}
		})
	}
}

func TestGivenHostKeys(t *testing.T) {
	first, _, _ := apply(t, "")
	private := file(t, first, "etc/ssh/ssh_host_ed25519_key")
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(private), "\n", "\n    ")
	root, _, r := apply(t, "#cloud-config\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n"+indented+"\n")
	if got := file(t, root, "etc/ssh/ssh_host_ed25519_key"); got != private {
		t.Errorf("the private key differs: %q", got)
	}
	keys, err := HostKeys(root)
	if err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v, %v", len(keys), err, r.status.errors)
	}
	want := strings.Fields(file(t, first, "etc/ssh/ssh_host_ed25519_key.pub"))[1]
	if got := strings.Fields(file(t, root, "etc/ssh/ssh_host_ed25519_key.pub"))[1]; got != want {
		t.Errorf("public key %s, want %s", got, want)
	}
}

func TestStatus(t *testing.T) {
	root, _, r := apply(t, "#cloud-config\nfoo_bar: 1\n")
	if s := readState(root); s.Status != "running" {
		t.Errorf("while running: %+v", s)
	}
	r.status.begin("modules-final", r)
	r.status.finish(r)
	if s := readState(root); s.Status != "done" || s.Extended != "degraded done" || len(s.Warnings) == 0 {
		t.Errorf("with a warning: %+v", s)
	}
	r.status.begin("modules-final", r)
	r.fail("runcmd", errors.New("broken"))
	r.status.finish(r)
	if s := readState(root); s.Status != "error" {
		t.Errorf("with an error: %+v", s)
	}
	if s := readState(t.TempDir()); s.Status != "not started" {
		t.Errorf("before: %+v", s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("#cloud-config\nusers: [default]\n"))
	f.Add([]byte(mixed))
	f.Add(gz("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		parts, _ := parse(data)
		for _, p := range parts {
			if p.kind == "config" {
				_, _ = decodeConfig(p.body)
			}
			if p.kind == "archive" {
				_, _ = decodeArchive(p.body)
			}
		}
	})
}
