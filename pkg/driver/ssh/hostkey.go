package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver"
)

// Sources of host keys, see driver.Host.
const (
	Injected = "injected"
	Console  = "console"
	FirstUse = "first-use"
)

// hostKeys says which keys a host may show. Without pins any is taken: only at first use.
type hostKeys struct {
	pinned []ssh.PublicKey
}

// errNoConsoleKeys: the server has not printed its keys yet.
var errNoConsoleKeys = errors.New("the console log shows no host keys yet")

// hostKeys finds the pins of a host: its own, those that this process found, those of the console.
func (p *Pool) hostKeys(ctx context.Context, e *entry, h driver.Host) (hostKeys, error) {
	lines := h.HostKeys
	if len(lines) == 0 {
		lines = e.found
	}
	if len(lines) > 0 {
		return parseKeys(h, lines)
	}
	fail := func(err error, hint string) (hostKeys, error) {
		return hostKeys{}, &driver.Error{Op: "check the host key", Host: address(h), ExitCode: -1, Err: err, Hint: hint}
	}
	switch h.HostKeySource {
	case Console:
		if p.o.ConsoleKeys == nil {
			return fail(errors.New("there is no console log to read the host key from"), "give the host its host_keys")
		}
		lines, err := p.o.ConsoleKeys(ctx, h.ServerID)
		if err != nil {
			return hostKeys{}, &dialError{fmt.Errorf("cannot read the host keys from the console log: %w", err)}
		}
		if len(lines) == 0 {
			return hostKeys{}, errNoConsoleKeys
		}
		keys, err := parseKeys(h, lines)
		if err != nil {
			return keys, err
		}
		return keys, p.pin(ctx, e, h, lines)
	case FirstUse:
		if p.o.Pin == nil {
			return fail(errors.New("a key found at first use could not be kept"), "give the host its host_keys")
		}
		return hostKeys{}, nil
	}
	return fail(errors.New("no host key is known, and none may be taken on trust"),
		"give the host its host_keys (ssh-keyscan shows them; compare with the host's console), or set host_key_source to first-use")
}

func parseKeys(h driver.Host, lines []string) (hostKeys, error) {
	var k hostKeys
	for _, l := range lines {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l))
		if err != nil {
			return k, &driver.Error{Op: "check the host key", Host: address(h), ExitCode: -1, Err: fmt.Errorf("cannot parse the pinned host key %q", l),
				Hint: "a host key looks like: ssh-ed25519 AAAA…"}
		}
		k.pinned = append(k.pinned, key)
	}
	if len(k.pinned) == 0 {
		return k, &driver.Error{Op: "check the host key", Host: address(h), ExitCode: -1, Err: errors.New("the list of pinned host keys is empty")}
	}
	return k, nil
}

// pin keeps keys that were found: here, and wherever Options.Pin puts them.
func (p *Pool) pin(ctx context.Context, e *entry, h driver.Host, lines []string) error {
	if p.o.Pin != nil {
		if err := p.o.Pin(ctx, h, lines); err != nil {
			return fmt.Errorf("cannot keep the host key of %s: %w", h.Instance, err)
		}
	}
	e.found = lines
	return nil
}

func (k hostKeys) check(_ string, key ssh.PublicKey) error {
	if len(k.pinned) == 0 {
		return nil
	}
	for _, p := range k.pinned {
		if p.Type() == key.Type() && bytes.Equal(p.Marshal(), key.Marshal()) {
			return nil
		}
	}
	return &KeyError{Want: k.pinned, Got: key}
}

// algorithms makes the server show a key of a kind that is pinned.
func (k hostKeys) algorithms() []string {
	var a []string
	for _, p := range k.pinned {
		switch t := p.Type(); t {
		case ssh.KeyAlgoRSA:
			a = append(a, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			a = append(a, t)
		}
	}
	slices.Sort(a)
	return slices.Compact(a)
}

// KeyError is a host that shows another key than the pinned ones.
type KeyError struct {
	Want []ssh.PublicKey
	Got  ssh.PublicKey // nil: it has no key of the kinds pinned
	// Offers are the kinds that the host has, when it has none of those pinned.
	Offers []string
}

func (e *KeyError) Error() string {
	var want []string
	for _, k := range e.Want {
		want = append(want, k.Type()+" "+ssh.FingerprintSHA256(k))
	}
	if e.Got == nil {
		return fmt.Sprintf("the host has no key of the pinned kind (pinned: %s; it offers %s)", strings.Join(want, ", "), strings.Join(e.Offers, ", "))
	}
	return fmt.Sprintf("the host shows the key %s %s, but pinned is %s", e.Got.Type(), ssh.FingerprintSHA256(e.Got), strings.Join(want, ", "))
}

func keyLine(k ssh.PublicKey) string {
	if k == nil {
		return ""
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

// keyLines normalizes pins for comparison with keyLine.
func keyLines(lines []string) []string {
	var out []string
	for _, l := range lines {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l)); err == nil {
			out = append(out, keyLine(k))
		}
	}
	return out
}
