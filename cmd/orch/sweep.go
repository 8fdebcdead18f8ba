package main

import (
	"context"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
)

// sweeper lists or removes what the cloud has of a deployment. The location is that of the record, if there is one.
func sweeper(c *config.Config, svc orch.Service) func(ctx context.Context, deployment, location string, remove bool) ([]cli.Stray, error) {
	return func(ctx context.Context, deployment, location string, remove bool) ([]cli.Stray, error) {
		set, _, list := pluginsOf(c)
		if err := list.Err(); err != nil {
			return nil, err
		}
		if d, err := svc.Deployment(ctx, deployment); err == nil && location == "" {
			location = d.Location
		}
		where := &locations{cfg: c, set: set}
		loc, err := where.named(location)
		if err != nil {
			return nil, err
		}
		cloud, err := where.cloud(ctx, loc)
		if err != nil {
			return nil, &orch.Error{Kind: orch.KindCloud, Err: err}
		}
		found, err := cloud.Inventory(ctx, deployment)
		if err != nil {
			return nil, &orch.Error{Kind: orch.KindCloud, Err: err}
		}
		if remove {
			err = cloudError(cloud.Delete(ctx, found))
		}
		return strays(found), err
	}
}

func cloudError(err error) error {
	if err == nil {
		return nil
	}
	return &orch.Error{Kind: orch.KindCloud, Msg: "cannot remove everything", Err: err}
}

func strays(found []driver.CloudResource) []cli.Stray {
	out := make([]cli.Stray, len(found))
	for i, r := range found {
		out[i] = cli.Stray{Service: r.Service, Kind: r.Kind, ID: r.ID, Name: r.Name, Status: r.Status, Node: r.Node}
	}
	return out
}
