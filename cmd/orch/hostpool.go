package main

import (
	"context"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	pooldriver "github.com/orch-project/orch/pkg/driver/hostpool"
	"github.com/orch-project/orch/pkg/driver/ssh"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/topology"
)

// reachTimeout is how long one may wait for a host of a pool to answer: it has been there before, unlike a new server.
const reachTimeout = 20 * time.Second

// poolReach logs in to a host of a pool once, pinning its host keys.
func poolReach(remote *ssh.Driver, keys hostKeys) func(context.Context, *hostpool.Host) error {
	return func(ctx context.Context, h *hostpool.Host) error {
		ctx, cancel := context.WithTimeout(ctx, reachTimeout)
		defer cancel()
		to, err := keys.known(ctx, &driver.Host{Instance: topology.Instance{Node: h.Name, Index: "0"}, Addresses: []string{h.Connection.Host}, Port: h.Connection.Port,
			User: h.Connection.User, KeyRef: h.Connection.KeyRef, PasswordRef: h.Connection.PasswordRef, Agent: h.Connection.KeyRef == "" && h.Connection.PasswordRef == "",
			HostKeySource: "first-use", ServerID: pooldriver.ServerID(h.Location, h.Name)})
		if err != nil {
			return err
		}
		return remote.Reach(ctx, to)
	}
}
