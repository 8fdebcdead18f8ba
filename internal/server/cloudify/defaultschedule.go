package cloudify

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// defaultSchedule reads a schedule of a blueprint:
//
//	workflow: backup
//	since: "+1 day"                 or a time; until likewise
//	timezone: Europe/Berlin         of times without one
//	recurrence: 1w                  count, weekdays
//	default_enabled: true
//	stop_after_fail: false
//	slip: 10
//	execution_arguments, workflow_parameters
func defaultSchedule(def map[string]any, now time.Time) (r scheduleRecord, err error) {
	text := func(name string) string { s, _ := def[name].(string); return s }
	zone := time.UTC
	if name := text("timezone"); name != "" {
		if zone, err = time.LoadLocation(name); err != nil {
			return r, badParameters("there is no timezone %q", name)
		}
	}
	if r.Since, err = scheduleTime(text("since"), now, zone); err != nil {
		return r, err
	}
	if r.Since.IsZero() {
		return r, badParameters("it has no `since`")
	}
	if r.Until, err = scheduleTime(text("until"), now, zone); err != nil {
		return r, err
	}
	if r.Workflow = text("workflow"); r.Workflow == "" {
		return r, badParameters("it has no `workflow`")
	}
	r.Rule.Recurrence, r.Rule.Weekdays, r.Rule.Count = text("recurrence"), texts(def["weekdays"]), int(asInt(def["count"]))
	r.Slip, r.StopOnFail, r.Arguments = int(asInt(def["slip"])), truth(def["stop_after_fail"]), &argumentsRecord{}
	if on, ok := def["default_enabled"].(bool); ok {
		r.Disabled = !on
	}
	if a, ok := def["execution_arguments"].(map[string]any); ok {
		r.Arguments.AllowCustom, r.Arguments.Force, r.Arguments.WaitAfter = truth(a["allow_custom_parameters"]), truth(a["force"]), int(asInt(a["wait_after_fail"]))
	}
	params, _ := def["workflow_parameters"].(map[string]any)
	if r.Parameters, err = storable(params); err != nil {
		return r, err
	}
	if _, err := json.Marshal(r.Parameters); err != nil {
		return r, badParameters("its workflow_parameters cannot be kept: %v", err)
	}
	return r, r.plan(now)
}

var deltaForm = regexp.MustCompile(`^\s*(\d+)\s*([a-z]+)\s*$`)

// scheduleTime reads a time, or how long from now: "+1 day +2h".
func scheduleTime(s string, now time.Time, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	if !strings.HasPrefix(s, "+") {
		for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
			if t, err := time.ParseInLocation(layout, s, zone); err == nil {
				return t.UTC(), nil
			}
		}
		return parseTime(s)
	}
	t := now.Truncate(time.Second)
	for part := range strings.SplitSeq(s[1:], "+") {
		m := deltaForm.FindStringSubmatch(part)
		if m == nil || unitOf(m[2]) == "" {
			return t, badParameters("`%s` is neither a time nor a span like \"+1 day +2h\"", s)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n > maxOccurrences {
			return t, badParameters("`%s` is too far away", s)
		}
		t, _ = recurrence{every: n, unit: unitOf(m[2])}.period(t, 1)
	}
	return t, nil
}
