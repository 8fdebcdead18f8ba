package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/event"
)

// tools puts programs into a directory for the front of PATH.
func tools(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCloudInitIsWaitedFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		program string
		want    string // part of the error
		waits   string
	}{
		"finishes":  {program: `[ "$2" = --wait ] && sleep 0.8; echo; echo "status: done"`, waits: "waiting for cloud-init to finish, "},
		"warnings":  {program: `echo "status: done"; [ "$2" = --wait ] || echo "recoverable_errors:"; [ "$2" = --wait ] || echo "- unknown key foo"; exit 2`, waits: "cloud-init finished with warnings: unknown key foo"},
		"fails":     {program: `echo "status: error"; [ "$2" = --wait ] || { echo "detail:"; echo "('scripts-user', RuntimeError('Runparts: 1 failures'))"; }; exit 1`, want: "the host's first-boot configuration failed: ('scripts-user'"},
		"is broken": {program: `echo "Traceback" >&2; exit 1`, want: "the host's first-boot configuration failed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{PathPrefix: tools(t, map[string]string{"cloud-init": tt.program})})
			h := s.Host()
			h.CloudInit = true
			var l log
			_, err := testDriver(t, s).Run(t.Context(), request(t, h, "echo ran"), l.emit)
			if tt.want != "" {
				if e := errorWith(t, err, tt.want); e.Op != "cloud-init" || e.Hint == "" || l.stdout() != "" {
					t.Errorf("%+v, %q", e, l.stdout())
				}
				return
			}
			if err != nil || l.stdout() != "ran" || !strings.Contains(l.waits(), tt.waits) {
				t.Errorf("%v %q %q", err, l.stdout(), l.waits())
			}
		})
	}
}

// cloud-init may restart the SSH server or the whole host.
func TestConnectionLostDuringCloudInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := sshtest.Start(t, sshtest.Options{PathPrefix: tools(t, map[string]string{"cloud-init": `touch ` + dir + `/asked; while [ ! -e ` + dir + `/done ]; do sleep 0.05; done; echo "status: done"`})})
	h := s.Host()
	h.CloudInit = true
	go func() {
		eventually(t, "cloud-init is asked", func() bool { _, err := os.Stat(dir + "/asked"); return err == nil })
		s.Down()
		os.WriteFile(dir+"/done", nil, 0o600)
		s.Up()
	}()
	if _, err := testDriver(t, s).Run(t.Context(), request(t, h, "true"), nil); err != nil {
		t.Fatal(err)
	}
}

func TestReadinessIsCheckedOncePerHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := sshtest.Start(t, sshtest.Options{PathPrefix: tools(t, map[string]string{"cloud-init": "echo x >>" + dir + "/asked; echo 'status: done'"})})
	h := s.Host()
	h.CloudInit = true
	d := testDriver(t, s)
	for i := range 3 {
		req := request(t, h, "true")
		req.OpID = fmt.Sprint("op", i)
		if _, err := d.Run(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
		s.Drop()
	}
	if got := readFile(dir + "/asked"); got != "x\n" {
		t.Errorf("asked %q", got)
	}
}

func TestPackageLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	file := filepath.Join(t.TempDir(), "lock-frontend")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(readFile("/proc/locks"), fmt.Sprint(":", inode(t, file), " ")) {
		t.Skip("this system does not show file locks in /proc/locks")
	}
	e := impatiently(t, "waiting for the package manager (held "+file+" by ", func(limit time.Duration) error {
		d := testDriver(t, s, func(o *Options) { o.Locks, o.ReadyTimeout = Locks{Files: []string{file}}, limit })
		_, err := d.Run(t.Context(), request(t, s.Host(), "true"), nil)
		return err
	})
	if !e.Retryable || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	var l log
	l.on = func(e event.Event) {
		if e.Type == event.Waiting {
			f.Close() // the lock goes with the file
		}
	}
	d := testDriver(t, s, func(o *Options) { o.Locks = Locks{Files: []string{file}} })
	if _, err = d.Run(t.Context(), request(t, s.Host(), "true"), l.emit); err != nil || !strings.Contains(l.waits(), "waiting for the package manager (held") {
		t.Errorf("%v %q", err, l.waits())
	}
}

func TestRunningPackageManagerIsWaitedFor(t *testing.T) {
	t.Parallel()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Skip(err)
	}
	s := sshtest.Start(t, sshtest.Options{})
	name := "orchpkg" + fmt.Sprint(os.Getpid()%10000)
	if err := os.WriteFile(filepath.Join(s.Home, name), sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	d := testDriver(t, s, func(o *Options) { o.Locks = Locks{Ignore: true} })
	if _, err := d.Pool().Exec(t.Context(), s.Host(), "./"+name+" 1.5 >/dev/null 2>&1 &", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	var l log
	d = testDriver(t, s, func(o *Options) { o.Locks = Locks{Processes: []string{name}} })
	if _, err := d.Run(t.Context(), request(t, s.Host(), "true"), l.emit); err != nil || !strings.Contains(l.waits(), "(running "+name+" (pid ") {
		t.Errorf("%v %q", err, l.waits())
	}
}

func inode(t *testing.T, file string) uint64 {
	t.Helper()
	i, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return i.Sys().(*syscall.Stat_t).Ino
}

// A host that has booted is busy again with what it does at boot.
func TestReadinessIsCheckedAgainAfterABoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// The program stands for the host: the name of its boot is what it gives the shell that asks.
	s := sshtest.Start(t, sshtest.Options{PathPrefix: tools(t, map[string]string{
		"cloud-init": "echo x >>" + dir + "/asked; echo 'status: done'",
		"sh":         `[ "$3" = boot ] && [ -e ` + dir + `/boot ] && exec cat ` + dir + `/boot; exec /bin/sh "$@"`,
	})})
	h := s.Host()
	h.CloudInit = true
	d := testDriver(t, s)
	asked := func(op, boot, want, waits string) {
		t.Helper()
		if err := os.WriteFile(dir+"/boot", []byte(boot+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Drop()
		req := request(t, h, "true")
		req.OpID = op
		var l log
		if _, err := d.Run(t.Context(), req, l.emit); err != nil {
			t.Fatal(err)
		}
		if got := readFile(dir + "/asked"); got != want || !strings.Contains(l.waits(), waits) {
			t.Errorf("%s: asked %q, waited for %q", op, got, l.waits())
		}
	}
	asked("first", "a", "x\n", "")
	asked("same boot", "a", "x\n", "")
	asked("booted", "b", "x\nx\n", "the host has booted since")
	asked("same boot again", "b", "x\nx\n", "")
	asked("not to be told", "", "x\nx\n", "")
}

// A cancellation ends the wait for a host at once; nothing has been begun on it, and the operation can be run later under whatever name.
func TestCancellationEndsTheWait(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	h := s.Host()
	s.Down() // nobody answers
	d := testDriver(t, s)
	var p driver.Pauses
	var l log
	l.on = func(e event.Event) {
		if e.Type == event.Waiting {
			p.Quit()
		}
	}
	if _, err := d.Run(driver.WithPauses(t.Context(), &p), request(t, h, "true"), l.emit); err != driver.ErrNotBegun || p.Begun() {
		t.Errorf("%v; begun: %v", err, p.Begun())
	}
	if _, err := d.Run(driver.WithPauses(t.Context(), &p), request(t, h, "true"), nil); err != driver.ErrNotBegun {
		t.Errorf("what would wait after a cancellation: %v", err)
	}
}
