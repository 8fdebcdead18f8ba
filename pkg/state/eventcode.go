package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/event"
)

// part is what one append stores.
type part struct {
	events []event.Event
	raw    []byte // the lines of JSON, one after the other, each without its number
	ends   []int  // in raw
	size   int    // bytes of the JSON, with numbers as long as they can be
}

// Every line begins with the number, which is not known before the transaction: event.Event has it first.
const (
	numberFirst = `{"seq":`
	maxNumber   = 1<<63 - 1
	headBytes   = len(numberFirst) + 19 // digits of maxNumber
)

// parts divides events so that each part is below partBytes. Events have been made to fit before, so each alone fits into a value.
func parts(events []event.Event) []part {
	var ps []part
	first := 0
	now := part{raw: make([]byte, 0, min(len(events)*lineGuess, partBytes))}
	for i := range events {
		before := len(now.raw)
		now.raw = append(appendEvent(now.raw, &events[i]), '\n')
		size := headBytes + len(now.raw) - before
		if i > first && now.size+size > partBytes {
			line := now.raw[before:]
			now.raw, now.events = now.raw[:before:before], events[first:i]
			ps, first = append(ps, now), i
			now = part{raw: append(make([]byte, 0, partBytes), line...)}
		}
		now.ends = append(now.ends, len(now.raw))
		now.size += size
	}
	if first < len(events) {
		now.events = events[first:]
		ps = append(ps, now)
	}
	return ps
}

// lineGuess is about how long an event's line is.
const lineGuess = 256

// lines are the part's lines with their numbers.
func (p part) lines(first uint64) []byte {
	raw := make([]byte, 0, p.size)
	begin := 0
	for i, end := range p.ends {
		raw = append(raw, numberFirst...)
		raw = strconv.AppendUint(raw, first+uint64(i), 10)
		raw = append(raw, p.raw[begin:end]...)
		begin = end
	}
	return raw
}

// numbered are the part's events with their numbers.
func (p part) numbered(first uint64) []event.Event {
	events := slices.Clone(p.events)
	for i := range events {
		events[i].Seq = first + uint64(i)
	}
	return events
}

// appendEvent appends what encoding/json makes of an event after its number, many times as fast: a busy task writes thousands a second. The
// test compares the two.
func appendEvent(b []byte, e *event.Event) []byte {
	b = append(b, `,"time":"`...)
	b = append(e.Time.AppendFormat(b, time.RFC3339Nano), `","type":`...)
	b = appendText(b, string(e.Type))
	for _, f := range [...]struct{ name, value string }{
		{`,"deployment":`, e.Deployment}, {`,"task":`, e.Task}, {`,"workflow":`, e.Workflow}, {`,"step":`, e.Step},
		{`,"workflow_step":`, e.WorkflowStep}, {`,"node":`, e.Node}, {`,"instance":`, e.Instance}, {`,"relationship":`, e.Relationship},
		{`,"target":`, e.Target}, {`,"interface":`, e.Interface}, {`,"operation":`, e.Operation}, {`,"host":`, e.Host},
		{`,"status":`, e.Status}, {`,"key":`, e.Key}, {`,"value":`, e.Value}, {`,"level":`, string(e.Level)}, {`,"stream":`, e.Stream},
		{`,"message":`, e.Message},
	} {
		if f.value != "" {
			b = appendText(append(b, f.name...), f.value)
		}
	}
	return append(b, '}')
}

// appendText appends a string of JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0x7f {
			quoted, _ := json.Marshal(s) // a string does not fail
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
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
