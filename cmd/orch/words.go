package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
)

// consoleTail is how many lines of a server's console log go with a failure.
const consoleTail = 12

// words adds to a failure to reach a server what the cloud knows of it: Nova's fault, that it does not exist or does not run any more, and the
// end of its console log. An operation that has failed on a server that can be reached stays as it is.
func (d remoteDriver) words(ctx context.Context, deployment string, h *driver.Host, err error) error {
	var known *driver.Error
	if h == nil || h.ServerID == "" || d.cloud == nil || !errors.As(err, &known) || known.ExitCode > 0 || errors.Is(err, driver.ErrDetach) ||
		len(known.Console) > 0 || strings.HasPrefix(known.Op, "run ") && !known.Retryable {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	cloud, cerr := d.cloud(ctx, deployment)
	if cerr != nil {
		return err // the failure itself matters more
	}
	with := *known
	if fault, ferr := cloud.Fault(ctx, h.ServerID); ferr == nil && fault != "" && !strings.Contains(with.Detail, fault) {
		with.Detail = strings.TrimSpace(with.Detail + " " + fault)
	}
	if text, lerr := cloud.Console(ctx, h.ServerID, 4*consoleTail); lerr == nil {
		with.Console = tail(text, consoleTail)
	} else if with.Detail == "" {
		with.Detail = fmt.Sprintf("Nova has no console log of server %s: %v", h.ServerID, lerr)
	}
	return &with
}

// tail returns the last lines that say something.
func tail(text string, n int) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}

// cloudOf tells the cloud that a deployment is in.
func (l *locations) cloudOf(locationOf func(context.Context, string) (plugin.Location, error)) func(context.Context, string) (driver.Cloud, error) {
	return func(ctx context.Context, deployment string) (driver.Cloud, error) {
		loc, err := locationOf(ctx, deployment)
		if err != nil {
			return nil, err
		}
		return l.cloud(ctx, loc)
	}
}
