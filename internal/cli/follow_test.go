package cli

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// forgetful is a server that knows nothing of the deployment any more.
type forgetful struct{ orch.Service }

var errGone = &orch.Error{Kind: orch.KindNotFound, Msg: "there is no deployment web", Err: orch.ErrNotFound}

func (forgetful) Events(context.Context, orch.Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) { yield(event.Event{}, errGone) }
}
func (forgetful) Wait(context.Context, string, string) (orch.Task, error) {
	return orch.Task{}, errGone
}

// A purge that is done before its follower has asked is done all the same.
func TestFollowingAPurge(t *testing.T) {
	var out bytes.Buffer
	env := &environment{stdio: Stdio{Out: &out, Err: &out}, out: &view.Printer{W: &out}, err: &view.Printer{W: &out}}
	task := orch.Task{ID: "t1", Deployment: "web", Verb: orch.Undeploy, Workflow: "uninstall"}
	app := &App{Service: forgetful{}}
	if err := env.follow(t.Context(), app, task, followFlags{purge: true}); err != nil || !strings.Contains(out.String(), "web is undeployed and forgotten") {
		t.Errorf("%v, %s", err, out.String())
	}
	if err := env.follow(t.Context(), app, task, followFlags{}); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("without a purge: %v", err)
	}
}
