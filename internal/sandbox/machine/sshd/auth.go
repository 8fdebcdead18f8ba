package sshd

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
	"golang.org/x/crypto/ssh"
)

var errDenied = errors.New("permission denied")

// restrictions are the options of the authorized_keys line that let the user in (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
type restrictions struct {
	command string // replaces whatever the client asks for
	env     []string
	noPTY   bool
	noForward,
	noAgent bool
}

func (s *Server) config(c net.Conn) *ssh.ServerConfig {
	cfg := &ssh.ServerConfig{
		ServerVersion: Version,
		MaxAuthTries:  6,
		PublicKeyCallback: func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if s.rejecting() {
				return nil, errDenied
			}
			r, ok := s.authorized(m.User(), key, c.RemoteAddr())
			if !ok {
				return nil, errDenied
			}
			return &ssh.Permissions{ExtraData: map[any]any{restrictionsKey{}: r}}, nil
		},
	}
	if s.PasswordAuth != nil && s.PasswordAuth() {
		cfg.PasswordCallback = func(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, s.checkPassword(m.User(), password)
		}
		cfg.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			if len(answers) != 1 {
				return nil, errDenied
			}
			return nil, s.checkPassword(m.User(), []byte(answers[0]))
		}
	}
	for _, k := range s.HostKeys {
		cfg.AddHostKey(k)
	}
	return cfg
}

type restrictionsKey struct{}

func (s *Server) rejecting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault.Reject
}

func (s *Server) root() string {
	if s.Root == "" {
		return "/"
	}
	return s.Root
}

// user finds an account that may log in.
func (s *Server) user(name string) (account.User, *account.DB, error) {
	db, err := account.Open(s.root())
	if err != nil {
		return account.User{}, nil, err
	}
	u, ok := db.User(name)
	if !ok {
		return u, nil, errDenied
	}
	return u, db, nil
}

func (s *Server) checkPassword(name string, password []byte) error {
	if s.rejecting() {
		return errDenied
	}
	_, db, err := s.user(name)
	if err != nil {
		return err
	}
	ok, err := account.VerifyPassword(db.PasswordHash(name), string(password))
	if err != nil || !ok {
		return errDenied
	}
	return nil
}

// authorized looks for the key in the user's authorized_keys files.
func (s *Server) authorized(name string, key ssh.PublicKey, peer net.Addr) (restrictions, bool) {
	u, _, err := s.user(name)
	if err != nil {
		return restrictions{}, false
	}
	want := key.Marshal()
	for _, file := range []string{".ssh/authorized_keys", ".ssh/authorized_keys2"} {
		rest, err := os.ReadFile(filepath.Join(s.root(), u.Home, file))
		if err != nil {
			continue
		}
		for line := range bytes.Lines(rest) {
			k, _, options, _, err := ssh.ParseAuthorizedKey(line)
			if err != nil || subtle.ConstantTimeCompare(k.Marshal(), want) == 0 {
				continue // comments, damage and other keys: the next line decides
			}
			if r, ok := parseOptions(options, peer); ok {
				return r, true
			}
		}
	}
	return restrictions{}, false
}

// parseOptions understands what matters here and ignores the rest; a "from" that does not match refuses the key.
func parseOptions(options []string, peer net.Addr) (restrictions, bool) {
	var r restrictions
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
		value = strings.ReplaceAll(value, `\"`, `"`)
		switch strings.ToLower(name) {
		case "command":
			r.command = value
		case "environment":
			r.env = append(r.env, value)
		case "restrict":
			r.noPTY, r.noForward, r.noAgent = true, true, true
		case "no-pty":
			r.noPTY = true
		case "pty":
			r.noPTY = false
		case "no-port-forwarding":
			r.noForward = true
		case "port-forwarding":
			r.noForward = false
		case "no-agent-forwarding":
			r.noAgent = true
		case "agent-forwarding":
			r.noAgent = false
		case "from":
			if !fromMatches(value, peer) {
				return r, false
			}
		}
	}
	return r, true
}

// fromMatches implements the address patterns of "from": addresses, CIDR, globs, negation.
func fromMatches(patterns string, peer net.Addr) bool {
	host, _, err := net.SplitHostPort(peer.String())
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	matched := false
	for p := range strings.SplitSeq(patterns, ",") {
		p, negated := strings.CutPrefix(strings.TrimSpace(p), "!")
		hit := false
		if prefix, err := netip.ParsePrefix(p); err == nil {
			hit = prefix.Contains(addr.Unmap())
		} else {
			hit, _ = filepath.Match(p, host)
		}
		if hit && negated {
			return false
		}
		matched = matched || hit
	}
	return matched
}
