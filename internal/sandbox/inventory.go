package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
)

// Thing is one resource of a project.
type Thing struct {
	Service string `json:"service"`
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Status  string `json:"status,omitempty"`
}

// Inventory is what a project has, sorted by service, kind, name and id. Its default security group is not in it: it comes with the
// project and cannot be removed.
type Inventory []Thing

// Empty reports whether nothing is left.
func (i Inventory) Empty() bool { return len(i) == 0 }

// Counts are the numbers of things by kind, e.g. "server".
func (i Inventory) Counts() map[string]int {
	out := map[string]int{}
	for _, t := range i {
		out[t.Kind]++
	}
	return out
}

// String lists the things, a line each.
func (i Inventory) String() string {
	var b strings.Builder
	for _, t := range i {
		fmt.Fprintf(&b, "%s %s %s %s %s\n", t.Service, t.Kind, t.ID, t.Name, t.Status)
	}
	return b.String()
}

// Inventory lists what exists of a project (by name or id); "" means all projects. Seeded things of the admin project are part of it.
func (s *Sandbox) Inventory(project string) (Inventory, error) {
	c := s.cloud
	c.Lock()
	defer c.Unlock()
	id := project
	users := map[string]bool{}
	if project != "" {
		p := c.Projects.First(func(p *cloud.Project) bool { return p.ID == project || p.Name == project })
		if p == nil {
			return nil, fmt.Errorf("cannot list project %q: there is none of that name or id; there are %s", project, projectNames(c))
		}
		id = p.ID
		for u := range c.Users.Where(func(u *cloud.User) bool { return len(u.Roles[p.ID]) > 0 }) {
			users[u.ID] = true
		}
	}
	i := inventory{cloud: c, project: id, users: users}
	i.compute()
	i.network()
	i.block()
	slices.SortFunc(i.things, func(a, b Thing) int {
		return strings.Compare(a.Service+"\x00"+a.Kind+"\x00"+a.Name+"\x00"+a.ID, b.Service+"\x00"+b.Kind+"\x00"+b.Name+"\x00"+b.ID)
	})
	return i.things, nil
}

func projectNames(c *cloud.Cloud) string {
	names := map[string]bool{}
	for p := range c.Projects.All() {
		names[p.Name] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

type inventory struct {
	cloud   *cloud.Cloud
	project string
	users   map[string]bool
	things  Inventory
}

func (i *inventory) add(project string, t Thing) {
	if i.project == "" || i.project == project {
		i.things = append(i.things, t)
	}
}

func (i *inventory) compute() {
	for v := range i.cloud.Servers.All() {
		i.add(v.ProjectID, Thing{"nova", "server", v.ID, v.Name, v.VMState})
	}
	for g := range i.cloud.ServerGroups.All() {
		i.add(g.ProjectID, Thing{"nova", "server_group", g.ID, g.Name, ""})
	}
	for k := range i.cloud.KeyPairs.All() {
		// Key pairs belong to users: those who have a role on the project.
		if i.project == "" || i.users[k.UserID] {
			i.things = append(i.things, Thing{"nova", "keypair", k.Name, k.Name, ""})
		}
	}
	for m := range i.cloud.Images.Where(func(m *cloud.Image) bool { return m.Visibility != "public" }) {
		i.add(m.Owner, Thing{"glance", "image", m.ID, m.Name, m.Status})
	}
}

func (i *inventory) network() {
	c := i.cloud
	for n := range c.Networks.All() {
		i.add(n.ProjectID, Thing{"neutron", "network", n.ID, n.Name, ""})
	}
	for n := range c.Subnets.All() {
		i.add(n.ProjectID, Thing{"neutron", "subnet", n.ID, n.Name, ""})
	}
	for p := range c.Ports.All() {
		owner := p.ProjectID
		if r := c.Routers.Get(p.DeviceID); owner == "" && r != nil {
			owner = r.ProjectID
		}
		if f := c.FloatingIPs.Get(p.DeviceID); owner == "" && f != nil {
			owner = f.ProjectID
		}
		i.add(owner, Thing{"neutron", "port", p.ID, p.Name, p.DeviceOwner})
	}
	for r := range c.Routers.All() {
		i.add(r.ProjectID, Thing{"neutron", "router", r.ID, r.Name, ""})
	}
	for f := range c.FloatingIPs.All() {
		i.add(f.ProjectID, Thing{"neutron", "floatingip", f.ID, f.Address.String(), f.Status})
	}
	for g := range c.SecurityGroups.Where(func(g *cloud.SecurityGroup) bool { return g.Name != "default" }) {
		i.add(g.ProjectID, Thing{"neutron", "security_group", g.ID, g.Name, ""})
	}
}

func (i *inventory) block() {
	c := i.cloud
	for v := range c.Volumes.All() {
		i.add(v.ProjectID, Thing{"cinder", "volume", v.ID, v.Name, v.Status})
	}
	for p := range c.Snapshots.All() {
		i.add(p.ProjectID, Thing{"cinder", "snapshot", p.ID, p.Name, p.Status})
	}
	for a := range c.Attachments.All() {
		i.add(a.ProjectID, Thing{"cinder", "attachment", a.ID, a.VolumeID, a.Status})
	}
}
