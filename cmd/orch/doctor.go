package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/toolcache"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/open"
)

// doctor looks at everything that a deployment needs, and goes on whatever it finds.
func doctor(ctx context.Context, c *config.Config, connect func() (*cli.App, error)) []cli.Check {
	checks := []cli.Check{configurationCheck(c), pluginCheck(c)}
	checks = append(checks, terraformChecks(ctx, c)...)
	checks = append(checks, storeCheck(ctx, c, connect), cloudCheck(ctx, c), machineCheck())
	return checks
}

func ok(name, format string, args ...any) cli.Check {
	return cli.Check{Name: name, Status: "ok", Text: fmt.Sprintf(format, args...)}
}

func problem(name, fix string, err error) cli.Check {
	var known *orch.Error
	if errors.As(err, &known) && known.Hint != "" && fix == "" {
		fix = known.Hint
	}
	return cli.Check{Name: name, Status: "problem", Text: err.Error(), Fix: fix}
}

func configurationCheck(c *config.Config) cli.Check {
	file := c.File
	if file == "" {
		file = "no file: everything is at its default"
	}
	return ok("configuration", "%s (home %s)", file, c.Home)
}

func pluginCheck(c *config.Config) cli.Check {
	set, _, list := pluginsOf(c)
	if err := list.Err(); err != nil {
		return problem("plugins", "mend the plugin, or take it out of plugin_path", err)
	}
	text := ""
	for _, p := range set.Plugins {
		text += fmt.Sprintf(" %s %s", p.Name, p.Version)
	}
	return ok("plugins", "%s", text[1:])
}

func terraformChecks(ctx context.Context, c *config.Config) []cli.Check {
	tool, err := terraform.FindTool(ctx, c.Terraform.Binary)
	if err != nil {
		return []cli.Check{problem("terraform", "put terraform or tofu on PATH, set ORCH_TERRAFORM, or run `./task setup` in a checkout", err)}
	}
	return []cli.Check{ok("terraform", "%s %s at %s", tool.Product, tool.Version, tool.Path), providerCheck(c)}
}

func providerCheck(c *config.Config) cli.Check {
	mirror := c.Terraform.Mirror
	if root, err := toolcache.Dir(); mirror == "" && err == nil {
		mirror = toolcache.Mirror(root)
	}
	found, _ := filepath.Glob(filepath.Join(mirror, "*", "*", "openstack", "*"))
	if len(found) == 0 {
		return cli.Check{Name: "provider", Status: "warning", Text: "no provider is in a mirror on this machine: it comes from the registry at the first deployment",
			Fix: "without access to the registry run `./task setup` in a checkout, or set ORCH_TERRAFORM_MIRROR"}
	}
	return ok("provider", "openstack %s in %s", filepath.Base(found[len(found)-1]), mirror)
}

func storeCheck(ctx context.Context, c *config.Config, connect func() (*cli.App, error)) cli.Check {
	app, err := connect()
	if err != nil {
		return problem("store", "", err)
	}
	all, err := app.Deployments(ctx)
	if err != nil {
		return problem("store", "", err)
	}
	secrets, err := app.Secrets().List(ctx, "")
	if err != nil {
		return problem("store", "", err)
	}
	return ok("store", "%s: %d deployments, %d secrets", open.Name(c.Store), len(all), len(secrets))
}

func cloudCheck(ctx context.Context, c *config.Config) cli.Check {
	set, _, _ := pluginsOf(c)
	where := &locations{cfg: c, set: set}
	loc, err := where.named("")
	if err != nil {
		return problem("cloud", "", err)
	}
	cloud, err := where.cloud(ctx, loc)
	if errors.Is(err, openstack.ErrNoConfig) {
		return cli.Check{Name: "cloud", Status: "warning", Text: "no cloud is configured",
			Fix: "set OS_CLOUD to the name of a cloud in clouds.yaml, or the OS_* variables; or start one on this machine: orch sandbox up"}
	}
	if err != nil {
		return problem("cloud", "check OS_CLOUD, clouds.yaml and the OS_* variables", err)
	}
	limits, err := cloud.Quota(ctx)
	if err != nil {
		return problem("cloud", "", err)
	}
	q := limits["instances"]
	max := "no limit of"
	if q.Limit >= 0 {
		max = fmt.Sprintf("%d of %d", q.Used, q.Limit)
	}
	return ok("cloud", "location %s answers; %s servers in use", loc.Name, max)
}

func machineCheck() cli.Check {
	if err := sandbox.Available(); err != nil {
		return cli.Check{Name: "sandbox", Status: "warning", Text: "servers of the sandbox cannot run here: " + err.Error(), Fix: "do what it says, or run orch as root"}
	}
	who := "as an ordinary user"
	if os.Getuid() == 0 {
		who = "as root"
	}
	return ok("sandbox", "servers can run on this machine, %s", who)
}
