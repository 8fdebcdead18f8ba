package machine_test

import (
	"os"
	"testing"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"go.uber.org/goleak"
)

// Not parallel: it counts this process's goroutines and descriptors.
func TestNoLeaks(t *testing.T) {
	if err := machine.Available(); err != nil {
		t.Skip(err)
	}
	before := goleak.IgnoreCurrent()
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	count := 0
	for i := range 2 {
		t.Run("a Host's life", func(t *testing.T) {
			w := newWorld(t)
			for n := 5; n < 8; n++ {
				w.boot(w.server(n))
			}
			c := w.login(w.float(5), "debian")
			run(t, c, "curl -sf http://169.254.169.254/latest/meta-data/ >/dev/null; getent hosts localhost; sudo true")
			must(t, w.host.Reboot(t.Context(), w.server(6).ID, true))
			must(t, w.host.InjectSSH(t.Context(), w.server(5).ID, machine.SSHFault{Refuse: true}))
			_ = c.Wait()
		})
		if i == 0 {
			count = open()
		}
	}
	goleak.VerifyNone(t, before)
	if n := open(); n > count {
		t.Errorf("%d descriptors are open, %d after the first Host", n, count)
	}
}
