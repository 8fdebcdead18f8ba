package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// events streams as server-sent events. Each carries its sequence number as id, so that a client that lost the connection goes on with
// Last-Event-ID. The stream ends with an event "end", or "error" with a problem document.
func (s *Server) events(c echo.Context) error {
	f, err := filterOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.streaming(c)
	defer cancel()
	if f.Deployment != "" {
		// A stream that cannot begin is refused, so that a browser's EventSource does not ask for it again and again.
		if _, err := s.service(c).Tasks(ctx, f.Deployment); err != nil {
			return err
		}
	}
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	w.Flush()
	for ev, err := range s.service(c).Events(ctx, f) {
		if err != nil {
			if ctx.Err() == nil {
				body, _ := json.Marshal(orch.ProblemOf(err))
				fmt.Fprintf(w, "event: error\ndata: %s\n\n", body)
			}
			return nil
		}
		body, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		id := ev.Seq
		if f.Deployment == "" {
			id = ev.Index
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", id, body); err != nil {
			return nil // the client went away
		}
		w.Flush()
	}
	fmt.Fprint(w, "event: end\ndata: {}\n\n")
	w.Flush()
	return nil
}

func filterOf(c echo.Context) (orch.Filter, error) {
	q := c.QueryParams()
	f := orch.Filter{Deployment: q.Get("deployment"), Task: q.Get("task"), Node: q.Get("node"), Instance: q.Get("instance"), UntilTask: q.Get("until_task")}
	for _, t := range strings.FieldsFunc(q.Get("types"), func(r rune) bool { return r == ',' }) {
		f.Types = append(f.Types, event.Type(t))
	}
	after := q.Get("after")
	if id := c.Request().Header.Get("Last-Event-ID"); id != "" {
		after = id
	}
	var err error
	if after != "" {
		if f.After, err = strconv.ParseUint(after, 10, 64); err != nil {
			return f, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("after: %q is not a sequence number", after)}
		}
	}
	if last := q.Get("last"); last != "" {
		if f.Last, err = strconv.Atoi(last); err != nil || f.Last < 0 {
			return f, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("last: %q is not a number", last)}
		}
	}
	if f.Follow, err = boolParam(c, "follow"); err != nil {
		return f, err
	}
	return f, nil
}
