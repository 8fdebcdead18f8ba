package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver/script"
)

// conn is an SSH connection that counts its sessions.
type conn struct {
	client  *ssh.Client
	address string
	hostKey string // the key it was checked against, as an authorized_keys line
	after   func() // gives the bastion back

	gone chan struct{} // closed when the connection has ended
	once sync.Once

	mu     sync.Mutex
	limit  int
	open   int
	follow int
	freed  chan struct{} // closed and replaced when a session ends
}

func newConn(client *ssh.Client, address, hostKey string, o Options, after func()) *conn {
	c := &conn{client: client, address: address, hostKey: hostKey, after: after, gone: make(chan struct{}),
		limit: cmp.Or(o.Sessions, 10), freed: make(chan struct{})}
	go func() {
		_ = client.Wait()
		close(c.gone)
		c.close()
	}()
	go c.keepAlive(cmp.Or(o.KeepAlive, 15*time.Second))
	return c
}

func (c *conn) close() {
	c.once.Do(func() {
		c.client.Close()
		if c.after != nil {
			c.after()
		}
	})
}

func (c *conn) dead() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// keepAlive ends a connection whose other side does not answer any more: TCP alone would take a quarter of an hour to notice.
func (c *conn) keepAlive(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-c.gone:
			return
		case <-t.C:
		}
		timer := time.AfterFunc(3*every, func() { c.client.Close() })
		_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
		timer.Stop()
		if err != nil {
			c.client.Close()
			return
		}
	}
}

// errSessions is a server that does not open a session although none is open.
var errSessions = errors.New("the SSH server refuses to open a session")

// session opens one, waiting for its turn when the server's limit is reached. Some of the limit stays free of followers, because what
// ends a job, or looks at it, must get through.
func (c *conn) session(ctx context.Context, follow bool) (*ssh.Session, func(), error) {
	refusals := 0
	for {
		if err := c.enter(ctx, follow); err != nil {
			return nil, nil, err
		}
		type opened struct {
			s   *ssh.Session
			err error
		}
		ch := make(chan opened, 1)
		go func() {
			s, err := c.client.NewSession()
			ch <- opened{s, err}
		}()
		var r opened
		select {
		case r = <-ch:
		case <-c.gone:
			// A session asked for in the moment in which the connection ends may never get an answer from x/crypto: its channel comes
			// into the list after the list has been emptied (mux.loop, openChannel). Nobody waits for it; no more sessions come from here.
			return nil, nil, fmt.Errorf("%w while it opened a session", script.ErrLost)
		case <-ctx.Done():
			go func() {
				select {
				case r := <-ch:
					if r.err == nil {
						r.s.Close()
					}
				case <-c.gone:
				}
				c.leave(follow)
			}()
			return nil, nil, context.Cause(ctx)
		}
		if r.err == nil {
			return r.s, func() { c.leave(follow) }, nil
		}
		others := c.leave(follow)
		var refused *ssh.OpenChannelError
		if !errors.As(r.err, &refused) {
			return nil, nil, fmt.Errorf("%w: %w", script.ErrLost, r.err)
		}
		if others > 0 {
			c.lower(others)
			continue
		}
		// The server may not have noticed yet that the last session ended.
		if refusals++; refusals > 10 {
			return nil, nil, fmt.Errorf("%w: %s", errSessions, refused.Message)
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *conn) enter(ctx context.Context, follow bool) error {
	for {
		c.mu.Lock()
		followers := max(1, c.limit-2)
		if c.open < c.limit && (!follow || c.follow < followers) {
			c.open++
			if follow {
				c.follow++
			}
			c.mu.Unlock()
			return nil
		}
		freed := c.freed
		c.mu.Unlock()
		select {
		case <-freed:
		case <-c.gone:
			return fmt.Errorf("%w while waiting for a session", script.ErrLost)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leave returns how many sessions remain open.
func (c *conn) leave(follow bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if follow {
		c.follow--
	}
	close(c.freed)
	c.freed = make(chan struct{})
	return c.open
}

func (c *conn) lower(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = min(c.limit, max(1, limit))
}

// exec runs a command line in a session of its own. It returns as soon as ctx ends; the rest is tidied up behind it.
func (c *conn) exec(ctx context.Context, line string, cmd script.Command) (int, error) {
	s, release, err := c.session(ctx, cmd.Follow)
	if err != nil {
		return -1, err
	}
	s.Stdout, s.Stderr = cmd.Stdout, cmd.Stderr
	done := make(chan error, 1)
	var input io.WriteCloser
	if cmd.Stdin != nil {
		if input, err = s.StdinPipe(); err != nil {
			s.Close()
			release()
			return -1, fmt.Errorf("%w: %w", script.ErrLost, err)
		}
	}
	go func() {
		defer release()
		err := s.Start(line)
		if err == nil {
			var copied chan struct{}
			if input != nil {
				copied = make(chan struct{})
				go func() {
					defer close(copied)
					// A command need not read all of its input.
					_, _ = io.Copy(input, cmd.Stdin)
					input.Close()
				}()
			}
			err = s.Wait()
			s.Close()
			if copied != nil && ctx.Err() == nil {
				<-copied
			}
		}
		s.Close()
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		s.Close()
		return -1, context.Cause(ctx)
	}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		if exit.Signal() != "" && exit.ExitStatus() == 0 {
			return 128, nil
		}
		return exit.ExitStatus(), nil
	}
	return -1, fmt.Errorf("%w: %w", script.ErrLost, err)
}
