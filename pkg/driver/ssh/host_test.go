package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// fakeSudo behaves as sudo does: -n never asks, -S reads one line when a password is needed. $RULE says what sudoers says.
const fakeSudo = `
n= S=
while :; do case $1 in -n) n=1 ;; -S) S=1 ;; -k|-H) ;; -p) shift ;; --) shift; break ;; *) break ;; esac; shift; done
case $RULE in
nopasswd) ;;
passwd)
  [ -z "$n" ] || { echo "sudo: a password is required" >&2; exit 1; }
  IFS= read -r p; [ "$p" = pa55word ] || { echo "Sorry, try again." >&2; echo "sudo: 1 incorrect password attempt" >&2; exit 1; } ;;
*) echo "tester is not in the sudoers file." >&2; exit 1 ;;
esac
SUDO=yes exec "$@"`

func TestSudo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule, sudo, password, want, hint string
		host                             bool
	}{
		"the operation asks":         {rule: "nopasswd", sudo: "true"},
		"the host asks":              {rule: "nopasswd", host: true},
		"with password":              {rule: "passwd", sudo: "true", password: "password"},
		"password not needed":        {rule: "nopasswd", sudo: "true", password: "password"},
		"wrong password":             {rule: "passwd", sudo: "true", password: "wrong", want: "sudo does not accept the password", hint: "secret"},
		"would ask":                  {rule: "passwd", sudo: "true", want: "sudo asks for a password", hint: "NOPASSWD"},
		"not allowed":                {rule: "none", sudo: "true", want: "the user may not use sudo", hint: "sudoers"},
		"operation declines of host": {rule: "none", sudo: "false", host: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{PathPrefix: tools(t, map[string]string{"sudo": fakeSudo}), Env: []string{"RULE=" + tt.rule}})
			d := testDriver(t, s, func(o *Options) { o.Secrets = secretMap{"key": s.Key, "password": "pa55word", "wrong": "no"} })
			h := s.Host()
			h.Sudo, h.PasswordRef = tt.host, tt.password
			req := request(t, h, `cat "$big" | wc -c; echo "sudo=$SUDO"`)
			req.Operation.Sudo = tt.sudo
			req.Topology.Files.(fstest.MapFS)["big"] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), 5<<20)}
			req.Node.Artifacts = []*topology.Artifact{{Name: "big", File: "big"}}
			var l log
			_, err := d.Run(t.Context(), req, l.emit)
			if tt.want != "" {
				if e := errorWith(t, err, tt.want); !strings.Contains(e.Hint, tt.hint) {
					t.Errorf("%+v", e)
				}
				return
			}
			want := fmt.Sprint(5<<20) + "\nsudo=yes"
			if tt.sudo == "false" {
				want = fmt.Sprint(5<<20) + "\nsudo="
			}
			if err != nil || l.stdout() != want {
				t.Errorf("%v %q", err, l.stdout())
			}
		})
	}
}

// The host's tools may be busybox's, and its shell dash or bash.
func TestShellsOfHosts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"dash", "bash", "busybox", "busybox without tar"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(shell, " ")
			program, err := exec.LookPath(name)
			if err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			o := sshtest.Options{PathPrefix: dir, Shell: filepath.Join(dir, "sh")}
			if name == "busybox" {
				if out, err := exec.Command(program, "--install", "-s", dir).CombinedOutput(); err != nil {
					t.Skipf("cannot install busybox's tools: %v %s", err, out)
				}
				o.Env = []string{"PATH=" + dir}
			} else if err := os.Symlink(program, filepath.Join(dir, "sh")); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(shell, "without") {
				os.Remove(filepath.Join(dir, "tar"))
			}
			s := sshtest.Start(t, o)
			d := testDriver(t, s)
			req := request(t, s.Host(), `cat "$conf/a" "$conf/d/b c"; x=5; export OUT="$IN and $x"; (exit 3); echo "sub $?"; exit 0`)
			files := req.Topology.Files.(fstest.MapFS)
			files["conf/a"], files["conf/d/b c"] = &fstest.MapFile{Data: []byte("a\n")}, &fstest.MapFile{Data: []byte("bc\n")}
			req.Node.Artifacts = []*topology.Artifact{{Name: "conf", File: "conf"}}
			req.Variables = []driver.Variable{{Name: "IN", Value: "it's \"q\" $HOME `x`"}}
			var l log
			res, err := d.Run(t.Context(), req, l.emit)
			if err != nil || l.stdout() != "a\nbc\nsub 3" || res.Outputs["OUT"] != "it's \"q\" $HOME `x` and 5" {
				t.Errorf("%v %q %q %q", err, l.stdout(), l.lines("log", "stderr"), res.Outputs)
			}
			// It ends its children there, too.
			req = request(t, s.Host(), "sleep 300 & echo $! >$HOME/child; echo up; wait")
			req.OpID = "cancel"
			ctx, cancel := context.WithCancel(t.Context())
			_, err = d.Run(ctx, req, func(e event.Event) {
				if e.Message == "up" {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) || readFile(s.Home+"/child") == "" || running(s.Home+"/child") {
				t.Errorf("%v, child lives: %v", err, running(s.Home+"/child"))
			}
		})
	}
}

func TestFullDiskOnTheHost(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	mount := func(t *testing.T, size string) string {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Skip("cannot mount a tmpfs:", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		return dir
	}
	tests := map[string]struct {
		fill, script, want, out string
		bytes                   int
	}{
		"full before":        {fill: "200k", want: "cannot write on the host: "},
		"files do not fit":   {bytes: 300 << 10, want: "cannot write on the host: "},
		"big ones neither":   {bytes: 5 << 20, want: "disk full"},
		"script fills it":    {script: `echo "cannot write: No space left on device" >&2; head -c 1000000 /dev/zero >fill 2>/dev/null; exit 9`, want: "exit code 9"},
		"no room for output": {script: `head -c 1000000 /dev/zero >fill 2>/dev/null; export BIG=$(head -c 100000 /dev/zero | tr '\0' x)`, want: "outputs could not be recorded"},
		"usual outputs":      {script: `head -c 1000000 /dev/zero >fill 2>/dev/null; export OUT=kept`, out: "kept"},
		"those of Python":    {script: "#!/usr/bin/env python3\nimport os\ntry:\n  f = open('fill', 'wb', 0)\n  for i in range(1000): f.write(bytes(1024))\nexcept OSError: pass\nos.environ['OUT'] = 'kept'\n", out: "kept"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mount(t, "200k")
			s := sshtest.Start(t, sshtest.Options{})
			if tt.fill != "" {
				os.WriteFile(dir+"/filler", make([]byte, 300<<10), 0o600)
			}
			d := testDriver(t, s, func(o *Options) { o.Dir, o.Reconnect = dir+"/j", 2e9 })
			req := request(t, s.Host(), tt.script)
			if tt.bytes > 0 {
				req.Topology.Files.(fstest.MapFS)["data"] = &fstest.MapFile{Data: bytes.Repeat([]byte{1}, tt.bytes)}
				req.Node.Artifacts = []*topology.Artifact{{Name: "data", File: "data"}}
			}
			res, err := d.Run(t.Context(), req, nil)
			if tt.out != "" {
				if err != nil || res.Outputs["OUT"] != tt.out {
					t.Errorf("%v, outputs %v", err, res.Outputs)
				}
				return
			}
			if e := errorWith(t, err, tt.want); e.Hint == "" && !strings.Contains(err.Error(), "disk") {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestFailuresOfScripts(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	d := testDriver(t, s)
	tests := map[string]struct {
		text string
		code int
		hint string
		last string
	}{
		"exit code":     {text: "echo one >&2; echo two >&2; exit 42", code: 42, last: "two"},
		"set -e":        {text: "#!/bin/sh -e\nfalse\necho not reached", code: 1},
		"stdout only":   {text: "echo broken; exit 1", code: 1, last: "broken"},
		"not found":     {text: "no-such-command-x", code: 127, hint: "127"},
		"interpreter":   {text: "#!/usr/bin/env nonesuch-lang\n", code: 127, hint: "install the interpreter", last: "orch: none of these is installed on this host: nonesuch-lang"},
		"Windows lines": {text: "#!/bin/bash\r\necho hi\r\nif true; then\r\nfi\r\n", code: 2, hint: "CR LF"},
		"signal":        {text: "kill -9 $$", code: 137, hint: "memory"},
		"syntax":        {text: "if", code: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := d.Run(t.Context(), request(t, s.Host(), tt.text), nil)
			e := asDriverError(t, err)
			if e.ExitCode != tt.code && tt.code != 2 || e.ExitCode == 0 || !strings.Contains(e.Hint, tt.hint) || e.Host != "127.0.0.1" || e.Op != "run scripts/create.sh" {
				t.Errorf("%+v", e)
			}
			if tt.last != "" && (len(e.Stderr) == 0 || e.Stderr[len(e.Stderr)-1] != tt.last) {
				t.Errorf("%q", e.Stderr)
			}
		})
	}
}

func TestValuesThatNoEnvironmentCanHold(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	for name, v := range map[string]driver.Variable{
		"NUL":      {Name: "A", Value: "a\x00b"},
		"too long": {Name: "A", Value: strings.Repeat("x", 200<<10)},
		"readonly": {Name: "UID", Value: "5"},
	} {
		req := request(t, s.Host(), "true")
		req.Variables = []driver.Variable{v}
		_, err := testDriver(t, s).Run(t.Context(), req, nil)
		errorWith(t, err, "variable "+v.Name)
		_ = name
	}
	// The largest that fits, and names that shells would not take.
	req := request(t, s.Host(), `echo "${#BIG} $my_input $_0_X"`)
	req.Variables = []driver.Variable{{Name: "BIG", Value: strings.Repeat("x", 128<<10-1-4)}, {Name: "my-input", Value: "a"}, {Name: "0_X", Value: "b"}}
	var l log
	if _, err := testDriver(t, s).Run(t.Context(), req, l.emit); err != nil || l.stdout() != fmt.Sprint(128<<10-1-4, " a b") {
		t.Errorf("%v %q", err, l.stdout())
	}
}

func TestMissingFileIsFoundBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	req := request(t, s.Host(), "true")
	req.Operation.Implementation = &topology.Artifact{File: "scripts/none.sh"}
	d := testDriver(t, s)
	if l := d.Check(t.Context(), []*driver.Request{req, req}); len(l) != 1 || !strings.Contains(l[0].Message, "scripts/none.sh") {
		t.Error(l)
	}
	_, err := d.Run(t.Context(), req, nil)
	errorWith(t, err, "cannot read scripts/none.sh: file does not exist")
}

func TestExplainHidesSecrets(t *testing.T) {
	req := request(t, driver.Host{Addresses: []string{"10.0.0.5"}, User: "debian", Sudo: true}, "true")
	req.Variables = []driver.Variable{{Name: "P", Value: "hidden", Secret: true}, {Name: "Q", Value: "it's"}}
	d := New(Options{})
	defer d.Close()
	got := d.Explain(req)
	for _, want := range []string{"on debian@10.0.0.5 (as root)", "P=****", `Q='it'\''s'`, "scripts/create.sh"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "hidden") {
		t.Error(got)
	}
}

var _ script.Machine = (*remote)(nil)
