package ssh

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

func TestMain(m *testing.M) {
	machine.MaybeInit() // this program is also the init of the sandbox's servers
	goleak.VerifyTestMain(m)
}

// secretMap is the smallest store of secrets.
type secretMap map[string]string

func (s secretMap) Resolve(_ context.Context, ref string) (secret.Value, error) {
	v, ok := s[ref]
	if !ok {
		return secret.Value{}, fmt.Errorf("there is no secret %s", ref)
	}
	return secret.New(v), nil
}

func (s secretMap) Generate(context.Context, string, func() ([]byte, error)) (secret.Value, error) {
	return secret.Value{}, errors.ErrUnsupported
}
func (s secretMap) Remove(context.Context, string) error { return errors.ErrUnsupported }

// log collects events.
type log struct {
	mu     sync.Mutex
	events []event.Event
	on     func(event.Event)
}

func (l *log) emit(e event.Event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	on := l.on
	l.mu.Unlock()
	if on != nil {
		on(e)
	}
}

func (l *log) lines(typ event.Type, stream string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		if e.Type == typ && e.Stream == stream {
			out = append(out, e.Message)
		}
	}
	return out
}

func (l *log) stdout() string { return strings.Join(l.lines(event.Log, "stdout"), "\n") }

func (l *log) waits() string { return strings.Join(l.lines(event.Waiting, ""), "\n") }

// patience is what only a broken program needs, on however busy a machine.
const patience = 2 * time.Minute

// testDriver is a driver for a test server, whose timings are short and which keeps the journal in the server's home.
func testDriver(t *testing.T, s *sshtest.Server, change ...func(*Options)) *Driver {
	t.Helper()
	o := Options{
		Secrets: secretMap{"key": s.Key, "password": "pa55word"}, Dir: filepath.Join(s.Home, "journal"), Locks: Locks{Ignore: true},
		Grace: time.Second, Reconnect: patience, ReadyTimeout: patience, HandshakeTimeout: patience, ConnectTimeout: patience,
	}
	for _, c := range change {
		c(&o)
	}
	d := New(o)
	t.Cleanup(func() { d.Close() })
	return d
}

// request for a shell script on a host.
func request(t *testing.T, h driver.Host, text string) *driver.Request {
	t.Helper()
	n := &topology.Node{Name: "n"}
	op := &topology.Operation{Interface: "Standard", Name: "create", Implementation: &topology.Artifact{File: "scripts/create.sh"}}
	top := &topology.Topology{Nodes: []*topology.Node{n}, Files: fstest.MapFS{"scripts/create.sh": {Data: []byte(text)}}}
	return &driver.Request{Deployment: "d", Step: "n_create", OpID: "op-" + strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()),
		Topology: top, Node: n, Instance: "0", Operation: op, Host: &h}
}

func asDriverError(t *testing.T, err error) *driver.Error {
	t.Helper()
	var e *driver.Error
	if !errors.As(err, &e) {
		t.Fatalf("not a driver.Error: %v", err)
	}
	return e
}

// eventually waits for a condition; it fails the test after a time that only a broken program needs.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// impatiently runs something under a limit that it is to exceed, and returns the error that says what. A busy machine may not get that far
// within the first limit: then it has a longer one.
func impatiently(t *testing.T, want string, run func(limit time.Duration) error) *driver.Error {
	t.Helper()
	limit := 700 * time.Millisecond
	for ; limit < patience/4; limit *= 4 {
		if err := run(limit); err != nil && strings.Contains(err.Error(), want) {
			return errorWith(t, err, want)
		}
	}
	return errorWith(t, run(limit), want)
}

func readFile(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}

// running reports whether the process in a pid file lives.
func running(pidFile string) bool {
	pid := strings.TrimSpace(readFile(pidFile))
	stat := readFile("/proc/" + pid + "/stat")
	_, rest, ok := strings.Cut(stat, ") ")
	return pid != "" && ok && rest[0] != 'Z'
}

func kill9(t *testing.T, pid string) {
	t.Helper()
	if out, err := exec.Command("kill", "-s", "KILL", "--", pid).CombinedOutput(); err != nil {
		t.Errorf("kill %s: %v %s", pid, err, out)
	}
}

func sum(b []byte) [32]byte { return sha256.Sum256(b) }
