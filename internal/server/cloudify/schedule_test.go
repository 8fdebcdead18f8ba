package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/fake"
	"github.com/orch-project/orch/pkg/orch"
)

// An execution with a time: it is scheduled, listed, cancelled; another begins when its time comes, under its own id.
func TestScheduledExecution(t *testing.T) {
	t.Parallel()
	s := installed(t, shop)
	s.who.Via = "socket" // a user whom the store does not keep
	at := time.Now().UTC().Add(time.Hour).Truncate(time.Minute)
	cfy := at.Format("200601021504-0700")
	start := func(at string, more object) object {
		b := startBody("d", "restart", object{"node_ids": []string{"db"}}, more)
		b["scheduled_time"] = at
		return b
	}
	s.refused(400, "bad_parameters_error", "POST", v31+"/executions", start("2020-01-01T00:00:00Z", nil))
	s.refused(400, "bad_parameters_error", "POST", v31+"/executions", start("soon", nil))
	s.refused(400, "bad_parameters_error", "POST", v31+"/executions", start(cfy, object{"dry_run": "true"}))
	b := start(cfy, nil)
	b["workflow_id"] = "dance"
	s.refused(400, "nonexistent_workflow_error", "POST", v31+"/executions", b)
	b = start(cfy, object{"allow_custom_parameters": "true"})
	b["parameters"] = object{"password": "x"}
	s.refused(400, "bad_parameters_error", "POST", v31+"/executions", b)

	x := s.call(201, "POST", v31+"/executions", start(cfy, nil))
	if x["status"] != "scheduled" || x["scheduled_for"] != at.Format("2006-01-02T15:04:05.000Z") {
		t.Fatalf("scheduled: %v", x)
	}
	other := s.call(201, "POST", v31+"/executions", start(at.Format(time.RFC3339), nil))
	if c := s.call(200, "POST", v31+"/executions/"+fmt.Sprint(other["id"]), object{"action": "cancel"}); c["status"] != "cancelled" {
		t.Errorf("taken back: %v", c)
	}
	if list := items(s.get("/executions?deployment_id=d&status=scheduled")); len(list) != 1 || list[0]["id"] != x["id"] {
		t.Errorf("scheduled ones: %v", list)
	}
	if d := s.get("/deployments/d"); d["latest_execution_status"] != "completed" {
		t.Errorf("what is scheduled counts as running: %v", d["latest_execution_status"])
	}
	if x, _ := s.run("d", "execute_operation", object{"operation": "admin.backup"}, nil); x["status"] != "terminated" {
		t.Errorf("beside what is scheduled: %v", x)
	}
	s.later(10 * time.Minute)
	s.Restart()
	s.later(time.Hour)
	s.later(0) // another server, or the same once more
	x, events := s.follow(fmt.Sprint(x["id"]))
	if x["status"] != "terminated" || x["workflow_id"] != "restart" || x["scheduled_for"] == nil {
		t.Errorf("when its time has come: %v", x)
	}
	if done := acts(events); !slices.Equal(done, []string{"db.stop", "db.start"}) {
		t.Errorf("it did %v", done)
	}
	if n := len(items(s.get("/executions?deployment_id=d&workflow_id=restart&status=terminated"))); n != 1 {
		t.Errorf("%d executions have run", n)
	}
}

// What cannot begin when its time comes has failed; a user who was shut out starts nothing any more.
func TestScheduledInVain(t *testing.T) {
	t.Parallel()
	s := installed(t, shop)
	if _, err := s.Local.Accounts().CreateUser(t.Context(), orch.NewUser{Name: "ann", Password: "long enough", Tenants: map[string]orch.Role{orch.DefaultTenant: orch.Operator}}); err != nil {
		t.Fatal(err)
	}
	s.who = orch.Identity{User: "ann", Tenant: orch.DefaultTenant, Role: orch.Operator, Via: "basic"}
	b := startBody("d", "restart", nil, nil)
	b["scheduled_time"] = time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	first := s.call(201, "POST", v31+"/executions", b)
	yes := true
	if _, err := s.Local.Accounts().UpdateUser(t.Context(), "ann", orch.UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	s.later(2 * time.Hour)
	if x := s.get("/executions/" + fmt.Sprint(first["id"])); x["status"] != "failed" || !strings.Contains(fmt.Sprint(x["error"]), "ann may not") {
		t.Errorf("of a user who was shut out: %v", x)
	}
}

// cfy deployments schedule: create, list, get, update, disable, delete; each occurrence is an execution.
func TestSchedules(t *testing.T) {
	t.Parallel()
	s := installed(t, shop)
	s.who.Via = "socket" // a user whom the store does not keep
	since := time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	const path = v31 + "/execution-schedules/nightly?deployment_id=d"
	body := object{"workflow_id": "restart", "parameters": object{"node_ids": []string{"db"}}, "execution_arguments": object{"allow_custom_parameters": false, "force": false, "dry_run": false, "wait_after_fail": 600},
		"since": since.Format("2006-01-02T15:04:05"), "until": nil, "recurrence": "1 day", "count": 3, "weekdays": nil, "rrule": nil, "slip": 0, "stop_on_fail": false}
	for key, bad := range map[string]any{"recurrence": "sometimes", "weekdays": []string{"today"}, "slip": -1, "since": "", "rrule": "FREQ=DAILY", "execution_arguments": object{"dry_run": true}} {
		wrong := object{}
		for k, v := range body {
			wrong[k] = v
		}
		wrong[key] = bad
		if key == "rrule" {
			wrong["rrule"] = "FREQ=NEVER"
		}
		s.refused(400, "bad_parameters_error", "PUT", path, wrong)
	}
	s.refused(400, "bad_parameters_error", "PUT", v31+"/execution-schedules/nightly", body)
	s.refused(404, "not_found_error", "PUT", v31+"/execution-schedules/nightly?deployment_id=nobody", body)
	c := s.call(201, "PUT", path, body)
	if c["next_occurrence"] != since.Format("2006-01-02T15:04:05.000Z") || len(c["all_next_occurrences"].([]any)) != 3 || c["enabled"] != true || c["rule"].(object)["recurrence"] != "1 day" {
		t.Errorf("created %v", c)
	}
	s.refused(409, "conflict_error", "PUT", path, body)
	if l := items(s.get("/execution-schedules?_sort=id&deployment_id=d")); len(l) != 1 || l[0]["id"] != "nightly" {
		t.Errorf("list %v", l)
	}

	s.later(time.Hour + time.Second)
	c = s.call(200, "GET", path, nil)
	latest := fmt.Sprint(c["latest_execution"])
	if x, events := s.follow(latest); x["status"] != "terminated" || len(acts(events)) != 2 {
		t.Errorf("the first occurrence: %v", x)
	}
	if c["next_occurrence"] != since.AddDate(0, 0, 1).Format("2006-01-02T15:04:05.000Z") || len(c["all_next_occurrences"].([]any)) != 2 {
		t.Errorf("after the first: %v", c)
	}
	if c = s.call(200, "GET", path, nil); c["latest_execution_status"] != "terminated" {
		t.Errorf("how it went: %v", c)
	}
	s.later(24*time.Hour + 30*time.Minute) // nobody was there in time
	if c = s.call(200, "GET", path, nil); c["latest_execution"] != latest || len(c["all_next_occurrences"].([]any)) != 1 {
		t.Errorf("what is too late is left out: %v", c)
	}
	s.call(201, "PATCH", path, object{"slip": 60, "stop_on_fail": true})
	s.Behave(fake.Table{"db[0].stop": {Err: fmt.Errorf("no")}, "": {}})
	s.later(24 * time.Hour)
	if c = s.call(200, "GET", path, nil); c["latest_execution"] == latest || c["next_occurrence"] != nil {
		t.Errorf("late, but with slip: %v", c)
	}
	s.until(fmt.Sprint(c["latest_execution"]), "failed")
	s.call(201, "PATCH", path, object{"count": 9})
	s.later(24 * time.Hour)
	if c = s.call(200, "GET", path, nil); c["enabled"] != false {
		t.Errorf("after a failure: %v", c)
	}
	if n := items(s.get("/summary/execution_schedules?_target_field=deployment_id")); n[0]["execution_schedules"] != 1.0 {
		t.Errorf("summary %v", n)
	}
	s.call(204, "DELETE", path, nil)
	s.refused(404, "not_found_error", "GET", path, nil)
	s.refused(404, "not_found_error", "DELETE", path, nil)
}

// A blueprint's default schedules are those of its deployments, and go with them.
func TestDefaultSchedules(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.who.Via = "socket" // a user whom the store does not keep
	files := renewed("", "")
	files["blueprint.yaml"] += `deployment_settings:
  default_schedules:
    daily: { workflow: restart, since: "+2h", recurrence: 1d, weekdays: [ mo, tu, we, th, fr, sa, su ], default_enabled: false }
    weekly: { workflow: stop, since: "2030-01-01 12:00", timezone: Europe/Berlin, recurrence: 2w, count: 3, slip: 5, workflow_parameters: { node_ids: [ app ] } }
`
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", files), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	l := items(s.get("/execution-schedules?deployment_id=d&_sort=id"))
	if len(l) != 2 || l[0]["enabled"] != false || l[1]["next_occurrence"] != "2030-01-01T11:00:00.000Z" || l[1]["slip"] != 5.0 {
		t.Errorf("schedules %v", l)
	}
	s.call(204, "DELETE", v31+"/deployments/d", nil)
	if l := items(s.get("/execution-schedules")); len(l) != 0 {
		t.Errorf("schedules of nothing: %v", l)
	}
	files["blueprint.yaml"] = strings.Replace(files["blueprint.yaml"], "1d", "often", 1)
	s.upload("bad", "blueprint.yaml", tarball(t, "blueprint", files), nil)
	s.refused(400, "bad_parameters_error", "PUT", v31+"/deployments/e", object{"blueprint_id": "bad"})
	s.refused(404, "not_found_error", "GET", v31+"/deployments/e", nil)
}
