package terraform_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
)

// dirStates is a StateStore that several processes share.
type dirStates string

func (d dirStates) path(name string) string { return filepath.Join(string(d), name) }

func (d dirStates) Load(_ context.Context, name string) ([]byte, error) {
	b, err := os.ReadFile(d.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (d dirStates) Save(_ context.Context, name string, data []byte) error {
	f, err := os.CreateTemp(string(d), ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close(), os.Rename(f.Name(), d.path(name)))
}

func (d dirStates) Remove(_ context.Context, name string) error {
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// openDirStates is what a supervisor opens.
func openDirStates(_ context.Context, config json.RawMessage) (terraform.StateStore, func() error, error) {
	var dir string
	err := json.Unmarshal(config, &dir)
	return dirStates(dir), func() error { return nil }, err
}

// machine is a driver with a home of its own on the shared states.
func (r *rig) machine(states dirStates) (d *terraform.Driver, work string) {
	r.t.Helper()
	config, err := json.Marshal(string(states))
	if err != nil {
		r.t.Fatal(err)
	}
	home := r.t.TempDir()
	d, err = terraform.New(terraform.Options{Home: home, Binary: r.binary, Plugins: r.set, States: states, Secrets: r.secrets, Relay: &terraform.Relay{Config: config},
		Location: func(context.Context, string) (plugin.Location, error) { return r.loc, nil },
		Cloud:    func(context.Context, plugin.Location) (driver.Cloud, error) { return r.cloud, nil }})
	if err != nil {
		r.t.Fatal(err)
	}
	return d, filepath.Join(home, "deployments", "app", "work")
}

// leave begins a run on a driver and lets go of it, as a server that dies does, while the key pair is being made.
func leave(t *testing.T, d *terraform.Driver, work string, reqs []*driver.Request) {
	t.Helper()
	ctx, let := context.WithCancelCause(t.Context())
	ended := make(chan *outcome)
	go func() { ended <- run(ctx, d, reqs) }()
	waitFor(t, "the start of the apply", func() bool {
		b, _ := os.ReadFile(filepath.Join(work, "events.jsonl"))
		return bytes.Contains(b, []byte(`"apply_start"`))
	})
	let(driver.ErrDetach)
	if first := <-ended; !errors.Is(first.err, driver.ErrDetach) {
		t.Fatalf("detached: %v %v", first.err, first.errs)
	}
}

// The server that began an apply dies; another one, on another machine, waits for the end of that apply and takes its outcome over: nothing is
// made twice, and nothing is lost.
func TestAnotherMachineFinishesTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	shared := dirStates(t.TempDir())
	a, work := r.machine(shared)
	b, _ := r.machine(shared)
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "os-keypairs", Do: fault.Delay, Delay: fault.Duration(6 * time.Second)})
	top := r.topology(keyAndGroup()...)
	reqs := requests(top, env{}, driver.Create, "create-")
	leave(t, a, work, reqs)
	second := run(t.Context(), b, reqs)
	second.must(t, reqs)
	for _, id := range []string{"key[0]", "sg[0]"} {
		if !second.results[id].Changed {
			t.Errorf("%s was not made by the run that was taken over", id)
		}
	}
	if !slices.ContainsFunc(second.events, func(e event.Event) bool {
		return e.Type == event.Waiting && strings.Contains(e.Message, "has to end first")
	}) {
		t.Error("nobody was told what it waits for")
	}
	if found, err := r.cloud.Inventory(t.Context(), "app"); err != nil || count(found, "key pair") != 1 || count(found, "security group") != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), b, del).must(t, del)
	r.nothingLeft()
	waitFor(t, "the removal of what the store had of the runs", func() bool {
		left, _ := os.ReadDir(string(shared))
		return len(left) == 0
	})
}

// The whole machine dies with the server and its Terraform: the other one goes on when it has been silent for long, and finds what was made.
func TestAnotherMachineGoesOnAfterADeadOne(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until the dead machine has been silent for long")
	}
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	shared := dirStates(t.TempDir())
	a, work := r.machine(shared)
	b, _ := r.machine(shared)
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "os-keypairs", Do: fault.Hang})
	top := r.topology(keyAndGroup()...)
	reqs := requests(top, env{}, driver.Create, "create-")
	leave(t, a, work, reqs)
	waitFor(t, "the first report", func() bool { _, err := os.Stat(shared.path("app@files")); return err == nil })
	for _, file := range []string{"supervisor.json", "terraform.json"} {
		var p struct{ PID int }
		raw, err := os.ReadFile(filepath.Join(work, file))
		if err == nil {
			err = json.Unmarshal(raw, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
		if pid := p.PID; file == "terraform.json" {
			_ = syscall.Kill(-pid, syscall.SIGKILL) // with its providers
		} else {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for i := range reqs {
		reqs[i].Attempt = 2
	}
	run(t.Context(), b, reqs) // the outcome of what was cut off
	second := run(t.Context(), b, reqs)
	second.must(t, reqs)
	if found, err := r.cloud.Inventory(t.Context(), "app"); err != nil || count(found, "key pair") != 1 || count(found, "security group") != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	del := requests(top, env{}, driver.Delete, "delete-")
	run(t.Context(), b, del).must(t, del)
	r.nothingLeft()
}

// What is said to be done is in the store: who goes on after the machine is lost makes nothing twice.
func TestWhatIsDoneIsInTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	shared := dirStates(t.TempDir())
	a, _ := r.machine(shared)
	// The server is awaited long after everything else is done.
	r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "/servers$", Do: fault.Delay, Delay: fault.Duration(3 * time.Second)})
	reqs := r.attached("one", driver.Create)
	names := map[string]string{"web": "web_0_server", "net": "net_0_interface", "port": "port_0_port", "ip": "ip_0_floating_ip", "data": "data_0_attachment"}
	err := a.RunBatch(t.Context(), reqs, nil, func(i int, _ driver.Result, err error) {
		if err != nil {
			t.Errorf("%s: %v", reqs[i].ID(), err)
		}
		var stored struct {
			State struct {
				Resources []struct{ Name string }
			}
		}
		raw, err := shared.Load(t.Context(), "app")
		if err == nil {
			err = json.Unmarshal(raw, &stored)
		}
		if name := names[reqs[i].Node.Name]; err != nil || !slices.ContainsFunc(stored.State.Resources, func(r struct{ Name string }) bool { return r.Name == name }) {
			t.Errorf("%s is done, and the store has nothing called %s: %+v, %v", reqs[i].ID(), name, stored.State.Resources, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
