package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
)

func TestABackgroundSandboxComesUpIsFoundAndGoesDown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := t.Context()
	t.Cleanup(func() { _ = sandbox.Down(t.Context(), dir) })
	state, err := sandbox.Up(ctx, dir, sandbox.UpOptions{Delays: quick})
	check(t, err)
	again, err := sandbox.Up(ctx, dir, sandbox.UpOptions{})
	check(t, err)
	if again.PID != state.PID || again.URL != state.URL {
		t.Errorf("a second Up started another: %+v, %+v", state, again)
	}
	for _, name := range []string{"clouds.yaml", "openrc", "openrc.admin", "admin.json", "daemon.json"} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	c, err := sandbox.Connect(dir)
	check(t, err)
	h, err := c.Health(ctx)
	check(t, err)
	if h.URL != state.URL {
		t.Errorf("health: %+v", h)
	}
	id, err := c.AddFault(ctx, fault.Rule{Service: "nova", Do: fault.Hang, Delay: fault.Duration(time.Second)})
	check(t, err)
	l, err := c.Faults(ctx)
	check(t, err)
	if len(l.Requests) != 1 || l.Requests[0].ID != id || time.Duration(l.Requests[0].Delay) != time.Second {
		t.Errorf("faults: %+v", l)
	}
	for spec, want := range map[string]string{
		`{"match":{"service":"compute","method":"POST","path":"/servers$","skip":1},"status":500}`: "is set",
		`{"server_error":"No valid host was found. "}`:                                             "is set",
		`{"match":{"service":"network"},"quota":true}`:                                             "is set",
		"": "fault-1",
	} {
		if answer, err := sandbox.Fault(ctx, dir, spec); err != nil || !strings.Contains(answer, want) {
			t.Errorf("%s: %q %v", spec, answer, err)
		}
	}
	for _, spec := range []string{`{}`, `{"status":500,"lost":true}`, `{"stat":500}`, `{"match":{"service":"heat"},"lost":true}`, `nonsense`, `{"ssh":{"server":"x"}}`} {
		if answer, err := sandbox.Fault(ctx, dir, spec); err == nil {
			t.Errorf("%s: %s", spec, answer)
		}
	}
	if answer, err := sandbox.Fault(ctx, dir, "clear"); err != nil {
		t.Errorf("clear: %q %v", answer, err)
	}
	i, err := c.Inventory(ctx, sandbox.Demo)
	check(t, err)
	if !i.Empty() {
		t.Errorf("inventory: %s", i)
	}
	if _, err := c.Inventory(ctx, "nobody"); err == nil || !strings.Contains(err.Error(), "demo-small") {
		t.Errorf("unknown project: %v", err)
	}
	check(t, sandbox.Down(ctx, dir))
	check(t, sandbox.Down(ctx, dir))
	if state, err := sandbox.Status(ctx, dir); err != nil || state.Running {
		t.Errorf("after Down: %+v %v", state, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "clouds.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the credentials are still there")
	}
	if _, err := sandbox.Connect(dir); !errors.Is(err, sandbox.ErrDown) {
		t.Errorf("connect after Down: %v", err)
	}
}

func TestAKilledSandboxIsCleanedUpByTheNextUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := t.Context()
	t.Cleanup(func() { _ = sandbox.Down(t.Context(), dir) })
	state, err := sandbox.Up(ctx, dir, sandbox.UpOptions{Delays: quick})
	check(t, err)
	check(t, unix.Kill(state.PID, unix.SIGKILL))
	eventually(t, "status sees the death", func() bool { s, err := sandbox.Status(ctx, dir); check(t, err); return !s.Running })
	next, err := sandbox.Up(ctx, dir, sandbox.UpOptions{Delays: quick})
	check(t, err)
	if next.PID == state.PID {
		t.Error("the dead one was taken for running")
	}
	check(t, sandbox.Down(ctx, dir))
}

func TestUpSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	dir := t.TempDir()
	_, err := sandbox.Up(t.Context(), dir, sandbox.UpOptions{Listen: strings.TrimPrefix(s.URL, "http://")})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a taken port: %v", err)
	}
	if state, err := sandbox.Status(t.Context(), dir); err != nil || state.Running {
		t.Errorf("status: %+v %v", state, err)
	}
}

func TestSandboxesDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	a, b := start(t, sandbox.Options{}), start(t, sandbox.Options{})
	if a.URL == b.URL || a.Dir == b.Dir {
		t.Fatalf("%s %s, %s %s", a.URL, a.Dir, b.URL, b.Dir)
	}
	ca := rawClient(t, a, sandbox.Demo)
	ca.must(201, "POST", "/networking/v2.0/networks", `{"network":{"name":"mine"}}`)
	if i, err := b.Inventory(""); err != nil || strings.Contains(i.String(), "mine") {
		t.Errorf("%v %s", err, i)
	}
	// A token of one is worth nothing at the other.
	ca.url = b.URL
	if status, _, _ := ca.do("GET", "/compute/v2.1/flavors", ""); status != 401 {
		t.Errorf("status %d", status)
	}
}
