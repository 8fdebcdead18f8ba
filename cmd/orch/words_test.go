package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
)

// talkative is a cloud that knows of a server's end.
type talkative struct {
	driver.Cloud
	fault, console string
}

func (c talkative) Fault(context.Context, string) (string, error) { return c.fault, nil }
func (c talkative) Console(_ context.Context, _ string, lines int) (string, error) {
	if c.console == "" {
		return "", errors.New("the server does not exist")
	}
	return c.console, nil
}

func TestWordsOfAServerThatCannotBeReached(t *testing.T) {
	var boot strings.Builder
	for i := range 40 {
		fmt.Fprintf(&boot, "line %d  \n\n", i)
	}
	unreachable := &driver.Error{Op: "connect by SSH", Host: "10.0.0.5", ExitCode: -1, Retryable: true, Err: errors.New("no route to host")}
	lost := &driver.Error{Op: "run start.sh", Host: "10.0.0.5", ExitCode: -1, Retryable: true, Err: errors.New("connection lost")}
	failed := &driver.Error{Op: "run start.sh", Host: "10.0.0.5", ExitCode: 3, Stderr: []string{"no"}}
	for name, x := range map[string]struct {
		err    error
		cloud  talkative
		host   *driver.Host
		lines  int
		detail string
	}{
		"boots, but does not answer": {unreachable, talkative{console: boot.String()}, &driver.Host{ServerID: "s"}, consoleTail, ""},
		"went to ERROR":              {fmt.Errorf("step: %w", unreachable), talkative{fault: "disk full (fault 500)", console: "oops"}, &driver.Host{ServerID: "s"}, 1, "disk full (fault 500)"},
		"is gone":                    {lost, talkative{}, &driver.Host{ServerID: "s"}, 0, "Nova has no console log of server s: the server does not exist"},
		"script failed":              {failed, talkative{fault: "x", console: "x"}, &driver.Host{ServerID: "s"}, 0, ""},
		"no server of the cloud":     {unreachable, talkative{fault: "x", console: "x"}, &driver.Host{}, 0, ""},
	} {
		d := remoteDriver{cloud: func(context.Context, string) (driver.Cloud, error) { return x.cloud, nil }}
		var got *driver.Error
		if err := d.words(t.Context(), "web", x.host, x.err); !errors.As(err, &got) || len(got.Console) != x.lines || got.Detail != x.detail {
			t.Errorf("%s: %d lines, detail %q", name, len(got.Console), got.Detail)
		}
		if x.lines == consoleTail {
			if diff := cmp.Diff([]string{"line 28", "line 39"}, []string{got.Console[0], got.Console[consoleTail-1]}); diff != "" {
				t.Error(diff)
			}
		}
	}
	if unreachable.Console != nil {
		t.Error("the error of the driver was changed")
	}
}
