package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The Cloudify example: ctx in its scripts, a key made for it, a page that can be written to.
func TestCloudifyExample(t *testing.T) {
	u := newUser(t).sandboxed()
	before := u.resources()
	u.ok("deploy", "examples/02-cloudify/blueprint.yaml", "--name", "guests", "-i", "title=Who was here")
	at := strings.TrimSpace(u.ok("outputs", "guests", "--only", "url").stdout)
	if text := page(t, at); !strings.Contains(text, "<h1>Who was here</h1>") {
		t.Errorf("the page is not the template with the node's title:\n%s", text)
	}
	r, err := http.PostForm(at, url.Values{"name": {"Ada"}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if text := page(t, at); !strings.Contains(text, "<li>Ada</li>") {
		t.Errorf("the guest is not in the book:\n%s", text)
	}
	if out := u.ok("outputs", "guests", "--only", "visitors").stdout; !strings.HasSuffix(strings.TrimSpace(out), "/guest-book/visitors") {
		t.Errorf("the runtime property is %q", out)
	}
	if gone := u.ok("undeploy", "guests"); !strings.Contains(gone.stdout, "0 resources left, checked in") {
		t.Errorf("no proof: %s", gone)
	}
	if diff := cmp.Diff(before, u.resources()); diff != "" {
		t.Error(diff)
	}
}

// The Alien4Cloud example: a relationship that asks its target for what that one's host has, a command with inputs, a workflow of its own.
func TestAlien4CloudExample(t *testing.T) {
	u := newUser(t).sandboxed()
	before := u.resources()
	u.ok("deploy", "examples/03-alien4cloud/topology.yml")
	at := strings.TrimSpace(u.ok("outputs", "notes", "--only", "url").stdout)
	if text := page(t, at); !strings.Contains(text, "<li>the first note</li>") {
		t.Errorf("the page does not show the store's note:\n%s", text)
	}
	u.ok("operate", "notes", "Store", "custom.add_note", "-i", "TEXT=from the command")
	u.ok("run", "notes", "restart_page")
	if text := page(t, at); !strings.Contains(text, "<li>from the command</li>") {
		t.Errorf("the page does not show the command's note:\n%s", text)
	}
	if gone := u.ok("undeploy", "notes"); !strings.Contains(gone.stdout, "0 resources left, checked in") {
		t.Errorf("no proof: %s", gone)
	}
	if diff := cmp.Diff(before, u.resources()); diff != "" {
		t.Error(diff)
	}
}
