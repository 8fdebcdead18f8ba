package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
)

// remote is a host as a script.Machine: it connects when a command needs it, and becomes root when asked.
type remote struct {
	pool   *Pool
	host   driver.Host
	sudo   bool
	report Report
}

var (
	_ script.Machine  = (*remote)(nil)
	_ script.Uploader = (*remote)(nil)
)

func (p *Pool) remote(h driver.Host, sudo bool, report Report) *remote {
	return &remote{pool: p, host: h, sudo: sudo && cmp.Or(h.User, p.o.user()) != "root", report: report}
}

// Address of the host: the first of its addresses.
func (m *remote) Address() string { return address(m.host) }

// hold keeps the connection open, once it is there and the host is ready, until release. A host that was ready before and does not answer
// now is tried again for as long as a lost connection may stay lost.
func (m *remote) hold(ctx context.Context) (release func(), err error) {
	start, pause := time.Now(), 100*time.Millisecond
	for {
		_, release, err = m.pool.acquire(ctx, m.host, forWork, m.report)
		if err == nil || !errors.Is(err, script.ErrLost) || time.Since(start) > cmp.Or(m.pool.o.Reconnect, 10*time.Minute) {
			return release, err
		}
		if m.report != nil {
			m.report(m.Address(), fmt.Sprintf("waiting for the host to answer again, %s (%v)", elapsed(start), err))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(pause*2, 10*time.Second)
	}
}

// Exec runs a command on the host.
func (m *remote) Exec(ctx context.Context, cmd script.Command) (int, error) {
	c, release, err := m.pool.acquire(ctx, m.host, forWork, m.report)
	if err != nil {
		return -1, err
	}
	defer release()
	line := script.QuoteAll(cmd.Args)
	if m.sudo {
		prefix, password, err := m.root(ctx)
		if err != nil {
			return -1, err
		}
		line = prefix + line
		if password != "" {
			rest := cmd.Stdin
			if rest == nil {
				rest = bytes.NewReader(nil)
			}
			cmd.Stdin = io.MultiReader(strings.NewReader(password+"\n"), rest)
		}
	}
	return c.exec(ctx, line, cmd)
}

// root is the way to become root. With a password it goes to sudo's standard input; when sudo does not want it, what reads standard
// input next must skip it (script's journal does). -k: a cached answer would make that uncertain.
func (m *remote) root(ctx context.Context) (prefix, password string, err error) {
	if m.host.PasswordRef == "" {
		return "sudo -n -H -- ", "", nil
	}
	if m.pool.o.Secrets == nil {
		return "", "", errors.New("there is no store of secrets to read sudo's password from")
	}
	v, err := m.pool.o.Secrets.Resolve(ctx, m.host.PasswordRef)
	if err != nil {
		return "", "", fmt.Errorf("cannot read the password %s of %s: %w", m.host.PasswordRef, m.host.Instance, err)
	}
	return "sudo -S -k -p '' -H -- ", v.Reveal(), nil
}

// Exec runs a command line in the login shell of a host and returns its exit code. It has no journal: when the connection is lost the
// error wraps script.ErrLost, and the command's fate is not known.
func (p *Pool) Exec(ctx context.Context, h driver.Host, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	c, release, err := p.acquire(ctx, h, forWork, nil)
	if err != nil {
		return -1, err
	}
	defer release()
	return c.exec(ctx, line, script.Command{Stdin: stdin, Stdout: stdout, Stderr: stderr})
}
