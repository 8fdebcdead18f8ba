package terraform_test

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/secret"
	openstackplugin "github.com/orch-project/orch/plugins/openstack"
	"golang.org/x/crypto/ssh"
)

// login tries SSH once. ORCH_TEST_CLOUD_DEVICE names the network device to use, where routes are ambiguous.
func login(h *driver.Host, key ssh.Signer, pinned ssh.PublicKey) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if dev := os.Getenv("ORCH_TEST_CLOUD_DEVICE"); dev != "" {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			if cerr := c.Control(func(fd uintptr) { err = syscall.BindToDevice(int(fd), dev) }); cerr != nil {
				return cerr
			}
			return err
		}
	}
	addr := net.JoinHostPort(h.Addresses[0], "22")
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{User: h.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(pinned), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		return err
	}
	return ssh.NewClient(c, chans, reqs).Close()
}

// TestOnARealCloud runs on whatever OpenStack OS_CLOUD or OS_AUTH_URL names when ORCH_TEST_CLOUD_IMAGE says which image to use. The
// image's servers must be reachable by floating IP from here.
func TestOnARealCloud(t *testing.T) {
	image := os.Getenv("ORCH_TEST_CLOUD_IMAGE")
	if image == "" {
		t.Skip("needs ORCH_TEST_CLOUD_IMAGE and a cloud (OS_CLOUD or OS_*)")
	}
	needTools(t)
	cfg, err := openstack.LoadConfig(openstack.Source{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, states: &states{}, secrets: &secrets{m: map[string]secret.Value{}}, home: t.TempDir(), set: &plugin.Set{}}
	r.set.Add(openstackplugin.Files, "plugins/openstack")
	if r.cloud, err = openstack.Connect(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	mode := os.Getenv("ORCH_TEST_CLOUD_HOST_KEYS")
	if mode == "" {
		mode = "cloud-config"
	}
	r.loc = plugin.Location{Name: "cloud", Plugin: "openstack", Settings: map[string]any{"image": image, "host_keys": mode, "flavor": os.Getenv("ORCH_TEST_CLOUD_FLAVOR")}}
	r.driver = r.newDriver()
	top := r.topology(
		node{name: "net", typ: "tosca.nodes.network.Network"},
		node{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"network=net"}, props: map[string]any{"floating_ip": true}},
		node{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "1 GB"}, requires: []string{"attachment=web"}},
	)
	if list := r.driver.Check(t.Context(), requests(top, env{}, driver.Create, "")); list.HasErrors() {
		t.Fatal(list.Err())
	}
	changes, err := r.driver.Plan(t.Context(), requests(top, env{}, driver.Create, ""))
	if err != nil || len(changes) < 10 {
		t.Fatalf("plan: %v %+v", err, changes)
	}
	reqs := requests(top, env{}, driver.Create, "create-")
	o := run(t.Context(), r.driver, reqs)
	for _, e := range o.events {
		t.Log(e.Time.Format("15:04:05"), e.Type, e.Key, e.Status, e.Message)
	}
	defer func() {
		del := requests(top, env{}, driver.Delete, "delete-")
		run(context.WithoutCancel(t.Context()), r.driver, del).must(t, del)
		r.nothingLeft()
	}()
	o.must(t, reqs)
	h := o.results["web[0]"].Host
	t.Logf("host %+v, attributes %v %v", h, o.results["web[0]"].Attributes, o.results["data[0]"].Attributes)
	key, err := ssh.ParsePrivateKey([]byte(r.secrets.m[h.KeyRef].Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.HostKeys[0]))
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		if last = login(h, key, pinned); last == nil {
			break
		}
	}
	if last != nil {
		t.Errorf("cannot log in with the pinned host key: %v", last)
	}
	again := run(t.Context(), r.newDriver(), requests(top, env{}, driver.Update, "again-"))
	again.must(t, reqs)
	for id, res := range again.results {
		if res.Changed {
			t.Errorf("%s changed at the second time", id)
		}
	}
	fails := r.topology(node{name: "lost", typ: "orch.nodes.openstack.Compute", props: map[string]any{"flavor": os.Getenv("ORCH_TEST_CLOUD_NOWHERE")}, requires: []string{"network=net"}},
		node{name: "net", typ: "tosca.nodes.network.Network"})
	if os.Getenv("ORCH_TEST_CLOUD_NOWHERE") != "" {
		q := requests(fails, env{}, driver.Create, "lost-", "lost")
		lost := run(t.Context(), r.driver, q)
		t.Logf("no valid host: %v", lost.errs["lost[0]"])
		if e := lost.errs["lost[0]"]; e == nil || !strings.Contains(e.Error(), "No valid host") {
			t.Errorf("the fault is not shown: %v", e)
		}
		d := requests(fails, env{}, driver.Delete, "unlost-", "lost")
		run(t.Context(), r.driver, d).must(t, d)
	}
}
