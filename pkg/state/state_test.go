package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/event"
)

// What Consul accepts in keys since it validates them.
var consulKey = regexp.MustCompile(`^[a-zA-Z0-9,_./-]+$`)

func checkSegments(t *testing.T, segments ...string) {
	t.Helper()
	key := Join(segments...)
	if !consulKey.MatchString(key) || strings.Contains(key, "..") || slices.Contains(strings.Split(key, "/"), "") || slices.Contains(strings.Split(key, "/"), ".") {
		t.Errorf("%q makes the key %q", segments, key)
	}
	got, err := Split(key)
	if err != nil || !slices.Equal(got, segments) {
		t.Errorf("%q became %q, then %q, %v", segments, key, got, err)
	}
	if Last(key) != segments[len(segments)-1] {
		t.Errorf("last of %q is %q", key, Last(key))
	}
	if len(key) <= MaxKey {
		if err := CheckKey(key); err != nil {
			t.Error(err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, s := range []string{"", ".", "..", "...", "a", "a.b", "a..b", ".a", "a.", ",", ",2C", "a/b", "ä", "\x00", "\xff", " "} {
		checkSegments(t, s)
		checkSegments(t, "x", s, "y")
	}
	for _, key := range []string{"", "/", "a/", "/a", "a//b", "..", "a b", "ä", ",2", ",zz", ",61", ",2c", "a/,", "a\x00"} {
		segments, err := Split(key)
		if err == nil && key != "a/," {
			t.Errorf("%q was split into %q", key, segments)
		}
	}
	if !(Num(9) < Num(10) && Num(10) < Num(1<<63)) {
		t.Error("numbers are not in order")
	}
}

func FuzzJoin(f *testing.F) {
	f.Add("a", "b/c")
	f.Fuzz(func(t *testing.T, a, b string) {
		defer bounded.Input(t)()
		checkSegments(t, a, b)
	})
}

// FuzzSplit: every key has one meaning, and no two keys the same.
func FuzzSplit(f *testing.F) {
	f.Add("a/,2E,2E/b")
	f.Fuzz(func(t *testing.T, key string) {
		defer bounded.Input(t)()
		if s, err := Split(key); err == nil && Join(s...) != key {
			t.Errorf("%q means %q, which is %q", key, s, Join(s...))
		}
	})
}

type sample struct {
	A string
	B map[string]int
}

func FuzzRecord(f *testing.F) {
	b, _ := EncodeRecord(sample{"a", map[string]int{"x": 1}})
	f.Add(b)
	f.Add(pack(b))
	f.Add([]byte(`{"v":2,"d":{}}`))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		v, err := DecodeRecord[sample](b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Errorf("%v is neither damage nor a newer version", err)
			}
			return
		}
		again, err := EncodeRecord(v)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := DecodeRecord[sample](again); err != nil || !cmp.Equal(v, w) {
			t.Errorf("%+v became %+v, %v", v, w, err)
		}
	})
}

func TestRecordBomb(t *testing.T) {
	bomb := pack(bytes.Repeat([]byte(" "), maxRecord+10))
	if _, err := DecodeRecord[sample](bomb); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d bytes that unpack to %d: %v", len(bomb), maxRecord, err)
	}
}

func FuzzEvents(f *testing.F) {
	b := parts([]event.Event{{Message: "m"}, {}})[0].lines(7)
	f.Add(b)
	f.Add(pack(b))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		events, err := decodeEvents(b)
		if err != nil {
			return
		}
		n := 0
		for _, p := range parts(fit("d", events)) {
			numbered, raw := p.numbered(uint64(n+1)), p.lines(uint64(n+1))
			got, err := decodeEvents(raw)
			if err != nil || len(got) != len(numbered) {
				t.Fatalf("%d events became %d, %v", len(numbered), len(got), err)
			}
			for i, e := range got {
				if n++; e.Seq != uint64(n) || numbered[i].Seq != e.Seq || e.Message != strings.ToValidUTF8(numbered[i].Message, "\ufffd") {
					t.Errorf("event %d: %+v, was %+v", n, e, numbered[i])
				}
			}
		}
		if n < len(events) {
			t.Errorf("%d events became %d", len(events), n)
		}
	})
}

// Lines are what encoding/json makes of events, every field of which is stored.
func TestLinesAreJSON(t *testing.T) {
	var all event.Event
	v := reflect.ValueOf(&all).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString(v.Type().Field(i).Name + " <&> \"\\ \n é \x7f \xff\u2028")
		}
	}
	all.Time = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	events := []event.Event{all, {}, {Message: "plain"}, {Time: all.Time, Type: event.Log, Node: "n"}}
	for i := range events {
		events[i].Time = all.Time
	}
	var want []byte
	for i, e := range events {
		e.Seq = uint64(41 + i)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want = append(append(want, b...), '\n')
	}
	ps := parts(events)
	if got := ps[0].lines(41); len(ps) != 1 || string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if ps[0].size < len(want) {
		t.Errorf("the size is %d, of %d bytes", ps[0].size, len(want))
	}
}

// FuzzFit: whatever is emitted can be stored, and no byte of a log message is lost.
func FuzzFit(f *testing.F) {
	f.Add("message", "value", 1)
	f.Add("\x00", "é", 20000)
	f.Fuzz(func(t *testing.T, message, value string, n int) {
		defer bounded.Input(t)()
		if n < 1 || n > 50000 || n*(len(message)+len(value)) > 1<<20 || !utf8.ValidString(message) {
			return
		}
		message = strings.Repeat(message, n)
		in := event.Event{Type: event.Log, Message: message, Value: strings.Repeat(value, n), Node: strings.Repeat(value, n), Time: time.Unix(1<<40, 0)}
		var whole strings.Builder
		for _, p := range parts(fit("d", []event.Event{in, {Type: event.Attribute, Message: message}})) {
			if p.size > MaxValue {
				t.Errorf("a part has %d bytes", p.size)
			}
			for _, e := range p.events {
				if e.Type == event.Log {
					whole.WriteString(e.Message)
				}
			}
			b, err := json.Marshal(p.events)
			if err != nil || len(b) > MaxValue {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		}
		if whole.String() != message {
			t.Errorf("a message of %d bytes came back with %d", len(message), whole.Len())
		}
	})
}

func TestFilter(t *testing.T) {
	e := event.Event{Type: event.Log, Level: event.Info, Node: "n", Instance: "0", Task: "t", Deployment: "d", Time: time.Unix(100, 0)}
	for _, c := range []struct {
		f    EventFilter
		want bool
	}{
		{EventFilter{}, true},
		{EventFilter{Deployment: "d", Types: []event.Type{event.Log}, Node: "n", Instance: "0", Task: "t", Level: event.Debug, Since: time.Unix(100, 0)}, true},
		{EventFilter{Level: event.Warn}, false},
		{EventFilter{Level: event.Info}, true},
		{EventFilter{Types: []event.Type{event.Waiting}}, false},
		{EventFilter{Since: time.Unix(101, 0)}, false},
		{EventFilter{Deployment: "x"}, false},
		{EventFilter{Task: "x"}, false},
		{EventFilter{Node: "x"}, false},
		{EventFilter{Instance: "1"}, false},
		{EventFilter{Match: func(event.Event) bool { return false }}, false},
	} {
		if got := c.f.Accepts(e); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}

func TestBudget(t *testing.T) {
	var b Budget
	for i := range MaxOps {
		if err := b.CheckPut(fmt.Sprint("k", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
		b.Op(fmt.Sprint("k", i), 0) // the same key again costs nothing
	}
	if err := b.Err(); err != nil {
		t.Error(err)
	}
	b.Op("one more", 0)
	if err := b.Err(); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "61 operations") {
		t.Errorf("got %v", err)
	}
}
