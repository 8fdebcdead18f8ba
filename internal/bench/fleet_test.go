package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/orch"
)

const (
	fleetDeployments = 200
	fleetNodes       = 20
)

// twenty is a topology of nodes in two chains. Every fifth has an operation that really runs, on the server's own machine.
func twenty() string {
	var b strings.Builder
	b.WriteString("tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { template_name: twenty, template_version: 1.0.0 }\ntopology_template:\n  node_templates:\n")
	for i := range fleetNodes {
		fmt.Fprintf(&b, "    n%02d:\n      type: tosca.nodes.Root\n", i)
		if i > 1 {
			fmt.Fprintf(&b, "      requirements: [ { dependency: n%02d } ]\n", i-2)
		}
		if i%5 == 0 {
			b.WriteString("      interfaces: { Standard: { operations: { create: create.sh } } }\n")
		}
	}
	return b.String()
}

// BenchmarkFleet measures what docs/benchmarks.md promises: 200 deployments of 20 nodes at once on one server and one Consul. It reports the time until all are
// done, the server's peak resident set (below 400 MB), and by how much Consul's has grown for each deployment (below 5 MB).
func BenchmarkFleet(b *testing.B) {
	consul := tools.StartConsul(b, 1)
	dir := b.TempDir()
	binary := filepath.Join(dir, "orch")
	if err := tools.BuildOrch(binary); err != nil {
		b.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle")
	if err := os.Mkdir(bundle, 0o700); err != nil {
		b.Fatal(err)
	}
	write(b, filepath.Join(bundle, "topology.yaml"), twenty(), 0o600)
	write(b, filepath.Join(bundle, "create.sh"), "#!/bin/sh\necho created\n", 0o600)
	url, pid := serve(b, binary, dir, "consul://"+consul.Addr()+"/orch")
	before := memory(b, consul.Servers[0].PID(), "VmRSS")
	for n := 0; b.Loop(); n++ {
		fleet(b, url, bundle, n)
	}
	b.ReportMetric(memory(b, pid, "VmHWM"), "server-peak-MB")
	b.ReportMetric((memory(b, consul.Servers[0].PID(), "VmRSS")-before)/fleetDeployments/float64(b.N), "consul-MB/deployment")
}

// fleet starts all deployments and waits for them.
func fleet(b *testing.B, url, bundle string, n int) {
	c := client.New(url, nil)
	var tasks []orch.Task
	for i := range fleetDeployments {
		t, err := c.Apply(b.Context(), orch.Request{Verb: orch.Deploy, Deployment: fmt.Sprintf("d%d-%03d", n, i), Source: os.DirFS(bundle), Entry: "topology.yaml"})
		if err != nil {
			b.Fatal(err)
		}
		tasks = append(tasks, t)
	}
	for _, t := range tasks {
		ended, err := c.Wait(b.Context(), t.Deployment, t.ID)
		if err != nil || ended.Status != "done" {
			b.Fatalf("%s is %s: %+v, %v", t.Deployment, ended.Status, ended.Failure, err)
		}
	}
}

// serve starts an orch server, which ends with the benchmark.
func serve(b *testing.B, binary, dir, store string, env ...string) (url string, pid int) {
	cmd := exec.Command(binary, "server", "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "ORCH_HOME="+filepath.Join(dir, "home"), "ORCH_STORE="+store, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "ORCH_CONFIG=", "ORCH_LOG_LEVEL=error",
		"OS_CLOUD=", "OS_AUTH_URL=")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	server, err := tools.Start(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop(syscall.SIGTERM) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "listening on "); ok {
			return at, server.PID()
		}
	}
	b.Fatal("the server did not start")
	return "", 0
}

// memory of a process in MB, as the kernel names it in /proc/PID/status.
func memory(b *testing.B, pid int, field string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatalf("the kernel does not tell %s", field)
	return 0
}
