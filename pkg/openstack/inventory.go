package openstack

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
)

// Inventory implements driver.Cloud: everything in Nova, Neutron and Cinder that carries the deployment's identity, by metadata, tags,
// description or name. An error means that the answer is not complete; "nothing" is only said after every service has been asked.
func (c *Client) Inventory(ctx context.Context, deployment string) ([]driver.CloudResource, error) {
	m := marker{deployment: deployment, tag: plugin.Tag(plugin.KeyDeployment, deployment), prefix: plugin.UniquePrefix(deployment)}
	var out []driver.CloudResource
	for _, f := range []func(context.Context, marker) ([]driver.CloudResource, error){c.novaInventory, c.neutronInventory, c.cinderInventory} {
		found, err := f(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("cannot list what deployment %s has in the cloud: %w", deployment, err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// marker knows the forms of one deployment's identity.
type marker struct{ deployment, tag, prefix string }

// match reports whether an object carries the identity, and of which node and instance.
func (m marker) match(o object) (node, instance string, ok bool) {
	if md, has := o["metadata"].(object); has && str(md, plugin.KeyDeployment) == m.deployment {
		return str(md, plugin.KeyNode), str(md, plugin.KeyInstance), true
	}
	tags, _ := o["tags"].([]any)
	for _, t := range tags {
		s, _ := t.(string)
		switch key, value, _ := strings.Cut(s, "="); {
		case s == m.tag:
			ok = true
		case key == plugin.KeyNode:
			node = value
		case key == plugin.KeyInstance:
			instance = value
		}
	}
	if ok {
		return node, instance, true
	}
	// Tags come in a request of their own after the resource: what was made just before a crash has only its description.
	if d := str(o, "description"); strings.Contains(d, m.prefix) {
		if w := whose.FindStringSubmatch(d[strings.Index(d, m.prefix):]); w != nil {
			return w[1], w[2], true
		}
		return "", "", true
	}
	return "", "", strings.HasPrefix(str(o, "name"), m.prefix)
}

// whose reads the node and instance out of an identity's mark: "orch-12345678-app web[0]".
var whose = regexp.MustCompile(`^\S+ ([^\s\[]+)\[([^\]]*)\]`)

func (m marker) resources(service, kind string, items []object) []driver.CloudResource {
	var out []driver.CloudResource
	for _, it := range items {
		if node, instance, ok := m.match(it); ok {
			name := str(it, "name")
			if kind == "floating IP" {
				name = str(it, "floating_ip_address")
			}
			md, _ := it["metadata"].(object)
			out = append(out, driver.CloudResource{Service: service, Kind: kind, ID: str(it, "id"), Name: name, Status: str(it, "status"), Node: node,
				Instance: instance, Kept: str(md, plugin.KeyKeep) == "true"})
		}
	}
	return out
}

func (c *Client) novaInventory(ctx context.Context, m marker) ([]driver.CloudResource, error) {
	servers, err := c.list(ctx, nova, "servers/detail", "servers")
	if err != nil {
		return nil, err
	}
	out := m.resources(nova, "server", servers)
	pairs, err := c.keyPairs(ctx)
	if err != nil {
		return nil, err
	}
	out = append(out, m.resources(nova, "key pair", pairs)...)
	groups, err := c.list(ctx, nova, "os-server-groups", "server_groups")
	if err != nil && !gone(err) {
		return nil, err
	}
	for _, g := range groups {
		delete(g, "metadata")
	}
	return append(out, m.resources(nova, "server group", groups)...), nil
}

// neutronKinds in the order in which they can be deleted.
var neutronKinds = []struct{ kind, path, key string }{
	{"floating IP", "floatingips", "floatingips"}, {"port", "ports", "ports"}, {"router", "routers", "routers"},
	{"subnet", "subnets", "subnets"}, {"network", "networks", "networks"}, {"security group", "security-groups", "security_groups"},
}

func (c *Client) neutronInventory(ctx context.Context, m marker) ([]driver.CloudResource, error) {
	var out []driver.CloudResource
	for _, k := range neutronKinds {
		items, err := c.list(ctx, neutron, k.path, k.key)
		if err != nil {
			return nil, err
		}
		out = append(out, m.resources(neutron, k.kind, items)...)
	}
	return out, nil
}

func (c *Client) cinderInventory(ctx context.Context, m marker) ([]driver.CloudResource, error) {
	if _, err := c.service(ctx, cinder); err != nil {
		return nil, nil // a cloud without volumes has none of ours
	}
	volumes, err := c.list(ctx, cinder, "volumes/detail", "volumes")
	if err != nil {
		return nil, err
	}
	return m.resources(cinder, "volume", volumes), nil
}

// errLeft marks resources that are still there.
var errLeft = errors.New("still exists")
