package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/sandbox"
)

// outage is a user with an application on one server. Its operations write down, on the server, that they begin and end; configure ends when there is a
// file "go", and the node "gate", whose operation runs beside orch, when there is a file of that name here. "late" comes after the gate.
type outage struct {
	*user
	app  string
	gate string
}

const outageDocument = `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  test.App:
    derived_from: tosca.nodes.SoftwareComponent
    capabilities:
      http: { type: tosca.capabilities.Endpoint }
    interfaces:
      Standard:
        operations: { create: create.sh, configure: configure.sh, start: start.sh, stop: stop.sh }
  test.Gate:
    derived_from: tosca.nodes.Root
    interfaces:
      Standard:
        operations: { create: gate.sh }
  test.Late:
    derived_from: tosca.nodes.SoftwareComponent
    interfaces:
      Standard:
        operations: { create: late.sh }
topology_template:
  node_templates:
    vm: { type: tosca.nodes.Compute }
    ip:
      type: orch.nodes.openstack.FloatingIP
      requirements: [ { server: vm } ]
    app:
      type: test.App
      capabilities: { http: { properties: { port: 8080, protocol: tcp } } }
      requirements: [ { host: vm } ]
    gate:
      type: test.Gate
      requirements: [ { dependency: app } ]
    late:
      type: test.Late
      requirements: [ { host: vm }, { dependency: gate } ]
  outputs:
    url: { value: { concat: [ "http://", { get_attribute: [ vm, public_address ] }, ":8080/" ] } }
`

func newOutage(t *testing.T) *outage {
	o := &outage{user: newUser(t).sandboxed()}
	dir := t.TempDir()
	o.app, o.gate = filepath.Join(dir, "app"), filepath.Join(dir, "open")
	counted := func(name, text string) string {
		return fmt.Sprintf("#!/bin/sh\nset -eu\necho '%[1]s begun' >>/root/effects\n%[2]s\necho '%[1]s ended' >>/root/effects\n", name, text)
	}
	for name, text := range map[string]string{
		"topology.yaml": outageDocument,
		"create.sh": counted("create", `printf '[Service]\nWorkingDirectory=/srv\nExecStart=/usr/bin/python3 -m http.server 8080\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/app.service
systemctl enable app`),
		"configure.sh": counted("configure", `n=0; while [ ! -e /root/go ]; do echo "line $n"; n=$((n + 1)); sleep 0.2; done; echo last`),
		"start.sh":     counted("start", "systemctl start app"),
		"stop.sh":      counted("stop", "systemctl stop app"),
		"late.sh":      counted("late", ":"),
		"gate.sh":      fmt.Sprintf("#!/bin/sh\nwhile [ ! -e '%s' ]; do sleep 0.1; done\n", o.gate),
	} {
		path := filepath.Join(o.app, name)
		if err := os.MkdirAll(o.app, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// background is a command that runs while something happens to what it works on.
type background struct {
	o    *outage
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  bytes.Buffer
	done chan struct{}
}

func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *background) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

func (o *outage) begin(args ...string) *background {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	b := &background{o: o, cmd: o.command(ctx, args...), done: make(chan struct{})}
	b.cmd.Stdout, b.cmd.Stderr = b, b
	if err := b.cmd.Start(); err != nil {
		cancel()
		o.t.Fatal(err)
	}
	go func() {
		defer close(b.done)
		defer cancel()
		_ = b.cmd.Wait()
	}()
	o.t.Cleanup(func() { cancel(); <-b.done })
	return b
}

// says waits until the command has printed the text.
func (b *background) says(text string) {
	b.o.t.Helper()
	for !strings.Contains(b.text(), text) {
		select {
		case <-b.done:
			if !strings.Contains(b.text(), text) {
				b.o.t.Fatalf("ended without %q:\n%s", text, b.text())
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ends waits for the command's end, which must have the exit code.
func (b *background) ends(code int) string {
	b.o.t.Helper()
	<-b.done
	if got := b.cmd.ProcessState.ExitCode(); got != code {
		b.o.t.Fatalf("exit code %d, want %d:\n%s", got, code, b.text())
	}
	return b.text()
}

// on runs a command line on the server.
func (o *outage) on(line string) string {
	o.t.Helper()
	return o.ok("ssh", "app", "vm", "0", "--", "sudo", "sh", "-c", line).stdout
}

// effects on the server until now, in order.
func (o *outage) effects() []string {
	o.t.Helper()
	return strings.Split(strings.TrimSpace(o.on("cat /root/effects")), "\n")
}

// begun waits until the operation has begun so many times.
func (o *outage) begun(operation string, n int) {
	o.t.Helper()
	for count := 0; count < n; time.Sleep(100 * time.Millisecond) {
		if o.t.Context().Err() != nil {
			o.t.Fatalf("%s did not begin", operation)
		}
		r := o.run(nil, "ssh", "app", "vm", "0", "--", "sudo", "cat", "/root/effects")
		count = strings.Count(r.stdout, operation+" begun")
	}
}

// server is the id of the application's server, seen by its user in the cloud.
func (o *outage) server() string {
	o.t.Helper()
	var found []struct{ Kind, ID string }
	o.json(&found, "sweep", "app")
	for _, f := range found {
		if f.Kind == "server" {
			return f.ID
		}
	}
	o.t.Fatal("there is no server")
	return ""
}

// act asks Nova for an action on the server, and waits until the server is ACTIVE, or what else it is to be, with nothing under way.
func (o *outage) act(id, action, becomes string) {
	o.t.Helper()
	token := ""
	call := func(method, url, body string, into any) {
		req, err := http.NewRequestWithContext(o.t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			o.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Auth-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			o.t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		if resp.StatusCode >= 300 {
			o.t.Fatalf("%s %s: %s %s", method, url, resp.Status, answer)
		}
		if t := resp.Header.Get("X-Subject-Token"); t != "" {
			token = t
		}
		if into != nil {
			if err := json.Unmarshal(answer, into); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	env := o.openrc()
	auth := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":"Default"},"password":%q}}},
		"scope":{"project":{"name":%q,"domain":{"name":"Default"}}}}}`, env["OS_USERNAME"], env["OS_PASSWORD"], env["OS_PROJECT_NAME"])
	call(http.MethodPost, env["OS_AUTH_URL"]+"/auth/tokens", auth, nil)
	url := strings.TrimSuffix(env["OS_AUTH_URL"], "/identity/v3") + "/compute/v2.1/servers/" + id
	call(http.MethodPost, url+"/action", action, nil)
	for {
		var v struct {
			Server struct {
				Status string  `json:"status"`
				Task   *string `json:"OS-EXT-STS:task_state"`
			} `json:"server"`
		}
		call(http.MethodGet, url, "", &v)
		if v.Server.Task == nil || *v.Server.Task == "" {
			if v.Server.Status != becomes {
				o.t.Fatalf("the server is %s, want %s", v.Server.Status, becomes)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (o *outage) reboot(how string) {
	o.t.Helper()
	o.act(o.server(), fmt.Sprintf(`{"reboot":{"type":%q}}`, how), "ACTIVE")
}

// openrc are the variables of the sandbox's user.
func (o *outage) openrc() map[string]string {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.home, "sandbox", "openrc"))
	if err != nil {
		o.t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		env[name] = strings.Trim(value, "'")
	}
	return env
}

// end checks what happened on the server, that the application answers, and that nothing is left after the undeployment.
func (o *outage) end(effects ...string) {
	o.t.Helper()
	if diff := cmp.Diff(effects, o.effects()); diff != "" {
		o.t.Errorf("operations on the server (-want +got):\n%s", diff)
	}
	page(o.t, strings.TrimSpace(o.ok("outputs", "app", "--only", "url").stdout))
	if out := o.ok("undeploy", "app").all(); !strings.Contains(out, "0 resources left") {
		o.t.Errorf("undeploy says\n%s", out)
	}
	if left := o.resources(); len(left) != 0 {
		o.t.Errorf("left: %v", left)
	}
}

func (o *outage) open() {
	o.t.Helper()
	if err := os.WriteFile(o.gate, nil, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o *outage) fault(spec string, args ...any) {
	o.t.Helper()
	o.ok("sandbox", "fault", fmt.Sprintf(spec, args...))
}

// The server is rebooted while its first login is awaited, while an operation runs (in good order, and by the power switch), and between two operations.
// What was cut off is said to be interrupted, and runs again when resumed; nothing else does.
func TestChaosReboots(t *testing.T) {
	o := newOutage(t)
	o.fault(`{"match":{"name":"vm"},"boot_delay":"30s"}`)
	b := o.begin("deploy", o.app, "--name", "app", "--plain")
	b.says("waiting for SSH")
	o.reboot("HARD") // and it boots at once
	o.begun("configure", 1)
	o.reboot("SOFT")
	if out := b.ends(3); !strings.Contains(out, "interrupted before it ended") || strings.Contains(out, "143") && !strings.Contains(out, "lost, reconnecting") {
		t.Errorf("does not say that it was interrupted:\n%s", out)
	}
	b = o.begin("resume", "app", "--plain")
	o.begun("configure", 2)
	o.reboot("HARD")
	if out := b.ends(3); !strings.Contains(out, "interrupted before it ended") {
		t.Errorf("does not say that it was interrupted:\n%s", out)
	}
	if out := o.ok("why", "app").all(); !strings.Contains(out, "interrupted") || !strings.Contains(out, "orch resume app") {
		t.Errorf("why does not say it:\n%s", out)
	}
	o.on("touch /root/go")
	b = o.begin("resume", "app", "--plain")
	b.says("gate[0] create …")
	o.reboot("HARD")
	o.open()
	b.ends(0)
	o.end("create begun", "create ended", "configure begun", "configure begun", "configure begun", "configure ended", "start begun", "start ended", "late begun", "late ended")
}

// The server's cable is out while an operation runs, and between two; packets get lost. It is waited for, and that is said; every operation runs once and
// none of its output is lost.
func TestChaosNetwork(t *testing.T) {
	o := newOutage(t)
	short, loss := 3*time.Second, 0
	if long() {
		short, loss = 75*time.Second, 20 // longer than it takes to give a connection up
	}
	b := o.begin("deploy", o.app, "--name", "app", "--plain")
	b.says("app[0] configure …")
	o.begun("configure", 1)
	id := o.server()
	o.fault(`{"network":{"server":%q,"down":true}}`, id)
	time.Sleep(short)
	if long() {
		if out := o.ok("status", "app").stdout; !strings.Contains(out, "waiting") && !strings.Contains(out, "lost") && !strings.Contains(out, "sign of life") {
			t.Errorf("status does not say what it waits for:\n%s", out)
		}
	}
	o.fault(`{"network":{"server":%q,"loss":%d}}`, id, loss)
	o.on("touch /root/go")
	b.says("gate[0] create …")
	o.fault(`{"network":{"server":%q,"down":true}}`, id)
	o.open()
	b.says("late[0] create …")
	time.Sleep(short)
	o.fault(`{"network":{"server":%q}}`, id)
	b.ends(0)
	if out := o.ok("logs", "app", "--node", "app").stdout; strings.Count(out, "line 0\n") != 1 || strings.Count(out, "last\n") != 1 {
		t.Errorf("output of configure:\n%s", out)
	}
	o.end("create begun", "create ended", "configure begun", "configure ended", "start begun", "start ended", "late begun", "late ended")
}

// The cloud's API cannot be reached for a while in the middle of an apply: connections are cut, or nothing answers any more. The deployment goes on by
// itself, and says which address does not answer; where the cloud stays away, it fails with that address and is resumed.
func TestChaosPartition(t *testing.T) {
	o := newOutage(t)
	o.open()
	away := 5 * time.Second
	if long() {
		away = 40 * time.Second
	}
	s, err := sandbox.Status(t.Context(), filepath.Join(o.home, "sandbox"))
	if err != nil {
		t.Fatal(err)
	}
	b := o.begin("deploy", o.app, "--name", "app", "--plain")
	b.says("created openstack_networking_network_v2")
	o.fault(`{"match":{"times":-1},"drop":true}`)
	b.says("waiting for another attempt")
	time.Sleep(away)
	o.fault("clear")
	if !strings.Contains(b.text(), s.URL) {
		t.Errorf("does not say what does not answer (%s):\n%s", s.URL, b.text())
	}
	o.begun("configure", 1)
	o.on("touch /root/go")
	b.ends(0)
	o.end("create begun", "create ended", "configure begun", "configure ended", "start begun", "start ended", "late begun", "late ended")
}
