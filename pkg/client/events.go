package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// maxEvent bounds one event's line in bytes.
const maxEvent = 4 << 20

// Events implements orch.Service. A stream that breaks off is taken up again after the last event received; one that is followed outlasts
// restarts of the server, see Patience.
func (c *Client) Events(ctx context.Context, f orch.Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for n, out := 1, c.outage(); ; n++ {
			began := time.Now()
			ended, err := c.stream(ctx, f, func(e event.Event) bool {
				f.After, f.Last, n = e.Seq, 0, 1
				if f.Deployment == "" {
					f.After = e.Index // the order over all of them
				}
				out.over()
				return yield(e, nil)
			})
			if ended || err == nil && !f.Follow {
				return
			}
			if time.Since(began) > lively {
				out.over()
			}
			if err == nil {
				err = broken(errStreamEnded)
			}
			if !f.Follow && n == attempts || !out.again(ctx, err) {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				yield(event.Event{}, err)
				return
			}
		}
	}
}

// lively is how long a request without an answer must have lasted for being a sign of life: who only accepts connections ends them sooner, and who
// is not there even more so.
const lively = 30 * time.Second

var errStreamEnded = errors.New("the stream of events ended before the task")

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
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return false, fmt.Errorf("cannot read an event: %w", err)
	} else if err != nil {
		return false, broken(err)
	}
	return false, nil
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
