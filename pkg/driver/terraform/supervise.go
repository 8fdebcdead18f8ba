package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Terraform runs below a supervisor: this binary executed again, in a session of its own, so that neither the death of orch nor Ctrl-C at
// its terminal reaches Terraform in the middle of a create. It is started twice over (like a daemon), so that nobody has to wait for it.
//
//	orch ──start──► stage 1 ──start, exit──► supervisor ──► terraform apply -json
//	  └─── specification with the environment, by pipe ──────►┘   ├─ events.jsonl  (Terraform's standard output)
//	                                                              ├─ stderr.log
//	                                                              ├─ supervisor.json, terraform.json  pid and start time of each
//	                                                              └─ exit.json        written last, by rename
//
// supervisor.json is the point of no return: it is made by link, once. Who goes on after a kill makes it himself if it is not there, and so knows
// that a supervisor which has not got that far yet never will. All processes of a run have its directory as theirs, by which they are found.
//
// A signal to the supervisor is a request to cancel: the first is passed on as an interrupt, on which Terraform finishes what it has begun
// and stops; the second ends it.

const superviseVar = "ORCH_TERRAFORM_SUPERVISE"

// Files of a run, in its directory.
const (
	fileEvents     = "events.jsonl"
	fileStderr     = "stderr.log"
	fileSupervisor = "supervisor.json"
	fileTerraform  = "terraform.json"
	fileExit       = "exit.json"
	fileState      = "terraform.tfstate"
	fileModule     = "main.tf.json"
	fileRun        = "run.json"
)

// command is what the supervisor runs. It holds credentials, so it travels by pipe only.
type command struct {
	Dir  string   `json:"dir"`
	Run  string   `json:"run"` // whose directory it must be
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	// Relay, if set, is where the run is reported to; see relay.go.
	Relay *relayed `json:"relay,omitempty"`
}

// process identifies a process for certain: ids are used again, start times are not.
type process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // field 22 of /proc/PID/stat
}

// exit is the outcome of a run.
type exit struct {
	Code  int    `json:"code"` // -1: ended by a signal or never started
	Error string `json:"error,omitempty"`
}

// MaybeSupervise must be called first in main (and in TestMain of tests that use the driver): if this process was started as a supervisor,
// it does that work and does not return. open is needed where runs are relayed; nil: they are not.
func MaybeSupervise(open OpenStates) {
	switch os.Getenv(superviseVar) {
	case "":
		return
	case "1":
		os.Exit(detach())
	default:
		os.Exit(supervise(os.Stdin, open))
	}
}

// detach starts the supervisor proper in a new session and ends, so that init inherits it.
func detach() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self)
	cmd.Args[0] = "orch-terraform-supervisor"
	cmd.Env = []string{superviseVar + "=2", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = os.Stdin
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// supervise runs Terraform and records how it ended.
func supervise(in io.Reader, open OpenStates) int {
	// Standard streams that nobody reads must not end the supervisor.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var c command
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return 1
	}
	if err := c.enter(); err != nil {
		return 1
	}
	if err := reserve(fileExit); err != nil {
		return 1
	}
	e := exit{Code: -1}
	reported, err := startReporter(&c, open, func() { signals <- syscall.SIGKILL })
	defer reported()
	if err == nil {
		e.Code, err = runTerraform(&c, signals)
	}
	if err != nil {
		e.Error = err.Error()
	}
	if err := writeReserved(fileExit, e); err != nil {
		return 1
	}
	return 0
}

// enter makes the run's directory this process's own, and begins the run, if it is still wanted. From here on the directory may be removed, and another
// run's be made in its place: this process stays in its own.
func (c *command) enter() error {
	if err := os.Chdir(c.Dir); err != nil {
		return err
	}
	c.Dir = "."
	var rec applyRecord
	if err := readJSON(fileRun, &rec); err != nil {
		return err
	}
	if rec.ID != c.Run {
		return fmt.Errorf("the run %s is over", c.Run)
	}
	return begin(c.Dir, process{PID: os.Getpid(), Start: startTime(os.Getpid())})
}

// begin notes who supervises the run; the error is fs.ErrExist if that is noted already.
func begin(dir string, p process) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	own := filepath.Join(dir, fmt.Sprintf("%s.%d", fileSupervisor, os.Getpid()))
	defer os.Remove(own)
	if err := os.WriteFile(own, data, 0o600); err != nil {
		return err
	}
	return os.Link(own, filepath.Join(dir, fileSupervisor))
}

func runTerraform(c *command, signals <-chan os.Signal) (int, error) {
	events, err := os.OpenFile(filepath.Join(c.Dir, fileEvents), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return -1, err
	}
	defer events.Close()
	stderr, err := os.OpenFile(filepath.Join(c.Dir, fileStderr), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return -1, err
	}
	defer stderr.Close()
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, events, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return -1, err
	}
	if err := writeJSON(filepath.Join(c.Dir, fileTerraform), process{PID: cmd.Process.Pid, Start: startTime(cmd.Process.Pid)}); err != nil {
		fmt.Fprintln(stderr, "cannot record Terraform's process:", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for n := 0; ; {
		select {
		case s := <-signals:
			if n++; n == 1 && s != syscall.SIGKILL {
				// Only Terraform itself: it ends its providers when they have finished.
				err = cmd.Process.Signal(syscall.SIGINT)
			} else {
				err = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				fmt.Fprintln(stderr, "cannot signal Terraform:", err)
			}
		case err := <-ended:
			// Providers that outlived a killed Terraform would go on changing the cloud unseen.
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			var x *exec.ExitError
			if errors.As(err, &x) {
				return x.ExitCode(), nil
			}
			if err != nil {
				return -1, err
			}
			return 0, nil
		}
	}
}

// start runs a command below a supervisor and returns when that has begun.
func start(ctx context.Context, c *command) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot start Terraform's supervisor: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot start Terraform's supervisor: %w", err)
	}
	defer w.Close()
	var stderr strings.Builder
	cmd := exec.Command(self)
	cmd.Env = []string{superviseVar + "=1", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stderr = r, &stderr
	// A signal to orch's process group must not hit the first stage either.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Run()
	r.Close()
	if err != nil {
		return fmt.Errorf("cannot start Terraform's supervisor: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if err := json.NewEncoder(w).Encode(c); err != nil {
		return fmt.Errorf("cannot start Terraform's supervisor: %w", err)
	}
	w.Close()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(filepath.Join(c.Dir, fileSupervisor)); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("cannot start Terraform's supervisor: it did not begin within 20 s (is terraform.MaybeSupervise called first in main?)")
}

// alive returns the process to talk to of a run that has not ended: the supervisor, or Terraform itself where that has lost its supervisor.
func alive(dir string) (process, bool) {
	var p process
	if exists(filepath.Join(dir, fileExit)) {
		return p, false // the supervisor may still be telling the store of it
	}
	for _, file := range []string{fileSupervisor, fileTerraform} {
		if err := readJSON(filepath.Join(dir, file), &p); err == nil && p.running() {
			return p, true
		}
	}
	return p, false
}

func (p process) running() bool {
	return p.PID > 0 && p.Start != "" && startTime(p.PID) == p.Start
}

func (p process) signal(s syscall.Signal) error {
	if !p.running() {
		return nil
	}
	if err := syscall.Kill(p.PID, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// startTime of a process that runs (is no zombie), "" for none.
func startTime(pid int) string {
	f := statFields(pid)
	if len(f) < 20 {
		return ""
	}
	return f[19]
}

// statFields of a process that runs, from the third (its state) on.
func statFields(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	// The command name is in parentheses and may hold anything: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
	i := strings.LastIndex(string(data), ") ")
	if i < 0 {
		return nil
	}
	f := strings.Fields(string(data)[i+2:])
	if len(f) == 0 || f[0] == "Z" || f[0] == "X" {
		return nil
	}
	return f
}

// writeJSON writes a file that is either whole or absent.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, data)
}

func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// reserved is the size of a file that can be written on a full disk.
const reserved = 4096

// reserve takes a file's room on the disk. The file itself is still absent.
func reserve(path string) error {
	return os.WriteFile(path+".new", bytes.Repeat([]byte{' '}, reserved), 0o600)
}

// writeReserved writes a file whose room was reserved, whole or not at all.
func writeReserved(path string, e exit) error {
	if len(e.Error) > reserved/8 { // JSON may take six bytes for one
		e.Error = e.Error[:reserved/8]
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0) // the blanks behind it are JSON, too
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
