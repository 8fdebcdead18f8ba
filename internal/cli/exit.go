package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
)

// Exit codes; documented in `orch --help` and docs/cli.md.
const (
	exitUser      = 1
	exitCloud     = 2
	exitHost      = 3
	exitCancelled = 4
	exitChanges   = 5
	exitNotFound  = 6
	exitConflict  = 7
	exitStore     = 8
	exitDenied    = 9
	exitInternal  = 70
)

var exitCodes = map[orch.Kind]int{
	orch.KindUser: exitUser, orch.KindCloud: exitCloud, orch.KindHost: exitHost, orch.KindCancelled: exitCancelled,
	orch.KindNotFound: exitNotFound, orch.KindConflict: exitConflict, orch.KindStore: exitStore, orch.KindInternal: exitInternal,
	orch.KindUnauthenticated: exitDenied, orch.KindForbidden: exitDenied,
}

// exitError ends the command with a code when everything has been said already.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func exitCode(err error) int {
	var known *orch.Error
	var drv *driver.Error
	switch {
	case errors.Is(err, context.Canceled):
		return exitCancelled
	case errors.As(err, &known):
		if code, ok := exitCodes[known.Kind]; ok {
			return code
		}
	case errors.As(err, &drv):
		return exitHost
	}
	return exitUser
}

// taskExit turns the end of a task into an exit code; the outcome has been printed.
func taskExit(t orch.Task) error {
	switch {
	case t.Status == "cancelled":
		return &exitError{exitCancelled}
	case (t.Status == "failed" || t.Status == "paused") && t.Failure != nil && (t.Failure.Infra || t.Failure.Operation == "") || len(t.Left) > 0:
		return &exitError{exitCloud}
	case t.Status == "failed" || t.Status == "paused":
		return &exitError{exitHost}
	}
	return nil
}
