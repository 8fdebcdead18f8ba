package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/internal/sandbox"
)

// configuration is one of each, in the words that providers 1.15 and 3.x share.
const configuration = `
terraform {
  required_providers {
    openstack = { source = "terraform-provider-openstack/openstack" }
  }
}
provider "openstack" {}
data "openstack_networking_network_v2" "public" { name = "public" }
data "openstack_images_image_v2" "os" {
  name        = "debian-12"
  most_recent = true
}
data "openstack_compute_flavor_v2" "flavor" { name = "m1.tiny" }
resource "openstack_networking_network_v2" "net" { name = "net" }
resource "openstack_networking_subnet_v2" "sub" {
  network_id = openstack_networking_network_v2.net.id
  cidr       = "10.88.0.0/24"
  ip_version = 4
}
resource "openstack_networking_router_v2" "rt" {
  name                = "rt"
  external_network_id = data.openstack_networking_network_v2.public.id
  tags                = ["a", "b"]
}
resource "openstack_networking_router_interface_v2" "rti" {
  router_id = openstack_networking_router_v2.rt.id
  subnet_id = openstack_networking_subnet_v2.sub.id
}
resource "openstack_networking_secgroup_v2" "sg" { name = "sg" }
resource "openstack_networking_secgroup_rule_v2" "ssh" {
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 22
  port_range_max    = 22
  remote_ip_prefix  = "0.0.0.0/0"
  security_group_id = openstack_networking_secgroup_v2.sg.id
}
resource "openstack_compute_keypair_v2" "key" { name = "key" }
resource "openstack_compute_servergroup_v2" "grp" {
  name     = "grp"
  policies = ["anti-affinity"]
}
resource "openstack_networking_port_v2" "port" {
  count              = 2
  network_id         = openstack_networking_network_v2.net.id
  security_group_ids = [openstack_networking_secgroup_v2.sg.id]
  fixed_ip { subnet_id = openstack_networking_subnet_v2.sub.id }
}
resource "openstack_compute_instance_v2" "vm" {
  count           = 2
  name            = "vm-${count.index}"
  image_id        = data.openstack_images_image_v2.os.id
  flavor_id       = data.openstack_compute_flavor_v2.flavor.id
  key_pair        = openstack_compute_keypair_v2.key.name
  user_data       = "#!/bin/sh\n"
  metadata        = { role = "test" }
  network { port = openstack_networking_port_v2.port[count.index].id }
  scheduler_hints { group = openstack_compute_servergroup_v2.grp.id }
}
resource "openstack_compute_instance_v2" "bfv" {
  name            = "bfv"
  flavor_id       = data.openstack_compute_flavor_v2.flavor.id
  security_groups = [openstack_networking_secgroup_v2.sg.name]
  network { uuid = openstack_networking_network_v2.net.id }
  block_device {
    uuid                  = data.openstack_images_image_v2.os.id
    source_type           = "image"
    destination_type      = "volume"
    volume_size           = 2
    boot_index            = 0
    delete_on_termination = true
  }
  depends_on = [openstack_networking_subnet_v2.sub]
}
resource "openstack_networking_floatingip_v2" "fip" { pool = "public" }
resource "openstack_networking_floatingip_associate_v2" "fipa" {
  floating_ip = openstack_networking_floatingip_v2.fip.address
  port_id     = openstack_networking_port_v2.port[0].id
  depends_on  = [openstack_networking_router_interface_v2.rti]
}
resource "openstack_blockstorage_volume_v3" "vol" { size = 1 }
resource "openstack_compute_volume_attach_v2" "att" {
  instance_id = openstack_compute_instance_v2.vm[0].id
  volume_id   = openstack_blockstorage_volume_v3.vol.id
}
`

func TestTerraformAppliesPlansEmptyAndDestroys(t *testing.T) {
	terraform, mirror := tools.TerraformOrTofu(t), tools.ProviderMirror(t)
	t.Parallel()
	s := start(t, sandbox.Options{})
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "main.tf"), []byte(configuration), 0o600))
	rc := filepath.Join(dir, "terraformrc")
	check(t, os.WriteFile(rc, []byte("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = \""+mirror+"\"\n  }\n}\n"), 0o600))
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), terraform, append(args, "-no-color")...)
		cmd.Dir = dir
		for _, v := range os.Environ() {
			if !strings.HasPrefix(v, "OS_") && !strings.HasPrefix(v, "TF_") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Env = append(cmd.Env, "TF_CLI_CONFIG_FILE="+rc, "TF_IN_AUTOMATION=1")
		for k, v := range s.Environment(sandbox.Demo) {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
		}
	}
	run("init", "-input=false")
	run("apply", "-auto-approve", "-input=false")
	run("plan", "-detailed-exitcode", "-input=false")
	run("destroy", "-auto-approve", "-input=false")
	eventually(t, "nothing is left", func() bool {
		i, err := s.Inventory(sandbox.Demo)
		check(t, err)
		return i.Empty()
	})
}
