package hostpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orch-project/orch/pkg/state/mem"
)

type vault struct {
	mu   sync.Mutex
	held map[string]string
}

func (v *vault) Put(_ context.Context, ref string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held[ref] = string(value)
	return nil
}

func (v *vault) Remove(_ context.Context, ref string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.held, ref)
	return nil
}

func newPool(t *testing.T) (*Pool, *vault) {
	t.Helper()
	s := mem.New(mem.Options{})
	t.Cleanup(func() { s.Close() })
	v := &vault{held: map[string]string{}}
	return New(Options{Store: s, Secrets: v, Reach: func(_ context.Context, h *Host) error {
		if strings.HasPrefix(h.Connection.Host, "dead") {
			return errors.New("no route to host")
		}
		return nil
	}}), v
}

func ptr[T any](v T) *T { return &v }

func add(t *testing.T, p *Pool, name string, labels map[string]string) *Host {
	t.Helper()
	h, err := p.Add(t.Context(), "lab", name, Wanted{Host: ptr(name + ".example"), Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLifeOfAHost(t *testing.T) {
	p, v := newPool(t)
	ctx := t.Context()
	h, err := p.Add(ctx, "lab", "a", Wanted{Host: ptr("10.0.0.1"), User: ptr("debian"), Password: ptr("pw-1"), Labels: map[string]string{"os": "linux"}})
	if err != nil || h.Status() != Free || h.Connection.Port != 22 {
		t.Fatalf("%+v, %v", h, err)
	}
	if v.held[h.Connection.PasswordRef] != "pw-1" {
		t.Errorf("kept %v", v.held)
	}
	if _, err := p.Add(ctx, "lab", "a", Wanted{Host: ptr("10.0.0.2"), Password: ptr("other")}); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	if v.held[h.Connection.PasswordRef] != "pw-1" {
		t.Error("a refused host changed the password of the one that exists")
	}
	if _, err := p.Add(ctx, "lab", "b", Wanted{Labels: map[string]string{"x": "y"}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a connection: %v", err)
	}
	if _, err := p.Add(ctx, "lab", "../b", Wanted{Host: ptr("x")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("bad name: %v", err)
	}
	h, err = p.Update(ctx, "lab", "a", Wanted{Host: ptr("dead.example"), Password: ptr("-"), RemoveLabels: []string{"os"}, Labels: map[string]string{"gpu": "1"}})
	if err != nil || h.Status() != Failed || h.Reason != "no route to host" || len(v.held) != 0 || h.Labels["os"] != "" || h.Labels["gpu"] != "1" {
		t.Errorf("%+v, %v, %v", h, err, v.held)
	}
	if l, err := p.Locations(ctx); err != nil || !slices.Equal(l, []string{"lab"}) {
		t.Errorf("%v, %v", l, err)
	}
	if err := p.Remove(ctx, "lab", "a"); err != nil {
		t.Error(err)
	}
	if err := p.Remove(ctx, "lab", "a"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if l, _ := p.Locations(ctx); len(l) != 0 {
		t.Errorf("an empty pool is listed: %v", l)
	}
}

func TestAllocate(t *testing.T) {
	p, _ := newPool(t)
	ctx := t.Context()
	add(t, p, "a", map[string]string{"host.num_cpus": "2", "os": "linux"})
	add(t, p, "b", map[string]string{"host.num_cpus": "8", "os": "linux"})
	add(t, p, "dead", nil)
	big, err := ParseFilter("host.num_cpus >= 4")
	if err != nil {
		t.Fatal(err)
	}
	ask := Asked{Location: "lab", Deployment: "d", Node: "web", Instance: "0", Filters: []*Filter{big}}
	h, err := p.Allocate(ctx, ask)
	if err != nil || h.Name != "b" {
		t.Fatalf("%+v, %v", h, err)
	}
	if again, err := p.Allocate(ctx, ask); err != nil || again.Name != "b" || len(again.Allocations) != 1 {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	ask.Instance = "1"
	_, err = p.Allocate(ctx, ask)
	if !errors.Is(err, ErrNoHost) || !strings.Contains(err.Error(), "a: does not fulfil host.num_cpus >= 4") || !strings.Contains(err.Error(), "b: is given to d/web/0") ||
		!strings.Contains(err.Error(), "no route to host") {
		t.Errorf("no reasons: %v", err)
	}
	if err := p.Remove(ctx, "lab", "b"); !errors.Is(err, ErrAllocated) {
		t.Errorf("removed though in use: %v", err)
	}
	if held, err := p.Held(ctx, "lab", "d"); err != nil || len(held) != 1 || held[0] != "host b (web[0])" {
		t.Errorf("%v, %v", held, err)
	}
	if found, err := p.Release(ctx, "lab", "d", "web", "0"); err != nil || !found {
		t.Error(found, err)
	}
	if h, err := p.Allocate(ctx, ask); err != nil || h.Name != "b" {
		t.Error(h, err)
	}
}

// Who wants another host gets one that fits, the same one when the operation asks again, and keeps what it has where there is no other.
func TestAnotherHostInstead(t *testing.T) {
	p, _ := newPool(t)
	add(t, p, "a", nil)
	ask := Asked{Location: "lab", Deployment: "d", Node: "web", Instance: "0"}
	allocate := func(instead, want string) {
		t.Helper()
		ask.Instead = instead
		h, err := p.Allocate(t.Context(), ask)
		if err != nil || h.Name != want {
			t.Fatalf("instead %q: %+v, %v; want %s", instead, h, err, want)
		}
		if held, err := p.Held(t.Context(), "lab", "d"); err != nil || len(held) != 1 || !strings.Contains(held[0], want) {
			t.Errorf("held: %v, %v", held, err)
		}
	}
	allocate("", "a")
	allocate("op-1", "a") // there is no other
	add(t, p, "b", nil)
	allocate("op-1", "a") // it has been answered
	allocate("op-2", "b")
	allocate("op-2", "b")
	allocate("", "b")
	allocate("op-3", "a")
}

func TestSharedHosts(t *testing.T) {
	p, _ := newPool(t)
	add(t, p, "a", map[string]string{"host.mem_size": "8 GB"})
	add(t, p, "b", map[string]string{"host.mem_size": "8 GB"})
	ask := func(i, policy string, shared bool) (string, error) {
		h, err := p.Allocate(t.Context(), Asked{Location: "lab", Deployment: "d", Node: "n", Instance: i, Shareable: shared, Policy: policy,
			Resources: map[string]Quantity{"host.mem_size": {3e9, "B"}}})
		if err != nil {
			return "", err
		}
		return h.Name, nil
	}
	got := []string{}
	for i, policy := range []string{Packed, Packed, Balanced, Balanced} {
		name, err := ask(fmt.Sprint(i), policy, true)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if want := []string{"a", "a", "b", "b"}; !slices.Equal(got, want) {
		t.Errorf("given %v, want %v", got, want)
	}
	if _, err := ask("4", Balanced, true); !errors.Is(err, ErrNoHost) || !strings.Contains(err.Error(), "too little host.mem_size") {
		t.Errorf("given more than there is: %v", err)
	}
	if _, err := ask("5", Balanced, false); !errors.Is(err, ErrNoHost) {
		t.Errorf("a host in use given alone: %v", err)
	}
}

// Whoever asks at the same time, a host is given once.
func TestAllocateAtOnce(t *testing.T) {
	p, _ := newPool(t)
	for i := range 5 {
		add(t, p, fmt.Sprint("h", i), nil)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	given := map[string]int{}
	refused := 0
	for i := range 12 {
		wg.Go(func() {
			h, err := p.Allocate(t.Context(), Asked{Location: "lab", Deployment: fmt.Sprint("d", i), Node: "n", Instance: "0"})
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrNoHost) {
				refused++
			} else if err != nil {
				t.Error(err)
			} else {
				given[h.Name]++
			}
		})
	}
	wg.Wait()
	if len(given) != 5 || refused != 7 {
		t.Errorf("given %v, refused %d", given, refused)
	}
}

func TestCheck(t *testing.T) {
	p, _ := newPool(t)
	add(t, p, "a", nil)
	wrong, err := p.Check(t.Context(), "lab", []Asked{{Location: "lab", Deployment: "d", Node: "n", Instance: "0"}, {Location: "lab", Deployment: "d", Node: "n", Instance: "1"}})
	if err != nil || wrong[0] != nil || !errors.Is(wrong[1], ErrNoHost) {
		t.Errorf("%v, %v", wrong, err)
	}
	if h, _ := p.Host(t.Context(), "lab", "a"); len(h.Allocations) != 0 {
		t.Error("a check has given a host")
	}
}

func TestApply(t *testing.T) {
	p, _ := newPool(t)
	ctx := t.Context()
	add(t, p, "a", map[string]string{"x": "1", "y": "2"})
	add(t, p, "b", nil)
	_, at, err := p.Hosts(ctx, "lab")
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]Wanted{"a": {Labels: map[string]string{"x": "9"}}, "c": {Host: ptr("c.example")}}
	stale := at - 1
	if _, err := p.Apply(ctx, "lab", wanted, &stale); !errors.Is(err, ErrStale) {
		t.Errorf("stale: %v", err)
	}
	if _, err := p.Allocate(ctx, Asked{Location: "lab", Deployment: "d", Node: "n", Instance: "0"}); err != nil {
		t.Fatal(err)
	}
	_, at, _ = p.Hosts(ctx, "lab")
	if _, err := p.Apply(ctx, "lab", map[string]Wanted{"c": {Host: ptr("c.example")}}, &at); !errors.Is(err, ErrAllocated) {
		t.Errorf("a host in use was to go: %v", err)
	}
	if _, err := p.Apply(ctx, "lab", wanted, &at); err != nil {
		t.Fatal(err)
	}
	hosts, _, err := p.Hosts(ctx, "lab")
	if err != nil || len(hosts) != 2 || hosts[0].Labels["x"] != "9" || hosts[0].Labels["y"] != "" || len(hosts[0].Allocations) != 1 || hosts[1].Name != "c" {
		t.Errorf("%+v, %v", hosts, err)
	}
}
