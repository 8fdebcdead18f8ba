package ssh

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
)

func TestInteractiveCommand(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	p := testDriver(t, s).Pool()
	var out, errOut bytes.Buffer
	code, err := p.Interactive(t.Context(), s.Host(), "cat; echo err >&2; exit 5", Terminal{Stdin: strings.NewReader("typed\n"), Stdout: &out, Stderr: &errOut})
	if err != nil || code != 5 || out.String() != "typed\n" || errOut.String() != "err\n" {
		t.Errorf("%d %v %q %q", code, err, out.String(), errOut.String())
	}
	out.Reset()
	// The login shell.
	code, err = p.Interactive(t.Context(), s.Host(), "", Terminal{Stdin: strings.NewReader("echo $((6*7))\nexit 3\n"), Stdout: &out})
	if err != nil || code != 3 || out.String() != "42\n" {
		t.Errorf("%d %v %q", code, err, out.String())
	}
}

func TestInteractiveFollowsTheWindow(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	sizes := make(chan [2]int)
	in, typed := io.Pipe()
	go func() {
		sizes <- [2]int{120, 40}
		if got := <-s.WindowChanges; got != [2]uint32{120, 40} {
			t.Errorf("the server saw %v", got)
		}
		typed.Close()
	}()
	code, err := testDriver(t, s).Pool().Interactive(t.Context(), s.Host(), "cat", Terminal{Stdin: in, Stdout: io.Discard, TTY: true, Sizes: sizes})
	if code != 0 || err != nil {
		t.Error(code, err)
	}
}

func TestExecAndCopy(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	p := testDriver(t, s).Pool()
	var out bytes.Buffer
	if code, err := p.Exec(t.Context(), s.Host(), "wc -c; exit 2", strings.NewReader("12345"), &out, nil); code != 2 || err != nil || strings.TrimSpace(out.String()) != "5" {
		t.Errorf("%d %v %q", code, err, out.String())
	}
	from := t.TempDir()
	os.MkdirAll(from+"/tree/sub", 0o755)
	os.WriteFile(from+"/tree/sub/tool", []byte("#!/bin/sh\n"), 0o755)
	os.WriteFile(from+"/tree/text", bytes.Repeat([]byte("x"), 1<<20), 0o640)
	if err := p.Put(t.Context(), s.Host(), from+"/tree", s.Home); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(s.Home + "/tree/sub/tool"); err != nil || i.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", i, err)
	}
	to := t.TempDir()
	if err := p.Get(t.Context(), s.Host(), filepath.Join(s.Home, "tree"), to); err != nil {
		t.Fatal(err)
	}
	if got := readFile(to + "/tree/text"); len(got) != 1<<20 {
		t.Errorf("%d bytes", len(got))
	}
	if err := p.Get(t.Context(), s.Host(), "/nonexistent", to); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Error(err)
	}
	n := sshtest.Start(t, sshtest.Options{NoSFTP: true})
	if err := testDriver(t, n).Pool().Put(t.Context(), n.Host(), from, "/tmp"); err == nil || !strings.Contains(err.Error(), "has no SFTP") {
		t.Error(err)
	}
}

func TestInteractiveWaitsForNothing(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{PathPrefix: tools(t, map[string]string{"cloud-init": "sleep 600"})})
	p := testDriver(t, s).Pool()
	h := s.Host()
	h.CloudInit = true
	if code, err := p.Interactive(t.Context(), h, "true", Terminal{}); code != 0 || err != nil {
		t.Error(code, err)
	}
	s.Down()
	begin := time.Now()
	_, err := testDriver(t, s).Pool().Interactive(t.Context(), h, "true", Terminal{})
	if e := errorWith(t, err, "connection refused"); e.Hint == "" || time.Since(begin) > patience/2 {
		t.Errorf("%+v after %s", e, time.Since(begin))
	}
}
