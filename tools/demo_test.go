package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is a checkout whose orch only notes how it is called; FAIL names the call that fails, LEFT the resources after undeploy.
type demo struct {
	t     *testing.T
	root  string
	cache string
	env   []string
}

const fakeOrch = `#!/bin/sh
echo "orch $*" >>"$CALLS"
echo "home=$ORCH_HOME store=${ORCH_STORE-none} cloud=${OS_CLOUD-none} region=${OS_REGION_NAME-none}" >>"$CALLS.env"
case "$*" in
"$FAIL") echo "it failed" >&2; exit 3 ;;
"deploy "*) if [ -n "${SLOW:-}" ]; then echo started; sleep 1; exit 4; fi ;;
"outputs --only url") echo http://203.0.113.7/ ;;
"undeploy"*) [ -z "${LEFT:-}" ] || echo "$LEFT" >"$CALLS.left" ;;
"sandbox status -o json")
  left='{"network": 1}'
  [ ! -e "$CALLS.left" ] || left=$(cat "$CALLS.left")
  printf '{\n  "running": true,\n  "resources": %s,\n  "detail": {"a": "b"}\n}\n' "$left" ;;
"secrets set "*) cat >"$CALLS.secret" ;;
esac
`

func newDemo(t *testing.T, env ...string) *demo {
	t.Helper()
	d := &demo{t: t, root: t.TempDir(), cache: t.TempDir()}
	script, err := os.ReadFile("demo/demo.sh")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"tools/demo/demo.sh": string(script), "bin/orch": fakeOrch, "fake/curl": "#!/bin/sh\necho answered by app-0\n",
	} {
		full := filepath.Join(d.root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.env = append([]string{
		"PATH=" + filepath.Join(d.root, "fake") + ":" + os.Getenv("PATH"), "HOME=/nonexistent", "ORCH_CACHE=" + d.cache,
		"CALLS=" + filepath.Join(d.root, "calls"), "OS_CLOUD=production", "OS_REGION_NAME=north", "ORCH_STORE=consul://127.0.0.1:1", "FAIL=none",
	}, env...)
	return d
}

func (d *demo) command() *exec.Cmd {
	cmd := exec.Command(filepath.Join(d.root, "tools/demo/demo.sh"))
	cmd.Env = d.env
	return cmd
}

func (d *demo) run() (out string, code int) {
	cmd := d.command()
	data, _ := cmd.CombinedOutput()
	return string(data), cmd.ProcessState.ExitCode()
}

// calls of orch, one a line.
func (d *demo) calls() string {
	data, _ := os.ReadFile(filepath.Join(d.root, "calls"))
	_ = os.Remove(filepath.Join(d.root, "calls"))
	return string(data)
}

func (d *demo) stateIsLeft() bool {
	_, err := os.Stat(filepath.Join(d.cache, "demo"))
	return err == nil
}

func TestDemoRunsTheCommandsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	d := newDemo(t)
	out, code := d.run()
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	want := `orch sandbox up
orch sandbox status -o json
orch sandbox status -o json
orch secrets set db_password
orch deploy examples/01-web-cluster/topology.yaml
orch outputs
orch outputs --only url
orch undeploy
orch sandbox status
orch sandbox status -o json
orch sandbox down
`
	if got := d.calls(); got != want {
		t.Errorf("called\n%swant\n%s", got, want)
	}
	if strings.Count(out, "answered by app-0") != 4 || !strings.Contains(out, "nothing left") {
		t.Errorf("output:\n%s", out)
	}
	if d.stateIsLeft() {
		t.Error("its state is left")
	}
	env, _ := os.ReadFile(filepath.Join(d.root, "calls.env"))
	if first, _, _ := strings.Cut(string(env), "\n"); first != "home="+d.cache+"/demo store=none cloud=none region=none" {
		t.Errorf("orch was called with %s", first)
	}
	if secret, _ := os.ReadFile(filepath.Join(d.root, "calls.secret")); len(secret) < 20 || strings.Contains(out, strings.TrimSpace(string(secret))) {
		t.Errorf("the password is short or shown: %d bytes", len(secret))
	}
}

func TestDemoKeptIsRemovedByTheNext(t *testing.T) {
	t.Parallel()
	d := newDemo(t, "KEEP=1")
	out, code := d.run()
	if code != 0 || !strings.Contains(out, "orch ssh app 0") || !strings.Contains(out, "export ORCH_HOME="+d.cache+"/demo") || !d.stateIsLeft() {
		t.Errorf("exit code %d, state left %v:\n%s", code, d.stateIsLeft(), out)
	}
	if calls := d.calls(); strings.Contains(calls, "undeploy") || strings.Contains(calls, "down") {
		t.Errorf("something was removed:\n%s", calls)
	}
	d.env = append(d.env, "KEEP=")
	if out, code := d.run(); code != 0 || !strings.Contains(out, "removing what the last demo left") || d.stateIsLeft() {
		t.Errorf("second run: exit code %d:\n%s", code, out)
	}
	if calls := d.calls(); !strings.HasPrefix(calls, "orch sandbox down\norch sandbox up\n") {
		t.Errorf("second run called\n%s", calls)
	}
}

func TestDemoThatFailsSaysWhatAndCleansUp(t *testing.T) {
	t.Parallel()
	d := newDemo(t, "FAIL=deploy examples/01-web-cluster/topology.yaml")
	out, code := d.run()
	if code != 3 || !strings.Contains(out, "demo: the deployment failed; removing everything") || d.stateIsLeft() {
		t.Errorf("exit code %d, state left %v:\n%s", code, d.stateIsLeft(), out)
	}
	d.env = append(d.env, "KEEP=1")
	out, code = d.run()
	if code != 3 || !strings.Contains(out, "everything is left as it is for a look") || !d.stateIsLeft() {
		t.Errorf("KEEP=1: exit code %d, state left %v:\n%s", code, d.stateIsLeft(), out)
	}
}

func TestDemoComparesTheCloudWithWhatItWas(t *testing.T) {
	t.Parallel()
	for left, ok := range map[string]bool{`{"network": 1}`: true, `{"network": 1, "port": 2}`: false, `{"network": 2}`: false, `null`: false, `"?"`: false} {
		d := newDemo(t, "LEFT="+left)
		if out, code := d.run(); (code == 0) != ok {
			t.Errorf("left %s: exit code %d:\n%s", left, code, out)
		}
	}
}

func TestDemoInterruptedCleansUp(t *testing.T) {
	t.Parallel()
	d := newDemo(t, "SLOW=1")
	cmd := d.command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &awaited{text: "started", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.seen:
	case <-time.After(time.Minute):
		t.Error("it did not come to deploy")
	}
	if err := syscall.Kill(cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "interrupted; removing everything") || d.stateIsLeft() {
		t.Errorf("exit code %d, state left %v:\n%s", code, d.stateIsLeft(), out.String())
	}
}

// awaited collects output and closes seen once it holds text.
type awaited struct {
	text string
	seen chan struct{}

	all  strings.Builder
	done bool
}

// Write is called by one goroutine, as standard output and standard error are the same writer.
func (a *awaited) Write(p []byte) (int, error) {
	a.all.Write(p)
	if !a.done && strings.Contains(a.all.String(), a.text) {
		a.done = true
		close(a.seen)
	}
	return len(p), nil
}

func (a *awaited) String() string { return a.all.String() }
