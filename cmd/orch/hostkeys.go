package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/state"
)

// hostKeys remembers the host keys that were read from a console log or pinned at first use, by the server's id: a later process must not
// trust another key, and an address that another server has got since says nothing.
type hostKeys struct{ store state.Store }

type pinnedKeys struct {
	Keys []string `json:"keys"` // authorized_keys lines
}

func pinKey(serverID string) string { return state.Join("hostkeys", serverID) }

// Pin stores the keys of a host.
func (k hostKeys) Pin(ctx context.Context, h driver.Host, keys []string) error {
	if h.ServerID == "" {
		return fmt.Errorf("%s has no server id to pin its host keys to", h.Instance)
	}
	return k.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, pinKey(h.ServerID), pinnedKeys{Keys: keys}) })
}

// known returns the host with the keys pinned for it, or as it is.
func (k hostKeys) known(ctx context.Context, h *driver.Host) (*driver.Host, error) {
	if h == nil || len(h.HostKeys) > 0 || h.ServerID == "" {
		return h, nil
	}
	with := *h
	err := k.store.View(ctx, func(tx state.Tx) error {
		r, _, err := state.Get[pinnedKeys](tx, pinKey(h.ServerID))
		if errors.Is(err, state.ErrNotFound) {
			return nil
		}
		with.HostKeys = r.Keys
		return err
	})
	return &with, err
}

// consoleKeys reads the host keys that cloud-init printed to a server's console, from whichever cloud of this process knows the server.
func (l *locations) consoleKeys(ctx context.Context, serverID string) ([]string, error) {
	l.mu.Lock()
	clouds := make([]driver.Cloud, 0, len(l.clouds))
	for _, c := range l.clouds {
		clouds = append(clouds, c)
	}
	l.mu.Unlock()
	if len(clouds) == 0 {
		loc, err := l.named("")
		if err != nil {
			return nil, err
		}
		c, err := l.cloud(ctx, loc)
		if err != nil {
			return nil, err
		}
		clouds = append(clouds, c)
	}
	var failed error
	for _, c := range clouds {
		text, err := c.Console(ctx, serverID, 0)
		if err == nil {
			return keysInConsole(text), nil
		}
		failed = err
	}
	return nil, failed
}

// keysInConsole finds the lines between cloud-init's marks. Kernel messages may stand before them on the same line.
func keysInConsole(text string) []string {
	_, rest, ok := strings.Cut(text, "-----BEGIN SSH HOST KEY KEYS-----")
	if !ok {
		return nil
	}
	block, _, ok := strings.Cut(rest, "-----END SSH HOST KEY KEYS-----")
	if !ok {
		return nil
	}
	var keys []string
	for line := range strings.SplitSeq(block, "\n") {
		for _, kind := range []string{"ssh-", "ecdsa-"} {
			i := strings.Index(line, kind)
			if i < 0 {
				continue
			}
			if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line[i:])); err == nil {
				keys = append(keys, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
				break
			}
		}
	}
	return keys
}
