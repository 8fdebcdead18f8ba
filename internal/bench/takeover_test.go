package bench

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/orch"
)

// BenchmarkTakeover measures what docs/benchmarks.md promises: the time from SIGKILL of the server that works until work goes on on another one, at most 20 s. Ten
// deployments are at work, each a chain of operations of 0.1 s; what counts is when the last of them has gone on.
func BenchmarkTakeover(b *testing.B) {
	consul := tools.StartConsul(b, 1)
	binary := build(b)
	var worst time.Duration
	for n := range b.N {
		worst = max(worst, takeover(b, binary, consul.Addr(), n))
	}
	b.ReportMetric(worst.Seconds(), "s-until-all-go-on")
	b.ReportMetric(0, "ns/op") // most of which is preparation
}

const takenOver = 10 // deployments

func takeover(b *testing.B, binary, consul string, n int) time.Duration {
	dir := b.TempDir()
	store := fmt.Sprintf("consul://%s/takeover%d", consul, n)
	key := "ORCH_MASTER_KEY_FILE=" + filepath.Join(dir, "master.key")
	url, pid := serve(b, binary, dir, store, key)
	serve(b, binary, dir, store, key, "ORCH_HOME="+filepath.Join(dir, "other"))
	idle := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	effects := filepath.Join(dir, "effects")
	bundle := filepath.Join(dir, "bundle")
	if err := os.Mkdir(bundle, 0o700); err != nil {
		b.Fatal(err)
	}
	write(b, filepath.Join(bundle, "topology.yaml"), chain(200), 0o600)
	write(b, filepath.Join(bundle, "create.sh"), fmt.Sprintf("#!/bin/sh\necho x >>%s.$NAME\nsleep 0.1\n", effects), 0o600)
	for i := range takenOver {
		_, err := client.New(url, idle).Apply(b.Context(), orch.Request{Verb: orch.Deploy, Deployment: fmt.Sprint("t", i), Source: os.DirFS(bundle), Entry: "topology.yaml",
			Inputs: map[string]any{"name": fmt.Sprint("t", i)}})
		if err != nil {
			b.Fatal(err)
		}
	}
	begun := func(name string) int {
		text, _ := os.ReadFile(effects + "." + name)
		return strings.Count(string(text), "x")
	}
	wait := func(had map[string]int, more int) {
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			all := true
			for i := range takenOver {
				name := fmt.Sprint("t", i)
				all = all && begun(name) >= had[name]+more
			}
			if all {
				return
			}
			if time.Now().After(end) {
				b.Fatal("no progress within two minutes")
			}
		}
	}
	wait(nil, 2)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	killed, had := time.Now(), map[string]int{}
	time.Sleep(500 * time.Millisecond) // what had begun may still say so
	for i := range takenOver {
		had[fmt.Sprint("t", i)] = begun(fmt.Sprint("t", i))
	}
	wait(had, 1)
	return time.Since(killed)
}

// chain is a topology of n nodes, each depending on the one before, with an operation on the server's own machine.
func chain(n int) string {
	var b strings.Builder
	b.WriteString("tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { template_name: chain, template_version: 1.0.0 }\ntopology_template:\n" +
		"  inputs: { name: { type: string } }\n  node_templates:\n")
	for i := range n {
		fmt.Fprintf(&b, "    n%03d:\n      type: tosca.nodes.Root\n      interfaces: { Standard: { operations: { create: { implementation: create.sh, inputs: { NAME: { get_input: name } } } } } }\n", i)
		if i > 0 {
			fmt.Fprintf(&b, "      requirements: [ { dependency: n%03d } ]\n", i-1)
		}
	}
	return b.String()
}
