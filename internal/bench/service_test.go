package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/internal/orchtest/ziptest"
)

// The load that the figures of docs/benchmarks.md are for: clients that wait for events, half of them on the native API's streams and half in Alien4Cloud's long polls,
// and reads of every kind in between.
const (
	waitingClients = 1000
	readsPerSecond = 50
	readingFor     = 20 * time.Second
	bigNodes       = 200
)

// dial counts on loopback only, and keeps one connection for each client that waits.
func waiter() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext, MaxIdleConnsPerHost: 1}}
}

// BenchmarkService measures a server while 1,000 clients wait and 50 reads a second are answered: the 99th percentile of the reads (below
// 100 ms), and the server's resident set idle (below 60 MB) and under that load (below 300 MB); and the size of the binary (below 80 MB).
func BenchmarkService(b *testing.B) {
	binary := build(b)
	info, err := os.Stat(binary)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		dir := b.TempDir()
		url, pid := serve(b, binary, dir, "bolt:"+filepath.Join(dir, "orch.db"))
		idle := memory(b, pid, "VmRSS")
		accept(b, url, "/api/v1/tasks", small(b, "seed"))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		var waiting sync.WaitGroup
		var connected atomic.Int64
		for i := range waitingClients {
			waiting.Go(func() { wait(ctx, url, i, &connected) })
		}
		for end := time.Now().Add(2 * time.Minute); connected.Load() < waitingClients && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
		if n := connected.Load(); n < waitingClients {
			b.Errorf("only %d clients wait", n)
		}
		times := read(ctx, b, url)
		loaded := memory(b, pid, "VmHWM")
		cancel()
		waiting.Wait()
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(idle, "idle-MB")
		b.ReportMetric(loaded, "loaded-MB")
		b.ReportMetric(float64(info.Size())/(1<<20), "binary-MB")
	}
}

func build(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "orch")
	if out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, "../../cmd/orch").CombinedOutput(); err != nil {
		b.Fatalf("cannot build orch: %v\n%s", err, out)
	}
	return binary
}

// wait follows events until ctx ends: by a stream, or by long polls one after another.
func wait(ctx context.Context, url string, i int, connected *atomic.Int64) {
	c := waiter()
	defer c.CloseIdleConnections()
	first := sync.OnceFunc(func() { connected.Add(1) })
	index := "1"
	for ctx.Err() == nil {
		target := url + "/api/v1/events?follow=true"
		if i%2 == 1 {
			target = url + "/events?wait=30s&index=" + index
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return
		}
		req.Header.Set("Accept", "application/json")
		if i%2 == 1 { // a poll has no answer until something happens: it waits as soon as it is sent
			time.AfterFunc(500*time.Millisecond, first)
		}
		resp, err := c.Do(req)
		if err != nil {
			continue
		}
		first()
		if next := resp.Header.Get("X-Yorc-Index"); next != "" {
			index = next
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// read sends mixed reads at a steady pace, whatever the answers take, and returns how long each took.
func read(ctx context.Context, b *testing.B, url string) []time.Duration {
	b.Helper()
	paths := []string{"/api/v1/deployments", "/api/v1/deployments/seed", "/api/v1/deployments/seed/tasks", "/api/v1/deployments/seed/outputs", "/api/v1/blueprints",
		"/deployments/seed", "/api/v1/events?deployment=seed&last=20", "/api/v1/secrets", "/api/v1/whoami", "/server/info"}
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	defer c.CloseIdleConnections()
	var mu sync.Mutex
	var times []time.Duration
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / readsPerSecond)
	defer tick.Stop()
	for n := range int(readingFor.Seconds()) * readsPerSecond {
		<-tick.C
		all.Go(func() {
			began := time.Now()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+paths[n%len(paths)], nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Accept", "application/json")
			resp, err := c.Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			took := time.Since(began)
			if err != nil || resp.StatusCode != http.StatusOK {
				b.Errorf("%s: %v, %v", paths[n%len(paths)], resp, err)
				return
			}
			mu.Lock()
			times = append(times, took)
			mu.Unlock()
		})
	}
	all.Wait()
	return times
}

// topologyOf n nodes, every one with an operation, as an archive.
func topologyOf(b *testing.B, n int) []byte {
	b.Helper()
	var doc strings.Builder
	doc.WriteString("tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { template_name: big, template_version: 1.0.0, template_author: bench }\ntopology_template:\n  node_templates:\n")
	for i := range n {
		fmt.Fprintf(&doc, "    n%03d:\n      type: tosca.nodes.Root\n      interfaces: { Standard: { operations: { create: create.sh } } }\n", i)
		if i > 0 {
			fmt.Fprintf(&doc, "      requirements: [ { dependency: n%03d } ]\n", i/2)
		}
	}
	return ziptest.Pack(b, map[string]string{"topology.yml": doc.String(), "create.sh": "#!/bin/sh\ntrue\n"})
}

// accept sends a request that must be taken, and returns how long that took.
func accept(b *testing.B, url, path string, r *http.Request) time.Duration {
	b.Helper()
	u, err := r.URL.Parse(url + path)
	if err != nil {
		b.Fatal(err)
	}
	r.URL, r.Host = u, u.Host
	began := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	took := time.Since(began)
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusAccepted {
		b.Fatalf("%s: %s %s", path, resp.Status, body)
	}
	return took
}

// small is a request to deploy nothing that acts, from a blueprint that the form brings along.
func small(b *testing.B, name string) *http.Request {
	doc := "tosca_definitions_version: tosca_simple_yaml_1_3\ntopology_template:\n  outputs: { one: { value: 1 } }\n  node_templates:\n    a: { type: tosca.nodes.Root }\n"
	packed := ziptest.Pack(b, map[string]string{"topology.yaml": doc})
	request, _ := json.Marshal(map[string]any{"verb": "deploy", "deployment": name, "skip_preflight": true})
	var form bytes.Buffer
	fmt.Fprintf(&form, "--x\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n%s\r\n--x\r\nContent-Disposition: form-data; name=\"source\"; filename=\"a.zip\"\r\n\r\n", request)
	form.Write(packed)
	form.WriteString("\r\n--x--\r\n")
	r, _ := http.NewRequest(http.MethodPost, "http://127.0.0.1", &form)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	return r
}

// BenchmarkAccept measures how long a client waits for "201 Created" after it has sent an archive of 200 nodes as Alien4Cloud's plugin does:
// below 150 ms on bbolt, below 400 ms on Consul. The deployment that begins then is removed before the next.
func BenchmarkAccept(b *testing.B) {
	binary := build(b)
	archive := topologyOf(b, bigNodes)
	for name, store := range map[string]func(b *testing.B, dir string) string{
		"bolt":   func(_ *testing.B, dir string) string { return "bolt:" + filepath.Join(dir, "orch.db") },
		"consul": func(b *testing.B, _ string) string { return "consul://" + tools.StartConsul(b, 1).Addr() + "/bench" },
	} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			url, _ := serve(b, binary, dir, store(b, dir))
			var times []time.Duration
			for n := 0; b.Loop(); n++ {
				r, err := http.NewRequest(http.MethodPut, "http://127.0.0.1", bytes.NewReader(archive))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/zip")
				id := fmt.Sprint("big-", n)
				times = append(times, accept(b, url, "/deployments/"+id, r))
				gone(b, url, id)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "max-ms")
		})
	}
}

// gone purges a deployment and waits until it is not there.
func gone(b *testing.B, url, id string) {
	b.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodDelete, url+"/deployments/"+id+"?purge=true", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			return
		}
	}
	b.Fatalf("%s is not gone", id)
}
