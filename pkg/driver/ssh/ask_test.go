package ssh

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
)

// nova is a cloud that knows one server, "id-1" of the deployment of request.
type nova struct {
	driver.Cloud
	status, fault, console string
	asked                  atomic.Int32
}

func (n *nova) ServerStatus(_ context.Context, id string) (string, string, error) {
	n.asked.Add(1)
	if id != "id-1" {
		return "", "", errors.New("asked about another server: " + id)
	}
	return n.status, n.fault, nil
}

func (n *nova) Console(context.Context, string, int) (string, error) {
	n.asked.Add(1)
	return n.console, nil
}

func (n *nova) of(deployment string) func(*Options) {
	return func(o *Options) {
		o.Cloud = func(_ context.Context, name string) (driver.Cloud, error) {
			if name != deployment {
				return nil, errors.New("asked for another deployment: " + name)
			}
			return n, nil
		}
	}
}

// A host that refuses the login is waited for no longer than its cloud-init works.
func TestRefusedLoginAfterCloudInit(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	s.RefuseLogins(1 << 30)
	h := s.Host()
	h.CloudInit, h.ServerID = true, "id-1"
	req := request(t, h, "true")
	cloud := &nova{status: "ACTIVE", console: "[   14.1] cloud-init[731]: Cloud-init v. 22.4.2 finished at Mon, 30 Nov 2026 08:00:00 +0000. Datasource DataSourceOpenStack."}
	_, err := testDriver(t, s, cloud.of(req.Deployment)).Run(t.Context(), req, nil)
	errorWith(t, err, "refuses the login of "+h.User)
	errorWith(t, err, "SHA256:")
	if e := errorWith(t, err, "cloud-init has finished"); e.Retryable || !strings.Contains(e.Hint, "key_pair") {
		t.Errorf("retryable %v, hint %q", e.Retryable, e.Hint)
	}
}

// A server that went to ERROR, was deleted or switched off is not tried again and again: the cloud says what became of it. What it ran is asked for again.
func TestServerThatTheCloudGaveUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cloud *nova
		final bool
		says  string
	}{
		"error":   {&nova{status: "ERROR", fault: "the host crashed (server id-1, fault 500)"}, true, "is ERROR: the host crashed"},
		"deleted": {&nova{status: driver.ServerDeleted}, true, "does not exist in the cloud any more"},
		"off":     {&nova{status: "SHUTOFF"}, false, "is SHUTOFF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{})
			h := s.Host()
			h.ServerID = "id-1"
			req := request(t, h, "echo up; while [ ! -e $HOME/go ]; do sleep 0.1; done")
			d := testDriver(t, s, c.cloud.of(req.Deployment))
			go func() {
				eventually(t, "the script runs", func() bool { return strings.Contains(readFile(s.Home+"/journal/ops/"+req.OpID+"/stdout"), "up") })
				s.Down()
			}()
			for _, when := range []string{"while it runs", "before"} {
				_, err := d.Run(t.Context(), req, nil)
				if e := errorWith(t, err, c.says); !e.Retryable || e.Final != c.final || e.Hint == "" {
					t.Errorf("%s: retryable %v, final %v, hint %q", when, e.Retryable, e.Final, e.Hint)
				}
				d = testDriver(t, s, c.cloud.of(req.Deployment)) // which has never reached it
			}
			s.Up()
			if err := os.WriteFile(s.Home+"/go", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Run(t.Context(), req, nil); err != nil {
				t.Error("after all: ", err)
			}
		})
	}
}

// A server that is being rebooted comes back.
func TestServerThatReboots(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	h.ServerID = "id-1"
	cloud := &nova{status: "REBOOT"}
	req := request(t, h, "true")
	s.Down()
	go func() {
		eventually(t, "the cloud is asked", func() bool { return cloud.asked.Load() > 0 })
		s.Up()
	}()
	if _, err := testDriver(t, s, cloud.of(req.Deployment)).Run(t.Context(), req, nil); err != nil {
		t.Fatal(err)
	}
}
