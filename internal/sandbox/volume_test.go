package sandbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/orch-project/orch/internal/sandbox"
)

func TestAVolumeIsAttachedToAServerOnce(t *testing.T) {
	t.Parallel()
	w := build(t, start(t, sandbox.Options{}))
	v := w.boot(servers.CreateOpts{Name: "a"}, "ACTIVE")
	c := rawClient(t, w.s, sandbox.Demo)
	vol := id(t, c.must(202, "POST", "/volume/v3/volumes", `{"volume":{"size":1}}`), "volume")
	w.volume(vol, "available")
	path, body := "/compute/v2.1/servers/"+v.ID+"/os-volume_attachments", fmt.Sprintf(`{"volumeAttachment":{"volumeId":%q}}`, vol)
	c.must(200, "POST", path, body)
	w.volume(vol, "in-use")
	if status, _, text := c.do("POST", path, body); status != 400 || !strings.Contains(text, "is already attached to instances: "+v.ID) {
		t.Errorf("%d %s", status, text)
	}
	if status, _, text := c.do("DELETE", "/volume/v3/volumes/"+vol, ""); status != 400 || !strings.Contains(text, "Volume status must be available") {
		t.Errorf("%d %s", status, text)
	}
	c.must(202, "DELETE", path+"/"+vol, "")
	w.volume(vol, "available")
	c.must(202, "DELETE", "/volume/v3/volumes/"+vol, "")
}
