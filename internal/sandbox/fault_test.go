package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
)

func addFault(t *testing.T, s *sandbox.Sandbox, r fault.Rule) {
	t.Helper()
	if _, err := s.Faults.Add(r); err != nil {
		t.Fatal(err)
	}
}

func TestTheNthMatchingRequestFailsInTheServicesFormat(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	addFault(t, s, fault.Rule{Service: "neutron", Method: "POST", Path: `/networks$`, Body: `"name":"x`, Nth: 2, Count: 2, Do: fault.Answer, Status: 503, Message: "try later"})
	post := func(name string) int {
		status, _, text := c.do("POST", "/networking/v2.0/networks", `{"network":{"name":"`+name+`"}}`)
		if status == 503 && !strings.Contains(text, `"message":"try later"`) {
			t.Errorf("body: %s", text)
		}
		return status
	}
	var got []int
	for _, name := range []string{"other", "x1", "x2", "other", "x3", "x4"} {
		got = append(got, post(name))
	}
	want := []int{201, 201, 503, 201, 503, 201}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v, not %v", got, want)
		}
	}
	rules, _ := s.Faults.List()
	if rules[0].Matched != 4 || rules[0].Hit != 2 {
		t.Errorf("counts: %+v", rules[0])
	}
}

func TestALostReplyLeavesTheActionDone(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	addFault(t, s, fault.Rule{Service: "cinder", Method: "POST", Path: `/volumes$`, Do: fault.Lose})
	_, _, _, err := c.try(t.Context(), "POST", "/volume/v3/volumes", `{"volume":{"size":1,"name":"ghost"}}`)
	if err == nil {
		t.Fatal("the reply was not lost")
	}
	i, err := s.Inventory(sandbox.Demo)
	check(t, err)
	if i.Counts()["volume"] != 1 {
		t.Errorf("inventory: %s", i)
	}
	addFault(t, s, fault.Rule{Service: "cinder", Method: "POST", Do: fault.Drop})
	if _, _, _, err := c.try(t.Context(), "POST", "/volume/v3/volumes", `{"volume":{"size":1}}`); err == nil {
		t.Fatal("the request was not dropped")
	}
	if i, _ := s.Inventory(sandbox.Demo); i.Counts()["volume"] != 1 {
		t.Errorf("inventory after a drop: %s", i)
	}
}

func TestRequestsHangOrAreDelayedOrLimited(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	addFault(t, s, fault.Rule{Service: "nova", Path: "/flavors", Do: fault.Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, _, err := c.try(ctx, "GET", "/compute/v2.1/flavors", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
	addFault(t, s, fault.Rule{Service: "nova", Path: "/flavors", Do: fault.Delay, Delay: fault.Duration(30 * time.Millisecond)})
	before := time.Now()
	c.must(200, "GET", "/compute/v2.1/flavors", "")
	if d := time.Since(before); d < 30*time.Millisecond {
		t.Errorf("delayed by %s only", d)
	}
	addFault(t, s, fault.Rule{Service: "nova", Path: "/flavors", Do: fault.Limit, RetryAfter: 7})
	status, header, text := c.do("GET", "/compute/v2.1/flavors", "")
	if status != http.StatusTooManyRequests || header.Get("Retry-After") != "7" || !strings.Contains(text, "overLimit") {
		t.Errorf("limit: %d %v %s", status, header, text)
	}
	addFault(t, s, fault.Rule{Service: "nova", Path: "/servers", Do: fault.Quota, Resource: "cores"})
	if status, _, text := c.do("POST", "/compute/v2.1/servers", "{}"); status != 403 || !strings.Contains(text, "Quota exceeded for cores") {
		t.Errorf("quota: %d %s", status, text)
	}
}

func TestCloseEndsRequestsThatHang(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := rawClient(t, s, sandbox.Demo)
	// All requests: Go's client repeats a GET whose kept connection broke.
	addFault(t, s, fault.Rule{Do: fault.Hang, Count: -1})
	ended := make(chan error, 1)
	go func() {
		_, _, _, err := c.try(context.Background(), "GET", "/compute/v2.1/flavors", "")
		ended <- err
	}()
	eventually(t, "request hangs", func() bool { r, _ := s.Faults.List(); return r[0].Hit > 0 })
	check(t, s.Close())
	if err := <-ended; err == nil {
		t.Error("the hanging request was answered")
	}
}

func TestProbabilityIsReproducible(t *testing.T) {
	t.Parallel()
	run := func() string {
		var set fault.Set
		_, err := set.Add(fault.Rule{Count: -1, Probability: 0.5, Seed: 42, Do: fault.Drop})
		check(t, err)
		out := ""
		for range 40 {
			if set.Hit(fault.Request{}) != nil {
				out += "x"
			} else {
				out += "."
			}
		}
		return out
	}
	a, b := run(), run()
	if a != b || !strings.Contains(a, "x") || !strings.Contains(a, ".") {
		t.Errorf("%s and %s", a, b)
	}
}

func TestRulesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	var set fault.Set
	for _, r := range []fault.Rule{{}, {Do: "explode"}, {Do: fault.Drop, Path: "("}, {Do: fault.Drop, Body: "("}, {Do: fault.Drop, Probability: 2}, {Do: fault.Answer, Status: 42}} {
		if _, err := set.Add(r); !errors.Is(err, fault.ErrRule) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := set.AddServer(fault.ServerRule{Name: "("}); !errors.Is(err, fault.ErrRule) {
		t.Errorf("server rule: %v", err)
	}
}

func TestAServerGoesToErrorWithTheGivenFault(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	w := build(t, s)
	_, err := s.Faults.AddServer(fault.ServerRule{Name: "^db", Nth: 2, Message: "Insufficient compute resources: Claim pci failed.", Code: 500})
	check(t, err)
	w.boot(servers.CreateOpts{Name: "db-1"}, "ACTIVE")
	w.boot(servers.CreateOpts{Name: "web"}, "ACTIVE")
	v := w.boot(servers.CreateOpts{Name: "db-2"}, "ERROR")
	if v.Fault.Message != "Insufficient compute resources: Claim pci failed." || v.Fault.Code != 500 {
		t.Errorf("fault: %+v", v.Fault)
	}
	w.boot(servers.CreateOpts{Name: "db-3"}, "ACTIVE")
}
