package cloudify

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// When schedules are due: the first times of rules from Wednesday 2026-01-28 10:00 on.
func TestOccurrences(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 28, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		rule  ruleRecord
		until string
		want  string
	}{
		"once":                         {ruleRecord{Count: 1}, "", "01-28"},
		"every second day, thrice":     {ruleRecord{Recurrence: "2 days", Count: 3}, "", "01-28 01-30 02-01"},
		"weeks, short":                 {ruleRecord{Recurrence: "1w", Count: 3}, "", "01-28 02-04 02-11"},
		"until an end":                 {ruleRecord{Recurrence: "1 weeks"}, "2026-02-05", "01-28 02-04"},
		"days that are weekdays":       {ruleRecord{Recurrence: "1 day", Weekdays: []string{"MO", "sa"}, Count: 3}, "", "01-31 02-02 02-07"},
		"every second week's weekdays": {ruleRecord{Recurrence: "2 weeks", Weekdays: []string{"mo", "fr"}, Count: 3}, "", "01-30 02-09 02-13"},
		"months":                       {ruleRecord{Recurrence: "1 month", Count: 3}, "", "01-28 02-28 03-28"},
		"first Monday of a month":      {ruleRecord{Recurrence: "1 mo", Weekdays: []string{"1mo"}, Count: 2}, "", "02-02 03-02"},
		"last Friday of a month":       {ruleRecord{Recurrence: "1 mo", Weekdays: []string{"l-fr"}, Count: 3}, "", "01-30 02-27 03-27"},
		"a rule of RFC 5545":           {ruleRecord{RRule: "FREQ=WEEKLY;INTERVAL=1;BYDAY=TU;COUNT=2"}, "", "02-03 02-10"},
		"one with an end":              {ruleRecord{RRule: "RRULE:FREQ=DAILY;UNTIL=20260130T090000Z"}, "", "01-28 01-29"},
	} {
		r, err := c.rule.understood()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var until time.Time
		if c.until != "" {
			until, _ = parseTime(c.until)
		}
		var got []string
		for at := range r.occurrences(since, until) {
			if got = append(got, at.Format("01-02")); at.Hour() != 10 {
				t.Errorf("%s: %v is at another hour", name, at)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, not %s", name, s, c.want)
		}
	}
	day31 := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	r, _ := ruleRecord{Recurrence: "1 month", Count: 3}.understood()
	var months []int
	for at := range r.occurrences(day31, time.Time{}) {
		months = append(months, int(at.Month()))
	}
	if !slices.Equal(months, []int{1, 3, 5}) {
		t.Errorf("the 31st is in the months %v", months)
	}
	r2, _ := ruleRecord{Recurrence: "1 sec"}.understood()
	if at := r2.after(day31, time.Time{}, day31.AddDate(1, 0, 0)); !at.Equal(day31.AddDate(1, 0, 0).Add(time.Second)) {
		t.Errorf("a year later: %v", at)
	}
	if at := r.after(day31, time.Time{}, day31.AddDate(0, 0, 1)); at.Month() != time.March {
		t.Errorf("after the first: %v", at)
	}
}

func TestBadRules(t *testing.T) {
	t.Parallel()
	for _, r := range []ruleRecord{{}, {Count: 2}, {Recurrence: "often"}, {Recurrence: "0 days"}, {Recurrence: "1 day", Weekdays: []string{"today"}}, {Recurrence: "1 day", Weekdays: []string{"1mo"}},
		{Recurrence: "1 day", Count: -1}, {RRule: "FREQ=SOMETIMES"}, {RRule: "COUNT=2"}, {RRule: "FREQ=DAILY", Count: 2}, {RRule: "FREQ=DAILY;BYSETPOS=1"}, {RRule: "FREQ=DAILY;UNTIL=later"},
		{RRule: "FREQ=DAILY;INTERVAL=0"}, {RRule: "x"}} {
		if _, err := r.understood(); err == nil || problemOf(err).status != 400 {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
