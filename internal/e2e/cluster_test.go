package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	webCluster    = "examples/01-web-cluster"
	pythonCluster = "blueprints/python-cluster"
)

// deployed brings the Python cluster up and returns its URL.
func deployed(u *user) string {
	u.t.Helper()
	u.secret("store_token", "token-of-the-store-0123456789")
	r := u.ok("deploy", pythonCluster)
	if !strings.Contains(r.stdout, "url") {
		u.t.Fatalf("no outputs: %s", r)
	}
	return strings.TrimSpace(u.ok("outputs", "--only", "url").stdout)
}

// answered asks the page until each of the application servers has answered, and returns their names.
func answered(t *testing.T, url string, want int) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for range 4 * want {
		for line := range strings.SplitSeq(page(t, url), "\n") {
			if name, ok := strings.CutPrefix(line, "answered by "); ok {
				names[name] = true
			}
		}
	}
	if len(names) != want {
		t.Errorf("want %d application servers, answered: %v", want, names)
	}
	return names
}

// The tutorial of the README must deploy, answer, be quiet when nothing changed, and leave nothing.
func TestWebClusterLivesAndLeavesNothing(t *testing.T) {
	u := newUser(t)
	u.env = append(u.env, "ORCH_TERRAFORM_MIRROR=") // the provider as users have it, with all its pauses
	u.sandboxed()
	before := u.resources()
	u.secret("db_password", "it's a \\ secret-4711")
	u.ok("deploy", webCluster)
	url := strings.TrimSpace(u.ok("outputs", "--only", "url").stdout)
	answered(t, url, 2)
	if text := page(t, url); !strings.Contains(text, "from the database: one database, many servers") {
		t.Errorf("the page has no row of the database:\n%s", text)
	}
	again := u.ok("deploy", webCluster)
	if !strings.Contains(again.stdout, "nothing to do") {
		t.Errorf("a second deploy must change nothing: %s", again)
	}
	if out := u.ok("ssh", "app", "1", "--", "cat", "/srv/app/greeting.txt").stdout; !strings.Contains(out, "Hello from the web cluster") {
		t.Errorf("ssh printed %q", out)
	}
	if out := u.ok("logs", "--node", "database").stdout; !strings.Contains(out, "database guestbook is ready") {
		t.Errorf("logs of the database:\n%s", out)
	}
	gone := u.ok("undeploy")
	if !strings.Contains(gone.stdout, "0 resources left, checked in") {
		t.Errorf("no proof: %s", gone)
	}
	if diff := cmp.Diff(before, u.resources()); diff != "" {
		t.Error(diff)
	}
}

// Killing orch in the middle must cost nothing: the next deploy goes on, and what was done is not done again.
func TestKilledDeployGoesOn(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	u.kill("store[0] create done", "deploy", "--plain", pythonCluster)
	u.ok("deploy", pythonCluster)
	answered(t, strings.TrimSpace(u.ok("outputs", "--only", "url").stdout), 2)
	logs := u.ok("logs", "--node", "store").stdout
	if n := strings.Count(logs, "Python 3"); n != 1 {
		t.Errorf("create of the store ran %d times:\n%s", n, logs)
	}
	u.ok("undeploy")
	if left := u.resources(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// A kill while Terraform works must lose no resource.
func TestKillInsideTerraformLosesNothing(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	u.kill("creating", "deploy", "--plain", pythonCluster)
	u.ok("undeploy")
	if left := u.resources(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// Another terminal can look while the first one deploys.
func TestStatusFromASecondTerminal(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	c := u.command(t.Context(), "deploy", "--plain", pythonCluster)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		r := u.run(nil, "status", "python-cluster")
		if r.code == 0 && strings.Contains(r.stdout, "deploying") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status does not show the running deployment: %s", r)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	u.ok("undeploy")
}

// The cluster keeps answering although one application server is gone.
func TestBalancerSurvivesALostApplication(t *testing.T) {
	u := newUser(t).sandboxed()
	url := deployed(u)
	answered(t, url, 2)
	u.ok("ssh", "app", "0", "--", "kill", "-9", "-1")
	client := http.Client{Timeout: 20 * time.Second}
	for range 4 {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("answers %s", resp.Status)
		}
	}
	u.ok("undeploy")
}

// Servers without a floating address are reached through one that has one.
func TestBastion(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	config := filepath.Join(u.home, "config.yaml")
	if err := os.WriteFile(config, []byte("locations:\n  lab: { plugin: openstack, cloud: demo, image: debian-12, bastion: auto }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "ORCH_CONFIG="+config, "OS_CLIENT_CONFIG_FILE="+filepath.Join(u.home, "sandbox", "clouds.yaml"))
	dir := edited(t, pythonCluster, "topology.yaml",
		"    store_ip:\n      type: orch.nodes.openstack.FloatingIP\n      requirements: [ { port: store_port } ]\n", "")
	u.ok("deploy", dir)
	answered(t, strings.TrimSpace(u.ok("outputs", "--only", "url").stdout), 2)
	from := u.ok("ssh", "store", "--", "echo $SSH_CONNECTION").stdout
	if !strings.HasPrefix(from, "10.30.0.") {
		t.Errorf("the store was reached from %q, want through a server of its network", from)
	}
	u.ok("undeploy")
}
