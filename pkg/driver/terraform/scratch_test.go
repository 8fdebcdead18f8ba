package terraform

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/orch-project/orch/pkg/plugin"
)

// What a killed process has planned with is in clear: it goes when the next process starts, or plans; what is in use stays, and so do applies.
func TestPlansOfKilledProcessesAreRemoved(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	leave := func(name string) string {
		dir := filepath.Join(home, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "plan.bin"), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	plan, adopt, other := leave("plan-1"), leave("adopt-2"), leave("deployments")
	open := func() *Driver {
		d, err := New(Options{Home: home, Plugins: &plugin.Set{}, States: noStates{}, Location: func(context.Context, string) (plugin.Location, error) { return plugin.Location{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	if exists(plan) || exists(adopt) || !exists(other) {
		t.Errorf("after a start: plan %t, adopt %t, other %t", exists(plan), exists(adopt), exists(other))
	}
	mine, remove, err := d.scratch(t.Context(), "plan-")
	if err != nil {
		t.Fatal(err)
	}
	plan = leave("plan-3")
	open()
	if second, done, err := d.scratch(t.Context(), "adopt-"); err != nil || exists(plan) || !exists(mine) || !exists(second) {
		t.Errorf("while one plans: %v, left %t, in use %t", err, exists(plan), exists(mine))
	} else {
		done()
	}
	if remove(); exists(mine) {
		t.Error("a plan that has ended is still there")
	}
}

type noStates struct{ StateStore }
