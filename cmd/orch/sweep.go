package main

import (
	"context"
	"slices"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
)

type sweep = func(ctx context.Context, deployment, location string, remove bool) ([]orch.Stray, error)

// tenantSweep sweeps a deployment of the tenant, by the name that it has there.
func tenantSweep(c *config.Config, svc orch.Service) sweep {
	sweepAll := sweeper(c, nil)
	return func(ctx context.Context, deployment, location string, remove bool) ([]orch.Stray, error) {
		if d, err := svc.Deployment(ctx, deployment); err == nil && location == "" {
			location = d.Location
		}
		return sweepAll(ctx, orch.FullName(c.Tenant, deployment), location, remove)
	}
}

// sweeper lists or removes what the cloud has of a deployment. The location is that of the record, if there is one.
func sweeper(c *config.Config, svc *orch.Local) sweep {
	return func(ctx context.Context, deployment, location string, remove bool) ([]orch.Stray, error) {
		set, _, list := pluginsOf(c)
		if err := list.Err(); err != nil {
			return nil, err
		}
		if location == "" && svc != nil {
			if d, err := svc.Deployment(ctx, deployment); err == nil {
				location = d.Location
			}
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
			err = cloudError(cloud.Delete(ctx, slices.DeleteFunc(slices.Clone(found), func(r driver.CloudResource) bool { return r.Kept })))
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

func strays(found []driver.CloudResource) []orch.Stray {
	out := make([]orch.Stray, len(found))
	for i, r := range found {
		out[i] = orch.Stray{Service: r.Service, Kind: r.Kind, ID: r.ID, Name: r.Name, Status: r.Status, Node: r.Node, Kept: r.Kept}
	}
	return out
}
