package servicetest

import (
	"bufio"
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
)

var serverURL = regexp.MustCompile(`http://\S+`)

// Program builds orch and starts a sandbox and a server as processes of their own: a site of which there is only what HTTP shows. run runs a
// command with the server's home and fails the test if the command fails.
func Program(t *testing.T) (s *Site, run func(args ...string) string) {
	t.Helper()
	home := t.TempDir()
	binary := filepath.Join(home, "bin", "orch")
	if err := tools.BuildOrch(binary); err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OS_") && !strings.HasPrefix(e, "ORCH_") || strings.HasPrefix(e, "ORCH_CACHE=") {
			env = append(env, e)
		}
	}
	env = append(env, "ORCH_HOME="+filepath.Join(home, "state"), "XDG_CONFIG_HOME="+home, "ORCH_TERRAFORM_MIRROR="+tools.ProviderMirror(t), "NO_COLOR=1",
		"ORCH_RATE=0") // tests ask as fast as they can
	run = func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, binary, args...)
		c.Env = env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("orch %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("sandbox", "up")
	t.Cleanup(func() { run("sandbox", "down") })

	c := exec.Command(binary, "server", "--listen", "127.0.0.1:0")
	c.Env = env
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	server, err := tools.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(syscall.SIGTERM) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := serverURL.FindString(lines.Text()); url != "" {
			go func() {
				for lines.Scan() { // so that it never waits for a reader
				}
			}()
			return &Site{T: t, HTTP: &httptest.Server{URL: strings.TrimSuffix(url, "/")}}, run
		}
	}
	t.Fatal("the server did not say where it listens")
	return nil, nil
}
