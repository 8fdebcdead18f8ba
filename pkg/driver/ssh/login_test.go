package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/secret"
)

func newKey(t *testing.T, passphrase string) string {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func TestLogins(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		server sshtest.Options
		host   func(h *driver.Host)
		change func(t *testing.T, s *sshtest.Server, o *Options)
		want   string // part of the error, "" for success
		hint   string
	}{
		"key":                  {},
		"password":             {server: sshtest.Options{NoKey: true, Password: "pa55word"}, host: byPassword},
		"keyboard-interactive": {server: sshtest.Options{NoKey: true, Password: "pa55word", Keyboard: true}, host: byPassword},
		"agent": {host: func(h *driver.Host) { h.KeyRef, h.Agent = "", true },
			change: func(t *testing.T, s *sshtest.Server, o *Options) { o.AgentSocket = startAgent(t, s.Key) }},
		"key with passphrase": {change: func(t *testing.T, s *sshtest.Server, o *Options) {
			key, err := ssh.ParseRawPrivateKey([]byte(s.Key))
			if err != nil {
				t.Fatal(err)
			}
			block, err := ssh.MarshalPrivateKeyWithPassphrase(key.(*ed25519.PrivateKey), "", []byte("phrase"))
			if err != nil {
				t.Fatal(err)
			}
			o.Secrets = secretMap{"key": string(pem.EncodeToMemory(block))}
			o.Passphrase = func(context.Context, driver.Host) (secret.Value, error) { return secret.New("phrase"), nil }
		}},
		"wrong password": {server: sshtest.Options{NoKey: true, Password: "other", Banner: "Company property\n"}, host: byPassword,
			want: "the host refuses the login of tester (tried: password): Company property", hint: "check the user name"},
		"wrong key": {change: func(t *testing.T, _ *sshtest.Server, o *Options) { o.Secrets = secretMap{"key": newKey(t, "")} },
			want: "the host refuses the login of tester (tried: key SHA256:", hint: "cloud images"},
		"wrong user":    {host: func(h *driver.Host) { h.User = "root" }, want: "refuses the login of root"},
		"no such key":   {host: func(h *driver.Host) { h.KeyRef = "nope" }, want: "cannot read the private key nope of server[0]: there is no secret nope"},
		"not a key":     {change: func(_ *testing.T, _ *sshtest.Server, o *Options) { o.Secrets = secretMap{"key": "ssh-ed25519 AAAA"} }, want: "no private key", hint: ".pub"},
		"no passphrase": {change: func(t *testing.T, _ *sshtest.Server, o *Options) { o.Secrets = secretMap{"key": newKey(t, "x")} }, want: "encrypted", hint: "ssh-add"},
		"wrong passphrase": {host: func(h *driver.Host) { h.PasswordRef = "password" }, change: func(t *testing.T, _ *sshtest.Server, o *Options) {
			o.Secrets = secretMap{"key": newKey(t, "x"), "password": "y"}
		}, want: "passphrase is wrong"},
		"nothing":  {host: func(h *driver.Host) { h.KeyRef = "" }, want: "neither key nor password", hint: "key_ref"},
		"no agent": {host: func(h *driver.Host) { h.KeyRef, h.Agent = "", true }, change: func(_ *testing.T, _ *sshtest.Server, o *Options) { o.AgentSocket = "/nonexistent" }, want: "cannot reach the SSH agent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, tt.server)
			d := testDriver(t, s, func(o *Options) {
				if tt.change != nil {
					tt.change(t, s, o)
				}
			})
			h := s.Host()
			if tt.host != nil {
				tt.host(&h)
			}
			_, err := d.Run(t.Context(), request(t, h, "true"), nil)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := errorWith(t, err, tt.want)
			if !strings.Contains(e.Hint, tt.hint) || e.Retryable {
				t.Errorf("%+v", e)
			}
			if strings.Contains(err.Error(), "pa55word") {
				t.Error("shows the password")
			}
		})
	}
}

func byPassword(h *driver.Host) { h.KeyRef, h.PasswordRef = "", "password" }

func errorWith(t *testing.T, err error, want string) *driver.Error {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %q", err, want)
	}
	return asDriverError(t, err)
}

func startAgent(t *testing.T, keys ...string) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		raw, err := ssh.ParseRawPrivateKey([]byte(k))
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _ = agent.ServeAgent(ring, c); c.Close() })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return socket
}

func TestChangedHostKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	s.NewHostKey()
	_, err := testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil)
	e := errorWith(t, err, "but pinned is ssh-ed25519 SHA256:")
	var k *KeyError
	if !errors.As(err, &k) || !strings.Contains(e.Hint, "remove the pinned key of server[0]") || e.Retryable {
		t.Errorf("%+v", e)
	}
	if s.Logins.Load() != 0 {
		t.Error("logged in to a host that shows another key")
	}
}

func TestPinOfAnotherKind(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&other.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h.HostKeys = []string{string(ssh.MarshalAuthorizedKey(public))}
	_, err = testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil)
	errorWith(t, err, "no key of the pinned kind")
}

func TestUnknownHostKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	h.HostKeys = nil
	_, err := testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil)
	if e := errorWith(t, err, "no host key is known"); e.Hint == "" {
		t.Error(e)
	}
	h.HostKeySource = FirstUse
	_, err = testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil)
	errorWith(t, err, "could not be kept")
	h.HostKeys = []string{"rubbish"}
	_, err = testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil)
	errorWith(t, err, "cannot parse the pinned host key")
}

func TestFirstUsePinsAndThenInsists(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	want := h.HostKeys
	h.HostKeys, h.HostKeySource = nil, FirstUse
	var pinned []string
	d := testDriver(t, s, func(o *Options) {
		o.Pin = func(_ context.Context, _ driver.Host, keys []string) error {
			pinned = append(pinned, keys...)
			return nil
		}
	})
	req := request(t, h, "true")
	if _, err := d.Run(t.Context(), req, nil); err != nil || !slices.Equal(pinned, want) {
		t.Fatalf("%v, pinned %q", err, pinned)
	}
	s.NewHostKey()
	s.Drop()
	req.OpID = "second"
	_, err := d.Run(t.Context(), req, nil)
	errorWith(t, err, "but pinned is")
}

func TestConsoleKeysAreWaitedForAndPinned(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	key := h.HostKeys
	h.HostKeys, h.HostKeySource, h.ServerID = nil, Console, "id-1"
	asked := 0
	var pinned []string
	d := testDriver(t, s, func(o *Options) {
		o.ConsoleKeys = func(_ context.Context, id string) ([]string, error) {
			if asked++; asked < 3 || id != "id-1" {
				return nil, nil
			}
			return key, nil
		}
		o.Pin = func(_ context.Context, _ driver.Host, keys []string) error { pinned = keys; return nil }
	})
	var l log
	if _, err := d.Run(t.Context(), request(t, h, "true"), l.emit); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pinned, key) || !strings.Contains(l.waits(), "waiting for host keys on the console log") {
		t.Errorf("pinned %q, waits %q", pinned, l.waits())
	}
}

func TestInjectedKeyIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	old := s.HostKey()
	s.NewHostKey()
	h := s.Host() // pinned: the key that user data will install
	h.HostKeySource, h.CloudInit = Injected, true
	if old == s.HostKey() {
		t.Fatal("the key did not change")
	}
	// The host first shows another key.
	installed := s
	first := sshtest.Start(t, sshtest.Options{})
	h.Port = first.Port
	var l log
	go func() {
		eventually(t, "the wait is said", func() bool { return strings.Contains(l.waits(), "injected host key") })
		first.Down()
		relay(t, first.Port, installed.Port)
	}()
	d := testDriver(t, installed)
	if _, err := d.Run(t.Context(), request(t, h, "true"), l.emit); err != nil {
		t.Fatal(err)
	}
	if first.Logins.Load() != 0 {
		t.Error("logged in to the wrong key")
	}
}

// A host that keeps its own key for the whole wait has not run its user data: that is said, and not waited for once more.
func TestInjectedKeyThatNeverComes(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	h.HostKeySource, h.CloudInit = Injected, true
	s.NewHostKey()
	e := impatiently(t, "injected host key", func(limit time.Duration) error {
		_, err := testDriver(t, s, func(o *Options) { o.ReadyTimeout = limit }).Run(t.Context(), request(t, h, "true"), nil)
		return err
	})
	if e.Retryable || !strings.Contains(e.Error(), "gave up after ") || !strings.Contains(e.Hint, "user data") {
		t.Errorf("retryable %v: %v (%s)", e.Retryable, e, e.Hint)
	}
}

// relay forwards a port, so that the host behind an address changes.
func relay(t *testing.T, from, to int) {
	var ln net.Listener
	eventually(t, "the port is free", func() bool {
		var err error
		ln, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: from})
		return err == nil
	})
	forwardAll(t, ln, to, nil)
}

func TestLoginIsWaitedForWhileCloudInitRuns(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	s.RefuseLogins(3)
	h := s.Host()
	h.CloudInit = true
	var l log
	if _, err := testDriver(t, s).Run(t.Context(), request(t, h, "true"), l.emit); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(l.waits(), "waiting for the login (refused so far)") {
		t.Errorf("%q", l.waits())
	}
	s.RefuseLogins(1 << 30)
	_, err := testDriver(t, s, func(o *Options) { o.LoginTimeout = 300 * time.Millisecond }).Run(t.Context(), request(t, h, "true"), nil)
	errorWith(t, err, "refuses the login")
}

func TestPortIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	s.Down()
	var l log
	go func() {
		eventually(t, "the wait is said", func() bool { return strings.Contains(l.waits(), "connection refused") })
		s.Up()
	}()
	if _, err := testDriver(t, s).Run(t.Context(), request(t, s.Host(), "true"), l.emit); err != nil {
		t.Fatal(err)
	}
}

func TestHostThatNeverAnswers(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	s.Silent(true)
	run := func(limit time.Duration) error {
		d := testDriver(t, s, func(o *Options) { o.ReadyTimeout, o.HandshakeTimeout = limit, limit/5 })
		_, err := d.Run(t.Context(), request(t, s.Host(), "true"), nil)
		return err
	}
	if e := impatiently(t, "no SSH server answers", run); !e.Retryable || !strings.Contains(e.Error(), "gave up after ") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	s.Down()
	if e := impatiently(t, "connection refused", run); !e.Retryable || !e.Final || e.Host != "127.0.0.1" {
		t.Errorf("%+v", e)
	}
	removing := func(limit time.Duration) error {
		d := testDriver(t, s, func(o *Options) { o.ReadyTimeout = limit })
		req := request(t, s.Host(), "true")
		req.Removal = true
		_, err := d.Run(t.Context(), req, nil)
		return err
	}
	if e := impatiently(t, "for what is being removed: waiting for", removing); !e.Retryable || !e.Final || !strings.Contains(e.Hint, "--force") {
		t.Errorf("%+v", e)
	}
}

func TestCancelWhileWaitingForTheHost(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	s.Silent(true)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
	begin := time.Now()
	_, err := testDriver(t, s).Run(ctx, request(t, s.Host(), "true"), nil)
	if !errors.Is(err, stop) || time.Since(begin) > patience/2 {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

func TestTheFirstAddressThatAnswersIsUsed(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	other := sshtest.Start(t, sshtest.Options{}) // somebody else's host under our first address: an overlapping private network
	h := s.Host()
	// Different addresses need one port: 127.0.0.2 is relayed to the other host.
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: s.Port})
	if err != nil {
		t.Skip("cannot listen on 127.0.0.2:", err)
	}
	forwardAll(t, ln, other.Port, nil)
	h.Addresses = []string{"127.0.0.3", "127.0.0.2", "127.0.0.1"}
	if _, err := testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil); err != nil {
		t.Fatal(err)
	}
	if other.Logins.Load() != 0 || s.Logins.Load() != 1 {
		t.Errorf("%d and %d logins", other.Logins.Load(), s.Logins.Load())
	}
	h.Addresses = []string{"127.0.0.3", "127.0.0.2"}
	impatiently(t, "127.0.0.2: the host shows the key", func(limit time.Duration) error {
		_, err := testDriver(t, s, func(o *Options) { o.ReadyTimeout = limit }).Run(t.Context(), request(t, h, "true"), nil)
		return err
	})
}

func TestBastionChain(t *testing.T) {
	t.Parallel()
	outer, inner := sshtest.Start(t, sshtest.Options{Forward: true}), sshtest.Start(t, sshtest.Options{Forward: true})
	s := sshtest.Start(t, sshtest.Options{})
	b1, b2, h := outer.Host(), inner.Host(), s.Host()
	b1.KeyRef, b2.KeyRef = "outer", "inner"
	b2.Bastion = &b1
	h.Bastion = &b2
	keys := secretMap{"key": s.Key, "outer": outer.Key, "inner": inner.Key}
	d := testDriver(t, s, func(o *Options) { o.Secrets, o.Idle = keys, 3*time.Second }) // none is idle for as long while others still begin
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c"} {
		wg.Go(func() {
			req := request(t, h, "echo through")
			req.OpID = id
			var l log
			if _, err := d.Run(t.Context(), req, l.emit); err != nil || l.stdout() != "through" {
				t.Errorf("%v %q", err, l.stdout())
			}
		})
	}
	wg.Wait()
	if outer.Logins.Load() != 1 || inner.Logins.Load() != 1 || s.Logins.Load() != 1 {
		t.Errorf("logins: %d %d %d", outer.Logins.Load(), inner.Logins.Load(), s.Logins.Load())
	}
	eventually(t, "all idle connections are closed, the bastions' last", func() bool { return d.Pool().Connections() == 0 })
}

func TestBastionErrorsNameTheBastion(t *testing.T) {
	t.Parallel()
	b := sshtest.Start(t, sshtest.Options{}) // forwards nothing
	s := sshtest.Start(t, sshtest.Options{})
	bh, h := b.Host(), s.Host()
	bh.KeyRef = "bastion"
	h.Bastion = &bh
	d := testDriver(t, s, func(o *Options) { o.Secrets = secretMap{"key": s.Key, "bastion": b.Key} })
	_, err := d.Run(t.Context(), request(t, h, "true"), nil)
	if e := errorWith(t, err, "the bastion 127.0.0.1 forwards no connections"); !strings.Contains(e.Hint, "AllowTcpForwarding") {
		t.Errorf("%+v", e)
	}
	bh.KeyRef = "key"
	_, err = d.Run(t.Context(), request(t, h, "true"), nil)
	errorWith(t, err, "refuses the login")
}

// A network that swallows packets leaves a connection that never ends by itself.
func TestKeepAliveEndsAStalledConnection(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var stalled sync.Map
	forwardAll(t, ln, s.Port, &stalled)
	h := s.Host()
	h.Port = ln.Addr().(*net.TCPAddr).Port
	d := testDriver(t, s, func(o *Options) { o.KeepAlive = 300 * time.Millisecond })
	var l log
	req := request(t, h, "echo begun; sleep 1; echo ended")
	go func() {
		eventually(t, "the script runs", func() bool { return l.stdout() == "begun" })
		stalled.Range(func(k, _ any) bool { k.(*stall).stop(); return true })
	}()
	if _, err := d.Run(t.Context(), req, l.emit); err != nil || l.stdout() != "begun\nended" {
		t.Errorf("%v %q", err, l.stdout())
	}
}
