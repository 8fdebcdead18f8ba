package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// maxEvent bounds one event's line in bytes.
const maxEvent = 4 << 20

// Events implements orch.Service. A stream that breaks off is taken up again after the last event received.
func (c *Client) Events(ctx context.Context, f orch.Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		const attempts = 5
		for failed := 0; failed < attempts; failed++ {
			ended, err := c.stream(ctx, f, func(e event.Event) bool {
				f.After, f.Last, failed = e.Seq, 0, 0
				if f.Deployment == "" {
					f.After = e.Index // the order over all of them
				}
				return yield(e, nil)
			})
			switch {
			case ended:
				return
			case ctx.Err() != nil:
				yield(event.Event{}, context.Cause(ctx))
				return
			case err != nil && failed == attempts-1:
				yield(event.Event{}, err)
				return
			case err == nil && !f.Follow:
				return
			}
		}
	}
}

// stream reads one connection; ended means that nothing more will come: the server said so, or the reader wants no more.
func (c *Client) stream(ctx context.Context, f orch.Filter, yield func(event.Event) bool) (ended bool, err error) {
	resp, err := c.send(ctx, http.MethodGet, "/events?"+query(f).Encode(), nil, "", nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	kind := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			kind = value
		case "data":
			switch kind {
			case "end":
				return true, nil
			case "error":
				var p orch.Problem
				if err := json.Unmarshal([]byte(value), &p); err != nil {
					return false, fmt.Errorf("cannot read the server's error: %w", err)
				}
				return false, p.Err()
			}
			var e event.Event
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return false, fmt.Errorf("cannot read an event: %w", err)
			}
			if !yield(e) {
				return true, nil
			}
		case "":
			kind = ""
		}
	}
	return false, lines.Err()
}

func query(f orch.Filter) url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" {
			q.Set(k, v)
		}
	}
	set("deployment", f.Deployment)
	set("task", f.Task)
	set("node", f.Node)
	set("instance", f.Instance)
	set("until_task", f.UntilTask)
	types := make([]string, len(f.Types))
	for i, t := range f.Types {
		types[i] = string(t)
	}
	set("types", strings.Join(types, ","))
	if f.After > 0 {
		set("after", strconv.FormatUint(f.After, 10))
	}
	if f.Last > 0 {
		set("last", strconv.Itoa(f.Last))
	}
	if f.Follow {
		set("follow", "true")
	}
	return q
}
