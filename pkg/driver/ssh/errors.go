package ssh

import (
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/driver"
)

// The ways in which a connection fails; each says what may be waited for.
type (
	// dialError: nobody there, or nobody who speaks SSH. It may pass.
	dialError struct{ error }
	// loginError: the host does not let us in.
	loginError struct {
		user, tried, banner string
		host                driver.Host
	}
	// bastionError is a failure on the way.
	bastionError struct {
		host driver.Host
		err  error
	}
	// forwardError is a bastion that forwards nothing.
	forwardError struct{ bastion, message string }
	// addressError says which of several addresses.
	addressError struct {
		address string
		err     error
	}
)

func (e *dialError) Unwrap() error { return e.error }

func (e *loginError) Error() string {
	s := fmt.Sprintf("the host refuses the login of %s (tried: %s)", e.user, e.tried)
	if e.banner != "" {
		s += ": " + e.banner
	}
	return s
}

func (e *bastionError) Error() string {
	return fmt.Sprintf("cannot get through the bastion %s: %v", address(e.host), e.err)
}
func (e *bastionError) Unwrap() error { return e.err }

func (e *forwardError) Error() string {
	return fmt.Sprintf("the bastion %s forwards no connections: %s", e.bastion, e.message)
}

func (e *addressError) Error() string { return e.address + ": " + e.err.Error() }
func (e *addressError) Unwrap() error { return e.err }

// weight orders failures of several addresses: a wrong key or login first, silence last.
func weight(err error) int {
	switch {
	case isKey(err):
		return 0
	case isRefusedLogin(err):
		return 1
	case isTransient(err):
		return 3
	}
	return 2
}

func isKey(err error) bool {
	var e *KeyError
	return errors.As(err, &e)
}

func isRefusedLogin(err error) bool {
	var e *loginError
	return errors.As(err, &e)
}

// isTransient: nothing that the host said speaks against trying again.
func isTransient(err error) bool {
	var e *dialError
	var f *forwardError
	return (errors.As(err, &e) || errors.Is(err, errNoConsoleKeys)) && !isKey(err) && !isRefusedLogin(err) && !errors.As(err, &f)
}

// passing says what is waited for at the first use of a host, and whether waiting makes sense.
func (p *Pool) passing(h driver.Host, err error, refusedSince time.Time) (what string, ok bool) {
	limit := p.o.LoginTimeout
	if limit == 0 {
		limit = 5 * time.Minute
	}
	var b *bastionError
	switch {
	case errors.As(err, &b):
		return "the bastion " + address(b.host), false // it has been waited for already
	case isKey(err):
		// Until user data has run, the host shows the keys of its first boot.
		return "the injected host key (the host still shows another)", h.HostKeySource == Injected
	case isRefusedLogin(err):
		return "the login (refused so far)", h.CloudInit && (refusedSince.IsZero() || time.Since(refusedSince) < limit)
	case errors.Is(err, errNoConsoleKeys):
		return "host keys on the console log", true
	case errors.Is(err, errSilent):
		return "an SSH server (the port is open, but silent)", true
	}
	return fmt.Sprintf("SSH (%v)", err), isTransient(err)
}

// explain makes the error that users see.
func explain(h driver.Host, err error) error {
	var de *driver.Error
	if errors.As(err, &de) {
		return err
	}
	e := &driver.Error{Op: "connect by SSH", Host: address(h), ExitCode: -1, Err: err}
	var l *loginError
	var f *forwardError
	switch {
	case isKey(err):
		e.Op = "check the host key"
		e.Hint = "if the server was rebuilt or its address was given to another, remove the pinned key of " + h.Instance.String() +
			" (or replace the instance: orch heal); if not, somebody may be listening in between: compare with the server's console"
	case errors.As(err, &l):
		e.Op = "log in"
		e.Hint = "check the user name (cloud images have one of their own: debian, ubuntu, cloud-user …) and that this key or password belongs to it"
	case errors.As(err, &f):
		e.Hint = "set AllowTcpForwarding yes in the bastion's sshd_config"
	case errors.Is(err, errSessions):
		e.Hint = "see MaxSessions and the login shell of the user in the host's sshd_config"
	default:
		e.Retryable = isTransient(err)
		e.Hint = "check the address, the security groups, and that the server runs"
	}
	return e
}

// notReady is the end of the wait for a host.
func notReady(h driver.Host, what string, start time.Time, last error) error {
	err := explain(h, last)
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	// A host that has answered all the time with a key of its own has not run its user data, and will not while another attempt waits.
	c.Retryable = !isKey(last)
	c.Final = true // the patience is spent: more attempts would multiply it
	if isKey(last) && h.HostKeySource == Injected {
		c.Hint = "the server's user data, which carries its host key, has not run: see its console log and /var/log/cloud-init.log. If the image has no " +
			"cloud-init, set the location's host_keys to script, console or first-use; else make the server anew (orch heal)"
	}
	c.Err = fmt.Errorf("gave up after %s of waiting for %s: %w", elapsed(start), what, e.Err)
	return &c
}
