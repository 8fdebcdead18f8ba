package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/orch-project/orch/pkg/driver"
)

// Quota implements driver.Cloud. Names: instances, cores, ram (MiB), key_pairs, server_groups; networks, subnets, ports, routers,
// floating_ips, security_groups, security_group_rules; volumes, gigabytes; of each server group server_group_members, of each volume
// per_volume_gigabytes. A service that is absent has none. With an error, the limits of the services that have answered.
func (c *Client) Quota(ctx context.Context) (map[string]driver.Quota, error) {
	out := map[string]driver.Quota{}
	var errs []error
	for _, f := range []func(context.Context, map[string]driver.Quota) error{c.novaLimits, c.neutronQuota, c.cinderLimits} {
		if err := f(ctx, out); err != nil {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

type absolute struct {
	Limits struct {
		Absolute map[string]int64 `json:"absolute"`
	} `json:"limits"`
}

func (c *Client) novaLimits(ctx context.Context, out map[string]driver.Quota) error {
	var l absolute
	if err := c.get(ctx, nova, "limits", &l); err != nil {
		return fmt.Errorf("cannot read Nova's limits: %w", err)
	}
	a := l.Limits.Absolute
	for name, keys := range map[string][2]string{"instances": {"maxTotalInstances", "totalInstancesUsed"},
		"cores": {"maxTotalCores", "totalCoresUsed"}, "ram": {"maxTotalRAMSize", "totalRAMUsed"},
		"server_groups": {"maxServerGroups", "totalServerGroupsUsed"}} {
		if limit, ok := a[keys[0]]; ok {
			out[name] = driver.Quota{Limit: limit, Used: a[keys[1]]}
		}
	}
	if limit, ok := a["maxServerGroupMembers"]; ok {
		out["server_group_members"] = driver.Quota{Limit: limit, Each: true}
	}
	if limit, ok := a["maxTotalKeypairs"]; ok {
		pairs, err := c.keyPairs(ctx)
		if err != nil {
			return err
		}
		out["key_pairs"] = driver.Quota{Limit: limit, Used: int64(len(pairs))}
	}
	return nil
}

func (c *Client) cinderLimits(ctx context.Context, out map[string]driver.Quota) error {
	if _, err := c.service(ctx, cinder); absent(err) {
		return nil
	}
	var l absolute
	if err := c.get(ctx, cinder, "limits", &l); err != nil {
		return fmt.Errorf("cannot read Cinder's limits: %w", err)
	}
	a := l.Limits.Absolute
	for name, keys := range map[string][2]string{"volumes": {"maxTotalVolumes", "totalVolumesUsed"},
		"gigabytes": {"maxTotalVolumeGigabytes", "totalGigabytesUsed"}} {
		if limit, ok := a[keys[0]]; ok {
			out[name] = driver.Quota{Limit: limit, Used: a[keys[1]]}
		}
	}
	return c.volumeSize(ctx, out)
}

// volumeSize is the limit of one volume, which only the quotas tell. A project may read its own, but a cloud may have other rules.
func (c *Client) volumeSize(ctx context.Context, out map[string]driver.Quota) error {
	var set struct {
		Quotas struct {
			PerVolume *int64 `json:"per_volume_gigabytes"`
		} `json:"quota_set"`
	}
	if err := c.get(ctx, cinder, "os-quota-sets/"+c.project, &set); gone(err) || gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot read Cinder's quotas: %w", err)
	}
	if limit := set.Quotas.PerVolume; limit != nil {
		out["per_volume_gigabytes"] = driver.Quota{Limit: *limit, Each: true}
	}
	return nil
}

// neutronNames: quota name here → Neutron's name, path and key of its list.
var neutronNames = map[string][3]string{
	"networks": {"network", "networks", "networks"}, "subnets": {"subnet", "subnets", "subnets"}, "ports": {"port", "ports", "ports"},
	"routers": {"router", "routers", "routers"}, "floating_ips": {"floatingip", "floatingips", "floatingips"},
	"security_groups":      {"security_group", "security-groups", "security_groups"},
	"security_group_rules": {"security_group_rule", "security-group-rules", "security_group_rules"},
}

func (c *Client) neutronQuota(ctx context.Context, out map[string]driver.Quota) error {
	var details struct {
		Quota map[string]struct {
			Limit, Used, Reserved int64
		} `json:"quota"`
	}
	err := c.get(ctx, neutron, "quotas/"+c.project+"/details.json", &details)
	if gone(err) || gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		return c.countNeutron(ctx, out)
	}
	if err != nil {
		return fmt.Errorf("cannot read Neutron's quotas: %w", err)
	}
	for name, n := range neutronNames {
		if q, ok := details.Quota[n[0]]; ok {
			out[name] = driver.Quota{Limit: q.Limit, Used: q.Used + q.Reserved}
		}
	}
	return nil
}

// countNeutron is for clouds without quota details: limits, and what is used by counting.
func (c *Client) countNeutron(ctx context.Context, out map[string]driver.Quota) error {
	var q struct {
		Quota map[string]int64 `json:"quota"`
	}
	if err := c.get(ctx, neutron, "quotas/"+c.project, &q); err != nil {
		return fmt.Errorf("cannot read Neutron's quotas: %w", err)
	}
	for name, n := range neutronNames {
		limit, ok := q.Quota[n[0]]
		if !ok {
			continue
		}
		items, err := c.list(ctx, neutron, ""+n[1]+"?fields=id&tenant_id="+c.project, n[2])
		if err != nil {
			return err
		}
		out[name] = driver.Quota{Limit: limit, Used: int64(len(items))}
	}
	return nil
}
