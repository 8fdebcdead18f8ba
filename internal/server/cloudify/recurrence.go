package cloudify

import (
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ruleRecord says when a schedule is due: one of Cloudify's own kind, or a recurrence rule of RFC 5545.
//
//	{"recurrence": "2 weeks", "count": 5, "weekdays": ["mo", "1fr"]}     {"rrule": "FREQ=DAILY;INTERVAL=3"}
type ruleRecord struct {
	Recurrence string   `json:"recurrence,omitempty"`
	Count      int      `json:"count,omitempty"`
	Weekdays   []string `json:"weekdays,omitempty"`
	RRule      string   `json:"rrule,omitempty"`
}

// recurrence is a rule that was understood.
type recurrence struct {
	every int    // so many of the unit; 0: once
	unit  string // second minute hour day week month year
	days  []weekday
	count int
	until time.Time
}

// weekday of a week, or the nth of a month (-1 is the last); 0: every one.
type weekday struct {
	day time.Weekday
	nth int
}

var (
	frequency   = regexp.MustCompile(`^\s*(\d+)\s*(seconds?|secs?|s|minutes?|mins?|min|hours?|h|days?|d|weeks?|wk|w|months?|mo|years?|y)\s*$`)
	weekdayForm = regexp.MustCompile(`(?i)^(?:([+-]?[1-5])|(l-?))?(su|mo|tu|we|th|fr|sa)$`)
	dayNames    = []string{"su", "mo", "tu", "we", "th", "fr", "sa"}
)

// maxOccurrences bounds how far a rule is followed, and how many times are shown of it.
const (
	maxOccurrences   = 100_000
	shownOccurrences = 1000
)

// units by the words that clients write.
func unitOf(word string) string {
	for _, u := range []struct{ prefix, unit string }{{"mo", "month"}, {"min", "minute"}, {"s", "second"}, {"h", "hour"}, {"d", "day"}, {"w", "week"}, {"y", "year"}} {
		if strings.HasPrefix(word, u.prefix) {
			return u.unit
		}
	}
	return ""
}

// understood checks a rule.
func (r ruleRecord) understood() (recurrence, error) {
	if r.RRule != "" {
		if r.Recurrence != "" || len(r.Weekdays) > 0 || r.Count != 0 {
			return recurrence{}, badParameters("`rrule` cannot be provided together with `recurrence`, `weekdays` or `count`.")
		}
		return parseRRule(r.RRule)
	}
	out := recurrence{count: r.Count}
	if r.Count < 0 {
		return out, badParameters("The count of a schedule must be a number from 1 on, not %d", r.Count)
	}
	if r.Recurrence == "" {
		if r.Count != 1 {
			return out, badParameters("recurrence must be specified for execution count larger than 1")
		}
	} else {
		m := frequency.FindStringSubmatch(strings.ToLower(r.Recurrence))
		n := 0
		if m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		if n < 1 || n > maxOccurrences {
			return out, badParameters("`%s` is not a legal recurrence expression. Supported format is: <number> seconds|minutes|hours|days|weeks|months|years", r.Recurrence)
		}
		out.every, out.unit = n, unitOf(m[2])
	}
	for _, d := range r.Weekdays {
		w, err := parseWeekday(d)
		if err != nil {
			return out, err
		}
		if w.nth != 0 && out.unit != "month" && out.unit != "year" {
			return out, badParameters("The weekday `%s` is one of a month: the recurrence must be in months or years", d)
		}
		out.days = append(out.days, w)
	}
	return out, nil
}

func parseWeekday(s string) (weekday, error) {
	m := weekdayForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return weekday{}, badParameters("weekdays list contains the invalid weekday `%s`. Valid weekdays are: su|mo|tu|we|th|fr|sa, with a position (1 to 5, or l- for the last) before them for those of a month", s)
	}
	w := weekday{day: time.Weekday(slices.Index(dayNames, strings.ToLower(m[3])))}
	switch {
	case m[2] != "":
		w.nth = -1
	case m[1] != "":
		w.nth, _ = strconv.Atoi(m[1])
	}
	return w, nil
}

// parseRRule reads the part of RFC 5545 that schedules need: FREQ, INTERVAL, COUNT, UNTIL, BYDAY.
func parseRRule(s string) (out recurrence, err error) {
	out.every = 1
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), "RRULE:"), ";") {
		key, v, ok := strings.Cut(part, "=")
		var n int
		if key == "INTERVAL" || key == "COUNT" {
			if n, err = strconv.Atoi(v); err != nil || n < 1 {
				return out, badParameters("invalid RRULE string provided: %s must be a number from 1 on, not %q", key, v)
			}
		}
		switch {
		case !ok:
			return out, badParameters("invalid RRULE string provided: %q", part)
		case key == "FREQ":
			if out.unit = map[string]string{"SECONDLY": "second", "MINUTELY": "minute", "HOURLY": "hour", "DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}[v]; out.unit == "" {
				return out, badParameters("invalid RRULE string provided: unknown FREQ %q", v)
			}
		case key == "INTERVAL":
			out.every = n
		case key == "COUNT":
			out.count = n
		case key == "UNTIL":
			if out.until, err = rruleTime(v); err != nil {
				return out, err
			}
		case key == "BYDAY":
			for d := range strings.SplitSeq(v, ",") {
				w, err := parseWeekday(d)
				if err != nil {
					return out, err
				}
				out.days = append(out.days, w)
			}
		default:
			return out, badParameters("The part %s of an RRULE is not supported; FREQ, INTERVAL, COUNT, UNTIL and BYDAY are", key)
		}
	}
	if out.unit == "" {
		return out, badParameters("invalid RRULE string provided: it has no FREQ")
	}
	return out, nil
}

func rruleTime(s string) (time.Time, error) {
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, badParameters("invalid RRULE string provided: UNTIL %q is no time like 20300131T120000Z", s)
}

// occurrences are the times at which a rule is due, from since on.
func (r recurrence) occurrences(since, until time.Time) iter.Seq[time.Time] {
	if !r.until.IsZero() && (until.IsZero() || r.until.Before(until)) {
		until = r.until
	}
	return func(yield func(time.Time) bool) {
		n := 0
		for k := range maxOccurrences {
			period, exists := r.period(since, k)
			if !until.IsZero() && period.After(until) && !(r.unit == "week" && period.AddDate(0, 0, -6).Before(until)) {
				return
			}
			if !exists && len(r.days) == 0 {
				continue // there is no 31st of every month
			}
			for _, t := range r.within(period, since) {
				if !until.IsZero() && t.After(until) {
					return
				}
				if n++; r.count > 0 && n > r.count || n > maxOccurrences || !yield(t) {
					return
				}
			}
			if r.every == 0 {
				return
			}
		}
	}
}

// period is the kth beginning: a time, or, where weekdays say more, one in the kth week or month. exists is false for days that a month lacks.
func (r recurrence) period(since time.Time, k int) (t time.Time, exists bool) {
	n := r.every * k
	switch r.unit {
	case "second":
		return since.Add(time.Duration(n) * time.Second), true
	case "minute":
		return since.Add(time.Duration(n) * time.Minute), true
	case "hour":
		return since.Add(time.Duration(n) * time.Hour), true
	case "week":
		n *= 7
		fallthrough
	case "day":
		return since.AddDate(0, 0, n), true
	}
	years, months := 0, n
	if r.unit == "year" {
		years, months = n, 0
	}
	t = since.AddDate(years, months, 0)
	first := time.Date(since.Year()+years, since.Month()+time.Month(months), 1, since.Hour(), since.Minute(), since.Second(), since.Nanosecond(), since.Location())
	if t.Month() != first.Month() {
		return first, false
	}
	return t, true
}

// within are the due times of one period, not before since.
func (r recurrence) within(period, since time.Time) (out []time.Time) {
	if len(r.days) == 0 {
		return []time.Time{period}
	}
	var all []time.Time
	switch r.unit {
	case "week":
		monday := period.AddDate(0, 0, -((int(period.Weekday()) + 6) % 7))
		for d := range 7 {
			all = append(all, monday.AddDate(0, 0, d))
		}
	case "month", "year":
		first := period.AddDate(0, 0, 1-period.Day())
		last := first.AddDate(0, 1, 0)
		if r.unit == "year" && !slices.ContainsFunc(r.days, func(w weekday) bool { return w.nth != 0 }) {
			first = first.AddDate(0, 1-int(first.Month()), 0)
			last = first.AddDate(1, 0, 0)
		}
		for t := first; t.Before(last); t = t.AddDate(0, 0, 1) {
			all = append(all, t)
		}
	default:
		all = []time.Time{period}
	}
	for _, t := range all {
		if !t.Before(since) && slices.ContainsFunc(r.days, func(w weekday) bool { return w.is(t) }) {
			out = append(out, t)
		}
	}
	return out
}

func (w weekday) is(t time.Time) bool {
	switch {
	case t.Weekday() != w.day:
		return false
	case w.nth > 0:
		return (t.Day()-1)/7+1 == w.nth
	case w.nth < 0:
		return t.AddDate(0, 0, 7).Month() != t.Month()
	}
	return true
}

// after is the first time that is due after another; zero if there is none.
func (r recurrence) after(since, until, at time.Time) time.Time {
	length := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour}[r.unit] * time.Duration(r.every)
	if r.count == 0 && length > 0 && at.After(since) { // nobody counts those that are past
		since = since.Add(at.Sub(since) / length * length)
	}
	for t := range r.occurrences(since, until) {
		if t.After(at) {
			return t
		}
	}
	return time.Time{}
}
