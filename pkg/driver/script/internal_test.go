package script

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

func TestChooseInterpreter(t *testing.T) {
	tests := []struct {
		file, typ, head string
		want            string // first name and options, "binary", or an error
	}{
		{"a.sh", "", "echo", "bash"},
		{"a.sh", "", "#!/bin/sh\n", "/bin/sh"},
		{"a.sh", "tosca.artifacts.Implementation.Bash", "#!/bin/sh -e\n", "bash -e"},
		{"a", "tosca.artifacts.Implementation.Python", "", "python3"},
		{"a.py", "", "#!/usr/bin/env python\n", "python"},
		{"a.py", "", "#!/opt/venv/bin/python3 -u\r\n", "/opt/venv/bin/python3 -u"},
		{"a", "", "#!/usr/bin/env -S perl -w\n", "perl -w"},
		{"a", "", "#!/usr/bin/env VAR=1 bash\n", "bash"},
		{"a", "", "\xef\xbb\xbf#!/bin/bash\n", "bash"},
		{"a", "", "\x7fELF\x02", "binary"},
		{"a.yml", "", "- hosts: all", "error: Ansible playbook"},
		{"a.ansible", "org.alien4cloud.artifacts.AnsiblePlaybook", "PK", "error: Ansible playbook"},
		{"a.ps1", "", "", "error: PowerShell"},
		{"a", "", "text", "error: cannot tell how to run"},
		{"a", "", "#!\n", "error: cannot tell"},
		{"a", "", "#!/usr/bin/env\n", "error: cannot tell"},
	}
	for _, tt := range tests {
		a := &topology.Artifact{File: tt.file}
		if tt.typ != "" {
			a.Type = topology.Type{tt.typ, "tosca.artifacts.Implementation"}
		}
		in, err := chooseInterpreter(a, []byte(tt.head))
		got := ""
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case in.family == binary:
			got = "binary"
		default:
			got = strings.Join(append([]string{in.names[0]}, in.options...), " ")
		}
		if want, isErr := strings.CutPrefix(tt.want, "error: "); isErr && !strings.Contains(got, want) || !isErr && got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestJournalIsPOSIX(t *testing.T) {
	for _, text := range []string{journalShell(), mainShell} {
		for _, sh := range []string{"dash", "bash", "busybox"} {
			args := []string{"-n"}
			if sh == "busybox" {
				args = []string{"sh", "-n"}
			}
			if _, err := exec.LookPath(sh); err != nil {
				continue
			}
			c := exec.Command(sh, args...)
			c.Stdin = strings.NewReader(text)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", sh, err, out)
			}
		}
	}
	for i, line := range strings.Split(bootstrap(), "\n") {
		if i > 0 || strings.ContainsAny(line, "!'\\") {
			t.Errorf("the bootstrap is not safe for every login shell: %q", line)
		}
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := lines{redact: secret.NewRedactor(secret.New("topsecret")), emit: func(s string) { got = append(got, s) }}
	for _, p := range []string{"one\ntw", "o\n\n", "10%\r50%\r100%\r\n", "it is top", "secret!\n", "bad \xff\xfe utf8\n", "last"} {
		l.write([]byte(p))
	}
	l.end()
	want := []string{"one", "two", "", "100%", "it is ****!", "bad \uFFFD utf8", "last"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// However the stream is cut into writes, a line of any length shows no secret.
func TestLongLinesHideSecretsAcrossPieces(t *testing.T) {
	var b strings.Builder
	l := lines{redact: secret.NewRedactor(secret.New("the-secret-value")), emit: func(s string) {
		if !utf8.ValidString(s) || len(s) > 3*lineBuffer {
			t.Errorf("a piece of %d bytes", len(s))
		}
		b.WriteString(s)
	}}
	for i := range 60000 {
		l.write([]byte(fmt.Sprintf("é%dthe-secret-value", i%10)))
	}
	l.end()
	if strings.Contains(b.String(), "secret") || strings.Count(b.String(), "é") != 60000 {
		t.Errorf("%d é, secret at %d", strings.Count(b.String(), "é"), strings.Index(b.String(), "secret"))
	}
}

func TestDirectoryNames(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"a", "A", "a/b", "a_b", "..", ".", "", "-x", "a b", "a\nb", strings.Repeat("x", 300), strings.Repeat("x", 301), "op-01HXYZ.n_create-3"} {
		n := directoryName(id)
		if strings.ContainsAny(n, "/ \n") || n == "" || n[0] == '.' || n[0] == '-' || len(n) > 120 {
			t.Errorf("%q becomes %q", id, n)
		}
		if other, ok := seen[n]; ok {
			t.Errorf("%q and %q are both %q", id, other, n)
		}
		seen[n] = id
	}
	if n := directoryName("op-01HXYZ.n_create-3"); n != "op-01HXYZ.n_create-3" {
		t.Error(n)
	}
}

func TestFilesOfATree(t *testing.T) {
	fsys := fstest.MapFS{"d/x": {Data: []byte("x")}, "d/s/tool": {Data: []byte("#!/bin/sh"), Mode: 0o644}, "d/big": {Data: make([]byte, bigFile)},
		"d/bin": {Data: []byte("b"), Mode: 0o755}, "d/link": {Mode: fs.ModeSymlink, Data: []byte("x")}}
	units, err := collect(fsys, "d/")
	if err != nil || len(units) != 2 || units[0].kind != "tree" || units[1].kind != "big" {
		t.Fatalf("%+v %v", units, err)
	}
	var got []string
	for _, f := range units[0].files {
		got = append(got, fmt.Sprintf("%s %o", f.path, f.mode.Perm()))
	}
	want := []string{"d/bin 755", "d/link 644", "d/s/tool 755", "d/x 644"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again, _ := collect(fsys, "d")
	if again[0].digest != units[0].digest {
		t.Error("the same tree has another digest")
	}
	if _, err := collect(fsys, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

type recorder struct{ b strings.Builder }

func (r *recorder) line(kind byte, s string) { fmt.Fprintf(&r.b, "%c %s\n", kind, s) }
func (r *recorder) data(kind byte, p []byte) { fmt.Fprintf(&r.b, "%s", p) }

func TestFrames(t *testing.T) {
	stream := "Welcome!\nLast login\n" + magic + "\nB /root/.orch\nT 0 tar\nO 6\nhello\nE 3\nerrH\nR 0 ok\n"
	want := "B /root/.orch\nT 0 tar\nhello\nerrH \nR 0 ok\n"
	for _, r := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream))} {
		var rec recorder
		if err := readFrames(r, &rec); err != nil || rec.b.String() != want {
			t.Errorf("%v %q", err, rec.b.String())
		}
	}
	for cut := range stream {
		var rec recorder
		err := readFrames(strings.NewReader(stream[:cut]), &rec)
		if !strings.HasPrefix(want, strings.TrimSuffix(rec.b.String(), "\n")) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v %q", cut, err, rec.b.String())
		}
	}
	for _, bad := range []string{"O -1\n", "O x\n", "O 99999999999\n", "Z\n", "nonsense\n", "\n", "S " + strings.Repeat("x", maxLine) + "\n"} {
		if err := readFrames(strings.NewReader(magic+"\n"+bad), &recorder{}); !errors.Is(err, errFrames) {
			t.Errorf("%q: %v", clip(bad, 20), err)
		}
	}
	if err := readFrames(strings.NewReader(strings.Repeat("noise\n", 1<<18)), &recorder{}); !errors.Is(err, errFrames) {
		t.Error(err)
	}
}

func TestOutputFile(t *testing.T) {
	tests := []struct {
		text string
		want map[string]string
		err  string
	}{
		{"A=1\n\n# c\r\nB=x=y\r\nC=", map[string]string{"A": "1", "B": "x=y", "C": ""}, ""},
		{"A<<END\none\ntwo=2\nEND\nB=1", map[string]string{"A": "one\ntwo=2", "B": "1"}, ""},
		{`{"a":"x","b":[1, 2],"c":null,"d":{"e":true},"n":1.50}`, map[string]string{"a": "x", "b": "[1,2]", "c": "", "d": `{"e":true}`, "n": "1.50"}, ""},
		{"A=a<<b", map[string]string{"A": "a<<b"}, ""},
		{"", map[string]string{}, ""},
		{"A", nil, "line 1"},
		{"A=1\nB<<END\nx", nil, "line 2"},
		{"a b=1", nil, "not a name"},
		{"{", nil, "JSON"},
		{"\xff", nil, "UTF-8"},
	}
	for _, tt := range tests {
		got := map[string]string{}
		err := parseOutputs([]byte(tt.text), got)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: %v", tt.text, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", tt.text, err, diff)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(magic + "\nO 3\nabcR 0 ok\n"))
	f.Add([]byte("x\n" + magic + "\nV 0\nF write no\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		var whole, bytewise recorder
		err1 := readFrames(bytes.NewReader(b), &whole)
		err2 := readFrames(iotest.OneByteReader(bytes.NewReader(b)), &bytewise)
		if whole.b.String() != bytewise.b.String() || (err1 == nil) != (err2 == nil) {
			t.Errorf("depends on the sizes of reads: %q %v, %q %v", whole.b.String(), err1, bytewise.b.String(), err2)
		}
		var a answer
		_ = readFrames(bytes.NewReader(b), &a)
	})
}

func FuzzOutputs(f *testing.F) {
	f.Add([]byte("A=1\nB<<X\nY\nX\n"))
	f.Add([]byte(`{"a":[1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		m := map[string]string{}
		if err := parseOutputs(b, m); err == nil {
			for k := range m {
				if strings.TrimSpace(k) == "" {
					t.Errorf("an empty name from %q", b)
				}
			}
		}
	})
}

func FuzzExports(f *testing.F) {
	f.Add([]byte("A=1\x00B=\x00=\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		_ = parseExports(b, map[string]string{})
	})
}

// What Go quotes, a shell reads back.
func FuzzQuote(f *testing.F) {
	f.Add("it's $HOME `x` \"y\" \\ \n!")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Input(t)()
		if strings.IndexByte(s, 0) >= 0 || len(s) > 10000 {
			return
		}
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q: %v", s, out, err)
		}
	})
}

func FuzzShebang(f *testing.F) {
	f.Add("#!/usr/bin/env -S bash -e\n")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Input(t)()
		in, ok := parseShebang([]byte(s))
		if ok && (len(in.names) == 0 || in.names[0] == "") {
			t.Errorf("%q: no interpreter", s)
		}
		if ok {
			in.command("x", true)
		}
	})
}

// A file that is written while it is uploaded is named; sending it again and again would be in vain.
func TestChangedFiles(t *testing.T) {
	fsys := fstest.MapFS{"a": {Data: []byte("one")}, "dir/b": {Data: []byte("two")}}
	units, err := treeOf(fsys, ".", []string{"a", "dir/b"})
	if err != nil {
		t.Fatal(err)
	}
	if name := changed(units); name != "" {
		t.Errorf("%s has not changed", name)
	}
	fsys["dir/b"] = &fstest.MapFile{Data: []byte("three")}
	if name := changed(units); name != "dir/b" {
		t.Errorf("%q has changed", name)
	}
}
