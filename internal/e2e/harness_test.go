// Package e2e tests the orch command as a user has it: the built binary, the embedded OpenStack with servers one can log in to, real
// Terraform with a real provider, the examples. Each test has an ORCH_HOME and a sandbox of its own.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/internal/sandbox/machine"
)

var binary string

func TestMain(m *testing.M) {
	// The tests spend their time waiting for Terraform's provider, which looks every 5 to 10 seconds: many can wait at once.
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	dir, err := os.MkdirTemp("", "orch-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "orch")
	if err := tools.BuildOrch(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// user is somebody at a shell with a home directory.
type user struct {
	t    *testing.T
	home string
	env  []string
}

// newUser returns a user with an empty home. The caches of tools are shared: they are read only.
func newUser(t *testing.T) *user {
	t.Helper()
	if testing.Short() {
		t.Skip("takes a minute: a deployment on servers")
	}
	t.Parallel()
	// Go's test cache does not see what the built command is made of. `./task test` sets this to a digest of it; that a test reads it (TestMain is too early)
	// is enough for the cache to run these tests again when it differs.
	_ = os.Getenv("ORCH_TEST_DIGEST")
	tools.TerraformOrTofu(t)
	mirror := tools.ProviderMirror(t)
	home := t.TempDir()
	u := &user{t: t, home: home}
	u.env = append(cleanEnv(), "ORCH_HOME="+home, "ORCH_TERRAFORM_MIRROR="+mirror, "NO_COLOR=1")
	return u
}

// cleanEnv is this process's environment without what would reach another cloud or store.
func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OS_") && !strings.HasPrefix(e, "ORCH_HOME=") && !strings.HasPrefix(e, "ORCH_STORE=") && !strings.HasPrefix(e, "ORCH_CONFIG=") {
			env = append(env, e)
		}
	}
	return env
}

// sandboxed starts the user's sandbox with real servers, and ends it with the test.
func (u *user) sandboxed() *user {
	u.t.Helper()
	if err := machine.Available(); err != nil {
		u.t.Skipf("no servers on this machine: %v", err)
	}
	u.ok("sandbox", "up")
	u.t.Cleanup(func() {
		if r := u.run(nil, "sandbox", "down"); r.code != 0 {
			u.t.Errorf("sandbox down: %s", r)
		}
	})
	return u
}

// result of a command.
type result struct {
	args        string
	stdout, err string
	code        int
}

func (r result) String() string {
	return fmt.Sprintf("orch %s: exit code %d\n--- stdout\n%s--- stderr\n%s", r.args, r.code, r.stdout, r.err)
}

// all that was printed.
func (r result) all() string { return r.stdout + r.err }

const commandTimeout = 4 * time.Minute

func (u *user) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, binary, args...)
	// Who waits for ever is to say where: its goroutines go to its standard error, which the test shows.
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGQUIT) }
	c.WaitDelay = 20 * time.Second
	c.Env = u.env
	c.Dir = filepath.Join("..", "..")
	return c
}

// run runs orch and returns what came of it.
func (u *user) run(stdin io.Reader, args ...string) result {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	c := u.command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = stdin, &out, &errs
	err := c.Run()
	r := result{args: strings.Join(args, " "), stdout: out.String(), err: errs.String(), code: c.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		u.t.Fatalf("no end after %v: %s", commandTimeout, r)
	}
	if err != nil && r.code < 0 {
		u.t.Fatalf("%v: %s", err, r)
	}
	if strings.Contains(r.all(), "goroutine ") && strings.Contains(r.all(), "panic") {
		u.t.Fatalf("a stack trace reached the user: %s", r)
	}
	return r
}

// ok runs a command that must succeed.
func (u *user) ok(args ...string) result {
	u.t.Helper()
	r := u.run(nil, args...)
	if r.code != 0 {
		u.t.Fatal(r)
	}
	return r
}

// fails runs a command that must fail with the code, saying all of these.
func (u *user) fails(code int, says []string, args ...string) result {
	u.t.Helper()
	r := u.run(nil, args...)
	if r.code != code {
		u.t.Fatalf("want exit code %d: %s", code, r)
	}
	for _, s := range says {
		if !strings.Contains(r.all(), s) {
			u.t.Errorf("does not say %q: %s", s, r)
		}
	}
	return r
}

// json decodes the answer of a command.
func (u *user) json(into any, args ...string) {
	u.t.Helper()
	r := u.ok(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		u.t.Fatalf("%v: %s", err, r)
	}
}

// secret stores a secret over standard input.
func (u *user) secret(name, value string) {
	u.t.Helper()
	if r := u.run(strings.NewReader(value), "secrets", "set", name); r.code != 0 {
		u.t.Fatal(r)
	}
}

// kill starts a command and kills it with SIGKILL as soon as its output contains the text.
func (u *user) kill(when string, args ...string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	c := u.command(ctx, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		u.t.Fatal(err)
	}
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), when) {
		n, err := out.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			_ = c.Wait()
			u.t.Fatalf("ended without %q:\n%s", when, seen.String())
		}
	}
	_ = c.Process.Signal(syscall.SIGKILL)
	_ = c.Wait()
}

// page fetches a URL that must answer 200.
func page(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s: %s (%v)", url, resp.Status, body, err)
	}
	return string(body)
}

// resources that exist in the user's sandbox.
func (u *user) resources() map[string]int {
	u.t.Helper()
	var s struct {
		Resources map[string]int `json:"resources"`
	}
	u.json(&s, "sandbox", "status")
	left := map[string]int{}
	for k, n := range s.Resources {
		if n > 0 {
			left[k] = n
		}
	}
	return left
}
