package consul_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/consul"
)

// count adds one to a counter, a record and the event log, in one transaction.
func count(ctx context.Context, s state.Store, who string) error {
	return s.Update(ctx, func(tx state.Tx) error {
		n, _, err := state.Find[int](tx, state.Join("count", who))
		if err != nil {
			return err
		}
		if _, err := state.AppendTx(tx, "d", event.Event{Type: event.Log, Message: fmt.Sprint(who, " ", n)}); err != nil {
			return err
		}
		return state.Put(tx, state.Join("count", who), n+1)
	})
}

// checkCounts wants every counted update exactly once.
func checkCounts(t *testing.T, s state.Store, want map[string]int) {
	t.Helper()
	total := 0
	if err := s.View(t.Context(), func(tx state.Tx) error {
		for who, n := range want {
			total += n
			if got, _, err := state.Find[int](tx, state.Join("count", who)); err != nil || got != n {
				t.Errorf("%s counted %d, reported %d, %v", who, got, n, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	page, err := state.NewEventLog(s).Read(t.Context(), state.EventFilter{Deployment: "d"}, 0, 1<<30)
	if err != nil || len(page.Events) != total {
		t.Errorf("%d events for %d updates, %v", len(page.Events), total, err)
	}
	seen := map[string]bool{}
	for i, e := range page.Events {
		if e.Seq != uint64(i+1) || seen[e.Message] {
			t.Fatalf("event %d: %+v", i, e)
		}
		seen[e.Message] = true
	}
}

// flaky forwards connections and, when told to, cuts them at a random moment: often after a request was passed on and before its reply.
type flaky struct {
	net.Listener
	target string
	cut    atomic.Bool
	cuts   atomic.Int64
	wg     sync.WaitGroup
}

func newFlaky(t *testing.T, target string) *flaky {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{Listener: l, target: target}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); f.wg.Wait() })
	return f
}

func (f *flaky) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer up.Close()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(up, c); up.Close() })
	both.Go(func() {
		defer c.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := up.Read(buf)
			if err != nil {
				return
			}
			if f.cut.Load() && rand.IntN(4) == 0 { // the reply is lost
				f.cuts.Add(1)
				up.Close()
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	both.Wait()
}

// Lost replies: what was done is not done again, and what was not is.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	c := tools.StartConsul(t, 1)
	f := newFlaky(t, c.Addr())
	s := connect(t, consul.Options{Addresses: []string{f.Addr().String()}})
	f.cut.Store(true)
	want := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for range 25 {
				who := fmt.Sprint("w", w%3)
				if err := count(t.Context(), s, who); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				want[who]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	f.cut.Store(false)
	if f.cuts.Load() < 20 {
		t.Errorf("only %d replies were lost", f.cuts.Load())
	}
	checkCounts(t, s, want)
	blobs := state.NewBlobs(s)
	f.cut.Store(true)
	content := strings.Repeat("0123456789abcdef", 100_000)
	if _, err := blobs.Put(t.Context(), "b", strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got, _, err := blobs.ReadAll(t.Context(), "b", 0); err != nil || string(got) != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	f.cut.Store(false)
}

// Three servers, of which the leader is killed and started again: no update is lost or done twice, no call fails.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := tools.StartConsul(t, 3)
	var addrs []string
	for _, s := range c.Servers {
		addrs = append(addrs, s.Addr())
	}
	s := connect(t, consul.Options{Addresses: addrs, Patience: 90 * time.Second})
	l, err := s.Lease(t.Context(), "d", state.LeaseOptions{TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var followed atomic.Uint64
	follow := make(chan error, 1)
	go func() {
		for e, err := range state.NewEventLog(s).Follow(ctx, state.EventFilter{Deployment: "d"}, 0) {
			if err != nil {
				follow <- err
				return
			}
			if last := followed.Swap(e.Seq); e.Seq != last+1 {
				t.Errorf("followed %d after %d", e.Seq, last)
			}
		}
	}()
	want := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	halt := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-halt:
					return
				default:
				}
				who := fmt.Sprint("w", w)
				if err := count(t.Context(), state.Fenced(s, l), who); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				want[who]++
				mu.Unlock()
			}
		})
	}
	total := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, v := range want {
			n += v
		}
		return n
	}
	progress := func() {
		for from, end := total(), time.Now().Add(2*time.Minute); total() < from+50; time.Sleep(20 * time.Millisecond) {
			if t.Failed() || time.Now().After(end) {
				t.Error("no progress")
				return
			}
		}
	}
	for range 2 {
		progress()
		c.Spare(t)
		leader := c.Leader(t)
		leader.Kill()
		progress()
		leader.Start(t)
	}
	close(halt)
	wg.Wait()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	checkCounts(t, s, want)
	if err := l.Err(); err != nil {
		t.Errorf("the lease was lost, though nobody wanted it: %v", err)
	}
	for end := time.Now().Add(time.Minute); followed.Load() < uint64(total()) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // the follower may be in the pause after its last failure
	}
	stop()
	if err := <-follow; followed.Load() != uint64(total()) || !errors.Is(err, context.Canceled) {
		t.Errorf("followed %d of %d events, %v", followed.Load(), total(), err)
	}
}

// holder is this test binary as a process that holds a lease until it is killed.
func holder(addr string) {
	s, err := consul.Open(context.Background(), consul.Options{Addresses: []string{addr}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.Lease(context.Background(), "d", state.LeaseOptions{Owner: "victim"}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("held")
	select {}
}

func startHolder(t *testing.T, addr string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ORCH_TEST_CONSUL_HOLDER="+addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "held" {
		t.Fatal(lines.Text())
	}
	return cmd
}

func TestTakeoverAfterKill(t *testing.T) {
	t.Parallel()
	c := tools.StartConsul(t, 1)
	victim := startHolder(t, c.Addr())
	s := connect(t, consul.Options{Addresses: []string{c.Addr()}})
	_, err := s.Lease(t.Context(), "d", state.LeaseOptions{})
	var held *state.HeldError
	if !errors.As(err, &held) || held.Holder.Owner != "victim" || held.Holder.PID != victim.Process.Pid {
		t.Fatalf("got %v", err)
	}
	// Alive it keeps the lease, longer than its TTL.
	if _, err := s.Lease(t.Context(), "d", state.LeaseOptions{Wait: state.DefaultTTL + 2*time.Second}); !errors.Is(err, state.ErrHeld) {
		t.Fatalf("taken from the living: %v", err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l, err := s.Lease(t.Context(), "d", state.LeaseOptions{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the takeover took %s", took)
	}
	if l.Generation() != held.Holder.Generation+1 {
		t.Errorf("generation %d after %d", l.Generation(), held.Holder.Generation)
	}
}

// Who only asks for the holders, as a server does that looks for work, finds out about a death as soon as who waits for the lease.
func TestHoldersNoticeADeath(t *testing.T) {
	t.Parallel()
	c := tools.StartConsul(t, 1)
	victim := startHolder(t, c.Addr())
	s := connect(t, consul.Options{Addresses: []string{c.Addr()}})
	if hs, err := s.Holders(t.Context(), ""); err != nil || len(hs) != 1 {
		t.Fatalf("%v, %v", hs, err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		hs, err := s.Holders(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if len(hs) == 0 {
			return
		}
		if time.Since(began) > time.Minute { // 10 s, and what a busy machine adds
			t.Fatalf("held after a minute by %v", hs)
		}
	}
}

// A holder that is cut off notices before another can have taken the lease, and what it still tries to write is refused.
func TestCutOffHolder(t *testing.T) {
	t.Parallel()
	c := tools.StartConsul(t, 1)
	p := newSwitch(t, c.Addr())
	cutOff := connect(t, consul.Options{Addresses: []string{p.Addr().String()}, Patience: time.Second})
	other := connect(t, consul.Options{Addresses: []string{c.Addr()}})
	l, err := cutOff.Lease(t.Context(), "d", state.LeaseOptions{TTL: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan *state.Lease, 1)
	go func() {
		l2, err := other.Lease(t.Context(), "d", state.LeaseOptions{Wait: state.Forever})
		if err != nil {
			t.Error(err)
		}
		taken <- l2
	}()
	time.Sleep(500 * time.Millisecond)
	p.off.Store(true)
	p.drop()
	select {
	case <-l.Lost():
		select {
		case <-taken:
			t.Error("taken before the holder noticed")
		default:
		}
	case <-taken:
		t.Error("taken before the holder noticed")
	case <-time.After(time.Minute):
		t.Fatal("the holder notices nothing")
	}
	<-taken
	p.off.Store(false)
	err = cutOff.Update(t.Context(), func(tx state.Tx) error { tx.Fence(l); return tx.Put("a", nil) })
	if !errors.Is(err, state.ErrFenced) {
		t.Errorf("got %v", err)
	}
}

// Consul fails again and again, more often than a holder's time: its death is noticed all the same, long before Consul ends its session (20 s).
func TestDeathIsNoticedBetweenFailures(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	c := tools.StartConsul(t, 1)
	dying, flickering := newSwitch(t, c.Addr()), newSwitch(t, c.Addr())
	dead := connect(t, consul.Options{Addresses: []string{dying.Addr().String()}, Patience: time.Second})
	other := connect(t, consul.Options{Addresses: []string{flickering.Addr().String()}})
	if _, err := dead.Lease(t.Context(), "d", state.LeaseOptions{TTL: ttl}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var flicker sync.WaitGroup
	flicker.Go(func() {
		for {
			for _, d := range []time.Duration{ttl / 5, ttl / 2} { // off for one look or two, on for four
				flickering.off.Store(d == ttl/5)
				flickering.drop()
				select {
				case <-stop:
					return
				case <-time.After(d):
				}
			}
		}
	})
	defer flicker.Wait()
	defer close(stop)
	dying.off.Store(true)
	dying.drop()
	began := time.Now()
	l, err := other.Lease(t.Context(), "d", state.LeaseOptions{TTL: ttl, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the takeover of %d took %s", l.Generation(), took)
	}
}

// switchable is a proxy that can be off.
type switchable struct {
	net.Listener
	off   atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newSwitch(t *testing.T, target string) *switchable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &switchable{Listener: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", target)
			if err != nil || p.off.Load() {
				c.Close()
				if err == nil {
					up.Close()
				}
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, up)
			p.mu.Unlock()
			p.wg.Go(func() { _, _ = io.Copy(up, c); up.Close() })
			p.wg.Go(func() { _, _ = io.Copy(c, up); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); p.drop(); p.wg.Wait() })
	return p
}

func (p *switchable) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func TestMessages(t *testing.T) {
	t.Parallel()
	const management = "11111111-2222-3333-4444-555555555555"
	c := tools.StartConsul(t, 1, map[string]any{"acl": map[string]any{"enabled": true, "default_policy": "deny",
		"tokens": map[string]any{"initial_management": management, "default": management}}})
	for name, x := range map[string]struct {
		o    consul.Options
		want string
	}{
		"nobody there": {consul.Options{Addresses: []string{"127.0.0.1:1"}}, "check that Consul runs"},
		"wrong token":  {consul.Options{Addresses: []string{c.Addr()}, Token: secret.New("66666666-7777-8888-9999-000000000000")}, "ACL token needs"},
		"wrong scheme": {consul.Options{Addresses: []string{c.Addr()}, TLS: true}, "does not speak TLS"},
		"no such host": {consul.Options{Addresses: []string{"no-such-host.invalid:8500"}}, "check that Consul runs"},
		"bad prefix":   {consul.Options{Addresses: []string{c.Addr()}, Prefix: "a b"}, "cannot be the prefix"},
		"no CA file":   {consul.Options{Addresses: []string{c.Addr()}, CAFile: "/none.pem"}, "/none.pem"},
	} {
		x.o.Patience = 50 * time.Millisecond
		_, err := consul.Open(t.Context(), x.o)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "66666666") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := connect(t, consul.Options{Addresses: []string{c.Addr()}, Token: secret.New(management)})
	write := func(tx state.Tx) error { return tx.Put("a", nil) }
	if err := s.Update(t.Context(), write); err != nil {
		t.Error(err)
	}
	client, err := api.NewClient(&api.Config{Address: c.Addr(), Token: management, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: "read", Rules: `key_prefix "" { policy = "read" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reader := connect(t, consul.Options{Addresses: []string{c.Addr()}, Token: secret.New(token.SecretID), Patience: time.Second})
	if err := reader.View(t.Context(), func(tx state.Tx) error { _, err := tx.Get("a"); return err }); err != nil {
		t.Error(err)
	}
	_, leaseErr := reader.Lease(t.Context(), "l", state.LeaseOptions{})
	for what, err := range map[string]error{"write": reader.Update(t.Context(), write), "lease": leaseErr} {
		if err == nil || !strings.Contains(err.Error(), "ACL token needs") || strings.Contains(err.Error(), token.SecretID) {
			t.Errorf("%s with a token that may only read: %v", what, err)
		}
	}
}

// The Consul server that made the session may die for good: Consul forgets it, and with it the sessions of its node. That of a process that
// holds leases must not be among them.
func TestLeaseOutlivesConsulsServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := tools.StartConsul(t, 3)
	var addrs []string
	for _, s := range c.Servers {
		addrs = append(addrs, s.Addr())
	}
	s := connect(t, consul.Options{Addresses: addrs, Patience: 90 * time.Second})
	l, err := s.Lease(t.Context(), "d", state.LeaseOptions{TTL: 3 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c.Spare(t)
	c.Servers[0].Kill()
	c.Removed(t, c.Servers[0])
	if err := s.Update(t.Context(), func(tx state.Tx) error { tx.Fence(l); return tx.Put("a", nil) }); err != nil {
		t.Error(err)
	}
	if err := l.Err(); err != nil {
		t.Error(err)
	}
}
