package sandbox

import (
	"fmt"
	"net/netip"
	"runtime"

	"github.com/orch-project/orch/internal/sandbox/cloud"
)

// Names of what every sandbox has.
const (
	// ExternalNetwork is the network of floating addresses.
	ExternalNetwork = "public"
	// Image is the image whose servers run.
	Image = "debian-12"
	// Zone is the availability zone of all services.
	Zone = "nova"
	// NowhereFlavor is the flavor that no host can take.
	NowhereFlavor = "x1.nowhere"
)

// Accounts of every sandbox; the user has the project's name, and all have one password.
const (
	Demo      = "demo"
	DemoSmall = "demo-small"
	Admin     = "admin"
)

// roomy are the demo project's limits where the services' defaults are too tight for tests with many servers.
var roomy = map[string]map[string]int{
	"nova":    {"instances": 100, "cores": 400, "ram": 819200, "server_groups": 50, "server_group_members": 50},
	"neutron": {"security_group": 100, "security_group_rule": 1000, "router": 50},
	"cinder":  {"volumes": 100, "gigabytes": 10000, "snapshots": 100},
}

// tight are demo-small's: soon used up.
var tight = map[string]map[string]int{
	"nova":    {"instances": 1, "cores": 1, "ram": 512},
	"neutron": {"network": 1, "subnet": 1, "router": 1, "floatingip": 1, "port": 5, "security_group": 2},
	"cinder":  {"volumes": 1, "gigabytes": 2},
}

var flavors = []cloud.Flavor{
	{ID: "1", Name: "m1.tiny", VCPUs: 1, RAM: 512, Disk: 1},
	{ID: "2", Name: "m1.small", VCPUs: 1, RAM: 2048, Disk: 20},
	{ID: "3", Name: "m1.medium", VCPUs: 2, RAM: 4096, Disk: 40},
	{ID: "4", Name: "m1.large", VCPUs: 4, RAM: 8192, Disk: 80},
	{ID: "5", Name: "m1.xlarge", VCPUs: 8, RAM: 16384, Disk: 160},
	{ID: "99", Name: NowhereFlavor, VCPUs: 1, RAM: 512, Disk: 1, ExtraSpecs: map[string]string{"trait:CUSTOM_NOWHERE": "required"}},
}

// seed fills a new cloud.
func seed(c *cloud.Cloud, o *Options, external netip.Prefix) {
	seedIdentity(c, o)
	for _, f := range flavors {
		f.RxTx = 1
		c.Flavors.Put(f.ID, &f)
	}
	seedImages(c)
	hosts := o.Hypervisors
	if hosts == 0 {
		hosts = 4
	}
	for i := range hosts {
		c.Hypervisors = append(c.Hypervisors, cloud.Hypervisor{Name: fmt.Sprintf("compute-%d", i+1), Zone: Zone, VCPUs: 64, RAM: 256 << 10, Disk: 8 << 10})
	}
	for i, name := range []string{"standard", "fast"} {
		t := &cloud.VolumeType{ID: cloud.UUID(), Name: name, Description: map[int]string{0: "Sparse files", 1: "Sparse files, by another name"}[i]}
		c.VolumeTypes.Put(t.ID, t)
		if i == 0 {
			c.DefaultVolumeType = t.ID
		}
	}
	multi := &cloud.VolumeType{ID: cloud.UUID(), Name: "multiattach", ExtraSpecs: map[string]string{"multiattach": "<is> True"}}
	c.VolumeTypes.Put(multi.ID, multi)
	seedExternal(c, external)
}

func seedIdentity(c *cloud.Cloud, o *Options) {
	for _, name := range []string{"admin", "member", "reader"} {
		r := &cloud.Role{ID: cloud.Hex(16), Name: name}
		c.Roles.Put(r.ID, r)
	}
	for _, name := range []string{Admin, Demo, DemoSmall} {
		p := &cloud.Project{ID: cloud.Hex(16), Name: name, Description: "Project of the sandbox"}
		c.Projects.Put(p.ID, p)
		role := "member"
		if name == Admin {
			role = "admin"
		}
		u := &cloud.User{ID: cloud.Hex(16), Name: name, Password: o.Password, DefaultProject: p.ID, Roles: map[string][]string{p.ID: {role}}}
		c.Users.Put(u.ID, u)
		limits := []map[string]map[string]int{o.Quotas[name]}
		switch name {
		case Demo:
			limits = append([]map[string]map[string]int{roomy}, limits...)
		case DemoSmall:
			limits = append([]map[string]map[string]int{tight}, limits...)
		}
		for _, l := range limits {
			for service, resources := range l {
				for resource, n := range resources {
					c.Quotas.Set(service, p.ID, resource, n)
				}
			}
		}
	}
}

// seedImages makes images whose properties let a client choose by distribution, version and architecture. All start the same root file
// system; cirros is there for tests that want a second one.
func seedImages(c *cloud.Cloud) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	admin := c.Projects.First(func(p *cloud.Project) bool { return p.Name == Admin })
	for _, in := range []struct {
		name, distro, version, user string
		size                        int64
	}{{"cirros-0.6", "cirros", "0.6", "cirros", 21 << 20}, {Image, "debian", "12", "debian", 330 << 20}} {
		now := c.Now()
		i := &cloud.Image{
			ID: cloud.UUID(), Name: in.name, Owner: admin.ID, Status: "active", Visibility: "public", DiskFormat: "raw", ContainerFormat: "bare",
			Size: in.size, VirtualSize: 1 << 30, MinDisk: 1, Checksum: cloud.Hex(16), HashValue: cloud.Hex(64), Created: now, Updated: now,
			Properties: map[string]string{
				"os_type": "linux", "os_distro": in.distro, "os_version": in.version, "architecture": arch, "os_admin_user": in.user,
				"hw_disk_bus": "virtio", "hw_vif_model": "virtio",
			},
		}
		c.Images.Put(i.ID, i)
	}
}

// seedExternal makes the external network; the first address is this machine's.
func seedExternal(c *cloud.Cloud, external netip.Prefix) {
	admin := c.Projects.First(func(p *cloud.Project) bool { return p.Name == Admin })
	now := c.Now()
	n := &cloud.Network{
		Stamp:    cloud.Stamp{ID: cloud.UUID(), ProjectID: admin.ID, Name: ExternalNetwork, Created: now, Updated: now, Revision: 1},
		External: true, Default: true, MTU: 1500, Type: "flat", Physical: "external",
	}
	c.Networks.Put(n.ID, n)
	gateway := external.Masked().Addr().Next()
	last := gateway
	for a := gateway.Next(); external.Contains(a.Next()); a = a.Next() {
		last = a
	}
	sub := &cloud.Subnet{
		Stamp:     cloud.Stamp{ID: cloud.UUID(), ProjectID: admin.ID, Name: ExternalNetwork + "-v4", Created: now, Updated: now, Revision: 1},
		NetworkID: n.ID, CIDR: external.Masked(), Gateway: gateway, NoDHCP: true, Pools: []cloud.Range{{Start: gateway.Next(), End: last}},
	}
	c.Subnets.Put(sub.ID, sub)
}
