package local

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

func TestRunFunction(t *testing.T) {
	files := fstest.MapFS{
		"lib/words.txt": {Data: []byte("hello\n")},
		"f/echo.sh":     {Data: []byte("#!/bin/sh\ncat; cat ../lib/words.txt; echo said >&2\n")},
		"f/fail.sh":     {Data: []byte("echo why >&2; exit 3\n")},
		"f/slow.sh":     {Data: []byte("sleep 60\n")},
		"f/long.sh":     {Data: []byte("head -c 2000000 /dev/zero\n")},
		"f/env.sh":      {Data: []byte("printf '%s' \"$ORCH_STORE$OS_PASSWORD\"\n")},
		"f/notes.txt":   {Data: []byte("nothing to run\n")},
	}
	t.Setenv("OS_PASSWORD", "hunter2")
	d, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	run := func(file string) (string, error) {
		s := &topology.Signature{Implementation: &topology.Artifact{File: file}, Dependencies: []*topology.Artifact{{File: "lib/words.txt"}}}
		if file == "f/slow.sh" {
			s.Timeout = 50 * time.Millisecond
		}
		out, err := d.RunFunction(t.Context(), &topology.Topology{Files: files}, &topology.Function{Name: "f"}, s, []byte("[1]"))
		return string(out), err
	}
	if out, err := run("f/echo.sh"); err != nil || out != "[1]hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := run("f/env.sh"); err != nil || out != "" {
		t.Errorf("it sees what it should not: %q, %v", out, err)
	}
	for file, want := range map[string]string{"f/slow.sh": "not ended after 50ms", "f/long.sh": "longer than", "f/notes.txt": "cannot tell how to run", "f/gone.sh": "cannot read f/gone.sh"} {
		if out, err := run(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %d bytes, %v", file, len(out), err)
		}
	}
	_, err = run("f/fail.sh")
	var de *driver.Error
	if !errors.As(err, &de) || de.ExitCode != 3 || strings.Join(de.Stderr, "") != "why" {
		t.Errorf("got %v", err)
	}
}
