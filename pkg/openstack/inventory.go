package openstack

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
)

// Inventory implements driver.Cloud: everything in Nova, Neutron and Cinder that carries the deployment's identity, by metadata, tags,
// description or name. An error means that the answer is not complete; "nothing" is only said after every service has been asked.
func (c *Client) Inventory(ctx context.Context, deployment string) ([]driver.CloudResource, error) {
	all, err := c.everything(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list what deployment %s has in the cloud: %w", deployment, err)
	}
	m := markerOf(deployment)
	var out []driver.CloudResource
	for _, kind := range ownKinds() {
		out = append(out, m.resources(serviceOf(kind), kind, all[kind])...)
	}
	return out, nil
}

// ownKinds are those that carry marks, in the order in which they are shown.
func ownKinds() []string {
	out := []string{"server", "key pair", "server group"}
	for _, k := range neutronKinds {
		out = append(out, k.kind)
	}
	return append(out, "volume")
}

func markerOf(deployment string) marker {
	return marker{deployment: deployment, tag: plugin.Tag(plugin.KeyDeployment, deployment), prefix: plugin.UniquePrefix(deployment)}
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

// neutronKinds in the order in which they can be deleted.
var neutronKinds = []struct{ kind, path, key string }{
	{"floating IP", "floatingips", "floatingips"}, {"port", "ports", "ports"}, {"router", "routers", "routers"},
	{"subnet", "subnets", "subnets"}, {"network", "networks", "networks"}, {"security group", "security-groups", "security_groups"},
}

// listing is everything that a project has, by kind, as the services list it.
type listing map[string][]object

// everything asks every service. An error means that the answer would not be complete.
func (c *Client) everything(ctx context.Context) (listing, error) {
	all := listing{}
	var err error
	if all["server"], err = c.list(ctx, nova, "servers/detail", "servers"); err != nil {
		return nil, err
	}
	if all["key pair"], err = c.keyPairs(ctx); err != nil {
		return nil, err
	}
	if all["server group"], err = c.list(ctx, nova, "os-server-groups", "server_groups"); err != nil && !gone(err) {
		return nil, err
	}
	for _, g := range all["server group"] {
		delete(g, "metadata") // of its servers' affinity, not ours
	}
	for _, k := range neutronKinds {
		if all[k.kind], err = c.list(ctx, neutron, k.path, k.key); err != nil {
			return nil, err
		}
	}
	if _, err := c.service(ctx, cinder); !absent(err) { // a cloud without volumes has none of ours
		if all["volume"], err = c.list(ctx, cinder, "volumes/detail", "volumes"); err != nil {
			return nil, err
		}
	}
	for kind, items := range all {
		all[kind] = slices.DeleteFunc(items, c.elsewhere)
	}
	return all, nil
}

// elsewhere reports an object of another project, of which an administrator's lists are full: a deployment there may have the same name. What
// does not say whose it is (a router's gateway port) is not told to be another's.
func (c *Client) elsewhere(o object) bool {
	owner := ownerOf(o)
	return owner != "" && c.project != "" && owner != c.project
}

// errLeft marks resources that are still there.
var errLeft = errors.New("still exists")
