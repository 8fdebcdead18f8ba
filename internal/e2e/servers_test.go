package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/orch"
)

// fleet is some orch servers, each with a home of its own, on one Consul.
type fleet struct {
	t      *testing.T
	dir    string
	store  string
	consul *tools.ConsulCluster
}

// server is a running `orch server`.
type server struct {
	name string
	proc *tools.Child
	url  string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	return newFleetOn(t, 1)
}

// newFleetOn is a fleet on so many Consul servers.
func newFleetOn(t *testing.T, servers int) *fleet {
	t.Helper()
	t.Parallel()
	_ = os.Getenv("ORCH_TEST_DIGEST") // see newUser
	f := &fleet{t: t, dir: t.TempDir(), consul: tools.StartConsul(t, servers)}
	var addrs []string
	for _, s := range f.consul.Servers {
		addrs = append(addrs, s.Addr())
	}
	f.store = "consul://" + strings.Join(addrs, ",") + "/orch?wait=90s" // on a busy machine an election takes a while
	return f
}

// service is what a client of the server has.
func (s *server) service(t *testing.T) orch.Service {
	t.Helper()
	c := client.New(s.url, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// deploy starts a deployment on the server.
func (s *server) deploy(t *testing.T, name, topology string) orch.Task {
	t.Helper()
	task, err := s.service(t).Apply(t.Context(), orch.Request{Verb: orch.Deploy, Deployment: name, Source: os.DirFS(filepath.Dir(topology)),
		Entry: filepath.Base(topology), SourceName: topology})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// done waits until the server says that the task is done.
func (s *server) done(t *testing.T, task orch.Task) {
	t.Helper()
	ended, err := s.service(t).Wait(t.Context(), task.Deployment, task.ID)
	if err != nil || ended.Status != "done" {
		t.Fatalf("%+v, %v", ended, err)
	}
}

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// start a server, or start it again; nothing tells it or the others that there are more of them.
func (f *fleet) start(name string) *server {
	f.t.Helper()
	return f.startAt(name, "127.0.0.1:0")
}

// startAt starts a server at an address.
func (f *fleet) startAt(name, address string) *server {
	f.t.Helper()
	s := &server{name: name}
	cmd := exec.Command(binary, "server", "--listen", address)
	cmd.Env = append(cleanEnv(), "ORCH_HOME="+filepath.Join(f.dir, name), "ORCH_STORE="+f.store, "XDG_STATE_HOME="+f.dir,
		"ORCH_MASTER_KEY_FILE="+filepath.Join(f.dir, "master.key"))
	log, err := os.OpenFile(filepath.Join(f.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd.Stderr = log
	if s.proc, err = tools.Start(cmd); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		s.kill()
		if text, err := os.ReadFile(log.Name()); f.t.Failed() && err == nil {
			f.t.Logf("log of server %s:\n%s", name, text)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			s.url = m[1]
			go func() { // nothing must block it
				for lines.Scan() {
				}
			}()
			return s
		}
	}
	f.t.Fatalf("server %s did not start", name)
	return nil
}

func (s *server) kill() {
	_ = s.proc.Stop(syscall.SIGKILL)
}

// chain is a topology of n nodes, each depending on the one before, whose operations run where orch runs: they take a while and write
// their node's name into a file when they begin, and again when they end.
func chain(t *testing.T, dir, name string, n int, seconds float64) (topology, effects string) {
	t.Helper()
	effects = filepath.Join(dir, name+".effects")
	topology = filepath.Join(dir, name, "topology.yaml")
	if err := os.MkdirAll(filepath.Dir(topology), 0o700); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho \"begin $NODE $$\" >> '%s'\nsleep %.1f\necho \"end $NODE\" >> '%s'\n", effects, seconds, effects)
	if err := os.WriteFile(filepath.Join(dir, name, "create.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { template_name: %s, template_version: 1.0.0 }\ntopology_template:\n  node_templates:\n", name)
	for i := range n {
		fmt.Fprintf(&b, "    n%d:\n      type: tosca.nodes.Root\n      interfaces:\n        Standard:\n          operations:\n            create: { implementation: create.sh, inputs: { NODE: n%d } }\n", i, i)
		if i > 0 {
			fmt.Fprintf(&b, "      requirements: [ { dependency: n%d } ]\n", i-1)
		}
	}
	if err := os.WriteFile(topology, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return topology, effects
}

func happened(file string) []string {
	text, _ := os.ReadFile(file)
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", "_"))
}

// until waits for something to become true, and says how long it took.
func until(t *testing.T, what string, limit time.Duration, true func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !true() {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// begun is whether the operation of a node has begun.
func begun(effects, node string) func() bool {
	return func() bool {
		return slices.ContainsFunc(happened(effects), func(s string) bool { return strings.HasPrefix(s, "begin_"+node+"_") })
	}
}

func checkChain(t *testing.T, effects string, n int) {
	t.Helper()
	var got, want []string
	for _, s := range happened(effects) {
		parts := strings.Split(s, "_")
		got = append(got, parts[0]+" "+parts[1])
	}
	for i := range n {
		want = append(want, fmt.Sprintf("begin n%d", i), fmt.Sprintf("end n%d", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("happened: %v, want each once and in order", got)
	}
}

// The server that works is killed: another one, which nobody has told anything, goes on; what was being done is not done again.
func TestAnotherServerTakesOver(t *testing.T) {
	f := newFleet(t)
	a := f.start("a")
	topology, effects := chain(t, f.dir, "relay", 5, 2)
	task := a.deploy(t, "relay", topology)
	b := f.start("b")
	until(t, "n1 begins", time.Minute, begun(effects, "n1"))
	d, err := b.service(t).Deployment(t.Context(), "relay")
	if err != nil {
		t.Fatalf("the second server does not show the deployment: %v", err)
	}
	host, _ := os.Hostname()
	if !strings.Contains(d.Owner, fmt.Sprintf("process %d on %s, since 20", a.proc.PID(), host)) {
		t.Errorf("the holder is %q, %v", d.Owner, err)
	}
	a.kill()
	took := until(t, "n2 begins on the other server", time.Minute, begun(effects, "n2"))
	t.Logf("from SIGKILL to the next operation: %v", took.Round(100*time.Millisecond))
	// How fast is BenchmarkTakeover's business; a minute passes only when nobody takes over.
	b.done(t, task)
	checkChain(t, effects, 5)
}

// The network between the server that works and Consul is cut: it stops before another one can take its deployment, which goes on with it. When the
// network is back it does nothing more, and answers again.
func TestPartitionFromConsul(t *testing.T) {
	f := newFleet(t)
	direct := f.store
	p := tools.StartProxy(t, f.consul.Addr())
	f.store = "consul://" + p.Addr() + "/orch?wait=2s"
	a := f.start("a")
	topology, effects := chain(t, f.dir, "cut", 5, 2)
	task := a.deploy(t, "cut", topology)
	f.store = direct
	b := f.start("b")
	until(t, "n1 begins", time.Minute, begun(effects, "n1"))
	p.Cut()
	until(t, "the other server has the deployment", 2*time.Minute, func() bool {
		d, err := b.service(t).Deployment(t.Context(), "cut")
		return err == nil && strings.Contains(d.Owner, fmt.Sprintf("process %d on", b.proc.PID()))
	})
	b.done(t, task)
	checkChain(t, effects, 5)
	if r := status(t, a.url+"/readyz"); r != http.StatusServiceUnavailable {
		t.Errorf("the server that is cut off says it is ready: %d", r)
	}
	p.Heal()
	until(t, "the first server answers again", time.Minute, func() bool {
		d, err := a.service(t).Deployment(t.Context(), "cut")
		return err == nil && d.Status == "deployed" && d.Owner == ""
	})
	// Whatever it would still do on its own it does within a look for work, of which this one passes two.
	second, again := chain(t, f.dir, "after", 2, 2)
	a.done(t, a.deploy(t, "after", second))
	checkChain(t, again, 2)
	checkChain(t, effects, 5)
	if tasks, err := a.service(t).Tasks(t.Context(), "cut"); err != nil || len(tasks) != 1 || tasks[0].Status != "done" {
		t.Errorf("%+v, %v", tasks, err)
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A server that is told to end lets go at once, and another one goes on at once.
func TestServerDrains(t *testing.T) {
	f := newFleet(t)
	a := f.start("a")
	topology, effects := chain(t, f.dir, "drain", 4, 2)
	task := a.deploy(t, "drain", topology)
	b := f.start("b")
	until(t, "n1 begins", time.Minute, begun(effects, "n1"))
	if err := a.proc.Stop(syscall.SIGTERM); err != nil {
		t.Errorf("the server did not end in order: %v", err)
	}
	took := until(t, "n2 begins on the other server", time.Minute, begun(effects, "n2"))
	t.Logf("from SIGTERM to the next operation: %v after the end of the first server", took.Round(100*time.Millisecond))
	b.done(t, task)
	checkChain(t, effects, 4)
}

// A server with a store of its own is told to end in the middle of an operation, which goes on without it: the next server finds out how it ended.
func TestServerWithAFileLetsGo(t *testing.T) {
	t.Parallel()
	_ = os.Getenv("ORCH_TEST_DIGEST") // see newUser
	f := &fleet{t: t, dir: t.TempDir()}
	f.store = "bolt:" + filepath.Join(f.dir, "orch.db")
	a := f.start("a")
	topology, effects := chain(t, f.dir, "own", 2, 0)
	goOn := filepath.Join(f.dir, "go-on")
	script := fmt.Sprintf("#!/bin/sh\necho \"begin $NODE $$\" >> '%s'\nwhile [ ! -e '%s' ]; do sleep 0.1; done\necho \"end $NODE\" >> '%s'\n", effects, goOn, effects)
	if err := os.WriteFile(filepath.Join(filepath.Dir(topology), "create.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	task := a.deploy(t, "own", topology)
	until(t, "n0 begins", time.Minute, begun(effects, "n0"))
	a.proc.Signal(syscall.SIGTERM)
	until(t, "the server ends", time.Minute, a.proc.Ended)
	if err := a.proc.Wait(); err != nil {
		t.Errorf("the server did not end in order: %v", err)
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.start("a").done(t, task)
	checkChain(t, effects, 2)
}

// The only server is killed, told to end, and started again while a command deploys by way of it: the command follows on to the end.
func TestACommandOutlastsItsServer(t *testing.T) {
	t.Parallel()
	_ = os.Getenv("ORCH_TEST_DIGEST") // see newUser
	f := &fleet{t: t, dir: t.TempDir()}
	f.store = "bolt:" + filepath.Join(f.dir, "orch.db")
	a := f.start("a")
	address := strings.TrimPrefix(a.url, "http://")
	topology, effects := chain(t, f.dir, "followed", 4, 1.5)
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, "--server", a.url, "deploy", "--plain", topology)
	cmd.Env = append(cleanEnv(), "ORCH_HOME="+filepath.Join(f.dir, "user"), "NO_COLOR=1")
	cmd.Stdout, cmd.Stderr = &out, &errs
	command, err := tools.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Stop(syscall.SIGKILL) })
	for i, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		node := fmt.Sprintf("n%d", i+1)
		until(t, node+" begins", time.Minute, begun(effects, node))
		_ = a.proc.Stop(sig)
		time.Sleep(2 * time.Second) // a restart that takes its time
		a = f.startAt("a", address)
	}
	if err := command.Wait(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	if !strings.Contains(errs.String(), "the server does not answer, waiting for it for up to 5m0s") {
		t.Errorf("the command says nothing of the outage:\n%s", &errs)
	}
	for i := range 4 {
		if n := strings.Count(out.String(), fmt.Sprintf("n%d[0] create done", i)); n != 1 {
			t.Errorf("n%d is shown as done %d times:\n%s", i, n, &out)
		}
	}
	checkChain(t, effects, 4)
}
