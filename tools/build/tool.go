package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// tool is a program that can be built.
type tool struct {
	name    string // of the executable, and of its directory below tools/ unless that is said
	dir     string
	module  string // whose version in tools/NAME/go.mod is the tool's
	pkg     string // main package
	ldflags string
	// check is the argument list after which the executable must print its version; nil for one that cannot be asked.
	check []string
	// provider is "NAMESPACE/TYPE" when the executable is a Terraform provider, to be laid out in the mirror.
	provider string
	// eager shortens the provider's pauses, for tests: see eager.go.
	eager bool
	cold  string // about how long a first build takes on two cores
	about string
}

var tools = []tool{
	{
		name: "consul", module: "github.com/hashicorp/consul", pkg: "github.com/hashicorp/consul",
		check: []string{"version"}, cold: "5 minutes", about: "state store for the tests that need a real Consul",
	},
	{
		name: "tofu", module: "github.com/opentofu/opentofu", pkg: "github.com/opentofu/opentofu/cmd/tofu",
		ldflags: "-X github.com/opentofu/opentofu/version.dev=no", // else it calls itself a pre-release
		check:   []string{"version"}, cold: "3 minutes", about: "OpenTofu, for machines without terraform or tofu",
	},
	{
		name: "terraform-provider-openstack", module: "github.com/terraform-providers/terraform-provider-openstack",
		pkg:      "github.com/terraform-providers/terraform-provider-openstack",
		provider: "terraform-provider-openstack/openstack", cold: "1 minute", about: "OpenStack provider, as a filesystem mirror for terraform and tofu",
	},
	{
		name: "terraform-provider-openstack-eager", dir: "terraform-provider-openstack", module: "github.com/terraform-providers/terraform-provider-openstack",
		pkg:      "github.com/terraform-providers/terraform-provider-openstack",
		provider: "terraform-provider-openstack/openstack", eager: true, cold: "1 minute", about: "the same with short pauses between its looks at the cloud, for tests",
	},
	{
		name: "staticcheck", module: "honnef.co/go/tools", pkg: "honnef.co/go/tools/cmd/staticcheck",
		check: []string{"-version"}, cold: "1 minute", about: "linter of ./task lint",
	},
}

// source is the tool's directory below tools/.
func (t tool) source() string { return cmp.Or(t.dir, t.name) }

func find(name string) (tool, error) {
	var names []string
	for _, t := range tools {
		if t.name == name {
			return t, nil
		}
		names = append(names, t.name)
	}
	return tool{}, fmt.Errorf("unknown tool %q; known are %s", name, strings.Join(names, ", "))
}

// version is what the tool's go.mod pins, without the leading v.
func (b *builder) version(t tool) (string, error) {
	cmd := exec.Command("go", "mod", "edit", "-json", filepath.Join(b.modules, t.source(), "go.mod"))
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot read the version of %s: %s", t.name, describe(err))
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return "", fmt.Errorf("cannot read the version of %s: %w", t.name, err)
	}
	for _, r := range mod.Require {
		if r.Path == t.module {
			return strings.TrimPrefix(r.Version, "v"), nil
		}
	}
	return "", fmt.Errorf("cannot find the version of %s: tools/%s/go.mod does not require %s", t.name, t.source(), t.module)
}

// describe an error of a command by what it printed.
func describe(err error) string {
	if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) > 0 {
		return strings.TrimSpace(string(exit.Stderr))
	}
	return err.Error()
}
