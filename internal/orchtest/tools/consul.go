package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds how long servers may take to elect a leader; a busy machine needs some of it.
const startTimeout = 90 * time.Second

// ConsulCluster is one or more real Consul servers on loopback, which end with the test.
type ConsulCluster struct {
	Servers []*ConsulServer
}

// ConsulServer is one server of a cluster.
type ConsulServer struct {
	Name string
	addr string
	args []string
	exe  string
	log  *logBuffer
	proc *Child
}

// StartConsul starts n real Consul servers and waits until they have a leader.
//
// One server is `consul agent -dev`: it keeps everything in memory and elects itself at once, but forgets all when restarted. Three make
// a cluster with Raft logs on disk: each may be killed and started again. config is merged into every server's configuration, e.g.
// {"session_ttl_min": "1s"}. Consul's log is shown when the test fails.
func StartConsul(t testing.TB, n int, config ...map[string]any) *ConsulCluster {
	t.Helper()
	exe := Consul(t)
	for attempt := 1; ; attempt++ {
		c := newCluster(t, exe, n, config)
		for _, s := range c.Servers {
			s.start(t)
		}
		err := c.Wait()
		if err == nil {
			t.Cleanup(func() {
				if t.Failed() {
					c.logTails(t)
				}
				c.stop()
			})
			return c
		}
		c.stop()
		// Another process may have taken a port between our look and Consul's bind.
		if attempt == 3 || !c.portTaken() {
			c.logTails(t)
			t.Fatalf("cannot start Consul: %v", err)
		}
	}
}

func newCluster(t testing.TB, exe string, n int, config []map[string]any) *ConsulCluster {
	t.Helper()
	ports := freePorts(t, 3*n) // http, serf and server RPC of each
	var join []string
	for i := range n {
		join = append(join, fmt.Sprintf("127.0.0.1:%d", ports[3*i+1]))
	}
	c := &ConsulCluster{}
	for i := range n {
		dir := t.TempDir()
		s := &ConsulServer{Name: fmt.Sprintf("server-%d", i+1), addr: fmt.Sprintf("127.0.0.1:%d", ports[3*i]), exe: exe, log: &logBuffer{}}
		cfg := map[string]any{
			"node_name": s.Name, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "WARN",
			"ports": map[string]int{
				"http": ports[3*i], "serf_lan": ports[3*i+1], "server": ports[3*i+2],
				"dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1, "https": -1,
			},
			"disable_update_check": true,
			"performance":          map[string]any{"raft_multiplier": 1},
		}
		s.args = []string{"agent", "-config-file", filepath.Join(dir, "config.json")}
		if n == 1 {
			s.args = append(s.args, "-dev")
		} else {
			maps.Copy(cfg, map[string]any{
				"server": true, "bootstrap_expect": n, "data_dir": filepath.Join(dir, "data"), "retry_join": join, "retry_interval": "100ms",
				"leave_on_terminate": false, "skip_leave_on_interrupt": true,
				// A server that was away counts in votes again as soon as it is well; see Spare.
				"autopilot": map[string]any{"server_stabilization_time": "200ms"},
			})
		}
		for _, more := range config {
			maps.Copy(cfg, more)
		}
		data, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// Addr is the HTTP address ("127.0.0.1:PORT") of the first server.
func (c *ConsulCluster) Addr() string { return c.Servers[0].addr }

// Addr is the HTTP address ("127.0.0.1:PORT") of this server. It stays the same when the server is started again.
func (s *ConsulServer) Addr() string { return s.addr }

// PID of the server's process; 0 while it is killed.
func (s *ConsulServer) PID() int {
	if s.proc == nil {
		return 0
	}
	return s.proc.PID()
}

// Wait until every server that runs answers a consistent read, which needs a leader.
func (c *ConsulCluster) Wait() error {
	deadline := time.Now().Add(startTimeout)
	for _, s := range c.Servers {
		for s.proc != nil {
			err := s.ready()
			if err == nil {
				break
			}
			if s.proc.Ended() {
				return fmt.Errorf("%s ended: %v", s.Name, s.proc.Wait())
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s has no leader after %s: %w", s.Name, startTimeout, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// Spare waits until one more server may be killed. That a restarted server answers does not say so: Consul's autopilot removes a dead
// server from Raft's voters, and makes it one again only when it has caught up. With two voters the next kill would stop the cluster for good.
func (c *ConsulCluster) Spare(t testing.TB) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, s := range c.Servers {
			if s.proc == nil {
				continue
			}
			_, body, err := s.get("/v1/operator/autopilot/health")
			var health struct{ FailureTolerance int }
			if err == nil && json.Unmarshal(body, &health) == nil && health.FailureTolerance > 0 {
				return
			}
			last = fmt.Sprintf("%s, %v", body, err)
		}
	}
	c.logTails(t)
	t.Fatalf("no server of Consul can be spared after %s: %s", startTimeout, last)
}

// Removed waits until the others have removed a dead server from their catalog, as Consul's autopilot does after a while.
func (c *ConsulCluster) Removed(t testing.TB, dead *ConsulServer) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for _, s := range c.Servers {
			if s.proc == nil {
				continue
			}
			if status, body, err := s.get("/v1/catalog/nodes"); err == nil && status == http.StatusOK && !bytes.Contains(body, []byte(`"`+dead.Name+`"`)) {
				return
			}
		}
	}
	c.logTails(t)
	t.Fatalf("Consul still knows the dead %s after %s", dead.Name, startTimeout)
}

// Leader returns the server that leads now; it fails the test when there is none for long.
func (c *ConsulCluster) Leader(t testing.TB) *ConsulServer {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		for _, s := range c.Servers {
			if s.proc != nil && s.leads() {
				return s
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("no server of Consul leads")
	return nil
}

// Kill ends the server as a crash does (SIGKILL) and returns when it is gone.
func (s *ConsulServer) Kill() {
	if s.proc != nil {
		_ = s.proc.Stop(syscall.SIGKILL)
		s.proc = nil
	}
}

// Start a server that was killed, with the data and the address it had. It returns at once; see ConsulCluster.Wait.
func (s *ConsulServer) Start(t testing.TB) {
	t.Helper()
	if s.proc == nil {
		s.start(t)
	}
}

func (s *ConsulServer) start(t testing.TB) {
	t.Helper()
	cmd := exec.Command(s.exe, s.args...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	proc, err := Start(cmd)
	if err != nil {
		t.Fatalf("cannot start Consul: %v", err)
	}
	s.proc = proc
}

// ready asks for a key that does not exist: 404 from a server with a leader, 500 without.
func (s *ConsulServer) ready() error {
	status, body, err := s.get("/v1/kv/orchtest-ready?consistent")
	if err == nil && status != http.StatusNotFound {
		err = fmt.Errorf("HTTP %d: %s", status, body)
	}
	return err
}

func (s *ConsulServer) leads() bool {
	status, body, err := s.get("/v1/agent/self")
	var self struct {
		Stats struct{ Consul map[string]string }
	}
	return err == nil && status == http.StatusOK && json.Unmarshal(body, &self) == nil && self.Stats.Consul["leader"] == "true"
}

// client keeps no connection, so that it leaves no goroutine behind.
var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (s *ConsulServer) get(path string) (status int, body []byte, err error) {
	resp, err := client.Get("http://" + s.addr + path)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, bytes.TrimSpace(body), err
}

// stop all servers. Nothing of theirs is worth an orderly end: the data goes with the test.
func (c *ConsulCluster) stop() {
	for _, s := range c.Servers {
		s.Kill()
	}
}

func (c *ConsulCluster) portTaken() bool {
	for _, s := range c.Servers {
		if strings.Contains(s.log.String(), "address already in use") {
			return true
		}
	}
	return false
}

// logTails shows the last lines of every server's log: few, so that they do not hide what the test has found.
func (c *ConsulCluster) logTails(t testing.TB) {
	for _, s := range c.Servers {
		t.Logf("end of the log of Consul's %s:\n%s", s.Name, s.log.tail(tailLines))
	}
}

const tailLines = 12
