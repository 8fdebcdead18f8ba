package sandbox_test

import (
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/attachinterfaces"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"github.com/orch-project/orch/internal/sandbox"
)

// world is a network with a router, a security group and a key, as most tests need it.
type world struct {
	t *testing.T
	s *sandbox.Sandbox
	clients
	external, network, subnet, router, group, image, flavor string
}

func build(t *testing.T, s *sandbox.Sandbox) *world {
	t.Helper()
	w := &world{t: t, s: s, clients: connect(t, s, sandbox.Demo)}
	ctx := t.Context()
	page, err := networks.List(w.clients.network, networks.ListOpts{Name: sandbox.ExternalNetwork}).AllPages(ctx)
	check(t, err)
	found, err := networks.ExtractNetworks(page)
	check(t, err)
	w.external = found[0].ID
	n, err := networks.Create(ctx, w.clients.network, networks.CreateOpts{Name: "net"}).Extract()
	check(t, err)
	w.network = n.ID
	sub, err := subnets.Create(ctx, w.clients.network, subnets.CreateOpts{NetworkID: n.ID, CIDR: "10.9.0.0/24", IPVersion: 4, Name: "sub"}).Extract()
	check(t, err)
	w.subnet = sub.ID
	r, err := routers.Create(ctx, w.clients.network, routers.CreateOpts{Name: "rt", GatewayInfo: &routers.GatewayInfo{NetworkID: w.external}}).Extract()
	check(t, err)
	w.router = r.ID
	_, err = routers.AddInterface(ctx, w.clients.network, r.ID, routers.AddInterfaceOpts{SubnetID: sub.ID}).Extract()
	check(t, err)
	g, err := groups.Create(ctx, w.clients.network, groups.CreateOpts{Name: "sg"}).Extract()
	check(t, err)
	w.group = g.ID
	_, err = rules.Create(ctx, w.clients.network, rules.CreateOpts{
		SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP, PortRangeMin: 22, PortRangeMax: 22,
	}).Extract()
	check(t, err)
	ip, err := images.List(w.clients.image, images.ListOpts{Name: sandbox.Image}).AllPages(ctx)
	check(t, err)
	is, err := images.ExtractImages(ip)
	check(t, err)
	w.image = is[0].ID
	w.flavor = flavorID(t, w.compute, "m1.tiny")
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func flavorID(t *testing.T, c *gophercloud.ServiceClient, name string) string {
	t.Helper()
	page, err := flavors.ListDetail(c, nil).AllPages(t.Context())
	check(t, err)
	all, err := flavors.ExtractFlavors(page)
	check(t, err)
	for _, f := range all {
		if f.Name == name {
			return f.ID
		}
	}
	t.Fatalf("no flavor %s", name)
	return ""
}

// boot makes a server and waits for its state.
func (w *world) boot(o servers.CreateOpts, want string) *servers.Server {
	w.t.Helper()
	if o.FlavorRef == "" {
		o.FlavorRef = w.flavor
	}
	if o.ImageRef == "" && len(o.BlockDevice) == 0 {
		o.ImageRef = w.image
	}
	if o.Networks == nil {
		o.Networks = []servers.Network{{UUID: w.network}}
	}
	v, err := servers.Create(w.t.Context(), w.compute, o, nil).Extract()
	check(w.t, err)
	return w.await(v.ID, want)
}

func (w *world) await(id, want string) *servers.Server {
	w.t.Helper()
	var v *servers.Server
	eventually(w.t, "server becomes "+want, func() bool {
		var err error
		v, err = servers.Get(w.t.Context(), w.compute, id).Extract()
		check(w.t, err)
		if v.Status == "ERROR" && want != "ERROR" {
			w.t.Fatalf("server is in ERROR: %+v", v.Fault)
		}
		return v.Status == want && v.TaskState == ""
	})
	return v
}

func TestAnApplicationsInfrastructureComesAndGoesWithoutATrace(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	before, err := s.Inventory(sandbox.Demo)
	check(t, err)
	w := build(t, s)
	ctx := t.Context()
	k, err := keypairs.Create(ctx, w.compute, keypairs.CreateOpts{Name: "key"}).Extract()
	check(t, err)
	if !strings.Contains(k.PrivateKey, "PRIVATE KEY") || !strings.HasPrefix(k.PublicKey, "ssh-") {
		t.Errorf("a generated key pair has no halves: %+v", k.PublicKey)
	}
	p, err := ports.Create(ctx, w.clients.network, ports.CreateOpts{
		NetworkID: w.network, SecurityGroups: &[]string{w.group}, FixedIPs: []ports.IP{{SubnetID: w.subnet, IPAddress: "10.9.0.20"}},
	}).Extract()
	check(t, err)
	v := w.boot(servers.CreateOpts{
		Name: "app", Networks: []servers.Network{{Port: p.ID}}, UserData: []byte("#!/bin/sh\n"), Metadata: map[string]string{"role": "app"},
	}, "ACTIVE")
	f, err := floatingips.Create(ctx, w.clients.network, floatingips.CreateOpts{FloatingNetworkID: w.external}).Extract()
	check(t, err)
	if f.Status != "DOWN" {
		t.Errorf("a free floating IP is %s", f.Status)
	}
	_, err = floatingips.Update(ctx, w.clients.network, f.ID, floatingips.UpdateOpts{PortID: &p.ID}).Extract()
	check(t, err)
	eventually(t, "floating IP becomes ACTIVE", func() bool {
		f, err := floatingips.Get(ctx, w.clients.network, f.ID).Extract()
		check(t, err)
		return f.Status == "ACTIVE" && f.FixedIP == "10.9.0.20" && f.RouterID == w.router
	})
	v, err = servers.Get(ctx, w.compute, v.ID).Extract()
	check(t, err)
	list, _ := v.Addresses["net"].([]any)
	if len(list) != 2 {
		t.Fatalf("addresses: %v", v.Addresses)
	}
	if v.SecurityGroups[0]["name"] != "sg" || v.Metadata["role"] != "app" {
		t.Errorf("server: %+v", v)
	}
	vol, err := volumes.Create(ctx, w.block, volumes.CreateOpts{Size: 1, Name: "data"}, nil).Extract()
	check(t, err)
	w.volume(vol.ID, "available")
	a, err := volumeattach.Create(ctx, w.compute, v.ID, volumeattach.CreateOpts{VolumeID: vol.ID}).Extract()
	check(t, err)
	if a.Device != "/dev/vdb" {
		t.Errorf("device %s", a.Device)
	}
	w.volume(vol.ID, "in-use")
	nic, err := attachinterfaces.Create(ctx, w.compute, v.ID, attachinterfaces.CreateOpts{NetworkID: w.network}).Extract()
	check(t, err)
	if nic.PortState != "ACTIVE" || len(nic.FixedIPs) != 1 {
		t.Errorf("interface: %+v", nic)
	}

	// Everything away, in the order that an orchestrator would choose.
	check(t, volumeattach.Delete(ctx, w.compute, v.ID, vol.ID).ExtractErr())
	w.volume(vol.ID, "available")
	check(t, volumes.Delete(ctx, w.block, vol.ID, nil).ExtractErr())
	check(t, servers.Delete(ctx, w.compute, v.ID).ExtractErr())
	eventually(t, "server is gone", func() bool { _, err := servers.Get(ctx, w.compute, v.ID).Extract(); return err != nil })
	check(t, floatingips.Delete(ctx, w.clients.network, f.ID).ExtractErr())
	check(t, ports.Delete(ctx, w.clients.network, p.ID).ExtractErr())
	check(t, keypairs.Delete(ctx, w.compute, "key", nil).ExtractErr())
	w.tearDown()
	eventually(t, "nothing is left", func() bool {
		after, err := s.Inventory(sandbox.Demo)
		check(t, err)
		return after.String() == before.String()
	})
}

func (w *world) volume(id, want string) {
	w.t.Helper()
	eventually(w.t, "volume becomes "+want, func() bool {
		v, err := volumes.Get(w.t.Context(), w.block, id).Extract()
		check(w.t, err)
		return v.Status == want
	})
}

func (w *world) tearDown() {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := routers.RemoveInterface(ctx, w.clients.network, w.router, routers.RemoveInterfaceOpts{SubnetID: w.subnet}).Extract()
	check(w.t, err)
	check(w.t, routers.Delete(ctx, w.clients.network, w.router).ExtractErr())
	check(w.t, subnets.Delete(ctx, w.clients.network, w.subnet).ExtractErr())
	check(w.t, networks.Delete(ctx, w.clients.network, w.network).ExtractErr())
	check(w.t, groups.Delete(ctx, w.clients.network, w.group).ExtractErr())
}

func TestABootVolumeIsMadeFromTheImageAndEndsWithTheServer(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	v := w.boot(servers.CreateOpts{Name: "bfv", BlockDevice: []servers.BlockDevice{{
		SourceType: servers.SourceImage, DestinationType: servers.DestinationVolume, UUID: w.image, VolumeSize: 3, BootIndex: 0, DeleteOnTermination: true,
	}}}, "ACTIVE")
	if v.Image["id"] != nil {
		t.Errorf("a server that boots from a volume has image %v", v.Image)
	}
	if len(v.AttachedVolumes) != 1 {
		t.Fatalf("volumes: %v", v.AttachedVolumes)
	}
	vol, err := volumes.Get(t.Context(), w.block, v.AttachedVolumes[0].ID).Extract()
	check(t, err)
	if vol.Size != 3 || vol.Bootable != "true" || vol.Attachments[0].Device != "/dev/vda" {
		t.Errorf("volume: %+v", vol)
	}
	check(t, servers.Delete(t.Context(), w.compute, v.ID).ExtractErr())
	eventually(t, "volume is gone", func() bool { _, err := volumes.Get(t.Context(), w.block, vol.ID).Extract(); return err != nil })
}
