package script_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/local"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(t *testing.T, name, text string) *driver.Request {
	t.Helper()
	n := &topology.Node{Name: "n"}
	op := &topology.Operation{Interface: "tosca.interfaces.node.lifecycle.Standard", Name: "configure", Implementation: &topology.Artifact{File: name}}
	top := &topology.Topology{Nodes: []*topology.Node{n}, Files: fstest.MapFS{name: {Data: []byte(text)}}}
	return &driver.Request{Deployment: "d", OpID: strings.ReplaceAll(t.Name(), "/", "-"), Topology: top, Node: n, Instance: "0", Operation: op}
}

type said struct {
	mu             sync.Mutex
	stdout, stderr []string
}

func (s *said) sink() script.Sink {
	return script.Sink{Output: func(stream, line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if stream == "stdout" {
			s.stdout = append(s.stdout, line)
		} else {
			s.stderr = append(s.stderr, line)
		}
	}}
}

func run(t *testing.T, r *script.Runner, req *driver.Request) (*script.Outcome, *said, error) {
	t.Helper()
	j, err := script.NewJob(req, script.Options{})
	if err != nil {
		return nil, nil, err
	}
	var s said
	out, err := r.Run(t.Context(), j, secret.NewRedactor(), s.sink())
	return out, &s, err
}

func TestOutputsOfLanguages(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name, text string
		asked      []string
		want       map[string]string
		code       int
		stdout     []string
	}{
		"bash exports":                  {name: "x.sh", text: "export A=1 B='two words'; C=3; export PATH", want: map[string]string{"A": "1", "B": "two words"}},
		"only asked unexported ones":    {name: "x.sh", text: "A=1; B=2", asked: []string{"A", "not-a-name", "UNSET"}, want: map[string]string{"A": "1"}},
		"changed input":                 {name: "x.sh", text: "IN=changed", want: map[string]string{"IN": "changed"}},
		"unchanged input asked for":     {name: "x.sh", text: ":", asked: []string{"IN"}, want: map[string]string{"IN": "in"}},
		"several lines":                 {name: "x.sh", text: "export A='a\nFAKE=b\n'", want: map[string]string{"A": "a\nFAKE=b\n"}},
		"exit inside a function":        {name: "x.sh", text: "f() { export A=1; exit 0; }; f; echo not reached", want: map[string]string{"A": "1"}},
		"own EXIT trap":                 {name: "x.sh", text: "trap 'echo bye $?' EXIT; export A=1; exit 0", want: map[string]string{"A": "1"}, stdout: []string{"bye 0"}},
		"own EXIT trap, last line":      {name: "x.sh", text: "trap 'echo bye' 0\nexport A=1", want: map[string]string{"A": "1"}, stdout: []string{"bye"}},
		"sh with own EXIT trap":         {name: "x.sh", text: "#!/bin/sh\ntrap 'echo bye $?' EXIT; export A=1; exit 0", want: map[string]string{"A": "1"}, stdout: []string{"bye 0"}},
		"sh, subshells":                 {name: "x.sh", text: "#!/bin/sh\n(export A=wrong; exit 4); echo $?; export A=right\n(exit 0) & wait", want: map[string]string{"A": "right"}, stdout: []string{"4"}},
		"strict options":                {name: "x.sh", text: "#!/bin/bash -eu\nset -o pipefail -f; IFS=,; export A='*'", want: map[string]string{"A": "*"}},
		"broken PATH":                   {name: "x.sh", text: "#!/bin/sh\nexport A=1; PATH=/none", want: map[string]string{"A": "1", "PATH": "/none"}},
		"trace":                         {name: "x.sh", text: "set -x; export A=1; exit 0", want: map[string]string{"A": "1"}},
		"name and arguments":            {name: "dir/x.sh", text: `echo "${0##*/} $# ${BASH_SOURCE[0]##*/}"; pwd | sed 's,.*/,,'`, stdout: []string{"x.sh 0 x.sh", "dir"}, want: map[string]string{}},
		"return at the top":             {name: "x.sh", text: "export A=1; return 3", code: 3},
		"failing last command":          {name: "x.sh", text: "export A=1; false", code: 1},
		"exit without number":           {name: "x.sh", text: "sh -c 'exit 6'; exit", code: 6},
		"exec ends without variables":   {name: "x.sh", text: "export A=1; echo B=2 >$ORCH_OUTPUTS; exec true", want: map[string]string{"B": "2"}},
		"output file wins":              {name: "x.sh", text: "export A=1; echo A=2 >>$ORCH_OUTPUTS", want: map[string]string{"A": "2"}},
		"python":                        {name: "x.py", text: "import os, sys\nos.environ['A'] = '1'\nX = 'ü'\nL = [1, 'b']\nN = None\nprint(__name__, os.path.basename(__file__), len(sys.argv))", asked: []string{"X", "L", "N"}, want: map[string]string{"A": "1", "X": "ü", "L": `[1, "b"]`, "N": ""}, stdout: []string{"__main__ x.py 1"}},
		"python exits":                  {name: "x.py", text: "import sys\nX = 5\nsys.exit(0)", asked: []string{"X"}, want: map[string]string{"X": "5"}},
		"python fails":                  {name: "x.py", text: "raise ValueError('no')", code: 1},
		"python imports what is beside": {name: "d/x.py", text: "import helper\nX = helper.f()", asked: []string{"X"}, want: map[string]string{"X": "help"}},
		"any language by the file":      {name: "x.awk", text: "#!/usr/bin/awk -f\nBEGIN { print \"A=awk\" > ENVIRON[\"ORCH_OUTPUTS\"] }", want: map[string]string{"A": "awk"}},
		"variables with the names of the journal's own": {name: "x.sh", text: `export OUT="$dir $op $base $payload $command $main $cwd"`, want: map[string]string{"OUT": "1 2 3 4 5 6 7"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := request(t, tt.name, tt.text)
			req.Topology.Files.(fstest.MapFS)["d/helper.py"] = &fstest.MapFile{Data: []byte("def f(): return 'help'")}
			req.Operation.Dependencies = []*topology.Artifact{{File: "d/helper.py"}}
			req.Variables = []driver.Variable{{Name: "IN", Value: "in"}}
			for i, n := range []string{"dir", "op", "base", "payload", "command", "main", "cwd"} {
				req.Variables = append(req.Variables, driver.Variable{Name: n, Value: fmt.Sprint(i + 1)})
			}
			for _, a := range tt.asked {
				req.Operation.Outputs = append(req.Operation.Outputs, topology.OutputMapping{Output: a})
			}
			out, s, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, req)
			if err != nil {
				t.Fatal(err)
			}
			if out.ExitCode != tt.code {
				t.Fatalf("exit code %d, stderr %q", out.ExitCode, s.stderr)
			}
			if diff := cmp.Diff(tt.want, out.Outputs); tt.want != nil && diff != "" {
				t.Errorf("%s\nstderr %q", diff, s.stderr)
			}
			if tt.stdout != nil && !cmp.Equal(tt.stdout, s.stdout) {
				t.Errorf("stdout %q", s.stdout)
			}
		})
	}
}

func TestAskedOutputsAreFoundInTheTopology(t *testing.T) {
	t.Parallel()
	req := request(t, "x.sh", "HIDDEN=found")
	call := &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_operation_output",
		Args: []*topology.Value{topology.Lit("SELF"), topology.Lit("Standard"), topology.Lit("configure"), topology.Lit("HIDDEN")}}}
	concat := &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "concat", Args: []*topology.Value{topology.Lit("x"), call}}}
	req.Node.Attributes = topology.NewValues()
	req.Node.Attributes.Set("a", concat)
	out, _, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, req)
	if err != nil || out.Outputs["HIDDEN"] != "found" {
		t.Error(out, err)
	}
}

func TestBrokenOutputFileIsAnError(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, request(t, "x.sh", "echo nonsense >$ORCH_OUTPUTS"))
	if err == nil || !strings.Contains(err.Error(), `line 1: "nonsense" is not name=value`) {
		t.Error(err)
	}
	_, _, err = run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, request(t, "x.sh", "head -c 2000000 /dev/zero >$ORCH_OUTPUTS"))
	if err == nil || !strings.Contains(err.Error(), "too big") {
		t.Error(err)
	}
}

// faulty is a machine whose connection breaks: after so many bytes of each answer, before a command, or after it.
type faulty struct {
	local.Machine
	cutAfter      int64
	calls, broken atomic.Int64
}

type cutWriter struct {
	w    io.Writer
	left int64
	cut  func()
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) <= c.left {
		c.left -= int64(len(p))
		return c.w.Write(p)
	}
	n, _ := c.w.Write(p[:c.left])
	c.left = 0
	c.cut()
	return n, io.ErrClosedPipe
}

func (f *faulty) Exec(ctx context.Context, c script.Command) (int, error) {
	call := f.calls.Add(1)
	if call > 7 || call%3 == 0 {
		return f.Machine.Exec(ctx, c) // progress must be possible
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &cutWriter{w: c.Stdout, left: f.cutAfter, cut: cancel}
	c.Stdout = w
	code, err := f.Machine.Exec(ctx, c)
	if ctx.Err() != nil {
		f.broken.Add(1)
		return -1, fmt.Errorf("broken: %w", script.ErrLost)
	}
	return code, err
}

func TestOnceOnlyOverBrokenAnswers(t *testing.T) {
	t.Parallel()
	for lane := range 3 {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			for cut := int64(lane * 20); cut < 600; cut += 60 {
				dir := t.TempDir()
				req := request(t, "x.sh", "echo x >>"+dir+"/ran; seq 1 50; sleep 0.05; seq 51 100; export A=1")
				req.OpID = fmt.Sprint("op", cut)
				m := &faulty{cutAfter: cut}
				out, s, err := run(t, &script.Runner{Machine: m, Dir: dir + "/j"}, req)
				if err != nil || out.Outputs["A"] != "1" || len(s.stdout) != 100 || s.stdout[99] != "100" {
					t.Fatalf("cut after %d: %v, %d lines", cut, err, len(s.stdout))
				}
				if b, _ := os.ReadFile(dir + "/ran"); string(b) != "x\n" {
					t.Errorf("cut after %d: ran %q", cut, b)
				}
			}
		})
	}
}

func TestManyRunsOfOneOperationRunItOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	req := request(t, "x.sh", "echo x >>"+dir+"/ran; sleep 0.3; echo done")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			out, s, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: dir + "/j"}, req)
			if err != nil || out.ExitCode != 0 || !cmp.Equal(s.stdout, []string{"done"}) {
				t.Errorf("%+v %v", out, err)
			}
		})
	}
	wg.Wait()
	if b, _ := os.ReadFile(dir + "/ran"); string(b) != "x\n" {
		t.Errorf("ran %q", b)
	}
}

func TestCancelledLaunchNeverStartsLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	// The launch is lost before it reaches the host, and the user cancels.
	m := &lostLaunch{on: func() { cancel(stop) }}
	req := request(t, "x.sh", "echo x >>"+dir+"/ran")
	j, err := script.NewJob(req, script.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&script.Runner{Machine: m, Dir: dir + "/j"}).Run(ctx, j, secret.NewRedactor(), script.Sink{}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	// What was on its way arrives after all.
	if code, err := m.Machine.Exec(t.Context(), m.held); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Error("it ran after its cancellation")
	}
}

type lostLaunch struct {
	local.Machine
	held script.Command
	on   func()
}

func (m *lostLaunch) Exec(ctx context.Context, c script.Command) (int, error) {
	if len(c.Args) > 4 && c.Args[4] == "launch" && m.held.Args == nil {
		b, _ := io.ReadAll(c.Stdin)
		m.held = script.Command{Args: c.Args, Stdin: strings.NewReader(string(b)), Stdout: io.Discard, Stderr: io.Discard}
		m.on()
		return -1, script.ErrLost
	}
	return m.Machine.Exec(ctx, c)
}

func TestOldEntriesAreCleanedUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &local.Machine{}
	old := time.Now().Add(-30 * 24 * time.Hour)
	for i, text := range []string{"true # old", "true # new", "true # again"} {
		req := request(t, "x.sh", text)
		req.OpID = fmt.Sprint("op", i)
		if _, _, err := run(t, &script.Runner{Machine: m, Dir: dir}, req); err != nil {
			t.Fatal(err)
		}
	}
	blobs := func() int { b, _ := filepath.Glob(dir + "/blobs/[0-9a-f]*"); return len(b) }
	before := blobs()
	used, _ := filepath.Glob(dir + "/used/*")
	for _, f := range append([]string{dir + "/ops/op0", dir + "/ops/op2"}, used...) {
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	req := request(t, "x.sh", "true # again")
	req.OpID = "op2" // old, but it is the one we ask for: its result must not be forgotten now
	out, _, err := run(t, &script.Runner{Machine: m, Dir: dir, Sweep: true}, req)
	if err != nil || !out.Recorded {
		t.Fatal(out, err)
	}
	_, err0 := os.Stat(dir + "/ops/op0")
	_, err1 := os.Stat(dir + "/ops/op1")
	if err0 == nil || err1 != nil || blobs() >= before {
		t.Errorf("op0 %v, op1 %v, %d of %d blobs", err0, err1, blobs(), before)
	}
}

// A host may have neither setsid nor bash.
func TestHostWithoutSetsid(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, tool := range []string{"sh", "dash", "cat", "dd", "df", "sed", "tr", "id", "mkdir", "touch", "rm", "rmdir", "mv", "cp", "ln", "chmod", "date", "sync", "tail", "head", "wc", "sleep", "find", "tar", "env", "nohup", "sha256sum", "seq"} {
		p, err := exec.LookPath(tool)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(p, bin+"/"+tool); err != nil {
			t.Fatal(err)
		}
	}
	r := &script.Runner{Machine: &local.Machine{Env: []string{"PATH=" + bin, "HOME=" + bin}}, Dir: t.TempDir(), Grace: time.Second}
	out, _, err := run(t, r, request(t, "x.sh", "export A=1"))
	if err != nil || out.Outputs["A"] != "1" {
		t.Fatal(out, err)
	}
	pid := filepath.Join(bin, "pid")
	req := request(t, "x.sh", "(sh -c 'echo $$ >"+pid+"; echo up; exec sleep 300') & wait")
	req.OpID = "cancel"
	if err := cancelWhenUp(t, r, req); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the grandchild lives")
	}
}

var errStop = errors.New("stop")

// cancelWhenUp runs a request and cancels it when its script says "up".
func cancelWhenUp(t *testing.T, r *script.Runner, req *driver.Request) error {
	t.Helper()
	j, err := script.NewJob(req, script.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = r.Run(ctx, j, secret.NewRedactor(), script.Sink{Output: func(_, line string) {
		if line == "up" {
			cancel(errStop)
		}
	}})
	return err
}

// alive reports whether the process in a pid file runs.
func alive(file string) bool {
	b, _ := os.ReadFile(file)
	pid := strings.TrimSpace(string(b))
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, rest, ok := strings.Cut(string(stat), ") ")
	return pid != "" && ok && rest[0] != 'Z'
}

// A cancellation that finds no trace of the job, which commits in that very moment, must end it.
func TestCancelRacingWithTheStart(t *testing.T) {
	t.Parallel()
	dir, bin := t.TempDir(), t.TempDir()
	m := &local.Machine{Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + bin}}
	r := &script.Runner{Machine: m, Dir: dir, Grace: time.Second}
	req := request(t, "x.sh", "echo $$ >"+bin+"/pid; echo up; exec sleep 300")
	j, err := script.NewJob(req, script.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = r.Run(ctx, j, secret.NewRedactor(), script.Sink{Output: func(string, string) { cancel(driver.ErrDetach) }})
	if !errors.Is(err, driver.ErrDetach) || !alive(bin+"/pid") {
		t.Fatal(err)
	}
	pid := dir + "/ops/" + j.ID + "/pid"
	if err := os.Rename(pid, pid+".hidden"); err != nil {
		t.Fatal(err)
	}
	// The first thing that end_job does when it finds nothing is mkdir.
	commit := "#!/bin/sh\n[ ! -e " + pid + ".hidden ] || mv " + pid + ".hidden " + pid + "\n"
	if err := os.WriteFile(bin+"/mkdir", []byte(commit), 0o755); err != nil {
		t.Fatal(err)
	}
	stopped, cancel2 := context.WithCancelCause(t.Context())
	cancel2(errStop)
	if _, err := r.Run(stopped, j, secret.NewRedactor(), script.Sink{}); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	if alive(bin + "/pid") {
		t.Error("the job lives")
	}
}

func TestDeployPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	req := request(t, "x.sh", "cat $conf; echo $conf")
	req.Topology.Files.(fstest.MapFS)["a.conf"] = &fstest.MapFile{Data: []byte("content\n")}
	req.Node.Artifacts = []*topology.Artifact{{Name: "conf", File: "a.conf", DeployPath: dir + "/etc/app/a.conf"}}
	_, s, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: dir + "/j"}, req)
	if err != nil || !cmp.Equal(s.stdout, []string{"content", dir + "/etc/app/a.conf"}) {
		t.Errorf("%v %q", err, s.stdout)
	}
}

func TestWorkDirectoryIsKeptAfterFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for code, kept := range map[int]bool{0: false, 3: true} {
		req := request(t, "x.sh", fmt.Sprint("exit ", code))
		req.OpID = fmt.Sprint("op", code)
		if _, _, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: dir}, req); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir + "/ops/" + req.OpID + "/work/x.sh"); (err == nil) != kept {
			t.Errorf("exit code %d: %v", code, err)
		}
	}
}

func TestRemoteArtifactsAreURLs(t *testing.T) {
	t.Parallel()
	req := request(t, "x.sh", "echo $image $page")
	req.Node.Artifacts = []*topology.Artifact{{Name: "image", File: "nginx:1", Repository: &topology.Repository{Name: "hub", URL: "https://hub.example/"}}, {Name: "page", File: "https://x.example/a"}}
	_, s, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, req)
	if err != nil || !cmp.Equal(s.stdout, []string{"https://hub.example/nginx:1 https://x.example/a"}) {
		t.Errorf("%v %q", err, s.stdout)
	}
}

func TestRelationshipArtifacts(t *testing.T) {
	t.Parallel()
	req := request(t, "x.sh", "cat $a $b")
	target := &topology.Node{Name: "t", Artifacts: []*topology.Artifact{{Name: "a", File: "ta"}, {Name: "b", File: "tb"}}}
	req.Topology.Nodes = append(req.Topology.Nodes, target)
	req.Node.Artifacts = []*topology.Artifact{{Name: "b", File: "sb"}}
	req.Relationship = &topology.Relationship{Name: "r", Source: "n", Target: "t", Artifacts: []*topology.Artifact{{Name: "a", File: "ra"}}}
	for _, f := range []string{"ta", "tb", "sb", "ra"} {
		req.Topology.Files.(fstest.MapFS)[f] = &fstest.MapFile{Data: []byte(f + "\n")}
	}
	for op, want := range map[string][]string{"add_source": {"ra", "tb"}, "pre_configure_source": {"ra", "sb"}} {
		req.Operation.Name, req.OpID = op, op
		_, s, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, req)
		if err != nil || !cmp.Equal(s.stdout, want) {
			t.Errorf("%s: %v %q", op, err, s.stdout)
		}
	}
}

func TestChecksumsOfArtifacts(t *testing.T) {
	t.Parallel()
	req := request(t, "x.sh", "true")
	a := req.Operation.Implementation
	for _, tt := range []struct{ alg, sum, want string }{
		{"SHA-256", "b5bea41b6c623f7c09f1bf24dcae58ebab3c0cdd90ad966bc43a45b44867e12b", ""},
		{"MD5", "b326b5062b2f0e69046810717534cb09", ""},
		{"SHA-256", "00", "is not what the document says"},
		{"CRC", "00", "unknown checksum algorithm"},
	} {
		a.ChecksumAlg, a.Checksum = tt.alg, tt.sum
		if _, err := script.NewJob(req, script.Options{}); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestInlineScript(t *testing.T) {
	t.Parallel()
	req := request(t, "unused", "")
	req.Operation.Implementation = &topology.Artifact{Source: "#!/usr/bin/env python3\nprint('inline', 6*7)\n"}
	_, s, err := run(t, &script.Runner{Machine: &local.Machine{}, Dir: t.TempDir()}, req)
	if err != nil || !cmp.Equal(s.stdout, []string{"inline 42"}) {
		t.Errorf("%v %q", err, s.stdout)
	}
}
