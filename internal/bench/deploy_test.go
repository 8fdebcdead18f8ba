// Package bench measures the orch command as a whole, beside what it is compared with, in one run.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
)

// infrastructure is a deployment without a single script: three servers with their network, groups and address.
const infrastructure = `tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { template_name: infra, template_version: 1.0.0 }
topology_template:
  node_templates:
    server:
      type: tosca.nodes.Compute
      capabilities: { scalable: { properties: { min_instances: 1, max_instances: 3, default_instances: 3 } } }
    network: { type: tosca.nodes.network.Network, properties: { cidr: 10.40.0.0/24, ip_version: 4 } }
    port: { type: tosca.nodes.network.Port, requirements: [ { link: network }, { binding: server } ] }
    address: { type: orch.nodes.openstack.FloatingIP, requirements: [ { port: port } ] }
`

// spy stands for terraform: it keeps a copy of the module that orch applies, with the environment to apply it with, and goes on.
const spy = `#!/bin/sh
for a in "$@"; do
	if [ "$a" = apply ] && ls ./*.tf.json >/dev/null 2>&1 && [ ! -d %[1]q ]; then
		mkdir -m 700 %[1]q && cp -a . %[1]q/module && (umask 077 && export -p >%[1]q/env)
	fi
done
exec %[2]q "$@"
`

// BenchmarkDeployAgainstTerraform deploys infrastructure with orch and then applies the very same module with terraform alone, on the same
// sandbox (without machines: servers are records), and reports the ratio of the times.
func BenchmarkDeployAgainstTerraform(b *testing.B) {
	terraform := lookUp(b)
	dir := b.TempDir()
	orch := filepath.Join(dir, "orch")
	if err := tools.BuildOrch(orch); err != nil {
		b.Fatal(err)
	}
	app := filepath.Join(dir, "infra.yaml")
	write(b, app, infrastructure, 0o600)
	for n := range b.N {
		home, kept := filepath.Join(dir, fmt.Sprint("home", n)), filepath.Join(dir, fmt.Sprint("kept", n))
		wrapper := filepath.Join(dir, fmt.Sprint("terraform", n))
		write(b, wrapper, fmt.Sprintf(spy, kept, terraform), 0o755)
		run := func(args ...string) time.Duration {
			c := exec.Command(orch, args...)
			c.Env = append(os.Environ(), "ORCH_HOME="+home, "ORCH_TERRAFORM="+wrapper, "ORCH_CONFIG=", "OS_CLOUD=", "OS_AUTH_URL=")
			return timed(b, c)
		}
		run("sandbox", "up")
		run("validate", app) // warm the page cache
		ours := run("deploy", app)
		run("undeploy", "infra")
		plain := exec.Command("sh", "-c", fmt.Sprintf(`. %q && cd %q && rm -f terraform.tfstate* && exec %q apply -auto-approve -input=false -parallelism=40 -refresh=false`,
			filepath.Join(kept, "env"), filepath.Join(kept, "module"), terraform))
		theirs := timed(b, plain)
		run("sandbox", "down")
		b.ReportMetric(ours.Seconds(), "orch-s/op")
		b.ReportMetric(theirs.Seconds(), "terraform-s/op")
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
	}
}

func lookUp(b *testing.B) string {
	b.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		b.Skip("no terraform on PATH")
	}
	if os.Geteuid() != 0 {
		b.Skip("the sandbox with machines needs root")
	}
	return path
}

func timed(b *testing.B, c *exec.Cmd) time.Duration {
	b.Helper()
	began := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
	}
	return time.Since(began)
}

func write(b *testing.B, path, text string, mode os.FileMode) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		b.Fatal(err)
	}
}
