package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/secret"
)

// login is what we can show to a host.
type login struct {
	key      ssh.Signer
	agent    agent.ExtendedAgent
	socket   net.Conn
	password secret.Value
	problems []string
}

// login collects the credentials of a host. What it cannot get is an error only when nothing else is left.
func (p *Pool) login(ctx context.Context, h driver.Host) (*login, error) {
	l := &login{}
	resolve := func(ref string) (secret.Value, error) {
		if p.o.Secrets == nil {
			return secret.Value{}, errors.New("there is no store of secrets")
		}
		return p.o.Secrets.Resolve(ctx, ref)
	}
	var err error
	if h.PasswordRef != "" {
		if l.password, err = resolve(h.PasswordRef); err != nil {
			return nil, fmt.Errorf("cannot read the password %s of %s: %w", h.PasswordRef, h.Instance, err)
		}
	}
	if h.KeyRef != "" {
		pem, err := resolve(h.KeyRef)
		if err != nil {
			return nil, fmt.Errorf("cannot read the private key %s of %s: %w", h.KeyRef, h.Instance, err)
		}
		if l.key, err = p.parseKey(ctx, h, pem, l.password); err != nil {
			return nil, err
		}
	}
	if h.Agent {
		if err := l.openAgent(ctx, cmp.Or(p.o.AgentSocket, os.Getenv("SSH_AUTH_SOCK"))); err != nil {
			l.problems = append(l.problems, err.Error())
		}
	}
	if l.key == nil && l.agent == nil && l.password.IsZero() {
		text := "it has neither key nor password, and does not use the agent"
		if len(l.problems) > 0 {
			text = strings.Join(l.problems, "; ")
		}
		return nil, &driver.Error{Op: "log in", Host: address(h), ExitCode: -1, Err: fmt.Errorf("nothing to log in to %s with: %s", h.Instance, text),
			Hint: "give the host a key_ref or password_ref, or load a key into the agent (ssh-add)"}
	}
	return l, nil
}

func (p *Pool) parseKey(ctx context.Context, h driver.Host, pem, password secret.Value) (ssh.Signer, error) {
	bad := func(err error, hint string) error {
		return &driver.Error{Op: "log in", Host: address(h), ExitCode: -1, Err: fmt.Errorf("cannot use the private key %s: %w", h.KeyRef, err), Hint: hint}
	}
	text := []byte(pem.Reveal())
	s, err := ssh.ParsePrivateKey(text)
	var missing *ssh.PassphraseMissingError
	if !errors.As(err, &missing) {
		if err != nil {
			return nil, bad(errors.New("it is no private key in PEM or OpenSSH format"), "store the file that ssh-keygen made, not the .pub one")
		}
		return s, nil
	}
	phrase := password
	if p.o.Passphrase != nil {
		if phrase, err = p.o.Passphrase(ctx, h); err != nil {
			return nil, bad(fmt.Errorf("cannot get its passphrase: %w", err), "")
		}
	}
	if phrase.IsZero() {
		return nil, bad(errors.New("it is encrypted, and there is no passphrase"), "store the passphrase, or the key without one, or load it into the agent (ssh-add)")
	}
	if s, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(phrase.Reveal())); err != nil {
		return nil, bad(errors.New("its passphrase is wrong"), "correct the stored passphrase")
	}
	return s, nil
}

func (l *login) openAgent(ctx context.Context, socket string) error {
	if socket == "" {
		return errors.New("no SSH agent (SSH_AUTH_SOCK is not set)")
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("cannot reach the SSH agent: %w", err)
	}
	l.socket, l.agent = c, agent.NewClient(c)
	return nil
}

// methods in the order key, agent, password; servers count attempts.
func (l *login) methods() []ssh.AuthMethod {
	var m []ssh.AuthMethod
	if l.key != nil || l.agent != nil {
		m = append(m, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			var s []ssh.Signer
			if l.key != nil {
				s = append(s, l.key)
			}
			if l.agent != nil {
				more, err := l.agent.Signers()
				if err != nil && len(s) == 0 {
					return nil, fmt.Errorf("the SSH agent does not answer: %w", err)
				}
				s = append(s, more...)
			}
			return s, nil
		}))
	}
	if !l.password.IsZero() {
		m = append(m, ssh.PasswordCallback(func() (string, error) { return l.password.Reveal(), nil }))
		asked := 0
		m = append(m, ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				// Only hidden answers are passwords; a server that asks again did not like the first.
				if asked++; echos[i] || asked > 1 {
					return nil, errors.New("the server asks for more than a password")
				}
				answers[i] = l.password.Reveal()
			}
			return answers, nil
		}))
	}
	return m
}

// tried says what was shown, without secrets.
func (l *login) tried() string {
	var t []string
	if l.key != nil {
		t = append(t, "key "+ssh.FingerprintSHA256(l.key.PublicKey()))
	}
	if l.agent != nil {
		keys, _ := l.agent.List()
		t = append(t, fmt.Sprintf("%d keys of the agent", len(keys)))
	}
	if !l.password.IsZero() {
		t = append(t, "password")
	}
	return strings.Join(append(t, l.problems...), ", ")
}

func (l *login) close() {
	if l.socket != nil {
		l.socket.Close()
	}
}
