package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/orch-project/orch/pkg/orch"
)

// Workflows implements orch.Service.
func (c *Client) Workflows(ctx context.Context, name string) (all []orch.WorkflowInfo, err error) {
	return all, c.get(ctx, deployment(name, "workflows"), &all)
}

// Drift implements orch.Service.
func (c *Client) Drift(ctx context.Context, req orch.DriftRequest) (*orch.Drift, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	d := &orch.Drift{}
	if err := c.do(ctx, http.MethodPost, deployment(req.Deployment, "drift"), bytes.NewReader(body), "application/json", d); err != nil {
		return nil, err
	}
	return d, nil
}
