package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
)

// An operation that has succeeded and whose outputs cannot be stored is not run again: trying again asks for its result.
func TestResultThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, chain("a", "b"))
		ran := map[string]int{}
		b.d.do["a[0].create"] = func(_ context.Context, req *driver.Request, _ int) (driver.Result, error) {
			ran[req.OpID]++ // by the same OpID the driver answers what is recorded
			return driver.Result{Attributes: map[string]any{"token": secret.New("s3cret")}}, nil
		}
		b.plan(plan.Input{})
		b.opts.Cipher = nil
		out := b.run(nil)
		if out.Status != engine.Failed || out.Failure.Step != "a[0].create" || !strings.Contains(out.Failure.Message, "no encryption key") ||
			!strings.Contains(out.Failure.Detail, "not run again") || !slices.Equal(out.Failure.Skipped, []string{"b[0].create"}) {
			t.Errorf("%+v", out.Failure)
		}
		b.opts.Cipher = rot{}
		if out := b.run(nil); out.Status != engine.Done || len(ran) != 1 {
			t.Errorf("%+v, operations %v", out.Failure, ran)
		}
	})
}
