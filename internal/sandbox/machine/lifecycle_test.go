package machine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/ssh"
)

func TestRebootKeepsFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	s.UserData = []byte("#cloud-config\nbootcmd: ['echo boot >> /var/boots']\nruncmd: ['echo run >> /var/runs']\n")
	w.boot(s)
	f := w.float(5)
	c := w.login(f, "debian")
	run(t, c, "cloud-init status --wait; echo kept > kept; echo gone > /tmp/gone; (setsid sleep 4711 >/dev/null 2>&1 &)")
	key := run(t, c, "cat /etc/ssh/ssh_host_ed25519_key.pub")
	for i, how := range []func() error{
		func() error { return w.host.Reboot(t.Context(), s.ID, false) },
		func() error { return w.host.Reboot(t.Context(), s.ID, true) },
		func() error {
			if err := w.host.Stop(t.Context(), s.ID); err != nil {
				return err
			}
			if conn, err := net.DialTimeout("tcp", f.String()+":22", 300*time.Millisecond); err == nil {
				_ = conn.Close()
				return errors.New("a stopped server answers")
			}
			return w.host.Start(t.Context(), s.ID)
		},
		func() error { // from inside
			_, _ = tryRun(c, "sudo reboot")
			_ = c.Wait()
			return nil
		},
	} {
		must(t, how())
		c = w.login(f, "debian")
		if got := run(t, c, "cloud-init status --wait >/dev/null; cat kept; ls /tmp; pgrep -x sleep; cat /etc/ssh/ssh_host_ed25519_key.pub; cat /var/runs; grep -c boot /var/boots"); got !=
			fmt.Sprintf("kept\n%s\nrun\n%d", key, i+2) {
			t.Errorf("after restart %d: %q", i, got)
		}
	}
}

func TestPowerOffInside(t *testing.T) {
	t.Parallel()
	stopped := make(chan string, 1)
	w := newWorldWith(t, func(o *machine.Options) { o.Stopped = func(id string) { stopped <- id } })
	s := w.server(5)
	w.boot(s)
	c := w.login(w.float(5), "debian")
	_, _ = tryRun(c, "sudo poweroff")
	if got := <-stopped; got != s.ID {
		t.Errorf("stopped: %q", got)
	}
	must(t, w.host.Start(t.Context(), s.ID))
	w.login(w.ext(105), "debian")
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	w.boot(s)
	c := w.login(w.float(5), "debian")
	vol := machine.Volume{ID: "6f1ed4ab-0000-4000-8000-000000000001", SizeGiB: 1}
	dev, err := w.host.AttachVolume(t.Context(), s.ID, vol, "")
	if err != nil && strings.Contains(err.Error(), "loop") {
		t.Skip(err)
	}
	must(t, err)
	if dev != "/dev/vdb" {
		t.Errorf("device %q", dev)
	}
	if again, err := w.host.AttachVolume(t.Context(), s.ID, vol, ""); err != nil || again != dev {
		t.Errorf("again: %q, %v", again, err)
	}
	run(t, c, "sudo mkfs.ext4 -q /dev/vdb && sudo mount /dev/disk/by-id/virtio-6f1ed4ab-0000-4000-8 /mnt && echo data | sudo tee /mnt/file && sudo umount /mnt")
	if got := run(t, c, "sudo blockdev --getsize64 /dev/vdb"); got != "1073741824" {
		t.Errorf("size %q", got)
	}
	must(t, w.host.Reboot(t.Context(), s.ID, true))
	c = w.login(w.ext(105), "debian")
	if got := run(t, c, "sudo mount /dev/vdb /mnt && cat /mnt/file && sudo umount /mnt"); got != "data" {
		t.Errorf("after reboot: %q", got)
	}
	if err := w.host.DeleteVolume(t.Context(), vol.ID); err == nil {
		t.Error("an attached volume was deleted")
	}
	must(t, w.host.DetachVolume(t.Context(), s.ID, vol.ID))
	if _, err := tryRun(c, "test -e /dev/vdb"); err == nil {
		t.Error("the device is still there")
	}
	w.boot(w.server(6))
	other := w.login(w.float(6), "debian")
	dev, err = w.host.AttachVolume(t.Context(), w.server(6).ID, vol, "/dev/vdd")
	if err != nil || dev != "/dev/vdd" {
		t.Fatalf("%q, %v", dev, err)
	}
	if got := run(t, other, "sudo mount /dev/vdd /mnt && cat /mnt/file"); got != "data" {
		t.Errorf("on the other server: %q", got)
	}
	must(t, w.host.Destroy(t.Context(), w.server(6).ID))
	must(t, w.host.DeleteVolume(t.Context(), vol.ID))
}

// leftovers are what a Host leaves on this machine.
func leftovers(dir string, external netip.Prefix) []string {
	var out []string
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			out = append(out, "mount "+line)
		}
	}
	addrs, _ := netlink.AddrList(nil, netlink.FAMILY_V4)
	for _, a := range addrs {
		if ip, _ := netip.AddrFromSlice(a.IP.To4()); external.Contains(ip) {
			out = append(out, "address "+a.String())
		}
	}
	routes, _ := netlink.RouteList(nil, netlink.FAMILY_V4)
	for _, r := range routes {
		if r.Gw != nil {
			if ip, _ := netip.AddrFromSlice(r.Gw.To4()); external.Contains(ip) {
				out = append(out, "route "+r.String())
			}
		}
	}
	environs, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, e := range environs {
		if data, err := os.ReadFile(e); err == nil && strings.Contains(string(data), dir+"/") && filepath.Dir(e) != fmt.Sprintf("/proc/%d", os.Getpid()) {
			cmd, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "cmdline"))
			out = append(out, "process "+strings.ReplaceAll(string(cmd), "\x00", " "))
		}
	}
	return out
}

func TestDestroyLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	w.boot(s)
	c := w.login(w.float(5), "debian")
	run(t, c, "sudo mkdir /work && echo x | sudo tee /work/file; (setsid sleep 4713 >/dev/null 2>&1 &)")
	must(t, w.host.Destroy(t.Context(), s.ID))
	if _, err := w.host.Console(t.Context(), s.ID, 0); !errors.Is(err, machine.ErrNotFound) {
		t.Errorf("console of a destroyed server: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(w.dir, "servers")); len(entries) > 0 {
		t.Errorf("files are left: %v", entries)
	}
	if out, err := exec.Command("pgrep", "-f", "sleep 4713").Output(); err == nil {
		t.Errorf("processes are left: %s", out)
	}
	must(t, w.host.Close())
	if left := leftovers(w.dir, w.external); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if entries, _ := os.ReadDir(w.dir); len(entries) > 0 {
		t.Errorf("files are left: %v", entries)
	}
}

// holdEnv makes the test binary run a Host until it is killed.
const holdEnv = "ORCH_TEST_HOLD"

func hold() {
	dir := os.Getenv(holdEnv)
	external := netip.MustParsePrefix(os.Getenv(holdEnv + "_EXTERNAL"))
	h, err := machine.New(context.Background(), machine.Options{Dir: dir, External: external})
	if err == nil {
		err = h.CreateNetwork(context.Background(), "net")
	}
	if err == nil {
		err = h.SetRouter(context.Background(), machine.Router{ID: "r", External: netip.PrefixFrom(external.Addr().Next().Next(), 24),
			Interfaces: []machine.Leg{{NetworkID: "net", Address: netip.MustParsePrefix("10.99.0.1/24")}}})
	}
	for i := 0; err == nil && i < 3; i++ {
		err = h.Boot(context.Background(), machine.Server{ID: fmt.Sprint("s", i), Hostname: "held", MemoryMiB: 256, UserData: []byte("#!/bin/sh\nsetsid sleep 4714 &\n"),
			Ports: []machine.Port{{ID: fmt.Sprint("p", i), NetworkID: "net", MAC: fmt.Sprintf("fa:16:3e:00:00:0%d", i)}}})
	}
	fmt.Println("ready", err)
	select {}
}

func TestKilledHolderLeavesNothing(t *testing.T) {
	t.Parallel()
	if err := machine.Available(); err != nil {
		t.Skip(err)
	}
	dir, external := t.TempDir(), netip.MustParsePrefix("172.31.99.0/24")
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), holdEnv+"="+dir, holdEnv+"_EXTERNAL="+external.String())
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		line, _ := bufio.NewReader(out).ReadString('\n')
		if !strings.Contains(line, "<nil>") {
			t.Fatal(line)
		}
		return cmd
	}
	for range 2 { // the second begins on what the first has left in the directory
		cmd := start()
		eventually(t, "servers run", func() error { return exec.Command("pgrep", "-f", "sleep 4714").Run() })
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		eventually(t, "everything is gone", func() error {
			if left := leftovers(dir, external); len(left) > 0 {
				return fmt.Errorf("left: %q", left)
			}
			if exec.Command("pgrep", "-f", "sleep 4714").Run() == nil {
				return errors.New("processes are left")
			}
			return nil
		})
	}
	h, err := machine.New(t.Context(), machine.Options{Dir: dir, External: external})
	must(t, err)
	must(t, h.Close())
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("files are left: %v", entries)
	}
}

func TestTwentyServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := time.Now()
	var all sync.WaitGroup
	for i := 10; i < 30; i++ {
		s := w.server(i)
		all.Go(func() {
			if err := w.host.Boot(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := 10; i < 30; i++ {
		all.Go(func() {
			deadline := time.Now().Add(2 * time.Minute)
			for {
				c, err := w.dial(w.fixed(i), "debian")
				if err == nil {
					defer c.Close()
					if out, err := tryRun(c, "hostname"); err != nil || strings.TrimSpace(out) != fmt.Sprintf("vm%d", i) {
						t.Errorf("server %d: %q, %v", i, out, err)
					}
					return
				}
				if time.Now().After(deadline) {
					t.Errorf("server %d: %v", i, err)
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	all.Wait()
	t.Log("twenty servers, booted and used:", time.Since(begin))
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	s.MemoryMiB = 300
	w.boot(s)
	c := w.login(w.float(5), "debian")
	find := func() []string {
		two, _ := filepath.Glob("/sys/fs/cgroup/orch-*" + s.ID)
		one, _ := filepath.Glob("/sys/fs/cgroup/memory/orch-*" + s.ID)
		var mine []string
		for _, d := range append(one, two...) {
			if procs, _ := os.ReadFile(filepath.Join(d, "cgroup.procs")); len(procs) > 0 {
				mine = append(mine, d)
			}
		}
		return mine
	}
	if len(find()) == 0 {
		t.Skip("no writable memory cgroup")
	}
	if _, err := tryRun(c, "python3 -c 'x = bytearray(900 << 20)'"); err == nil {
		t.Error("900 MiB were given to a server of 300")
	}
	must(t, w.host.Destroy(t.Context(), s.ID))
	if left := find(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestOneHostPerDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := machine.New(t.Context(), machine.Options{Dir: w.dir, External: netip.MustParsePrefix("172.31.98.0/24")}); err == nil || !strings.Contains(err.Error(), "another sandbox") {
		t.Errorf("same directory: %v", err)
	}
	if _, err := machine.New(t.Context(), machine.Options{Dir: t.TempDir(), External: netip.MustParsePrefix("127.0.0.0/24")}); err == nil || !strings.Contains(err.Error(), "external network") {
		t.Errorf("conflicting prefix: %v", err)
	}
}

func TestCloudConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	s.ConfigDrive = true
	s.MetaData = []byte(`{"uuid": "u-1", "hostname": "vm5.novalocal", "meta": {"role": "web"}, "availability_zone": "az1"}`)
	s.UserData = []byte(`#cloud-config
fqdn: web-1.example.org
users:
  - default
  - name: alice
    groups: [adm, wheelers]
    shell: /bin/sh
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    ssh_authorized_keys: ["` + w.pub + `"]
  - name: bob
    lock_passwd: false
    plain_text_passwd: geheim
ssh_pwauth: true
chpasswd: {expire: false, list: "alice:wonderland"}
write_files:
  - {path: /opt/app/plain, content: "hello", permissions: '0640', owner: "alice:adm", defer: true}
  - {path: /opt/app/b64, encoding: b64, content: aGVsbG8=}
  - {path: /opt/app/plain, append: true, content: " again", defer: true, owner: "alice:adm", permissions: '0640'}
bootcmd: [[sh, -c, 'echo "$INSTANCE_ID" > /var/bootcmd']]
runcmd:
  - echo "one two" > /var/run-string
  - [sh, -c, 'printf %s "$1" > /var/run-list', x, "it's quoted"]
  - sleep 1
final_message: "ready after $UPTIME s"
`)
	w.boot(s)
	c := w.login(w.float(5), "debian")
	if out, err := tryRun(c, "cloud-init status"); err != nil || !strings.Contains(out, "running") {
		t.Errorf("SSH should be up before the final stage: %q, %v", out, err)
	}
	run(t, c, "cloud-init status --wait")
	for cmd, want := range map[string]string{
		"hostname":                                       "web-1",
		"hostname -f":                                    "web-1.example.org",
		"id -nG alice":                                   "alice adm wheelers",
		"sudo stat -c '%U %G %a' /opt/app/plain":         "alice adm 640",
		"sudo cat /opt/app/plain /opt/app/b64":           "hello againhello",
		"cat /var/bootcmd":                               s.ID,
		"cat /var/run-string":                            "one two",
		"cat /var/run-list":                              "it's quoted",
		"cat /run/cloud-init/result.json | tr -d ' \\n'": `{"v1":{"datasource":"DataSourceConfigDrive[net,ver=2][source=/dev/sr0]","errors":[]}}`,
		"sudo cat /run/config-drive/openstack/latest/meta_data.json":                   string(s.MetaData),
		"curl -sf http://169.254.169.254/latest/meta-data/placement/availability-zone": "az1",
		"curl -sf http://169.254.169.254/openstack/latest/user_data | head -1":         "#cloud-config",
		"test -e /var/lib/cloud/instance/boot-finished && echo yes":                    "yes",
	} {
		if got := run(t, c, cmd); got != want {
			t.Errorf("%s: %q, want %q", cmd, got, want)
		}
	}
	if got := run(t, w.login(w.ext(105), "alice"), "sudo -n whoami; echo $SHELL"); got != "root\n/bin/sh" {
		t.Errorf("alice: %q", got)
	}
	if got := run(t, w.login(w.ext(105), "bob", ssh.Password("geheim")), "id -un; pwd"); got != "bob\n/home/bob" {
		t.Errorf("bob: %q", got)
	}
	if _, err := tryRun(w.login(w.ext(105), "bob", ssh.Password("geheim")), "sudo -n true"); err == nil {
		t.Error("bob may use sudo")
	}
	log, err := w.host.Console(t.Context(), s.ID, 0)
	must(t, err)
	for _, want := range []string{"-----BEGIN SSH HOST KEY KEYS-----\necdsa-sha2-nistp256 ", "ready after ", "-----END SSH HOST KEY FINGERPRINTS-----"} {
		if !strings.Contains(log, want) {
			t.Errorf("the console lacks %q:\n%s", want, log)
		}
	}
	last, _ := w.host.Console(t.Context(), s.ID, 1)
	if strings.Count(last, "\n") != 1 {
		t.Errorf("last line: %q", last)
	}
}

func TestFailingCloudConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	s.UserData = []byte("#cloud-config\nruncmd: ['echo partial; exit 3']\n")
	w.boot(s)
	c := w.login(w.float(5), "debian")
	var exit *ssh.ExitError
	if out, err := tryRun(c, "cloud-init status --wait --long"); !errors.As(err, &exit) || exit.ExitStatus() != 1 || !strings.Contains(out, "status: error") || !strings.Contains(out, "runcmd") {
		t.Errorf("%q, %v", out, err)
	}
	if got := run(t, c, "sudo cat /var/log/cloud-init-output.log"); !strings.Contains(got, "partial") {
		t.Errorf("output log: %q", got)
	}
	s = w.server(6)
	s.UserData = []byte("#cloud-config\nusers: [default\n")
	w.boot(s)
	c = w.login(w.float(6), "debian")
	if out, err := tryRun(c, "cloud-init status --wait --long"); !errors.As(err, &exit) || exit.ExitStatus() != 2 || !strings.Contains(out, "degraded") {
		t.Errorf("%q, %v", out, err)
	}
}

// The first stage of init must not lose what it holds when memory is collected, which a big configuration makes sure of: it did now and then, and the
// server did not come back.
func TestManyReboots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	s.UserData = []byte("#!/bin/sh\n#" + strings.Repeat("x", 8<<20) + "\n")
	w.boot(s)
	for i := range 6 {
		if err := w.host.Reboot(t.Context(), s.ID, i%2 == 0); err != nil {
			t.Fatalf("reboot %d: %v", i, err)
		}
	}
	w.login(w.float(5), "debian")
}
