package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
)

// child is this test binary in the role of another process.
func child(mode, path string) {
	ctx := context.Background()
	s, err := bolt.Open(ctx, path, bolt.Options{Wait: -1, Command: "child " + mode, Address: "unix:/somewhere"})
	if err != nil {
		fmt.Println(err)
		return
	}
	switch mode {
	case "open":
		fmt.Println("open")
	case "hold":
		fmt.Println("open")
		time.Sleep(time.Minute)
	case "write":
		writeForever(ctx, s)
	}
}

// writeForever keeps an invariant in every transaction: the records a/N and b/N are equal, the counter is their number, and there is an
// event for each. What is printed was committed before.
func writeForever(ctx context.Context, s *bolt.Store) {
	var mu sync.Mutex
	for range 8 {
		go func() {
			for {
				var n int
				err := s.Update(ctx, func(tx state.Tx) (err error) {
					if n, _, err = state.Find[int](tx, "counter"); err != nil {
						return err
					}
					n++
					if _, err := state.AppendTx(tx, "d", event.Event{Type: event.Log, Message: fmt.Sprint(n)}); err != nil {
						return err
					}
					v := []byte(strings.Repeat(fmt.Sprint(n, " "), n%500))
					return errors.Join(tx.Put(fmt.Sprint("a/", n), v), tx.Put(fmt.Sprint("b/", n), v), state.Put(tx, "counter", n))
				})
				mu.Lock()
				if err != nil {
					fmt.Println("error:", err)
				}
				fmt.Println(n)
				mu.Unlock()
			}
		}()
	}
	select {}
}

func start(t *testing.T, mode, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ORCH_TEST_BOLT_CHILD="+mode, "ORCH_TEST_BOLT_PATH="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

func TestSecondProcessIsToldWhoHoldsTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	cmd, out := start(t, "hold", path)
	if !out.Scan() || out.Text() != "open" {
		t.Fatal(out.Text())
	}
	_, err := bolt.Open(t.Context(), path, bolt.Options{Wait: 10 * time.Millisecond})
	var locked *bolt.LockedError
	if !errors.As(err, &locked) || locked.Holder == nil || locked.Holder.PID != cmd.Process.Pid || locked.Holder.Address != "unix:/somewhere" ||
		!strings.Contains(err.Error(), fmt.Sprintf("process %d (child hold)", cmd.Process.Pid)) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := bolt.Open(ctx, path, bolt.Options{Wait: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting under a context: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = cmd.Process.Kill() })
	s, err := bolt.Open(t.Context(), path, bolt.Options{Wait: time.Minute}) // the dead one's marker stays and must not matter
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// A killed process leaves every committed update and no half of another.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	last := 0
	for round := range 4 {
		cmd, out := start(t, "write", path)
		want := last + 100 + round*37
		printed := 0
		for out.Scan() {
			n := 0
			if _, err := fmt.Sscan(out.Text(), &n); err != nil {
				t.Fatal(out.Text())
			}
			if printed = max(printed, n); printed >= want {
				break
			}
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		last = checkInvariant(t, path, printed)
	}
}

func checkInvariant(t *testing.T, path string, printed int) (count int) {
	t.Helper()
	s := open(t, path, bolt.Options{})
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.View(t.Context(), func(tx state.Tx) (err error) {
		if count, _, err = state.Get[int](tx, "counter"); err != nil {
			return err
		}
		if count < printed {
			t.Errorf("%d updates were reported, %d are stored", printed, count)
		}
		for n := 1; n <= count; n++ {
			a, errA := tx.Get(fmt.Sprint("a/", n))
			b, errB := tx.Get(fmt.Sprint("b/", n))
			if errA != nil || errB != nil || !bytes.Equal(a.Value, b.Value) {
				t.Errorf("record %d: %v %v", n, errA, errB)
			}
		}
		if _, err := tx.Get(fmt.Sprint("a/", count+1)); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("a record without its counter: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	page, err := state.NewEventLog(s).Read(t.Context(), state.EventFilter{Deployment: "d"}, 0, 1<<30)
	if err != nil || len(page.Events) != count {
		t.Errorf("%d events for %d updates, %v", len(page.Events), count, err)
	}
	for i, e := range page.Events {
		if e.Seq != uint64(i+1) || e.Message != fmt.Sprint(i+1) {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	return count
}

// runAs opens the store in a process of an unprivileged user.
func runAs(t *testing.T, path string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	exe := filepath.Join(filepath.Dir(path), "child") // the test binary's own directory may be closed to that user
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = "/"
	cmd.Env = []string{"ORCH_TEST_BOLT_CHILD=open", "ORCH_TEST_BOLT_PATH=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
