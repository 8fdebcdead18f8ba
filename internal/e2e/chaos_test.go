package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/tools"
)

// The chaos tests take one application of 13 nodes on four servers through its life while something breaks it: orch is killed, the cloud
// fails, connections are cut, the store's leader dies. Whatever happens: after the installation the application answers and no script ran
// twice, after the uninstallation the cloud is as it was.
//
// Each has a short form for `./task test`; `./task chaos` sets ORCH_CHAOS_LONG, by which orch is killed at every step's boundary. The seed
// is printed; ORCH_CHAOS_SEED repeats one.
type chaos struct {
	*user
	rng    *rand.Rand
	name   string               // of the deployment
	dir    string               // the application
	seen   map[string]bool      // boundaries that have had their chance
	kills  int                  // left
	chance int                  // of a kill at a boundary, in percent
	before map[string]int       // resources
	during func() (stop func()) // what else breaks while a command runs
	also   func()               // what else breaks with orch, or instead of it, at a boundary; nil: nothing
}

func long() bool { return os.Getenv("ORCH_CHAOS_LONG") != "" }

func newChaos(t *testing.T) *chaos {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	return &chaos{user: u, rng: chance(t), name: "python-cluster", dir: counted(t), seen: map[string]bool{}, before: u.resources()}
}

// chance is what decides when what breaks.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ORCH_CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("repeat with ORCH_CHAOS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

// counted is the Python cluster with scripts that write down, on the server, that they run.
func counted(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "python-cluster")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", pythonCluster))); err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "scripts", "*.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		counting := fmt.Sprintf("set -eu\necho %s >>\"$HOME/effects\"\nsleep 0.4\n", name)
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), "set -eu\n", counting, 1)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// boundary matches the lines between which something happens: a step begins or ends, Terraform does something to a resource, a script says
// something.
var boundary = regexp.MustCompile(`^\d\d:\d\d:\d\d (\S+ (?:\S+ (?:…|done|failed)|creating|created|deleting|deleted)(?: openstack\S+)?)`)

// reach runs a command until it succeeds, at most so many times; it may be killed on the way.
func (c *chaos) reach(tries int, verb string, args ...string) {
	c.t.Helper()
	var last string
	for try := range tries {
		now := append([]string{verb, "--plain"}, args...)
		if try > 0 && c.rng.IntN(2) == 0 && c.exists() {
			now = []string{"resume", "--plain"}
		}
		killed, code, out := c.broken(now...)
		if !killed && code == 0 && (now[0] == verb || c.status() == "deployed" || c.status() == "undeployed") {
			return
		}
		if !killed && code != 0 {
			last = out
		}
		if strings.Contains(out, "goroutine ") {
			c.t.Fatalf("a stack trace:\n%s", out)
		}
	}
	c.t.Fatalf("%s was not reached in %d attempts; the last that was not killed:\n%s", verb, tries, last)
}

func (c *chaos) exists() bool { return c.status() != "" }

func (c *chaos) status() string {
	var all []struct{ Name, Status string }
	c.json(&all, "list")
	for _, d := range all {
		if d.Name == c.name {
			return d.Status
		}
	}
	return ""
}

// broken runs a command while things break.
func (c *chaos) broken(args ...string) (killed bool, code int, out string) {
	c.t.Helper()
	if c.during != nil {
		defer c.during()()
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), commandTimeout)
	defer cancel()
	cmd := c.command(ctx, args...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	var all strings.Builder
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		fmt.Fprintln(&all, lines.Text())
		m := boundary.FindStringSubmatch(lines.Text())
		if killed || m == nil || c.seen[m[1]] {
			continue
		}
		c.seen[m[1]] = true // one chance each
		if c.kills == 0 || c.rng.IntN(100) >= c.chance {
			continue
		}
		c.kills--
		if c.also != nil && strings.Contains(m[1], " openstack") {
			c.also()
			if c.rng.IntN(2) == 0 {
				continue
			}
		}
		killed = true
		wait := time.Duration(c.rng.IntN(500)) * time.Millisecond
		c.t.Logf("%s: killed %v after %q", args[0], wait, m[1])
		time.AfterFunc(wait, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
	}
	err = cmd.Wait()
	code = cmd.ProcessState.ExitCode()
	if ctx.Err() != nil {
		c.t.Fatalf("orch %v: no end after %v (%v):\n%s", args, commandTimeout, err, all.String())
	}
	return killed && code < 0, code, all.String()
}

// life takes the application through its life.
func (c *chaos) life() {
	c.t.Helper()
	c.reach(200, "deploy", c.dir)
	c.intact()
	answered(c.t, strings.TrimSpace(c.ok("outputs", "--only", "url").stdout), 2)
	c.reach(200, "undeploy")
	if diff := cmp.Diff(c.before, c.resources()); diff != "" {
		c.t.Errorf("the cloud is not as it was:\n%s", diff)
	}
	if out := c.ok("sweep", "python-cluster").stdout; !strings.Contains(out, "nothing of python-cluster exists") {
		c.t.Errorf("sweep finds\n%s", out)
	}
}

// intact checks that every script ran as often as it should.
func (c *chaos) intact() {
	c.t.Helper()
	want := map[string]map[string]int{
		"store 0":    {"create.sh": 1, "configure-store.sh": 1, "start.sh": 1},
		"app 0":      {"create.sh": 1, "use-store.sh": 1, "start.sh": 1},
		"app 1":      {"create.sh": 1, "use-store.sh": 1, "start.sh": 1},
		"balancer 0": {"create.sh": 1, "start.sh": 1, "add-backend.sh": 2},
	}
	c.ran(want)
}

// ran checks how often which script has run on the servers of nodes.
func (c *chaos) ran(want map[string]map[string]int) {
	c.t.Helper()
	for _, at := range slices.Sorted(maps.Keys(want)) {
		got := map[string]int{}
		args := append([]string{"ssh"}, strings.Fields(at)...)
		for _, name := range strings.Fields(c.ok(append(args, "--", "sudo", "cat", "/root/effects")...).stdout) {
			got[name]++
		}
		if diff := cmp.Diff(want[at], got); diff != "" {
			c.t.Errorf("scripts on %s (-want +got):\n%s", at, diff)
		}
	}
}

// orch is killed: a few times by chance, or at every boundary.
func TestChaosKills(t *testing.T) {
	c := newChaos(t)
	c.kills, c.chance = 6, 5
	if long() {
		c.kills, c.chance = 1000, 100
	}
	c.life()
}

// faults of the cloud, each hitting once or a few times at a random moment.
var faults = []string{
	`{"match":{"service":"compute","method":"POST","path":"/servers$","skip":%d},"status":500}`,
	`{"match":{"service":"network","method":"POST","skip":%d,"times":2},"status":503}`,
	`{"match":{"service":"network","method":"GET","skip":%d,"times":3},"retry_after":"1s"}`,
	`{"match":{"service":"compute","method":"GET","skip":%d},"hang":"5s"}`,
	`{"match":{"service":"network","method":"POST","skip":%d},"lost":true}`,
	`{"match":{"service":"compute","method":"POST","path":"/servers$","skip":%d},"lost":true}`,
	`{"match":{"service":"network","method":"DELETE","skip":%d},"lost":true}`,
	`{"match":{"service":"compute","method":"DELETE","skip":%d},"status":500}`,
	`{"match":{"service":"network","method":"POST","path":"/floatingips","skip":%d},"quota":true}`,
	`{"match":{"service":"network","method":"PUT","skip":%d},"drop":true}`,
}

// The cloud fails, loses answers, refuses; a server goes to ERROR. orch is killed now and then.
func TestChaosCloud(t *testing.T) {
	c := newChaos(t)
	rounds, each := 1, 3
	c.kills, c.chance = 1, 5
	if long() {
		rounds, each = 12, 4
		c.kills, c.chance = 40, 5
	}
	c.during = func() func() {
		if rounds--; rounds < 0 {
			c.ok("sandbox", "fault", "clear")
			return func() {}
		}
		for range each {
			c.ok("sandbox", "fault", fmt.Sprintf(faults[c.rng.IntN(len(faults))], c.rng.IntN(4)))
		}
		if c.rng.IntN(2) == 0 {
			c.ok("sandbox", "fault", `{"server_error":"No valid host was found. There are not enough hosts available."}`)
		}
		return func() { c.ok("sandbox", "fault", "clear") }
	}
	c.life()
}

// Connections to the servers are refused, hang, and are cut in the middle.
func TestChaosConnections(t *testing.T) {
	if !long() {
		t.Skip("only in ./task chaos: pkg/driver/ssh has the short form")
	}
	c := newChaos(t)
	c.during = func() func() {
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				for _, id := range c.servers() {
					how := []string{`"drop_after":"700ms"`, `"drop_bytes":6000`, `"refuse":true`, `"hang":true`, `"reject":true`}[c.rng.IntN(5)]
					c.run(nil, "sandbox", "fault", fmt.Sprintf(`{"ssh":{"server":%q,%s}}`, id, how)) // it may have gone
				}
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Second):
				}
				for _, id := range c.servers() {
					c.run(nil, "sandbox", "fault", fmt.Sprintf(`{"ssh":{"server":%q}}`, id))
				}
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Second):
				}
			}
		}()
		return func() {
			close(stop)
			<-ended
			for _, id := range c.servers() {
				c.run(nil, "sandbox", "fault", fmt.Sprintf(`{"ssh":{"server":%q}}`, id))
			}
		}
	}
	c.life()
}

// servers that exist, by id.
func (c *chaos) servers() (ids []string) {
	var found []struct{ Kind, ID string }
	r := c.run(nil, "sweep", "python-cluster", "-o", "json")
	if r.code == 0 && json.Unmarshal([]byte(r.stdout), &found) == nil {
		for _, f := range found {
			if f.Kind == "server" {
				ids = append(ids, f.ID)
			}
		}
	}
	return ids
}

// Three Consul servers of which the leader is killed and started again, over and over, while orch is killed, too.
func TestChaosStore(t *testing.T) {
	if !long() {
		t.Skip("only in ./task chaos: pkg/state/consul has the short form")
	}
	cluster := tools.StartConsul(t, 3)
	c := newChaos(t)
	var addrs []string
	for _, s := range cluster.Servers {
		addrs = append(addrs, s.Addr())
	}
	c.env = append(c.env, "ORCH_STORE=consul://"+strings.Join(addrs, ",")+"/orch?wait=90s", "XDG_STATE_HOME="+c.home)
	c.secret("store_token", "token-of-the-store-0123456789")
	c.kills, c.chance = 20, 10
	c.during = func() func() {
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Second):
				}
				cluster.Spare(t)
				leader := cluster.Leader(t)
				leader.Kill()
				time.Sleep(time.Second)
				leader.Start(t)
			}
		}()
		return func() { close(stop); <-ended }
	}
	c.life()
}
