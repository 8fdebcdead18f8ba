package terraform

import (
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

// The texts are those of real clouds and provider 1.15.
func TestClassify(t *testing.T) {
	for text, want := range map[string]Class{
		"Quota exceeded for cores, instances: Requested 1, 1, but already used 1, 1 of 1, 1 cores, instances":                                                                                  ClassQuota,
		"Expected HTTP response code [201] when accessing [POST http://x/networks], but got 409 instead: {\"NeutronError\": {\"message\": \"Quota exceeded for resources: ['floatingip'].\"}}": ClassQuota,
		"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota.":                                                                                       ClassQuota,
		"VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.":                                                                                             ClassQuota,
		"No valid host was found. ":                                       ClassCapacity,
		"Unable to find image with name debian-13: Resource not found":    ClassNotFound,
		"Authentication failed":                                           ClassAuth,
		"Error creating openstack_networking_network_v2: Forbidden (403)": ClassForbidden,
		"dial tcp 10.0.0.1:5000: connect: connection refused":             ClassUnreachable,
		"timeout while waiting for state to become 'ACTIVE'":              ClassTimeout,
		"context deadline exceeded":                                       ClassTimeout,
		"got 500 instead: computeFault":                                   ClassServer,
		"but got 503 instead":                                             ClassServer,
		"but got 429 instead: Too Many Requests":                          ClassRate,
		"got 409 instead: Unable to complete operation on network: There are one or more ports still in use on the network": ClassConflict,
		"Error associating openstack_networking_floatingip_v2 1 to openstack_networking_port_v2 2: Resource not found":      ClassNotFound,
		"something odd": ClassUnknown,
	} {
		got, _, hint := Classify(text)
		if got != want || want != ClassUnknown && hint == "" {
			t.Errorf("%q is %q (hint %q), want %q", text, got, hint, want)
		}
	}
}

// Neutron says "External network … is not reachable from subnet …", and the provider "Resource not found".
func TestAnAddressWithoutAWayIsHinted(t *testing.T) {
	_, retry, hint := Classify("Error associating openstack_networking_floatingip_v2 1 to openstack_networking_port_v2 2: Resource not found")
	if retry || !strings.Contains(hint, "router") {
		t.Errorf("%v %q", retry, hint)
	}
}

func TestTheCloudsSentenceIsTakenOutOfTheProviders(t *testing.T) {
	got := clarify(diagnostic{Summary: `Error creating openstack_networking_floatingip_v2: Expected HTTP response code [201 202] when accessing [POST http://x], but got 409 instead
{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['floatingip'].", "detail": ""}}`})
	if !strings.HasSuffix(got, "Quota exceeded for resources: ['floatingip'].") || strings.Contains(got, "{") || strings.Contains(got, "\n") {
		t.Errorf("%q", got)
	}
}

func TestStatesWithoutEndAreNotTaken(t *testing.T) {
	whole := `{"version":4,"serial":3,"lineage":"l","resources":[{"mode":"managed","type":"a_b","name":"c","instances":[{"status":"tainted","attributes":{"id":"1","n":2}},{"deposed":"x","attributes":{"id":"0"}}]}]}`
	s, err := parseState([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if s.good("a_b.c") || idOf(s.find("a_b.c")) != "1" || !s.ids()["0"] || len(s.managed()) != 1 {
		t.Errorf("%+v", s)
	}
	if a, _ := s.attributes("a_b.c"); a["n"] != int64(2) {
		t.Errorf("%T", a["n"])
	}
	for i := 1; i < len(whole); i += 7 {
		if _, err := parseState([]byte(whole[:i])); err == nil {
			t.Errorf("the first %d bytes were taken for a state", i)
		}
	}
	if _, err := parseState([]byte(`{"version":3}`)); err == nil {
		t.Error("version 3 was taken")
	}
}

func TestNewerStatesNeedTheSameLineage(t *testing.T) {
	a, b, c := &tfState{Lineage: "x", Serial: 1}, &tfState{Lineage: "x", Serial: 2}, &tfState{Lineage: "y", Serial: 9}
	if !b.newer(a) || a.newer(b) || c.newer(a) || !a.newer(&tfState{}) {
		t.Error("order of states")
	}
}

func TestManifestsKeepWhatIsReferredTo(t *testing.T) {
	e := func(wanted bool, refs ...string) *entry {
		return &entry{Wanted: wanted, Refs: refs, Blocks: []*block{{Type: "t", Name: "b"}}}
	}
	m := &manifest{Entries: map[string]*entry{"server/0": e(true, "port/0", "*/key"), "port/0": e(false, "net/0"), "net/0": e(false), "*/key": e(false), "old/0": e(false)}}
	m.sweep()
	if len(m.Entries) != 4 || m.Entries["old/0"] != nil {
		t.Errorf("%v", m.Entries)
	}
	m.Entries["server/0"].Wanted = false
	m.sweep()
	if len(m.Entries) != 0 {
		t.Errorf("%v", m.Entries)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":4,"resources":[{"instances":[{"attributes":{"id":1}}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		if s, err := parseState(b); err == nil {
			s.managed()
			s.ids()
			s.attributes("a.b")
		}
	})
}

func TestStartTimesTellProcessesApart(t *testing.T) {
	p, ok := alive(t.TempDir())
	if ok || p.running() {
		t.Error("a process was found in an empty directory")
	}
	if (process{PID: 1, Start: "nonsense"}).running() {
		t.Error("another process with the same id was taken for ours")
	}
}
