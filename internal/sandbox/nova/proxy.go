package nova

import (
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// The proxies to Glance and Neutron that old clients still use; Nova withdrew them after 2.35.

func (s *Service) imageDoc(c *rest.Call, i *cloud.Image) rest.Doc {
	meta := map[string]string{}
	for k, v := range i.Properties {
		meta[k] = v
	}
	return rest.Doc{
		"id": i.ID, "name": i.Name, "status": strings.ToUpper(i.Status), "progress": 100, "minDisk": i.MinDisk, "minRam": i.MinRAM,
		"created": cloud.Zulu(i.Created), "updated": cloud.Zulu(i.Updated), "metadata": meta, "links": links(c, "images", i.ID), "OS-EXT-IMG-SIZE:size": i.Size,
	}
}

func seesImage(c *rest.Call, i *cloud.Image) bool {
	return i.Visibility == "public" || i.Owner == c.Project() || c.Admin()
}

func (s *Service) listImages(detail bool) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		docs := []rest.Doc{}
		name := c.Query.Get("name")
		for i := range s.Cloud.Images.All() {
			if seesImage(c, i) && (name == "" || name == i.Name) {
				docs = append(docs, s.imageDoc(c, i))
			}
		}
		page, known, err := rest.Paginate(docs, c.Query, rest.PageOptions{Max: 1000, URL: c.Base + c.URL.Path})
		if err != nil {
			return rest.Reply{}, err
		}
		if !known {
			return rest.Reply{}, rest.Bad("marker [%s] not found", c.Query.Get("marker"))
		}
		if !detail {
			for n, d := range page.Docs {
				page.Docs[n] = rest.Doc{"id": d["id"], "name": d["name"], "links": d["links"]}
			}
		}
		return rest.OK(paged("images", page))
	}
}

func (s *Service) showImage(c *rest.Call) (rest.Reply, error) {
	i := s.Cloud.Images.Get(c.PathValue("id"))
	if i == nil || !seesImage(c, i) {
		return rest.Reply{}, rest.Missing("Image not found.")
	}
	return rest.OK(map[string]any{"image": s.imageDoc(c, i)})
}

func (s *Service) tenantNetworks(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	for n := range s.Cloud.Networks.All() {
		if n.ProjectID == c.Project() || n.Shared || n.External {
			docs = append(docs, rest.Doc{"id": n.ID, "label": n.Name, "cidr": nil})
		}
	}
	return rest.OK(map[string]any{"networks": docs})
}

func (s *Service) floatingPools(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for n := range s.Cloud.Networks.Where(func(n *cloud.Network) bool { return n.External }) {
		docs = append(docs, rest.Doc{"name": n.Name})
	}
	return rest.OK(map[string]any{"floating_ip_pools": docs})
}

func (s *Service) floatingIPs(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	for f := range s.Cloud.FloatingIPs.Where(func(f *cloud.FloatingIP) bool { return f.ProjectID == c.Project() }) {
		d := rest.Doc{"id": f.ID, "ip": f.Address.String(), "pool": "", "fixed_ip": nil, "instance_id": nil}
		if n := s.Cloud.Networks.Get(f.NetworkID); n != nil {
			d["pool"] = n.Name
		}
		if p := s.Cloud.Ports.Get(f.PortID); p != nil {
			d["fixed_ip"], d["instance_id"] = f.Fixed.String(), orNil(p.DeviceID)
		}
		docs = append(docs, d)
	}
	return rest.OK(map[string]any{"floating_ips": docs})
}

// oldGroup is a security group in the words of Nova's own networks.
func oldGroup(g *cloud.SecurityGroup) rest.Doc {
	rules := []any{}
	for _, r := range g.Rules {
		if r.Direction != "ingress" || r.EtherType != "IPv4" {
			continue
		}
		d := rest.Doc{"id": r.ID, "parent_group_id": g.ID, "ip_protocol": orNil(r.Protocol), "from_port": nil, "to_port": nil, "group": rest.Doc{}, "ip_range": rest.Doc{}}
		if r.PortMin != nil {
			d["from_port"] = *r.PortMin
		}
		if r.PortMax != nil {
			d["to_port"] = *r.PortMax
		}
		if r.RemotePrefix != "" {
			d["ip_range"] = rest.Doc{"cidr": r.RemotePrefix}
		}
		rules = append(rules, d)
	}
	return rest.Doc{"id": g.ID, "name": g.Name, "description": g.Description, "tenant_id": g.ProjectID, "rules": rules}
}

func (s *Service) securityGroups(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	for g := range s.Cloud.SecurityGroups.Where(func(g *cloud.SecurityGroup) bool { return g.ProjectID == c.Project() }) {
		docs = append(docs, oldGroup(g))
	}
	return rest.OK(map[string]any{"security_groups": docs})
}

func (s *Service) securityGroup(c *rest.Call) (rest.Reply, error) {
	g := s.Cloud.SecurityGroups.Get(c.PathValue("id"))
	if g == nil || g.ProjectID != c.Project() {
		return rest.Reply{}, rest.Missing("Security group %s not found.", c.PathValue("id"))
	}
	return rest.OK(map[string]any{"security_group": oldGroup(g)})
}

// serverGroups are the security groups of a server; this one is no proxy that was withdrawn.
func (s *Service) serverGroups(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	docs, seen := []any{}, map[string]bool{}
	for _, nic := range v.NICs {
		p := s.Cloud.Ports.Get(nic.PortID)
		if p == nil {
			continue
		}
		for _, id := range p.SecurityGroups {
			if g := s.Cloud.SecurityGroups.Get(id); g != nil && !seen[id] {
				seen[id] = true
				docs = append(docs, oldGroup(g))
			}
		}
	}
	return rest.OK(map[string]any{"security_groups": docs})
}
