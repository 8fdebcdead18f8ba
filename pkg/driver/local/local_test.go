package local

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

type log struct {
	mu     sync.Mutex
	events []event.Event
}

func (l *log) emit(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *log) text(stream string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, e := range l.events {
		if e.Type == event.Log && e.Stream == stream {
			b.WriteString(e.Message + "\n")
		}
	}
	return b.String()
}

// request for a script; the operation is Standard.create of a node n.
func request(t *testing.T, name, text string) *driver.Request {
	t.Helper()
	n := &topology.Node{Name: "n"}
	op := &topology.Operation{Interface: "Standard", Name: "create", Implementation: &topology.Artifact{File: "scripts/" + name}}
	top := &topology.Topology{Nodes: []*topology.Node{n}, Files: fstest.MapFS{"scripts/" + name: {Data: []byte(text)}}}
	return &driver.Request{Deployment: "d", Step: "n_create", OpID: strings.ReplaceAll(t.Name(), "/", "-"), Topology: top, Node: n, Instance: "0", Operation: op}
}

func newDriver(t *testing.T) *Driver {
	t.Helper()
	d, err := New(Options{Dir: t.TempDir(), Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestScriptSeesInputsAndGivesOutputs(t *testing.T) {
	t.Parallel()
	req := request(t, "create.sh", `echo "hello $NAME"; echo oops >&2; export GREETING="hi $NAME"; echo "FROM_FILE=x=y" >> "$ORCH_OUTPUTS"; pwd; cat $data`)
	req.Topology.Files.(fstest.MapFS)["files/data.txt"] = &fstest.MapFile{Data: []byte("payload\n")}
	req.Node.Artifacts = []*topology.Artifact{{Name: "data", File: "files/data.txt"}}
	req.Variables = []driver.Variable{{Name: "NAME", Value: "it's\n$me"}}
	var l log
	res, err := newDriver(t).Run(t.Context(), req, l.emit)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"GREETING": "hi it's\n$me", "FROM_FILE": "x=y"}
	if diff := cmp.Diff(want, res.Outputs); diff != "" {
		t.Error(diff)
	}
	out := l.text("stdout")
	if !strings.HasPrefix(out, "hello it's\n$me\n") || !strings.Contains(out, "/work/scripts\n") || !strings.Contains(out, "payload\n") {
		t.Errorf("stdout: %q", out)
	}
	if got := l.text("stderr"); got != "oops\n" {
		t.Errorf("stderr: %q", got)
	}
}

// TestWhatIsPrintedStaysNotInTheJournal: a script that prints a secret leaves no trace of it here once it has ended, and its result can still be asked for.
func TestWhatIsPrintedStaysNotInTheJournal(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	for _, code := range []string{"0", "3"} {
		req := request(t, "create.sh", `echo "it is $PASSWORD"; echo "and $PASSWORD" >&2; exit `+code)
		req.OpID += code
		req.Variables = []driver.Variable{{Name: "PASSWORD", Value: "s3cret-of-the-shop", Secret: true}}
		for range 2 {
			var l log
			if _, err := d.Run(t.Context(), req, l.emit); (err != nil) != (code != "0") {
				t.Fatal(err)
			}
			if out, errs := l.text("stdout"), l.text("stderr"); out != "it is ****\n" || errs != "and ****\n" {
				t.Errorf("exit code %s: %q, %q", code, out, errs)
			}
		}
	}
	found := 0
	err := filepath.WalkDir(d.o.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		found++
		if raw, err := os.ReadFile(path); err != nil || strings.Contains(string(raw), "s3cret") {
			t.Errorf("%s: %v, %s", path, err, raw)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d files, %v", found, err)
	}
}

func TestOrchsOwnEnvironmentStaysOut(t *testing.T) {
	t.Setenv("OS_PASSWORD", "cloudsecret")
	req := request(t, "env.sh", "env")
	var l log
	if _, err := newDriver(t).Run(t.Context(), req, l.emit); err != nil {
		t.Fatal(err)
	}
	if out := l.text("stdout"); strings.Contains(out, "cloudsecret") || !strings.Contains(out, "PATH=") {
		t.Errorf("environment:\n%s", out)
	}
}

func TestFailureCarriesExitCodeAndStderr(t *testing.T) {
	t.Parallel()
	_, err := newDriver(t).Run(t.Context(), request(t, "x.sh", "echo why >&2; exit 7"), nil)
	var e *driver.Error
	if !errors.As(err, &e) || e.ExitCode != 7 || e.Host != "orchestrator" || !cmp.Equal(e.Stderr, []string{"why"}) || e.Retryable {
		t.Fatalf("%#v", err)
	}
}

func TestCancelEndsTheScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user said stop")
	go func() {
		for ctx.Err() == nil {
			if b, _ := os.ReadFile(dir + "/pid"); len(b) > 0 {
				cancel(stop)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := newDriver(t).Run(ctx, request(t, "x.sh", "sleep 300 & echo $! >"+dir+"/pid; wait"), nil)
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(dir + "/pid")
	pid := strings.TrimSpace(string(b))
	if stat, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(stat), "sleep") {
		t.Errorf("the script's child %s is alive", pid)
	}
}

func TestSudoNeedsToBeAllowed(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root needs no sudo")
	}
	req := request(t, "x.sh", "true")
	req.Operation.Sudo = "true"
	_, err := newDriver(t).Run(t.Context(), req, nil)
	var e *driver.Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Fatal(err)
	}
}

func TestEnvironPassesNamedVariables(t *testing.T) {
	t.Setenv("MY_TOOL", "x")
	t.Setenv("MY_SECRET", "y")
	got := map[string]bool{}
	for _, kv := range Environ([]string{"MY_TOOL"}) {
		got[kv] = true
	}
	if !got["MY_TOOL=x"] || got["MY_SECRET=y"] {
		t.Error(maps.Collect(maps.All(got)))
	}
}
