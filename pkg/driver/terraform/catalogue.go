package terraform

import (
	"context"

	"github.com/orch-project/orch/pkg/driver"
)

// catalogue asks the cloud once for each list. A list that the cloud does not give is not asked for again for the next node: each time takes as long as
// the cloud is tried.
type catalogue struct {
	cloud driver.Cloud
	lists map[string]listed
}

type listed struct {
	items []map[string]any
	err   error
}

func (c *catalogue) List(ctx context.Context, kind string) ([]map[string]any, error) {
	if l, ok := c.lists[kind]; ok {
		return l.items, l.err
	}
	items, err := c.cloud.List(ctx, kind)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if c.lists == nil {
		c.lists = map[string]listed{}
	}
	c.lists[kind] = listed{items, err}
	return items, err
}
