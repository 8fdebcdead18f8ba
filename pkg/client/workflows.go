package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

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

// Sweep implements orch.Service.
func (c *Client) Sweep(ctx context.Context, req orch.SweepRequest) (all []orch.Resource, err error) {
	q := url.Values{}
	if req.Location != "" {
		q.Set("location", req.Location)
	}
	if req.Adopt {
		body, err := json.Marshal(map[string]any{"ids": req.IDs})
		if err != nil {
			return nil, err
		}
		return all, c.do(ctx, http.MethodPost, deployment(req.Deployment, "resources")+"?"+q.Encode(), bytes.NewReader(body), "application/json", &all)
	}
	method := http.MethodGet
	if req.Delete {
		method, q["id"] = http.MethodDelete, req.IDs
		if req.Force {
			q.Set("force", "true")
		}
	}
	return all, c.do(ctx, method, deployment(req.Deployment, "resources")+"?"+q.Encode(), nil, "", &all)
}
