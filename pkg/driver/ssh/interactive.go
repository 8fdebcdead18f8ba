package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
)

// Terminal of an interactive session.
type Terminal struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// TTY asks for a terminal on the host. If Stdin is a terminal here, it is put into raw mode and its size is followed.
	TTY bool
	// Sizes tells the window's size and its changes where Stdin is no terminal of this process: columns, rows.
	Sizes <-chan [2]int
	// Type of the terminal; "" is $TERM.
	Type string
}

// Interactive runs a command, or the login shell for "", with the user's terminal and returns its exit code. It waits for nothing: one
// logs in to see why a host is not ready.
func (p *Pool) Interactive(ctx context.Context, h driver.Host, line string, t Terminal) (int, error) {
	c, release, err := p.acquire(ctx, h, forUser, nil)
	if err != nil {
		return -1, err
	}
	defer release()
	s, done, err := c.session(ctx, false)
	if err != nil {
		return -1, err
	}
	defer done()
	defer s.Close()
	s.Stdout, s.Stderr = t.Stdout, t.Stderr
	stdin, err := s.StdinPipe()
	if err != nil {
		return -1, err
	}
	if t.TTY {
		restore, err := requestTerminal(ctx, s, t)
		if err != nil {
			return -1, err
		}
		defer restore()
	}
	if line == "" {
		err = s.Shell()
	} else {
		err = s.Start(line)
	}
	if err != nil {
		return -1, fmt.Errorf("cannot start a session on %s: %w", c.address, err)
	}
	if t.Stdin != nil {
		// A read of a terminal cannot be interrupted: this ends with the process or the next key.
		go func() {
			_, _ = io.Copy(stdin, t.Stdin)
			stdin.Close()
		}()
	} else {
		stdin.Close()
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	err = s.Wait()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return -1, context.Cause(ctx)
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	}
	return -1, fmt.Errorf("%w: %w", script.ErrLost, err)
}

// requestTerminal asks for a terminal as large as ours and keeps their sizes equal until restore.
func requestTerminal(ctx context.Context, s *ssh.Session, t Terminal) (restore func(), err error) {
	kind := t.Type
	if kind == "" {
		kind = os.Getenv("TERM")
	}
	if kind == "" || kind == "dumb" {
		kind = "xterm"
	}
	ctx, cancel := context.WithCancel(ctx)
	width, height, sizes := 80, 24, t.Sizes
	undo := func() {}
	if f, ok := t.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			width, height = w, h
		}
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			cancel()
			return nil, fmt.Errorf("cannot set up the terminal: %w", err)
		}
		undo = func() { _ = term.Restore(int(f.Fd()), old) }
		if sizes == nil {
			sizes = windowSizes(ctx, int(f.Fd()))
		}
	}
	if err := s.RequestPty(kind, height, width, ssh.TerminalModes{}); err != nil {
		undo()
		cancel()
		return nil, fmt.Errorf("the host gives no terminal: %w", err)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case <-ctx.Done():
				return
			case z, ok := <-sizes:
				if !ok {
					return
				}
				_ = s.WindowChange(z[1], z[0])
			}
		}
	}()
	return func() { cancel(); <-finished; undo() }, nil
}

// Dial connects to an address from a host, over the connection to it that operations use as well. It tries once, and waits for nothing. What keeps it
// from dialling at all is a *ViaError; anything else is about the address.
func (d *Driver) Dial(ctx context.Context, from *driver.Host, network, address string) (net.Conn, error) {
	c, release, err := d.pool.acquire(ctx, *from, forUser, nil)
	if err != nil {
		return nil, &ViaError{*from, err}
	}
	nc, err := d.pool.through(c)(ctx, network, address)
	var barred *forwardError
	switch {
	case errors.As(err, &barred), err != nil && c.dead():
		release()
		return nil, &ViaError{*from, err}
	case err != nil:
		release()
		return nil, err
	}
	return &dialled{nc, release}, nil
}

// ViaError is a failure to dial from a host: it is about the way, not about where it leads.
type ViaError struct {
	From driver.Host
	Err  error
}

func (e *ViaError) Error() string {
	return fmt.Sprintf("cannot get through %s: %v", address(e.From), e.Err)
}
func (e *ViaError) Unwrap() error { return e.Err }

// dialled gives its host's connection back when it is closed.
type dialled struct {
	net.Conn
	release func()
}

func (c *dialled) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// Reach logs in once, waiting for nothing: is the host there, is it the one that is meant, and may one enter?
func (d *Driver) Reach(ctx context.Context, h *driver.Host) error {
	_, release, err := d.pool.acquire(ctx, *h, forUser, nil)
	if err != nil {
		return err
	}
	release()
	return nil
}
