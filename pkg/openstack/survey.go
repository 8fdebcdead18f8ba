package openstack

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
)

var _ driver.Surveyor = (*Client)(nil)

// Survey implements driver.Surveyor.
func (c *Client) Survey(ctx context.Context, deployment string, known []driver.CloudResource) ([]driver.CloudResource, error) {
	all, err := c.everything(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list what deployment %s has in the cloud: %w", deployment, err)
	}
	s := &surveying{marker: markerOf(deployment), all: all, known: map[string]bool{}, kept: map[string]bool{}}
	for _, k := range known {
		s.known[k.Kind+" "+k.ID] = true
	}
	for _, k := range ownKinds() {
		s.take(k)
	}
	s.interfaces()
	s.rules()
	s.associations()
	s.attachments()
	return s.out, nil
}

// serviceOf a kind.
func serviceOf(kind string) string {
	switch kind {
	case "server", "key pair", "server group", "volume attachment":
		return nova
	case "volume":
		return cinder
	}
	return neutron
}

type surveying struct {
	marker
	all   listing
	known map[string]bool // "kind id" of what was asked for
	kept  map[string]bool // "kind id" of what is in the result
	out   []driver.CloudResource
}

// take keeps the objects of a kind that are marked or known.
func (s *surveying) take(kind string) {
	for _, o := range s.all[kind] {
		key := kind + " " + str(o, "id")
		found := s.resources(serviceOf(kind), kind, []object{o})
		if len(found) == 0 && !s.known[key] {
			continue
		}
		r := driver.CloudResource{Service: serviceOf(kind), Kind: kind, ID: str(o, "id"), Name: str(o, "name"), Status: str(o, "status")}
		if kind == "floating IP" {
			r.Name = str(o, "floating_ip_address")
		}
		if len(found) > 0 {
			r = found[0]
			r.Marked = true
		}
		r.Attributes = attributesOf(kind, o)
		s.kept[key] = true
		s.out = append(s.out, r)
	}
}

// attributesOf what other resources refer to, or by which two of a kind are told apart, in the words of Terraform's provider.
func attributesOf(kind string, o object) map[string]string {
	switch kind {
	case "floating IP":
		return map[string]string{"address": str(o, "floating_ip_address")}
	case "port":
		return map[string]string{"network_id": str(o, "network_id")}
	case "subnet":
		return map[string]string{"network_id": str(o, "network_id"), "cidr": str(o, "cidr")}
	case "key pair":
		return map[string]string{"name": str(o, "name")}
	}
	return nil
}

func (s *surveying) part(p driver.CloudResource) {
	p.Part, p.Service = true, serviceOf(p.Kind)
	s.out = append(s.out, p)
}

func items(o object, key string) []object {
	list, _ := o[key].([]any)
	var out []object
	for _, i := range list {
		if m, ok := i.(object); ok {
			out = append(out, m)
		}
	}
	return out
}

// interfaces of routers are ports that Neutron has made.
func (s *surveying) interfaces() {
	for _, p := range s.all["port"] {
		router, owner := str(p, "device_id"), str(p, "device_owner")
		if !s.kept["router "+router] || owner == "network:router_gateway" || !strings.HasPrefix(owner, "network:") {
			continue
		}
		subnet := ""
		if ips := items(p, "fixed_ips"); len(ips) == 1 {
			subnet = str(ips[0], "subnet_id")
		}
		s.part(driver.CloudResource{Kind: "router interface", ID: str(p, "id"), Status: str(p, "status"),
			Attributes: map[string]string{"router_id": router, "subnet_id": subnet, "port_id": str(p, "id")}})
	}
}

func (s *surveying) rules() {
	for _, g := range s.all["security group"] {
		if !s.kept["security group "+str(g, "id")] {
			continue
		}
		for _, r := range items(g, "security_group_rules") {
			a := map[string]string{}
			for _, k := range []string{"security_group_id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id"} {
				a[k] = plain(r[k])
			}
			a["security_group_id"] = str(g, "id")
			s.part(driver.CloudResource{Kind: "security group rule", ID: str(r, "id"), Attributes: a})
		}
	}
}

// plain is a value as text; null is "".
func plain(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func (s *surveying) associations() {
	for _, f := range s.all["floating IP"] {
		port := str(f, "port_id")
		if port == "" || !s.kept["floating IP "+str(f, "id")] && !s.kept["port "+port] {
			continue
		}
		s.part(driver.CloudResource{Kind: "floating IP association", ID: str(f, "id"), Name: str(f, "floating_ip_address"), Status: str(f, "status"),
			Attributes: map[string]string{"floating_ip": str(f, "floating_ip_address"), "port_id": port}})
	}
}

func (s *surveying) attachments() {
	for _, v := range s.all["volume"] {
		for _, a := range items(v, "attachments") {
			server, volume := str(a, "server_id"), str(v, "id")
			if server == "" || !s.kept["server "+server] && !s.kept["volume "+volume] {
				continue
			}
			s.part(driver.CloudResource{Kind: "volume attachment", ID: server + "/" + volume, Name: str(a, "device"),
				Attributes: map[string]string{"instance_id": server, "volume_id": volume}})
		}
	}
}
