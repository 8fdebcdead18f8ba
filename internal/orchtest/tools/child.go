package tools

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a process that dies with this one, however this one ends.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts a command as a child. Whoever reads from its StdoutPipe gets what it has written until it ends.
//
// A parent-death signal alone is not enough: the kernel sends it when the thread that started the child ends, and threads do end, such as
// those that have looked into other namespaces. So one thread starts the child and waits for it.
func Start(cmd *exec.Cmd) (*Child, error) {
	c := &Child{cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	return c, <-started
}

// PID of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Ended reports whether it has ended.
func (c *Child) Ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal, which does nothing when the process has ended.
func (c *Child) Signal(sig syscall.Signal) { _ = c.cmd.Process.Signal(sig) }

// Wait until it has ended; the error is that of exec.Cmd.Wait.
func (c *Child) Wait() error {
	<-c.done
	return c.err
}

// Stop sends a signal and waits for the end.
func (c *Child) Stop(sig syscall.Signal) error {
	c.Signal(sig)
	return c.Wait()
}
