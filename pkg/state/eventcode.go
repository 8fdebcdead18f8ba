package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/event"
)

// part is what one append stores.
type part struct {
	events []event.Event
	lines  [][]byte // their JSON after the number
	size   int      // bytes of the JSON, with numbers as long as they can be
}

// Every line begins with the number, which is not known before the transaction: event.Event has it first.
const (
	numberFirst = `{"seq":`
	maxNumber   = 1<<63 - 1
)

// parts divides events so that each part is below partBytes. Events have been made to fit before, so each alone fits into a value.
func parts(events []event.Event) []part {
	var ps []part
	var now part
	head := numberFirst + strconv.Itoa(maxNumber)
	for _, e := range events {
		e.Seq = maxNumber
		line, err := json.Marshal(e)
		if err != nil || !bytes.HasPrefix(line, []byte(head)) {
			continue // an event is strings and a time; only a year beyond 9999 fails, and fit has excluded that
		}
		if len(now.events) > 0 && now.size+len(line)+1 > partBytes {
			ps, now = append(ps, now), part{}
		}
		now.events = append(now.events, e)
		now.lines = append(now.lines, line[len(head):])
		now.size += len(line) + 1
	}
	if len(now.events) > 0 {
		ps = append(ps, now)
	}
	return ps
}

// number returns the events with their numbers, and their lines.
func (p part) number(first uint64) ([]event.Event, []byte) {
	events := make([]event.Event, len(p.events))
	raw := make([]byte, 0, p.size)
	for i, e := range p.events {
		e.Seq = first + uint64(i)
		events[i] = e
		raw = append(raw, numberFirst...)
		raw = strconv.AppendUint(raw, e.Seq, 10)
		raw = append(append(raw, p.lines[i]...), '\n')
	}
	return events, raw
}

// fit returns the events as they will be stored.
func fit(deployment string, events []event.Event) []event.Event {
	out := make([]event.Event, 0, len(events))
	for _, e := range events {
		e.Deployment, e.Index = deployment, 0
		if e.Time.IsZero() || e.Time.Year() > 9999 || e.Time.Year() < 0 {
			e.Time = time.Now()
		}
		e.Time = e.Time.UTC()
		for _, f := range []*string{&e.Value, &e.Key, &e.Status, &e.Step, &e.WorkflowStep, &e.Node, &e.Host, &e.Task, &e.Workflow, &e.Instance,
			&e.Relationship, &e.Target, &e.Interface, &e.Operation} {
			limit := maxName
			if f == &e.Value {
				limit = maxValue
			}
			*f = cut(*f, limit)
		}
		if e.Type != event.Log {
			e.Message = cut(e.Message, maxText)
			out = append(out, e)
			continue
		}
		pieces := split(e.Message, maxText)
		for _, m := range pieces {
			e.Message = m
			out = append(out, e)
		}
	}
	return out
}

// cut shortens a text and says so.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + fmt.Sprintf("… (%d bytes)", len(s))
}

// split divides a long message at line ends where it can, else between characters.
func split(s string, limit int) []string {
	var out []string
	for len(s) > limit {
		n := strings.LastIndexByte(s[:limit], '\n') + 1
		if n == 0 {
			for n = limit; n > limit-utf8.UTFMax+1 && !utf8.RuneStart(s[n]); n-- {
			}
		}
		out = append(out, s[:n])
		s = s[n:]
	}
	return append(out, s)
}

// decodeEvents reads a part or a chunk, compressed or not.
func decodeEvents(b []byte) ([]event.Event, error) {
	b, err := unpack(b, maxRecord)
	if err != nil {
		return nil, err
	}
	var events []event.Event
	for line := range bytes.Lines(b) {
		var e event.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return events, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		events = append(events, e)
	}
	return events, nil
}
