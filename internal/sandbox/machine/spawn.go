package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/guest"
	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// spawner is one OS thread that starts all inits. The kernel ends them when their parent thread ends (PR_SET_PDEATHSIG
// speaks of threads), so it must live as long as the Host. It has a mount namespace of its own, where the servers' image is
// mounted unseen by the rest of this machine; inits begin with a copy of it.
type spawner struct {
	work chan func()
	done chan struct{}
}

func startSpawner() (*spawner, error) {
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the Host
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			ready <- fmt.Errorf("cannot make a mount namespace (in a container, run it with --privileged): %w", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			ready <- fmt.Errorf("cannot make the mounts private: %w", err)
			return
		}
		ready <- nil
		for f := range s.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	return s, nil
}

// do runs f on the thread.
func (s *spawner) do(f func() error) error {
	result := make(chan error, 1)
	s.work <- func() { result <- f() }
	return <-result
}

func (s *spawner) close() {
	close(s.work)
	<-s.done
}

// in runs f on the thread, in the network namespace.
func (s *spawner) in(ns *namespace, f func() error) error {
	return s.do(func() error {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		if err := netns.Set(ns.fd); err != nil {
			return err
		}
		err = f()
		if back := netns.Set(home); back != nil {
			// Every later child would start in the wrong namespace.
			panic("cannot return to the network namespace of this machine: " + back.Error())
		}
		return err
	})
}

// guestProcess is a server's running init and the connection to it.
type guestProcess struct {
	pid     int
	conn    net.Conn
	running chan error // one value: how the start went
	exited  chan struct{}
	state   *os.ProcessState // after exited
	wants   func(op string)  // what somebody inside asked for

	mu      sync.Mutex
	asked   string // the last of wants, kept by the server
	seq     int
	waiting map[int]chan spec.Message
}

// startGuest forks the first stage in its namespaces and hands over the configuration. setup runs before the guest does
// anything, with its process number.
func (h *host) startGuest(ns *namespace, console *os.File, setup func(pid int), wants func(string)) (*guestProcess, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{guest.SetupName}, Env: []string{}, Dir: "/",
		Stdout: console, Stderr: console, ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Setsid:     true,
		},
	}
	if err := h.spawn.in(ns, cmd.Start); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot start the server's init: %w", err)
	}
	g := &guestProcess{pid: cmd.Process.Pid, conn: conn, running: make(chan error, 1), exited: make(chan struct{}),
		wants: wants, waiting: map[int]chan spec.Message{}}
	if setup != nil {
		setup(g.pid)
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		g.read()
	}()
	go func() {
		_ = cmd.Wait()
		g.state = cmd.ProcessState
		select { // its last words, which say why it ended, may not have been read yet
		case <-heard:
		case <-time.After(time.Second):
		}
		_ = conn.Close()
		g.started(errors.New("the server's init ended at once; the console log says why"))
		close(g.exited)
	}()
	return g, nil
}

// started reports the outcome of the start once.
func (g *guestProcess) started(err error) {
	select {
	case g.running <- err:
	default:
	}
}

func (g *guestProcess) read() {
	dec := json.NewDecoder(g.conn)
	for {
		var m spec.Message
		if err := dec.Decode(&m); err != nil {
			g.mu.Lock()
			for seq, c := range g.waiting {
				c <- spec.Message{Error: "the server is not running"}
				delete(g.waiting, seq)
			}
			g.waiting = nil
			g.mu.Unlock()
			return
		}
		switch m.Op {
		case spec.OpRunning:
			g.started(nil)
		case spec.OpFailed:
			g.started(errors.New(m.Error))
		case spec.OpReply:
			g.mu.Lock()
			if c := g.waiting[m.Seq]; c != nil {
				c <- m
				delete(g.waiting, m.Seq)
			}
			g.mu.Unlock()
		default:
			g.wants(m.Op)
		}
	}
}

// tell sends without waiting for an answer.
func (g *guestProcess) tell(m spec.Message) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return json.NewEncoder(g.conn).Encode(m)
}

// ask sends and waits for the answer.
func (g *guestProcess) ask(m spec.Message) error {
	g.mu.Lock()
	if g.waiting == nil {
		g.mu.Unlock()
		return io.ErrClosedPipe
	}
	g.seq++
	m.Seq = g.seq
	c := make(chan spec.Message, 1)
	g.waiting[m.Seq] = c
	err := json.NewEncoder(g.conn).Encode(m)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	if r := <-c; r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

// kill ends the pid namespace at once and waits for it.
func (g *guestProcess) kill() {
	_ = syscall.Kill(g.pid, syscall.SIGKILL)
	<-g.exited
}
