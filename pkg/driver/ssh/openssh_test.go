package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

func opensshDriver(t *testing.T, s *sshtest.OpenSSH) *Driver {
	t.Helper()
	d := New(Options{Secrets: secretMap{"key": s.Key}, Dir: s.Dir + "/journal", Locks: Locks{Ignore: true}, Grace: time.Second, Reconnect: patience, ReadyTimeout: patience})
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOpenSSHRunsOperations(t *testing.T) {
	t.Parallel()
	s := sshtest.StartOpenSSH(t)
	req := request(t, s.Host, `wc -c <"$big"; export OUT="hi $NAME"; echo oops >&2`)
	req.Topology.Files.(fstest.MapFS)["big"] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), 9<<20)}
	req.Node.Artifacts = []*topology.Artifact{{Name: "big", File: "big"}}
	req.Variables = []driver.Variable{{Name: "NAME", Value: "you"}}
	var l log
	res, err := opensshDriver(t, s).Run(t.Context(), req, l.emit)
	if err != nil || res.Outputs["OUT"] != "hi you" || !strings.HasSuffix(l.stdout(), fmt.Sprint(9<<20)) {
		t.Errorf("%v %q %v", err, l.stdout(), res.Outputs)
	}
}

// sshd is killed several times while scripts run; each runs once and nothing of its output is lost.
func TestOpenSSHKilledWhileScriptsRun(t *testing.T) {
	t.Parallel()
	s := sshtest.StartOpenSSH(t)
	d := opensshDriver(t, s)
	var wg sync.WaitGroup
	begun := make(chan struct{}, 64)
	for i := range 4 {
		wg.Go(func() {
			req := request(t, s.Host, fmt.Sprintf(`echo x >>%s/ran%d; i=0; while [ $i -lt 40 ]; do echo "line $i"; sleep 0.05; i=$((i+1)); done; export END=1`, s.Dir, i))
			req.OpID = fmt.Sprint("op", i)
			var l log
			l.on = func(e event.Event) {
				if e.Message == "line 0" {
					begun <- struct{}{}
				}
			}
			res, err := d.Run(t.Context(), req, l.emit)
			lines := strings.Split(l.stdout(), "\n")
			for len(lines) > 0 && !strings.HasPrefix(lines[0], "line ") {
				lines = lines[1:] // the login shell's profile
			}
			if err != nil || res.Outputs["END"] != "1" || len(lines) != 40 || lines[39] != "line 39" {
				t.Errorf("%v %v %d lines", err, res.Outputs, len(lines))
			}
			if got := readFile(fmt.Sprintf("%s/ran%d", s.Dir, i)); got != "x\n" {
				t.Errorf("ran %q", got)
			}
		})
	}
	<-begun
	for range 3 {
		s.Cut()
		time.Sleep(200 * time.Millisecond)
	}
	s.Down()
	time.Sleep(200 * time.Millisecond)
	s.Up()
	wg.Wait()
}

func TestOpenSSHSessionLimit(t *testing.T) {
	t.Parallel()
	s := sshtest.StartOpenSSH(t, "MaxSessions 2")
	d := opensshDriver(t, s)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			req := request(t, s.Host, "sleep 0.2")
			req.OpID = fmt.Sprint("op", i)
			if _, err := d.Run(t.Context(), req, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOpenSSHCancelAndTerminal(t *testing.T) {
	t.Parallel()
	s := sshtest.StartOpenSSH(t)
	d := opensshDriver(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	req := request(t, s.Host, "sleep 300 & echo $! >"+s.Dir+"/child; echo up; wait")
	_, err := d.Run(ctx, req, func(e event.Event) {
		if e.Message == "up" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || running(s.Dir+"/child") {
		t.Errorf("%v, child lives: %v", err, running(s.Dir+"/child"))
	}
	sizes := make(chan [2]int, 1)
	in, typed := io.Pipe()
	var out syncBuffer
	go func() {
		eventually(t, "the shell is there", func() bool { return strings.Contains(out.String(), "24 80") })
		sizes <- [2]int{132, 50}
		eventually(t, "the window has grown", func() bool {
			fmt.Fprintln(typed, "stty size")
			time.Sleep(50 * time.Millisecond)
			return strings.Contains(out.String(), "50 132")
		})
		fmt.Fprintln(typed, "exit 6")
	}()
	code, err := d.Pool().Interactive(t.Context(), s.Host, "stty size; exec sh", Terminal{Stdin: in, Stdout: &out, Stderr: &out, TTY: true, Sizes: sizes})
	typed.Close()
	if code != 6 || err != nil {
		t.Errorf("%d %v %s", code, err, out.String())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func TestOpenSSHBastion(t *testing.T) {
	t.Parallel()
	b, s := sshtest.StartOpenSSH(t), sshtest.StartOpenSSH(t)
	bh, h := b.Host, s.Host
	bh.KeyRef = "bastion"
	h.Bastion = &bh
	d := New(Options{Secrets: secretMap{"key": s.Key, "bastion": b.Key}, Dir: s.Dir + "/journal", Locks: Locks{Ignore: true}})
	defer d.Close()
	if _, err := d.Run(t.Context(), request(t, h, "true"), nil); err != nil {
		t.Error(err)
	}
	no := sshtest.StartOpenSSH(t, "AllowTcpForwarding no")
	bh = no.Host
	bh.KeyRef = "no"
	d2 := New(Options{Secrets: secretMap{"key": s.Key, "no": no.Key}, Dir: s.Dir + "/journal", Locks: Locks{Ignore: true}})
	defer d2.Close()
	_, err := d2.Run(t.Context(), request(t, h, "true"), nil)
	errorWith(t, err, "forwards no connections")
}
