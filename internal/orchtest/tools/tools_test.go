package tools

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestOneConsulStoresAndEnds(t *testing.T) {
	t.Parallel()
	var addr string
	t.Run("while it runs", func(t *testing.T) {
		c := StartConsul(t, 1)
		addr = c.Addr()
		put(t, addr, "a", "1")
		if got := read(t, addr, "a"); got != "1" {
			t.Errorf("read %q", got)
		}
		if c.Leader(t) != c.Servers[0] {
			t.Error("the only server does not lead")
		}
	})
	if addr == "" {
		t.SkipNow()
	}
	if resp, err := client.Get("http://" + addr + "/v1/status/leader"); err == nil {
		resp.Body.Close()
		t.Error("Consul still runs after its test")
	}
}

func TestThreeConsulsSurviveTheirLeader(t *testing.T) {
	t.Parallel()
	c := StartConsul(t, 3)
	put(t, c.Addr(), "a", "1")
	old := c.Leader(t)
	old.Kill()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	next := c.Leader(t)
	if next == old {
		t.Fatal("a dead server leads")
	}
	put(t, next.Addr(), "b", "2")
	old.Start(t)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if a, b := read(t, old.Addr(), "a"), read(t, old.Addr(), "b"); a != "1" || b != "2" {
		t.Errorf("the server that came back has a=%q b=%q", a, b)
	}
}

func TestSpareWaitsForTheVote(t *testing.T) {
	t.Parallel()
	c := StartConsul(t, 3)
	for range 3 { // each round kills another one; without the wait the second or third would end the cluster
		c.Spare(t)
		leader := c.Leader(t)
		leader.Kill()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		put(t, c.Leader(t).Addr(), "a", leader.Name)
		leader.Start(t)
	}
}

func TestLogTailIsShortAndDoesNotRepeat(t *testing.T) {
	var b logBuffer
	for i := range 100 {
		fmt.Fprintf(&b, "%02d [WARN] no leader\n%02d [WARN] %d\n", i, i, i/2)
	}
	if got := b.tail(2); got != "96 [WARN] 48\n98 [WARN] 49\n" {
		t.Errorf("got %q", got)
	}
	if n := strings.Count(b.tail(1000), "no leader"); n != 1 {
		t.Errorf("a line is repeated %d times", n)
	}
}

func TestSettingsReachConsul(t *testing.T) {
	t.Parallel()
	c := StartConsul(t, 1, map[string]any{"session_ttl_min": "1s"})
	req, _ := http.NewRequest("PUT", "http://"+c.Addr()+"/v1/session/create", strings.NewReader(`{"TTL": "2s"}`))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a session of 2s: HTTP %d", resp.StatusCode)
	}
}

// The mirror must satisfy init of both programs, without the network: the registries' addresses are not even resolvable for them.
func TestInitTakesTheProviderFromTheMirror(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(testing.TB) string{"terraform": Terraform, "tofu": Tofu} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exe, mirror, dir := find(t), ProviderMirror(t), t.TempDir()
			file := func(name, text string) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			rc := file("cli.tfrc", fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror))
			file("main.tf.json", `{"terraform": {"required_providers": {"openstack": {"source": "`+ProviderSource+`"}}}, "provider": {"openstack": {}},
				"resource": {"openstack_networking_network_v2": {"n": {"name": "n"}}}}`)
			for _, args := range [][]string{{"init", "-no-color", "-input=false"}, {"validate", "-no-color"}} {
				cmd := exec.Command(exe, args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+rc, "TF_PLUGIN_CACHE_DIR=", "HTTPS_PROXY=http://127.0.0.1:1")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s %s: %v\n%s", name, args[0], err, out)
				}
			}
			if found, _ := filepath.Glob(filepath.Join(dir, ".terraform/providers/*/"+ProviderSource+"/*/"+runtime.GOOS+"_"+runtime.GOARCH)); len(found) != 1 {
				t.Errorf("installed providers: %v", found)
			}
		})
	}
}

func TestMissingToolSkipsOrFails(t *testing.T) {
	t.Setenv("ORCH_CACHE", t.TempDir())
	t.Setenv("PATH", "/nonexistent")
	for _, tt := range []struct{ require, want string }{
		{"", "skip: consul is not built; `go run ./tools/build consul` builds it"},
		{"1", "fatal: consul is required but missing (`go run ./tools/build consul` builds it)"},
	} {
		t.Setenv("ORCH_REQUIRE_TOOLS", tt.require)
		rec := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			Consul(rec)
		}()
		<-done
		if !strings.HasPrefix(rec.said, tt.want) {
			t.Errorf("ORCH_REQUIRE_TOOLS=%q: said %q, want %q", tt.require, rec.said, tt.want)
		}
	}
}

// recorder notes how a test would have ended.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper() {}
func (r *recorder) Skipf(format string, args ...any) {
	r.said = "skip: " + fmt.Sprintf(format, args...)
	panic(r)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.said = "fatal: " + fmt.Sprintf(format, args...)
	panic(r)
}

func put(t *testing.T, addr, key, value string) {
	t.Helper()
	req, _ := http.NewRequest("PUT", "http://"+addr+"/v1/kv/"+key, strings.NewReader(value))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("put %s: HTTP %d", key, resp.StatusCode)
	}
}

func read(t *testing.T, addr, key string) string {
	t.Helper()
	status, body, err := (&ConsulServer{addr: addr}).get("/v1/kv/" + key + "?raw&consistent")
	if err != nil || status != http.StatusOK {
		t.Fatalf("read %s: HTTP %d, %v", key, status, err)
	}
	return string(body)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
