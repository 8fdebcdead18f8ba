package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	pooldriver "github.com/orch-project/orch/pkg/driver/hostpool"
	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/state"
)

// storedReader reads the location that was stored under a name at run time; nil for none.
type storedReader func(ctx context.Context, name string) (*orch.LocationInfo, state.Rev, error)

// loginVariables of OpenStack's tools, by the properties of a stored location; the names are Yorc's.
var loginVariables = map[string]string{
	"auth_url": "OS_AUTH_URL", "user_name": "OS_USERNAME", "username": "OS_USERNAME", "password": "OS_PASSWORD", "token": "OS_TOKEN",
	"tenant_name": "OS_PROJECT_NAME", "project_name": "OS_PROJECT_NAME", "tenant_id": "OS_PROJECT_ID", "project_id": "OS_PROJECT_ID",
	"user_domain_name": "OS_USER_DOMAIN_NAME", "domain_name": "OS_DOMAIN_NAME", "domain_id": "OS_DOMAIN_ID", "region": "OS_REGION_NAME",
	"application_credential_id": "OS_APPLICATION_CREDENTIAL_ID", "application_credential_name": "OS_APPLICATION_CREDENTIAL_NAME",
	"application_credential_secret": "OS_APPLICATION_CREDENTIAL_SECRET", "insecure": "OS_INSECURE", "cacert_file": "OS_CACERT", "cert": "OS_CERT", "key": "OS_KEY",
	"endpoint_type": "OS_ENDPOINT_TYPE",
}

// yorcSettings are settings of the OpenStack plugin that Yorc has other names for.
var yorcSettings = map[string]string{"private_network_name": "network", "default_security_groups": "security_groups", "os_default_security_groups": "security_groups"}

// split divides a stored location's properties into the plugin's settings and the variables to log in with.
func split(l *orch.LocationInfo) (settings map[string]any, login map[string]string) {
	settings, login = map[string]any{}, map[string]string{}
	for k, v := range l.Properties {
		variable, credential := loginVariables[k]
		switch {
		case l.Plugin == "openstack" && credential:
			login[variable] = fmt.Sprint(v)
		case l.Plugin == "openstack" && k == "provisioning_over_fip_allowed":
			settings["connect_to"] = "fixed"
			if fmt.Sprint(v) == "true" {
				settings["connect_to"] = "floating"
			}
		case l.Plugin == "openstack" && yorcSettings[k] != "":
			settings[yorcSettings[k]] = v
		default:
			settings[k] = v
		}
	}
	return settings, login
}

// fromStore returns a stored location for the plugins; false if there is none.
func (l *locations) fromStore(name string) (plugin.Location, bool, error) {
	if l.stored == nil || name == "" {
		return plugin.Location{}, false, nil
	}
	info, _, err := l.stored(context.Background(), name)
	if err == nil && info == nil {
		info, err = l.pool(name)
	}
	if err != nil || info == nil {
		return plugin.Location{}, false, err
	}
	settings, _ := split(info)
	loc, err := l.complete(plugin.Location{Name: name, Plugin: info.Plugin, Settings: settings})
	return loc, true, err
}

// pool is the location that a pool of hosts is without further words; nil if there is no such pool.
func (l *locations) pool(name string) (*orch.LocationInfo, error) {
	if l.pools == nil {
		return nil, nil
	}
	names, err := l.pools(context.Background())
	if err != nil || !slices.Contains(names, name) {
		return nil, err
	}
	return &orch.LocationInfo{Name: name, Plugin: pooldriver.Plugin}, nil
}

// storedLogin is how to log in to a stored location; its revision tells whether an older session is still right.
func (l *locations) storedLogin(ctx context.Context, name string) (src *openstack.Source, rev state.Rev, err error) {
	if _, configured := l.cfg.Locations[name]; configured || l.stored == nil {
		return nil, 0, nil
	}
	info, rev, err := l.stored(ctx, name)
	if err != nil || info == nil {
		return nil, 0, err
	}
	_, login := split(info)
	if login["OS_AUTH_URL"] == "" {
		return nil, rev, nil // only settings: the environment's cloud
	}
	return &openstack.Source{Getenv: func(key string) string { return login[key] }}, rev, nil
}

// Configured implements orch.LocationSource.
func (l *locations) Configured() (out []orch.LocationInfo) {
	for _, name := range slices.Sorted(maps.Keys(l.cfg.Locations)) {
		info := orch.LocationInfo{Name: name, Plugin: "openstack", Properties: map[string]any{}}
		if m, ok := l.cfg.Locations[name].Any().(map[string]any); ok {
			info.Properties = maps.Clone(m)
		}
		if p, ok := info.Properties["plugin"].(string); ok {
			info.Plugin = p
			delete(info.Properties, "plugin")
		}
		out = append(out, info)
	}
	return out
}

// services of OpenStack by the names of their quotas; everything else is the network's.
var services = map[string]string{"instances": "compute", "cores": "compute", "ram": "compute", "key_pairs": "compute", "server_groups": "compute",
	"volumes": "storage", "gigabytes": "storage"}

// Usage implements orch.UsageSource.
func (l *locations) Usage(ctx context.Context, location string) ([]orch.Usage, error) {
	if _, configured := l.cfg.Locations[location]; location == defaultLocation && !configured && len(l.cfg.Locations) > 0 {
		location = "" // whichever is used where none is named
	}
	loc, err := l.named(location)
	if err != nil {
		return nil, err
	}
	cloud, err := l.cloud(ctx, loc)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindCloud, Msg: "cannot log in to the location's cloud", Err: err, Hint: "orch doctor says what is missing"}
	}
	quota, err := cloud.Quota(ctx)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindCloud, Msg: "the cloud does not say what is in use", Err: err}
	}
	out := []orch.Usage{}
	for _, name := range slices.Sorted(maps.Keys(quota)) {
		if quota[name].Each {
			continue // nothing of it is in use
		}
		u := orch.Usage{Service: cmp.Or(services[name], "network"), Resource: name, Used: quota[name].Used, Limit: quota[name].Limit,
			Unit: map[string]string{"ram": "MiB", "gigabytes": "GiB"}[name]}
		out = append(out, u)
	}
	slices.SortStableFunc(out, func(a, b orch.Usage) int { return strings.Compare(a.Service, b.Service) })
	return out, nil
}

var _ orch.UsageSource = (*locations)(nil)

// Check implements orch.LocationSource: a plugin that is there, settings that it knows, and a way to log in.
func (l *locations) Check(info orch.LocationInfo) error {
	settings, login := split(&info)
	if _, list := l.set.Complete(plugin.Location{Name: info.Name, Plugin: info.Plugin, Settings: settings}); list.HasErrors() {
		var texts []string
		for _, d := range list {
			if d.Severity == diag.Error {
				texts = append(texts, strings.TrimSpace(d.Message+"; "+d.Hint))
			}
		}
		return &orch.Error{Kind: orch.KindUser, Msg: strings.Join(texts, "\n")}
	}
	if len(login) == 0 {
		return nil
	}
	if _, err := openstack.LoadConfig(openstack.Source{Getenv: func(key string) string { return login[key] }}); err != nil {
		return &orch.Error{Kind: orch.KindUser, Msg: "the location's properties are not enough to log in", Err: err}
	}
	return nil
}
