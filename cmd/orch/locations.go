package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plugin"
)

// defaultLocation is the name of the location that exists without configuration.
const defaultLocation = orch.DefaultLocation

// locations finds the cloud of a deployment. A location is a plugin with settings; which credentials it means is its "cloud".
type locations struct {
	cfg *config.Config
	set *plugin.Set
	// stored reads the locations that were added at run time; nil: there are none.
	stored storedReader
	// pools of hosts, which are locations as well; nil: there are none.
	pools func(context.Context) ([]string, error)

	mu     sync.Mutex
	clouds map[string]driver.Cloud
}

// cloudKey of a location's settings names a cloud of clouds.yaml.
const cloudKey = "cloud"

// named returns a location by name; "" is the default one: the configured one, the only one, or the sandbox or environment's cloud.
func (l *locations) named(name string) (plugin.Location, error) {
	if name == "" {
		name = l.cfg.Location
	}
	if name == "" && len(l.cfg.Locations) == 1 {
		for n := range l.cfg.Locations {
			name = n
		}
	}
	if name == "" && len(l.cfg.Locations) > 1 {
		return plugin.Location{}, &orch.Error{Kind: orch.KindUser, Msg: "there are several locations and no default one",
			Hint: "choose with --location, or set `location` in " + l.cfg.File}
	}
	node, ok := l.cfg.Locations[name]
	if !ok {
		if loc, found, err := l.fromStore(name); found || err != nil {
			return loc, err
		}
	}
	if !ok && name != "" && name != defaultLocation {
		return plugin.Location{}, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("there is no location %q", name), Hint: "orch locations list shows those that are configured or stored"}
	}
	if !ok {
		settings := map[string]any{}
		if !environmentNamesCloud() && l.sandboxRuns() {
			settings["image"] = sandboxImage
		}
		return l.complete(plugin.Location{Name: defaultLocation, Plugin: "openstack", Settings: settings})
	}
	settings, ok := node.Any().(map[string]any)
	if !ok {
		var list diag.List
		list.Errorf("wrong-type", node.At(), "the location %q must be a map with plugin and its settings", name)
		return plugin.Location{}, list.Err()
	}
	loc := plugin.Location{Name: name, Plugin: "openstack", Settings: settings, Pos: node.At()}
	if p, ok := settings["plugin"].(string); ok {
		loc.Plugin = p
	}
	delete(settings, "plugin")
	return l.complete(loc)
}

// complete adds the plugin's defaults. The cloud's name is about credentials and no setting of the plugin: see cloudName.
func (l *locations) complete(loc plugin.Location) (plugin.Location, error) {
	delete(loc.Settings, cloudKey)
	done, list := l.set.Complete(loc)
	return done, list.Err()
}

// cloudName is the cloud of clouds.yaml that a configured location means, "" if it says none.
func (l *locations) cloudName(location string) string {
	node, ok := l.cfg.Locations[location]
	if !ok {
		return ""
	}
	return node.Get(cloudKey).Str()
}

// cloud of a location, logged in to once.
func (l *locations) cloud(ctx context.Context, loc plugin.Location) (driver.Cloud, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, rev, err := l.storedLogin(ctx, loc.Name)
	if err != nil {
		return nil, err
	}
	session := fmt.Sprint(loc.Name, "@", rev)
	if c, ok := l.clouds[session]; ok {
		return c, nil
	}
	src := l.credentials(ctx, l.cloudName(loc.Name))
	if stored != nil {
		src = *stored
	}
	config, err := openstack.LoadConfig(src)
	if errors.Is(err, openstack.ErrNoConfig) {
		return nil, fmt.Errorf("%w; or start one on this machine: orch sandbox up", err)
	}
	if err != nil {
		return nil, err
	}
	c, err := openstack.Connect(ctx, config)
	if err != nil {
		return nil, err
	}
	if l.clouds == nil {
		l.clouds = map[string]driver.Cloud{}
	}
	l.clouds[session] = c
	return c, nil
}

// sandboxCloud is the sandbox's user in its clouds.yaml, sandboxImage the image of servers that ask for none.
const (
	sandboxCloud = "demo"
	sandboxImage = "debian-12"
)

func (l *locations) sandboxRuns() bool {
	s, err := sandbox.Status(context.Background(), l.cfg.SandboxDir())
	return err == nil && s.Running
}

// credentials are those of the named cloud, of the environment, or, when neither names one, of the running sandbox.
func (l *locations) credentials(ctx context.Context, name string) openstack.Source {
	if name != "" || environmentNamesCloud() {
		return openstack.Source{Cloud: name}
	}
	s, err := sandbox.Status(ctx, l.cfg.SandboxDir())
	if err != nil || !s.Running {
		return openstack.Source{}
	}
	return openstack.Source{Cloud: sandboxCloud, Getenv: func(key string) string {
		if key == "OS_CLIENT_CONFIG_FILE" {
			return s.CloudsFile
		}
		return os.Getenv(key)
	}}
}

func environmentNamesCloud() bool {
	return slices.ContainsFunc([]string{"OS_CLOUD", "OS_AUTH_URL"}, func(v string) bool { return os.Getenv(v) != "" })
}
