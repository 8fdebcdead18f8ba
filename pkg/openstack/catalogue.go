package openstack

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
)

// kinds of List: how each is asked for and what is kept of an item.
var kinds = map[string]func(c *Client, ctx context.Context) ([]object, error){
	"images":          (*Client).images,
	"flavors":         (*Client).flavors,
	"networks":        (*Client).networks,
	"subnets":         ownOf(neutron, "subnets", "subnets", "id", "name", "network_id", "cidr", "gateway_ip", "ip_version", "tags", "description"),
	"routers":         ownOf(neutron, "routers", "routers", "id", "name", "tags", "description"),
	"security_groups": ownOf(neutron, "security-groups", "security_groups", "id", "name", "tags", "description"),
	"floating_ips":    ownOf(neutron, "floatingips", "floatingips", "id", "floating_ip_address", "port_id", "tags", "description"),
	"key_pairs":       (*Client).keyPairs,
	"server_groups":   plainOf(nova, "os-server-groups", "server_groups", "id", "name"),
	"volume_types":    plainOf(cinder, "types", "volume_types", "id", "name"),
	"volumes":         plainOf(cinder, "volumes/detail", "volumes", "id", "name", "size", "status", "metadata", "description"),
	"availability_zones": func(c *Client, ctx context.Context) ([]object, error) {
		return c.zones(ctx, nova)
	},
	"volume_availability_zones": func(c *Client, ctx context.Context) ([]object, error) {
		return c.zones(ctx, cinder)
	},
}

// List implements driver.Cloud: images, flavors, networks, subnets, routers, security_groups, floating_ips, key_pairs, server_groups,
// availability_zones, volume_types, volumes, volume_availability_zones.
func (c *Client) List(ctx context.Context, kind string) ([]map[string]any, error) {
	f := kinds[kind]
	if f == nil {
		return nil, fmt.Errorf("OpenStack has no list of %q", kind)
	}
	items, err := f(c, ctx)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		for k, v := range it {
			if n, ok := v.(float64); ok && float64(int64(n)) == n {
				it[k] = int64(n)
			}
		}
	}
	return items, nil
}

func keep(items []object, fields []string) []object {
	out := make([]object, len(items))
	for i, it := range items {
		out[i] = object{}
		for _, f := range fields {
			out[i][f] = it[f]
		}
	}
	return out
}

func plainOf(service, path, key string, fields ...string) func(*Client, context.Context) ([]object, error) {
	return func(c *Client, ctx context.Context) ([]object, error) {
		items, err := c.list(ctx, service, path, key)
		return keep(items, fields), err
	}
}

// ownOf keeps what belongs to the project or is shared: an administrator is shown everybody's.
func ownOf(service, path, key string, fields ...string) func(*Client, context.Context) ([]object, error) {
	return func(c *Client, ctx context.Context) ([]object, error) {
		items, err := c.list(ctx, service, path, key)
		if err != nil {
			return nil, err
		}
		// Subnets of shared networks belong to another project and are needed, too.
		if key != "subnets" {
			items = c.mine(items)
		}
		return keep(items, fields), nil
	}
}

func (c *Client) mine(items []object) []object {
	var out []object
	for _, it := range items {
		shared, _ := it["shared"].(bool)
		external, _ := it["router:external"].(bool)
		if !c.elsewhere(it) || shared || external {
			out = append(out, it)
		}
	}
	return out
}

// ownerOf is the project that an object belongs to, in the words of Neutron, Nova and Cinder; "" if it does not say.
func ownerOf(o object) string {
	return cmp.Or(str(o, "project_id"), str(o, "tenant_id"), str(o, "os-vol-tenant-attr:tenant_id"))
}

func (c *Client) networks(ctx context.Context) ([]object, error) {
	items, err := c.list(ctx, neutron, "networks", "networks")
	if err != nil {
		return nil, err
	}
	var out []object
	for _, it := range c.mine(items) {
		external, _ := it["router:external"].(bool)
		out = append(out, object{"id": it["id"], "name": it["name"], "external": external, "shared": it["shared"], "status": it["status"],
			"tags": it["tags"], "description": it["description"]})
	}
	return out, nil
}

func (c *Client) flavors(ctx context.Context) ([]object, error) {
	items, err := c.list(ctx, nova, "flavors/detail", "flavors")
	return keep(items, []string{"id", "name", "vcpus", "ram", "disk"}), err
}

func (c *Client) keyPairs(ctx context.Context) ([]object, error) {
	items, err := c.list(ctx, nova, "os-keypairs", "keypairs")
	var out []object
	for _, it := range items {
		if k, ok := it["keypair"].(object); ok {
			out = append(out, object{"id": k["name"], "name": k["name"], "fingerprint": k["fingerprint"]})
		}
	}
	return out, err
}

func (c *Client) zones(ctx context.Context, service string) ([]object, error) {
	items, err := c.list(ctx, service, "os-availability-zone", "availabilityZoneInfo")
	var out []object
	for _, it := range items {
		st, _ := it["zoneState"].(object)
		if up, ok := st["available"].(bool); !ok || up {
			out = append(out, object{"id": it["zoneName"], "name": it["zoneName"]})
		}
	}
	return out, err
}

// images that can be booted. Properties as https://docs.openstack.org/glance/latest/admin/useful-image-properties.html; where an image
// does not say what system it is, its name is asked.
func (c *Client) images(ctx context.Context) ([]object, error) {
	items, err := c.list(ctx, glance, "images?limit=500", "images")
	if err != nil {
		return nil, err
	}
	var out []object
	for _, it := range items {
		if s := str(it, "status"); s != "" && s != "active" {
			continue
		}
		im := object{"id": it["id"], "name": it["name"], "min_disk": it["min_disk"], "min_ram": it["min_ram"], "size": it["size"],
			"created_at": it["created_at"], "os_type": it["os_type"]}
		guess := guessSystem(str(it, "name"))
		im["os_distro"] = first(it, guess["os_distro"], "os_distro")
		im["os_version"] = first(it, guess["os_version"], "os_version")
		im["architecture"] = first(it, guess["architecture"], "architecture", "hw_architecture")
		im["user"] = first(it, "", "os_admin_user", "image_original_user", "default_user", "image_user")
		out = append(out, im)
	}
	return out, nil
}

func first(o object, otherwise string, keys ...string) any {
	for _, k := range keys {
		if s := str(o, k); s != "" {
			return s
		}
	}
	if otherwise == "" {
		return nil
	}
	return otherwise
}

var (
	distros = []string{"debian", "ubuntu", "centos", "fedora", "rocky", "almalinux", "rhel", "cirros", "alpine", "opensuse", "sles", "arch", "freebsd", "flatcar", "coreos"}
	release = regexp.MustCompile(`\d+(\.\d+)*`)
	arch    = regexp.MustCompile(`(?i)x86[_-]64|amd64|aarch64|arm64`)
)

// guessSystem reads distribution, version and architecture from a name such as "debian-12-genericcloud-amd64".
func guessSystem(name string) map[string]string {
	out := map[string]string{}
	low := strings.ToLower(name)
	for _, d := range distros {
		i := strings.Index(low, d)
		if i < 0 {
			continue
		}
		out["os_distro"] = d
		rest := arch.ReplaceAllString(low[i+len(d):], "")
		out["os_version"] = release.FindString(rest)
		break
	}
	switch strings.ReplaceAll(strings.ToLower(arch.FindString(name)), "-", "_") {
	case "x86_64", "amd64":
		out["architecture"] = "x86_64"
	case "aarch64", "arm64":
		out["architecture"] = "aarch64"
	}
	return out
}
