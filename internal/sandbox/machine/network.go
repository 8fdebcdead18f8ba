package machine

import (
	"context"
	"errors"
	"fmt"
)

// ErrNotFound is wrapped by errors about networks, servers, ports and volumes that the Host does not have.
var ErrNotFound = errors.New("not found")

func (h *host) CreateNetwork(_ context.Context, id string) error {
	f := h.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.networks[id] != nil {
		return nil
	}
	n := &network{id: id, bridge: shortName("n", id)}
	if err := f.addBridge(n.bridge); err != nil {
		return err
	}
	var err error
	if n.services, err = h.serveNetwork(n); err != nil {
		_ = f.ns.remove(n.bridge)
		return fmt.Errorf("cannot serve metadata on network %s: %w", id, err)
	}
	f.networks[id] = n
	return nil
}

func (h *host) DeleteNetwork(_ context.Context, id string) error {
	f := h.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.networks[id]
	if n == nil {
		return nil
	}
	n.services.close()
	if err := f.ns.remove(n.bridge); err != nil {
		return fmt.Errorf("cannot remove the bridge of network %s: %w", id, err)
	}
	delete(f.networks, id)
	return nil
}

func (f *fabric) network(id string) (*network, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.networks[id]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("network %s: %w", id, ErrNotFound)
}
