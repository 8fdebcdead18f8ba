package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

func TestScriptWithArtifactsAndOutputs(t *testing.T) {
	t.Parallel()
	for _, sftp := range []bool{true, false} {
		t.Run(fmt.Sprint("sftp=", sftp), func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{NoSFTP: !sftp})
			d := testDriver(t, s)
			req := request(t, s.Host(), `#!/bin/bash
				cat "$config/a.conf" "$config/sub/b b.conf"; "$config/tool"; wc -c <"$config/big.bin"; ls
				export URL="http://$NAME:80/"; LOCAL=not_exported
				echo '{"list":[1,2],"text":"x"}' >"$ORCH_OUTPUTS"`)
			big := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
			files := req.Topology.Files.(fstest.MapFS)
			files["conf/a.conf"] = &fstest.MapFile{Data: []byte("A\n")}
			files["conf/sub/b b.conf"] = &fstest.MapFile{Data: []byte("B\n")}
			files["conf/tool"] = &fstest.MapFile{Data: []byte("#!/bin/sh\necho tool $0 | sed 's,/.*/,,'\n")}
			files["conf/big.bin"] = &fstest.MapFile{Data: big}
			req.Node.Artifacts = []*topology.Artifact{{Name: "config", File: "conf"}}
			req.Variables = []driver.Variable{{Name: "NAME", Value: "web"}}
			req.Operation.Outputs = []topology.OutputMapping{{Output: "LOCAL", Target: []string{"SELF", "local"}}}
			var l log
			res, err := d.Run(t.Context(), req, l.emit)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"URL": "http://web:80/", "LOCAL": "not_exported", "list": "[1,2]", "text": "x"}
			if diff := cmp.Diff(want, res.Outputs); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(fmt.Sprintf("A\nB\ntool tool\n%d\ncreate.sh", len(big)), l.stdout()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFilesAreUploadedOncePerContent(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	var uploads []string
	var mu sync.Mutex
	s.Commands = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		for _, verb := range []string{" unpack ", " append ", " commit "} {
			if strings.Contains(line, verb) {
				uploads = append(uploads, verb)
			}
		}
	}
	d := testDriver(t, s)
	req := request(t, s.Host(), "cat $data/f")
	req.Topology.Files.(fstest.MapFS)["data/f"] = &fstest.MapFile{Data: []byte("one")}
	req.Node.Artifacts = []*topology.Artifact{{Name: "data", File: "data"}}
	for i := range 3 {
		req.OpID = fmt.Sprint("op", i)
		if _, err := d.Run(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(uploads) != 1 {
		t.Errorf("uploads: %q", uploads)
	}
	if n := s.Logins.Load(); n != 1 {
		t.Errorf("%d logins for three operations", n)
	}
	// What somebody modified on the host is not used again.
	blobs, _ := filepath.Glob(s.Home + "/journal/blobs/[0-9a-f]*")
	for _, b := range blobs {
		if err := os.WriteFile(b, []byte("tampered"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	req.OpID = "after"
	var l log
	if _, err := d.Run(t.Context(), req, l.emit); err != nil || l.stdout() != "one" {
		t.Errorf("%v, %q", err, l.stdout())
	}
}

func TestSameOpIDReturnsTheRecordedResult(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	req := request(t, s.Host(), "echo ran >>$HOME/ran; export A=1")
	for range 2 {
		var l log
		res, err := testDriver(t, s).Run(t.Context(), req, l.emit)
		if err != nil || res.Outputs["A"] != "1" {
			t.Fatal(res, err)
		}
	}
	if got := readFile(s.Home + "/ran"); got != "ran\n" {
		t.Errorf("ran: %q", got)
	}
}

// A connection may break after any byte; the script must run once and all of its output arrive.
func TestCutConnectionsRunOnceWithCompleteOutput(t *testing.T) {
	t.Parallel()
	const text = `echo x >>$HOME/ran; i=0; while [ $i -lt 60 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); [ $((i%20)) -ne 0 ] || sleep 0.05; done; export DONE=yes`
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprint("out ", i))
	}
	for lane := range 4 {
		t.Run(fmt.Sprint("lane", lane), func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{})
			d := testDriver(t, s)
			cuts := 0
			for n := int64(1 + lane*40); n < 2400; n += 160 {
				os.Remove(s.Home + "/ran")
				req := request(t, s.Host(), text)
				req.OpID = fmt.Sprint("op-", n)
				req.Variables = []driver.Variable{{Name: "PAD", Value: strings.Repeat("p", 3000)}}
				s.CutAfter(n)
				var l log
				res, err := d.Run(t.Context(), req, l.emit)
				if err != nil {
					t.Fatalf("cut at %d: %v", n, err)
				}
				if got := readFile(s.Home + "/ran"); got != "x\n" {
					t.Errorf("cut at %d: ran %q", n, got)
				}
				if diff := cmp.Diff(want, l.lines(event.Log, "stdout")); diff != "" {
					t.Errorf("cut at %d: %s", n, diff)
				}
				if diff := cmp.Diff(60, len(l.lines(event.Log, "stderr"))); diff != "" || res.Outputs["DONE"] != "yes" {
					t.Errorf("cut at %d: stderr %s outputs %v", n, diff, res.Outputs)
				}
				s.CutAfter(0)
				cuts++
			}
			if got := s.Cuts.Load(); got < int64(cuts)/2 {
				t.Errorf("only %d of %d runs were cut: the test proves nothing", got, cuts)
			}
		})
	}
}

func TestConnectionLostForAWhile(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	d := testDriver(t, s)
	req := request(t, s.Host(), "echo begun; touch $HOME/begun; while [ ! -e $HOME/go ]; do sleep 0.05; done; echo ended")
	var l log
	go func() {
		eventually(t, "the script runs", func() bool { return readFile(s.Home+"/journal/ops/"+req.OpID+"/stdout") != "" })
		s.Down()
		time.Sleep(300 * time.Millisecond)
		os.WriteFile(s.Home+"/go", nil, 0o600)
		s.Up()
	}()
	if _, err := d.Run(t.Context(), req, l.emit); err != nil {
		t.Fatal(err)
	}
	if l.stdout() != "begun\nended" || !strings.Contains(l.waits(), "lost, reconnecting") {
		t.Errorf("%q, %q", l.stdout(), l.waits())
	}
}

func TestLostForTooLongIsRetryable(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	d := testDriver(t, s, func(o *Options) { o.Reconnect = 300 * time.Millisecond })
	var l log
	l.on = func(e event.Event) {
		if e.Type == event.Log {
			go s.Down()
		}
	}
	req := request(t, s.Host(), "echo begun; sleep 1")
	_, err := d.Run(t.Context(), req, l.emit)
	e := asDriverError(t, err)
	if !e.Retryable || !errors.Is(err, script.ErrLost) || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	eventually(t, "the script ends before its home goes", func() bool { return readFile(s.Home+"/journal/ops/"+req.OpID+"/rc") != "" })
}

func TestCancelEndsGrandchildren(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	d := testDriver(t, s)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	// A grandchild in a process group of its own that ignores TERM, and one in the script's.
	req := request(t, s.Host(), `sleep 300 & echo $! >$HOME/child
		timeout 300 sh -c 'trap "" TERM; sleep 300 & echo $! >$HOME/grandchild; echo up; while :; do sleep 1; done' & wait; wait`)
	var l log
	l.on = func(e event.Event) {
		if e.Message == "up" {
			cancel(stop)
		}
	}
	_, err := d.Run(ctx, req, l.emit)
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	for _, f := range []string{"child", "grandchild"} {
		if readFile(s.Home+"/"+f) == "" || running(s.Home+"/"+f) {
			t.Errorf("the %s lives", f)
		}
	}
	// The journal knows how it ended.
	_, err = d.Run(t.Context(), req, nil)
	if err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("run again: %v", err)
	}
}

func TestTimeoutEndsTheScriptAndSaysSo(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	req := request(t, s.Host(), "echo $$ >$HOME/pid; exec sleep 300")
	req.Timeout = 400 * time.Millisecond
	_, err := testDriver(t, s).Run(t.Context(), req, nil)
	if e := asDriverError(t, err); !errors.Is(err, script.ErrTimeout) || !strings.Contains(err.Error(), "timed out after 400ms") || e.Hint == "" {
		t.Error(err)
	}
	if running(s.Home + "/pid") {
		t.Error("the script lives")
	}
}

func TestDetachLeavesItRunningAndReattaches(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	req := request(t, s.Host(), "echo begun; echo x >>$HOME/ran; while [ ! -e $HOME/go ]; do sleep 0.05; done; echo ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	var l log
	l.on = func(e event.Event) {
		if e.Message == "begun" {
			cancel(driver.ErrDetach)
		}
	}
	d := testDriver(t, s)
	if _, err := d.Run(ctx, req, l.emit); !errors.Is(err, driver.ErrDetach) {
		t.Fatal(err)
	}
	d.Close()
	// Another process of orch, later.
	l = log{}
	l.on = func(e event.Event) {
		if e.Message == "begun" {
			os.WriteFile(s.Home+"/go", nil, 0o600)
		}
	}
	if _, err := testDriver(t, s).Run(t.Context(), req, l.emit); err != nil {
		t.Fatal(err)
	}
	if l.stdout() != "begun\nended" || readFile(s.Home+"/ran") != "x\n" {
		t.Errorf("%q, ran %q", l.stdout(), readFile(s.Home+"/ran"))
	}
	if notes := l.lines(event.Log, ""); len(notes) != 1 || !strings.Contains(notes[0], "re-attached") {
		t.Errorf("notes: %q", notes)
	}
}

// After a reboot there is a pid without process and without result: the operation must not be repeated by itself.
func TestRebootIsReportedAsInterruption(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	req := request(t, s.Host(), "echo x >>$HOME/ran; echo $PPID >$HOME/wrapper; echo up; exec sleep 300")
	job := s.Home + "/journal/ops/" + req.OpID
	go func() {
		eventually(t, "the script runs", func() bool { return strings.Contains(readFile(job+"/stdout"), "up") })
		s.Down()
		// What a power cut leaves: no process, another boot id.
		pid := strings.Fields(readFile(job + "/pid"))
		kill9(t, "-"+pid[0])
		os.WriteFile(job+"/pid", []byte(pid[0]+" "+pid[1]+" another-boot "+pid[3]+" "+pid[4]+"\n"), 0o600)
		s.Up()
	}()
	for range 2 {
		_, err := testDriver(t, s).Run(t.Context(), req, nil)
		if e := asDriverError(t, err); !errors.Is(err, script.ErrInterrupted) || e.Retryable || e.Hint == "" {
			t.Fatalf("%v", err)
		}
	}
	if got := readFile(s.Home + "/ran"); got != "x\n" {
		t.Errorf("ran: %q", got)
	}
}

// A shutdown in good order sends TERM to everything, to the job's own shell as well. A failure that this brings about is no result of the script's; a script
// that gets to its end all the same has one, and so has one that only failed by itself.
func TestShutdownIsReportedAsInterruption(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script       string
		down, killed bool
		code         int // -1: interrupted
	}{
		"killed":             {"sleep 300", true, true, -1},
		"fails meanwhile":    {"trap 'exit 1' TERM; sleep 300 & wait", true, false, -1},
		"gets to its end":    {"trap 'exit 0' TERM; sleep 300 & wait", true, false, 0},
		"fails by itself":    {"exit 143", false, false, 143},
		"killed by somebody": {"kill -KILL $$", false, false, 137},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{})
			req := request(t, s.Host(), "echo up\n"+c.script)
			job := s.Home + "/journal/ops/" + req.OpID
			if c.down {
				go func() {
					eventually(t, "the script runs", func() bool { return strings.Contains(readFile(job+"/stdout"), "up") })
					shell, err := strconv.Atoi(strings.Fields(readFile(job + "/pid"))[0])
					if err != nil {
						t.Error(err)
						return
					}
					// In any order; but what dies of it waits longer for the shell's own TERM than what goes on to fail by itself.
					others := slices.DeleteFunc(members(shell), func(p int) bool { return p == shell })
					order := append(others, shell)
					if !c.killed {
						order = append([]int{shell}, others...)
					}
					for _, p := range order {
						_ = syscall.Kill(p, syscall.SIGTERM)
					}
				}()
			}
			_, err := testDriver(t, s).Run(t.Context(), req, nil)
			switch {
			case c.code == 0 && err != nil:
				t.Error(err)
			case c.code < 0 && !errors.Is(err, script.ErrInterrupted):
				t.Errorf("%v", err)
			case c.code > 0 && asDriverError(t, err).ExitCode != c.code:
				t.Errorf("%v", err)
			}
		})
	}
}

// members of a session.
func members(session int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		_, rest, _ := strings.Cut(readFile(path), ") ")
		if f := strings.Fields(rest); len(f) > 3 && f[3] == strconv.Itoa(session) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func TestSecretsStayOutOfFilesArgumentsAndOutput(t *testing.T) {
	t.Parallel()
	const hidden = "s3cr3t-Value"
	s := sshtest.Start(t, sshtest.Options{})
	var lines []string
	var mu sync.Mutex
	s.Commands = func(l string) { mu.Lock(); lines = append(lines, l); mu.Unlock() }
	req := request(t, s.Host(), `#!/bin/bash
		echo "the password is $PASSWORD"; echo "$PASSWORD" | base64 >&2; printf %s "${PASSWORD:0:5}"; sleep 0.2; echo "${PASSWORD:5}"
		touch $HOME/up; while [ ! -e $HOME/go ]; do sleep 0.05; done; export LENGTH=${#PASSWORD}; echo "$PASSWORD" >&2; exit 3`)
	req.Variables = []driver.Variable{{Name: "PASSWORD", Value: hidden, Secret: true}}
	found := make(chan []string, 1)
	go func() {
		eventually(t, "the script runs", func() bool { _, err := os.Stat(s.Home + "/up"); return err == nil })
		var bad []string
		procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range procs {
			if strings.Contains(readFile(p), hidden) {
				bad = append(bad, p)
			}
		}
		found <- bad
		os.WriteFile(s.Home+"/go", nil, 0o600)
	}()
	var l log
	_, err := testDriver(t, s).Run(t.Context(), req, l.emit)
	if e := asDriverError(t, err); e.ExitCode != 3 || strings.Contains(fmt.Sprintf("%+v", *e), hidden) {
		t.Errorf("%+v", *e)
	}
	if bad := <-found; len(bad) > 0 {
		t.Errorf("in arguments: %v", bad)
	}
	for _, e := range l.events {
		if strings.Contains(e.Message, hidden) {
			t.Errorf("event %+v", e)
		}
	}
	if out := l.stdout(); !strings.Contains(out, "the password is ****") {
		t.Errorf("stdout: %q", out)
	}
	if strings.Contains(strings.Join(lines, "\n"), hidden) {
		t.Error("in a command line")
	}
	// The script itself printed it to the journal's stdout and stderr; nothing else may hold it.
	_ = filepath.WalkDir(s.Home, func(p string, d fs.DirEntry, err error) error {
		if base := filepath.Base(p); err == nil && d.Type().IsRegular() && base != "stdout" && base != "stderr" && strings.Contains(readFile(p), hidden) {
			t.Errorf("in %s", p)
		}
		return nil
	})
}

func TestTwentyHostsInParallel(t *testing.T) {
	t.Parallel()
	s := make([]*sshtest.Server, 20)
	keys := secretMap{}
	for i := range s {
		s[i] = sshtest.Start(t, sshtest.Options{})
		keys[fmt.Sprint("key", i)] = s[i].Key
	}
	d := New(Options{Secrets: keys, Dir: "", Locks: Locks{Ignore: true}, Idle: 3 * time.Second, ReadyTimeout: patience, HandshakeTimeout: patience})
	defer d.Close()
	var wg sync.WaitGroup
	for i := range s {
		for j := range 3 {
			wg.Go(func() {
				h := s[i].Host()
				h.KeyRef = fmt.Sprint("key", i)
				req := request(t, h, "echo host $I")
				req.OpID = fmt.Sprintf("op-%d-%d-%d", os.Getpid(), i, j)
				req.Variables = []driver.Variable{{Name: "I", Value: fmt.Sprint(i)}}
				var l log
				if _, err := sharing(d, s[i]).Run(t.Context(), req, l.emit); err != nil {
					t.Error(err)
				}
				if l.stdout() != fmt.Sprint("host ", i) {
					t.Errorf("%d: %q", i, l.stdout())
				}
			})
		}
	}
	wg.Wait()
	for i := range s {
		if n := s[i].Logins.Load(); n != 1 {
			t.Errorf("host %d: %d logins", i, n)
		}
	}
	eventually(t, "idle connections are closed", func() bool { return d.Pool().Connections() == 0 })
	for i := range s {
		eventually(t, "the server sees no connection", func() bool { return s[i].Connections() == 0 })
	}
}

// sharing is the same driver with the journal in the server's home.
func sharing(d *Driver, s *sshtest.Server) *Driver {
	o := d.o
	o.Dir = filepath.Join(s.Home, "journal")
	return &Driver{o: o, pool: d.pool, swept: map[string]bool{}}
}

func TestMoreOperationsThanSessions(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{MaxSessions: limit})
			d := testDriver(t, s)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					req := request(t, s.Host(), "sleep 0.1; echo done")
					req.OpID = fmt.Sprint("op", i)
					var l log
					if _, err := d.Run(t.Context(), req, l.emit); err != nil || l.stdout() != "done" {
						t.Errorf("%v %q", err, l.stdout())
					}
				})
			}
			wg.Wait()
			if n := s.Logins.Load(); n != 1 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

func TestHugeOutputAndLongLines(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	// Eight MB in one line with a secret across every boundary, then many lines.
	req := request(t, s.Host(), `i=0; while [ $i -lt 40000 ]; do printf '%s' "$CHUNK"; i=$((i+1)); done; echo; seq 1 20000`)
	req.Variables = []driver.Variable{{Name: "CHUNK", Value: strings.Repeat("x", 180) + "hidden-secret-value-" + strings.Repeat("y", 7), Secret: true}}
	req.Variables = append(req.Variables, driver.Variable{Name: "S", Value: "hidden-secret-value-", Secret: true})
	var count, longest int
	var last string
	leak := false
	_, err := testDriver(t, s).Run(t.Context(), req, func(e event.Event) {
		if e.Type == event.Log {
			count, longest, last = count+1, max(longest, len(e.Message)), e.Message
			leak = leak || strings.Contains(e.Message, "hidden") || strings.Contains(e.Message, "secret")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if longest > 200<<10 || count < 20000 || last != "20000" || leak {
		t.Errorf("%d lines, longest %d, last %q, leak %v", count, longest, last, leak)
	}
}

func TestInterruptedUploadGoesOn(t *testing.T) {
	t.Parallel()
	for _, sftp := range []bool{true, false} {
		t.Run(fmt.Sprint("sftp=", sftp), func(t *testing.T) {
			t.Parallel()
			s := sshtest.Start(t, sshtest.Options{NoSFTP: !sftp})
			d := testDriver(t, s)
			req := request(t, s.Host(), `sha256sum <"$big"`)
			data := make([]byte, 24<<20)
			for i := range data {
				data[i] = byte(i * 7 >> 3)
			}
			req.Topology.Files.(fstest.MapFS)["big"] = &fstest.MapFile{Data: data}
			req.Node.Artifacts = []*topology.Artifact{{Name: "big", File: "big"}}
			go func() {
				eventually(t, "the upload is on its way", func() bool {
					parts, _ := filepath.Glob(s.Home + "/journal/incoming.*")
					for _, p := range parts {
						if i, err := os.Stat(p); err == nil && i.Size() > 2<<20 {
							return true
						}
					}
					return s.Cuts.Load() > 0
				})
				s.Drop()
			}()
			var l log
			if _, err := d.Run(t.Context(), req, l.emit); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%x  -", sum(data)); l.stdout() != want {
				t.Errorf("%s, want %s", l.stdout(), want)
			}
		})
	}
}

func TestEventsNameTheOperation(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	req := request(t, s.Host(), "echo hi")
	req.Task = "t1"
	var l log
	if _, err := testDriver(t, s).Run(t.Context(), req, l.emit); err != nil {
		t.Fatal(err)
	}
	e := l.events[len(l.events)-1]
	e.Time = time.Time{}
	want := event.Event{Type: event.Log, Deployment: "d", Task: "t1", Step: "n_create", Node: "n", Instance: "0", Interface: "Standard", Operation: "create",
		Host: "127.0.0.1", Level: event.Info, Stream: "stdout", Message: "hi"}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestOperationWithoutImplementationDoesNothing(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	res, err := d.Run(t.Context(), &driver.Request{Operation: &topology.Operation{}}, nil)
	if err != nil || res.Changed {
		t.Error(res, err)
	}
}
