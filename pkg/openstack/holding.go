package openstack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
)

var _ driver.Holder = (*Client)(nil)

// Holding implements driver.Holder. What blocks, and with what answer:
//
//	network, subnet    a port on it (409 NetworkInUse, SubnetInUse)
//	router             an interface in another network (409 RouterInUse)
//	router interface   a floating IP of a port behind it (409 RouterInterfaceInUseByFloatingIP)
//	security group     a port that has it (409 SecurityGroupInUse)
//	volume             a snapshot, a server that it is attached to (400)
//
// Terraform's provider waits on a 409 until its time is up, and detaches volumes from whatever server. A floating IP on a port, a volume on a
// server and the server of a port only lose what goes.
func (c *Client) Holding(ctx context.Context, going []driver.CloudResource) ([]driver.Hold, error) {
	h := &holding{going: map[string]driver.CloudResource{}}
	kinds := map[string]bool{}
	for _, r := range going {
		h.going[r.Kind+" "+r.ID], kinds[r.Kind] = r, true
	}
	for _, ask := range []struct {
		of           []string
		service      string
		path, key    string
		look         func(object)
		mayBeMissing bool
	}{
		{[]string{"network", "subnet", "router", "security group", "port"}, neutron, "ports", "ports", h.port, false},
		{[]string{"security group"}, neutron, "security-groups", "security_groups", h.group, false},
		{[]string{"router interface", "port"}, neutron, "floatingips", "floatingips", h.floatingIP, false},
		{[]string{"volume", "server"}, cinder, "volumes/detail", "volumes", h.volume, true},
		{[]string{"volume"}, cinder, "snapshots/detail", "snapshots", h.snapshot, true},
	} {
		if !slices.ContainsFunc(ask.of, func(k string) bool { return kinds[k] }) {
			continue
		}
		if _, err := c.service(ctx, ask.service); ask.mayBeMissing && absent(err) {
			continue
		}
		items, err := c.list(ctx, ask.service, ask.path, ask.key)
		if err != nil {
			return nil, fmt.Errorf("cannot find out what uses that which is to go: %w", err)
		}
		for _, o := range items {
			ask.look(o)
		}
	}
	return h.out, nil
}

// holding collects uses. Lists come in the order in which later ones need what earlier ones have told.
type holding struct {
	going map[string]driver.CloudResource // by "kind id"
	ports []object
	stuck map[string][]user // ids of security groups that cannot go, by whom
	out   []driver.Hold
}

// user of something that is to go, and how it is called.
type user struct {
	driver.CloudResource
	called string
}

func (h *holding) goes(kind, id string) bool { _, ok := h.going[kind+" "+id]; return ok && id != "" }

func (h *holding) add(kind, id string, by driver.CloudResource, blocks bool, text string) {
	if held, ok := h.going[kind+" "+id]; ok && id != "" {
		by.Service = serviceOf(by.Kind)
		h.out = append(h.out, driver.Hold{Held: held, By: by, Text: text, Blocks: blocks})
	}
}

// called is a thing with its name and id.
func called(kind, name, id string) string {
	if name == "" || name == id {
		return kind + " " + id
	}
	return kind + " " + name + " (" + id + ")"
}

func (h *holding) port(p object) {
	h.ports = append(h.ports, p)
	id, owner, device := str(p, "id"), str(p, "device_owner"), str(p, "device_id")
	who := called("port", str(p, "name"), id)
	if owner != "" || device != "" {
		who += fmt.Sprintf(", device owner %s, device %s,", cmp.Or(owner, "unknown"), cmp.Or(device, "unknown"))
	}
	by := driver.CloudResource{Kind: "port", ID: id, Name: str(p, "name"), Status: str(p, "status")}
	leg := strings.HasPrefix(owner, "network:router_interface") || owner == "network:ha_router_replicated_interface"
	switch {
	case h.goes("port", id):
		if strings.HasPrefix(owner, "compute:") && !h.goes("server", device) {
			h.add("port", id, driver.CloudResource{Kind: "server", ID: device}, false, "server "+device+" is plugged into it")
		}
		return
	case h.goes("router interface", id) || h.goes("server", device) || leg && h.goes("router", device) && h.goesWithSubnet(p):
		return
	case strings.HasPrefix(owner, "network:") && !leg:
		return // the cloud's own: DHCP, metadata, gateways; they go with the network
	}
	h.add("network", str(p, "network_id"), by, true, who+" is on it")
	for _, ip := range items(p, "fixed_ips") {
		h.add("subnet", str(ip, "subnet_id"), by, true, who+" has the address "+str(ip, "ip_address")+" of it")
	}
	if leg {
		h.add("router", device, by, true, who+" is an interface of it to network "+str(p, "network_id"))
	}
	groups, _ := p["security_groups"].([]any)
	for _, g := range groups {
		group, _ := g.(string)
		h.add("security group", group, by, true, who+" has it")
		if h.goes("security group", group) {
			if h.stuck == nil {
				h.stuck = map[string][]user{}
			}
			h.stuck[group] = append(h.stuck[group], user{by, who})
		}
	}
}

// goesWithSubnet reports an interface in a subnet that goes: it is removed with its subnet's other ties.
func (h *holding) goesWithSubnet(p object) bool {
	return slices.ContainsFunc(items(p, "fixed_ips"), func(ip object) bool { return h.goes("subnet", str(ip, "subnet_id")) })
}

// group keeps the rules of a group that cannot go: whoever has the group needs them.
func (h *holding) group(g object) {
	for _, by := range h.stuck[str(g, "id")] {
		for _, r := range items(g, "security_group_rules") {
			h.add("security group rule", str(r, "id"), by.CloudResource, true, by.called+" has its group")
		}
	}
}

func (h *holding) floatingIP(f object) {
	id, port, address := str(f, "id"), str(f, "port_id"), str(f, "floating_ip_address")
	if port == "" || h.goes("floating IP", id) || h.goes("floating IP association", id) {
		return
	}
	by := driver.CloudResource{Kind: "floating IP", ID: id, Name: address, Status: str(f, "status")}
	who := called("floating IP", address, id)
	if h.goes("port", port) {
		h.add("port", port, by, false, who+" points at it")
		return
	}
	for _, p := range h.ports {
		if str(p, "id") != port || h.goes("server", str(p, "device_id")) {
			continue
		}
		for _, leg := range h.ports { // the router's ends in the port's subnets
			if h.goes("router interface", str(leg, "id")) && str(leg, "device_id") == str(f, "router_id") && shareSubnet(leg, p) {
				h.add("router interface", str(leg, "id"), by, true, who+" of "+called("port", str(p, "name"), port)+" is reached through it")
			}
		}
	}
}

func shareSubnet(a, b object) bool {
	return slices.ContainsFunc(items(a, "fixed_ips"), func(x object) bool {
		return slices.ContainsFunc(items(b, "fixed_ips"), func(y object) bool { return str(x, "subnet_id") == str(y, "subnet_id") })
	})
}

func (h *holding) volume(v object) {
	id := str(v, "id")
	for _, a := range items(v, "attachments") {
		server := str(a, "server_id")
		switch {
		case server == "":
		case h.goes("volume", id) && !h.goes("server", server) && !h.goes("volume attachment", server+"/"+id):
			h.add("volume", id, driver.CloudResource{Kind: "server", ID: server}, true, fmt.Sprintf("server %s has it attached as %s", server, cmp.Or(str(a, "device"), "a disk")))
		case !h.goes("volume", id) && !h.goes("volume attachment", server+"/"+id):
			h.add("server", server, driver.CloudResource{Kind: "volume", ID: id, Name: str(v, "name")}, false, called("volume", str(v, "name"), id)+" is attached to it")
		}
	}
}

func (h *holding) snapshot(s object) {
	h.add("volume", str(s, "volume_id"), driver.CloudResource{Kind: "snapshot", ID: str(s, "id"), Name: str(s, "name"), Status: str(s, "status")}, true,
		called("snapshot", str(s, "name"), str(s, "id"))+" is of it")
}
