package terraform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/terraform"
)

// runDir is a directory that a run was prepared in.
func runDir(t *testing.T, run string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "run.json"), fmt.Appendf(nil, `{"id":%q}`, run), 0o600))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// supervisor of a run "mine", which is a shell command that stands for Terraform. relay is where it reports to, nil: nowhere.
func supervisor(t *testing.T, dir, line string, relay any) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	spec, err := json.Marshal(map[string]any{"dir": dir, "run": "mine", "path": "/bin/sh", "args": []string{"-c", line}, "relay": relay})
	must(t, err)
	c := exec.Command(self)
	c.Env = []string{"ORCH_TERRAFORM_SUPERVISE=2", "PATH=" + os.Getenv("PATH")}
	c.Stdin = bytes.NewReader(spec)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

// A supervisor that was started and has not come to its first record when orch is killed: whoever goes on takes the run for not begun, and then it must
// not begin, however late it gets the processor.
func TestASupervisorThatIsTooLateDoesNothing(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(t *testing.T, dir string){
		"in time": func(*testing.T, string) {},
		"the run is given up": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "supervisor.json"), []byte(`{}`), 0o600))
		},
		"there is another run": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"id":"other"}`), 0o600))
		},
		"nothing is there":     func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
		"the directory is new": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); must(t, os.Mkdir(dir, 0o700)) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := runDir(t, "mine")
			spoil(t, dir)
			did := filepath.Join(t.TempDir(), "did")
			err := supervisor(t, dir, "touch '"+did+"'", nil).Run()
			_, statErr := os.Stat(did)
			if want := what == "in time"; (err == nil) != want || (statErr == nil) != want {
				t.Errorf("the supervisor ended with %v, Terraform: %v", err, statErr)
			}
		})
	}
}

// relayedTo reports to states, whose record of the deployment has this run.
func relayedTo(t *testing.T, states dirStates, run string) any {
	t.Helper()
	must(t, states.Save(t.Context(), "app", []byte(`{"format":1,"manifest":{"apply":`+run+`}}`)))
	return map[string]any{"config": string(states), "deployment": "app", "run": "mine"}
}

// A server stood still between its record of the run and the start of Terraform, and another one has gone on meanwhile: Terraform is not started any
// more, and nobody is left waiting for its end.
func TestARunThatOthersHaveTakenOverNeverBegins(t *testing.T) {
	t.Parallel()
	for run, begins := range map[string]bool{`{"id":"mine"}`: true, `{"id":"mine","dead":true}`: false, `{"id":"other"}`: false, `null`: false} {
		t.Run(run, func(t *testing.T) {
			t.Parallel()
			dir, states := runDir(t, "mine"), dirStates(t.TempDir())
			did := filepath.Join(t.TempDir(), "did")
			relay := relayedTo(t, states, run)
			must(t, states.Save(t.Context(), "app@run", []byte(`{"run":"other","beat":7}`)))
			must(t, supervisor(t, dir, "touch '"+did+"'", relay).Run())
			if _, err := os.Stat(did); (err == nil) != begins {
				t.Errorf("Terraform: %v", err)
			}
			var end struct {
				Code  int
				Error string
			}
			raw, err := os.ReadFile(filepath.Join(dir, "exit.json"))
			must(t, err)
			must(t, json.Unmarshal(raw, &end))
			if begins != (end.Code == 0) || !begins && !strings.Contains(end.Error, "taken the deployment over") {
				t.Errorf("the end: %s", raw)
			}
			raw, err = states.Load(t.Context(), "app@run")
			must(t, err)
			if told := strings.Contains(string(raw), `"ended":true`); told != strings.Contains(run, "mine") {
				t.Errorf("the store has been told: %s", raw)
			}
		})
	}
}

// A machine stands still, with all that runs on it, until another server has taken its run for dead. When it wakes up Terraform is killed at once.
func TestARunThatWakesUpTooLateIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("stands still for long")
	}
	dir, states := runDir(t, "mine"), dirStates(t.TempDir())
	c := supervisor(t, dir, "sleep 600", relayedTo(t, states, `{"id":"mine"}`))
	must(t, c.Start())
	waitFor(t, "the beginning", func() bool { _, err := os.Stat(filepath.Join(dir, "terraform.json")); return err == nil })
	must(t, c.Process.Signal(syscall.SIGSTOP))
	relayedTo(t, states, `{"id":"mine","dead":true}`)
	time.Sleep(11 * time.Second)
	must(t, c.Process.Signal(syscall.SIGCONT))
	must(t, c.Wait())
	if raw, err := os.ReadFile(filepath.Join(dir, "exit.json")); err != nil || !bytes.Contains(raw, []byte(`"code":-1`)) {
		t.Errorf("the end: %s, %v", raw, err)
	}
}

// Who loses its supervisor and Terraform leaves a provider, which waits for the cloud: it is ended before anybody goes on.
func TestWhatKilledProcessesLeaveIsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	hang, err := r.sandbox.Faults.Add(fault.Rule{Service: "nova", Method: "POST", Path: "os-keypairs", Do: fault.Hang})
	must(t, err)
	reqs := requests(r.topology(keyAndGroup()...), env{}, driver.Create, "create-")
	ended := make(chan *outcome)
	go func() { ended <- run(t.Context(), r.driver, reqs) }()
	work := filepath.Join(r.home, "deployments", "app", "work")
	waitFor(t, "the start of the apply", func() bool {
		b, _ := os.ReadFile(filepath.Join(work, "events.jsonl"))
		return bytes.Contains(b, []byte(`"apply_start"`))
	})
	session, _ := terraform.SupervisorOf(work)
	if len(members(session)) < 3 {
		t.Fatalf("in the session: %v", members(session))
	}
	for _, file := range []string{"supervisor.json", "terraform.json"} {
		var p struct{ PID int }
		raw, err := os.ReadFile(filepath.Join(work, file))
		must(t, errors.Join(err, json.Unmarshal(raw, &p)))
		must(t, syscall.Kill(p.PID, syscall.SIGKILL))
	}
	<-ended
	if left := members(session); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	r.sandbox.Faults.Remove(hang)
	for _, q := range reqs {
		q.Attempt, q.OpID = 2, q.OpID+"2"
	}
	run(t.Context(), r.driver, reqs).must(t, reqs)
}

// members of a session that run, with what they are.
func members(session int) (all []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); err == nil && len(f) > 3 && f[0] != "Z" && f[3] == strconv.Itoa(session) {
			all = append(all, strings.TrimSuffix(string(stat), rest))
		}
	}
	return all
}
