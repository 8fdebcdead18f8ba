package client

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

// Revisions implements orch.Service.
func (c *Client) Revisions(ctx context.Context, name string) (all []orch.Revision, err error) {
	return all, c.get(ctx, deployment(name, "revisions"), &all)
}
