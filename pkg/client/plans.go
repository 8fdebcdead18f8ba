package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/orch-project/orch/pkg/orch"
)

// Plans implements orch.Service.
func (c *Client) Plans() orch.Plans { return plans{c} }

type plans struct{ c *Client }

func planPath(id string) string { return "/plans/" + url.PathEscape(id) }

func (p plans) Save(ctx context.Context, req orch.Request) (out orch.SavedPlan, err error) {
	return out, p.c.post(ctx, "/plans", req, &out)
}

func (p plans) List(ctx context.Context, deployment string) (all []orch.SavedPlan, err error) {
	return all, p.c.get(ctx, "/plans?deployment="+url.QueryEscape(deployment), &all)
}

func (p plans) Get(ctx context.Context, id string) (out orch.SavedPlan, err error) {
	return out, p.c.get(ctx, planPath(id), &out)
}

func (p plans) Apply(ctx context.Context, id string) (t orch.Task, err error) {
	return t, p.c.again(ctx, planPath(id)+"/apply", nil, "", &t)
}

func (p plans) Remove(ctx context.Context, id string) error {
	return p.c.do(ctx, http.MethodDelete, planPath(id), nil, "", nil)
}
