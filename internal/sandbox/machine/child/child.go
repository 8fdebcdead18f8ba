// Package child starts processes and collects their exit statuses, both in an ordinary process and in the init of a pid
// namespace, where every orphan must be reaped and a plain os/exec would lose its children's statuses to the reaper.
//
// It owns fork, exec and wait; it must not know what is run.
package child

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is what to run. Path must be absolute; Args includes argument zero.
type Command struct {
	Path  string
	Args  []string
	Env   []string
	Dir   string
	Files []*os.File // 0, 1, 2 …; nil entries are /dev/null
	Sys   *syscall.SysProcAttr
}

// Process is a started child.
type Process struct {
	Pid    int
	done   chan struct{}
	status syscall.WaitStatus
}

var (
	mu      sync.Mutex // held from fork until the child is registered, so that the reaper cannot miss it
	reaping bool
	known   = map[int]*Process{}
)

// Start runs the command. The caller keeps its files.
func Start(c Command) (*Process, error) {
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Sys: c.Sys}
	var null *os.File
	for _, f := range c.Files {
		if f == nil {
			if null == nil {
				var err error
				if null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
					return nil, err
				}
				defer null.Close()
			}
			f = null
		}
		attr.Files = append(attr.Files, f.Fd())
	}
	mu.Lock()
	defer mu.Unlock()
	pid, err := syscall.ForkExec(c.Path, c.Args, attr)
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", c.Path, err)
	}
	p := &Process{Pid: pid, done: make(chan struct{})}
	if reaping {
		known[pid] = p
		return p, nil
	}
	go func() {
		for {
			_, err := syscall.Wait4(pid, &p.status, 0, nil)
			if !errors.Is(err, syscall.EINTR) {
				close(p.done)
				return
			}
		}
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end and returns the status.
func (p *Process) Wait() syscall.WaitStatus {
	<-p.done
	return p.status
}

// Signal sends to the process, or to its group when it leads one. Ended processes are left alone.
func (p *Process) Signal(sig syscall.Signal) error {
	mu.Lock() // the reaper holds it while a pid becomes free for reuse
	defer mu.Unlock()
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	if pgid, err := unix.Getpgid(p.Pid); err == nil && pgid == p.Pid {
		return syscall.Kill(-p.Pid, sig)
	}
	return syscall.Kill(p.Pid, sig)
}

// Reap makes this process the reaper of every child, registered or orphaned, for the rest of its life. To be called once by
// init before anything is started.
func Reap() {
	mu.Lock()
	reaping = true
	mu.Unlock()
	sigs := make(chan os.Signal, 1)
	notifyChildren(sigs)
	go func() {
		for {
			collect()
			<-sigs
		}
	}()
}

// collect waits for everything that has ended.
func collect() {
	for {
		mu.Lock()
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			mu.Unlock()
			continue
		}
		if err != nil || pid <= 0 {
			mu.Unlock()
			return
		}
		if p := known[pid]; p != nil {
			delete(known, pid)
			p.status = ws
			close(p.done)
		}
		mu.Unlock()
	}
}
