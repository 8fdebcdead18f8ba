package terraform_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/pkg/driver"
)

// The disk gets full while Terraform works: it cannot write its state, nor what it has to say. That is said, and what it has made is neither lost nor made
// twice.
func TestAFullDiskIsNamedAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}, map[string]any{"image": "debian-12"})
	small := filepath.Join(r.home, "deployments")
	must(t, os.MkdirAll(small, 0o700))
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(small, unix.MNT_DETACH)) })
	for _, path := range []string{"os-keypairs", "security-groups"} {
		r.sandbox.Faults.Add(fault.Rule{Method: "POST", Path: path, Do: fault.Delay, Delay: fault.Duration(3 * time.Second)})
	}
	reqs := requests(r.topology(keyAndGroup()...), env{}, driver.Create, "create-")
	ended := make(chan *outcome)
	go func() { ended <- run(t.Context(), r.driver, reqs) }()
	waitFor(t, "the start of the apply", func() bool {
		b, _ := os.ReadFile(filepath.Join(small, "app", "work", "events.jsonl"))
		return bytes.Contains(b, []byte(`"apply_start"`))
	})
	fill, err := os.Create(filepath.Join(small, "fill"))
	must(t, err)
	if _, err := io.Copy(fill, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	must(t, fill.Close())
	first := <-ended
	if len(first.errs) == 0 {
		t.Fatalf("nothing failed: %v", first.err)
	}
	for id, err := range first.errs {
		if e := (*driver.Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), small) && !strings.Contains(err.Error(), "no space left") || !strings.Contains(e.Hint, "make room") {
			t.Errorf("%s: %v", id, err)
		}
	}
	must(t, os.Remove(fill.Name()))
	for _, q := range reqs {
		q.Attempt, q.OpID = 2, q.OpID+"2"
	}
	run(t.Context(), r.newDriver(), reqs).must(t, reqs)
	if found, err := r.cloud.Inventory(t.Context(), "app"); err != nil || count(found, "key pair") != 1 || count(found, "security group") != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

// zeros have no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
