// Package cloudtest runs the life of a deployment on a real OpenStack: deploy, ask it, deploy again without a change, undeploy, nothing left.
//
//	./task test:cloud OS_CLOUD=name [IMAGE=debian-12] [EXTERNAL=public] [USER_NAME=debian] [HOST_KEYS=script]
//
// Its servers need only sh and python3, and a floating IP each (four of them).
package cloudtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
)

const (
	blueprint = "blueprints/python-cluster"
	patience  = 30 * time.Minute
)

// orch runs the command in the home directory and returns what it printed; it must succeed.
func orch(t *testing.T, binary, home, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = filepath.Join("..", "..")
	c.Env = append(os.Environ(), "ORCH_HOME="+home, "ORCH_CONFIG="+filepath.Join(home, "config.yaml"), "NO_COLOR=1")
	var out bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), io.MultiWriter(&out, os.Stdout), io.MultiWriter(&out, os.Stderr)
	fmt.Println("$ orch", strings.Join(args, " "))
	if err := c.Run(); err != nil {
		t.Fatalf("orch %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

// configure writes a location for the cloud with what the caller said of it.
func configure(t *testing.T, home, cloud string) {
	t.Helper()
	lines := []string{"locations:", "  cloud:", "    plugin: openstack", "    cloud: " + cloud}
	for setting, variable := range map[string]string{"image": "IMAGE", "flavor": "FLAVOR", "external_network": "EXTERNAL", "user": "USER_NAME",
		"host_keys": "HOST_KEYS", "availability_zone": "ZONE"} {
		if v := os.Getenv(variable); v != "" {
			lines = append(lines, "    "+setting+": "+v)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s: %s (%v)", url, resp.Status, body, err)
	}
	fmt.Printf("$ curl %s\n%s", url, body)
	return string(body)
}

func TestLifeOnARealCloud(t *testing.T) {
	cloud := os.Getenv("OS_CLOUD")
	if cloud == "" || os.Getenv("ORCH_TEST_CLOUD") == "" {
		t.Skip("no cloud is named: ./task test:cloud OS_CLOUD=name")
	}
	home := t.TempDir()
	binary := filepath.Join(home, "orch")
	if err := tools.BuildOrch(binary); err != nil {
		t.Fatal(err)
	}
	configure(t, home, cloud)
	token := make([]byte, 12)
	_, _ = rand.Read(token)
	orch(t, binary, home, hex.EncodeToString(token), "secrets", "set", "store_token")
	orch(t, binary, home, "", "doctor")
	orch(t, binary, home, "", "plan", blueprint)
	defer func() {
		// Whatever happened, nothing is to be left in somebody's cloud.
		out := orch(t, binary, home, "", "undeploy", "python-cluster")
		if !strings.Contains(out, "0 resources left, checked in") {
			t.Error("undeploy does not prove that nothing is left")
		}
	}()
	orch(t, binary, home, "", "deploy", "--verbose", blueprint)
	url := strings.TrimSpace(orch(t, binary, home, "", "outputs", "--only", "url"))
	names := map[string]bool{}
	for range 4 {
		for line := range strings.SplitSeq(ask(t, url), "\n") {
			if name, ok := strings.CutPrefix(line, "answered by "); ok {
				names[name] = true
			}
		}
	}
	if len(names) != 2 {
		t.Errorf("want answers of two application servers, got %v", names)
	}
	if out := orch(t, binary, home, "", "deploy", blueprint); !strings.Contains(out, "nothing to do") {
		t.Error("a second deploy must change nothing")
	}
	orch(t, binary, home, "", "status")
	orch(t, binary, home, "", "ssh", "app", "1", "--", "hostname")
}
